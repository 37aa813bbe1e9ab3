/* Frames: which ones a panic keeps, what a signal handler gets, and how they are printed. */
#define _GNU_SOURCE /* NOLINT(readability-identifier-naming): the C library's name for it */
#include <gopool/panic.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <ucontext.h>
#include <unistd.h>

#include "backtrace.h"
#include "support.h"

TestSuite(backtrace, .timeout = 60);

/* Not static: exported, so that the dynamic linker knows its name. */
void test_backtrace_raise(void *arg);

static const void *raised_for; /* return address of the frame that called it */

__attribute__((noinline)) void test_backtrace_raise(void *arg)
{
    raised_for = __builtin_return_address(0);
    gopool_panic("%s", (const char *)arg);
}

/* The compiler is not to see that the recursion never returns. */
static void (*volatile raise_unseen)(void *arg) = test_backtrace_raise;

__attribute__((noinline)) static void recurse(int depth)
{
    if (depth > 0)
        recurse(depth - 1);
    else
        raise_unseen("at the bottom");
    atomic_signal_fence(memory_order_seq_cst); /* keeps it from being a jump */
}

static void recurse_from(void *arg)
{
    recurse(*(int *)arg);
}

/* The tests' functions are short: an address at most so far behind the start of one is inside. */
static bool lies_in(const void *frame, void (*fn)(void *arg))
{
    uintptr_t offset = (uintptr_t)frame - (uintptr_t)fn;

    return offset > 0 && offset < 1024;
}

Test(backtrace, the_first_frame_of_a_panic_is_the_function_that_raised_it)
{
    struct gopool_panic panic;

    cr_assert_eq(gopool_try(test_backtrace_raise, "text", &panic), -ECANCELED);
    cr_assert_gt(panic.frame_count, 2);
    cr_assert(lies_in(panic.frames[0], test_backtrace_raise));
    cr_assert_eq(panic.frames[1], raised_for);
}

Test(backtrace, a_panic_keeps_the_innermost_frames)
{
    struct gopool_panic panic;
    int depth = 2 * GOPOOL_PANIC_FRAMES;

    cr_assert_eq(gopool_try(recurse_from, &depth, &panic), -ECANCELED);
    cr_assert_eq(panic.frame_count, GOPOOL_PANIC_FRAMES);
    cr_assert(lies_in(panic.frames[0], test_backtrace_raise));
    cr_assert_eq(panic.frames[1], raised_for);
}

static void raise_in_deferred(void *arg)
{
    struct gopool_defer defer;

    gopool_defer_push(&defer, test_backtrace_raise, arg);
    gopool_panic("outer");
}

static struct gopool_panic first_told;

static void keep_first(const struct gopool_panic *panic)
{
    if (first_told.line == 0)
        first_told = *panic;
}

Test(backtrace, a_panic_in_a_deferred_call_shows_whose_panic_it_was_deferred_for)
{
    bool found = false;

    gopool_set_panic_hook(keep_first);
    cr_assert_eq(gopool_try(raise_in_deferred, "inner", NULL), -ECANCELED);
    cr_assert_str_eq(first_told.message, "inner");
    for (uint32_t i = 1; i < first_told.frame_count; i++)
        found = found || lies_in(first_told.frames[i], raise_in_deferred);
    cr_assert(found);
}

/* What the handler of a signal saw. */
static void *interrupted[16];
static uint32_t interrupted_count;
static _Atomic int spinning;
static _Atomic bool answered;

static void look_around(int number, siginfo_t *info, void *context)
{
    const ucontext_t *where = context;

    (void)number;
    (void)info;
#ifdef __x86_64__
    const void *pc = (const void *)(uintptr_t)where->uc_mcontext.gregs[REG_RIP];
#else
    const void *pc = (const void *)(uintptr_t)where->uc_mcontext.pc;
#endif
    interrupted_count = gp_backtrace_take_from(pc, interrupted, 16);
    atomic_store(&answered, true);
}

__attribute__((noinline)) static void spin(void *arg)
{
    atomic_store((_Atomic int *)arg, 1);
    while (!atomic_load(&answered))
        continue;
}

static void *spin_on_a_thread(void *arg)
{
    spin(arg);
    atomic_signal_fence(memory_order_seq_cst);
    return NULL;
}

Test(backtrace, in_a_signal_handler_begins_where_the_thread_was)
{
    struct sigaction action = {.sa_sigaction = look_around, .sa_flags = SA_SIGINFO};
    void *warm[2];
    pthread_t thread;

    cr_assert_gt(gp_backtrace_take(warm, 2), 0);
    sigemptyset(&action.sa_mask);
    cr_assert_eq(sigaction(SIGURG, &action, NULL), 0);
    cr_assert_eq(pthread_create(&thread, NULL, spin_on_a_thread, &spinning), 0);
    WAIT_UNTIL(spinning);
    cr_assert_eq(pthread_kill(thread, SIGURG), 0);
    pthread_join(thread, NULL);
    cr_assert_gt(interrupted_count, 1);
    cr_assert(lies_in(interrupted[0], spin));
    cr_assert((uintptr_t)interrupted[1] - (uintptr_t)spin_on_a_thread < 1024);
}

__attribute__((noinline)) static uint32_t take_here(void **frames, uint32_t max)
{
    uint32_t count = gp_backtrace_take(frames, max);

    atomic_signal_fence(memory_order_seq_cst);
    return count;
}

Test(backtrace, begins_with_its_caller_and_takes_no_more_than_asked)
{
    void *frames[4] = {NULL, NULL, NULL, NULL};

    cr_assert_eq(take_here(frames, 3), 3);
    cr_assert((uintptr_t)frames[0] - (uintptr_t)take_here < 1024);
    cr_assert_null(frames[3]);
    cr_assert_eq(gp_backtrace_take(frames, 0), 0);
}

/* A pair of sockets on which each write(2) is a message of its own. */
struct channel {
    int fds[2];
    char text[8192];
};

static void open_channel(struct channel *channel)
{
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, channel->fds), 0);
}

/* Returns the bytes of the next message, NUL-terminated in text; 0 when there is none. */
static size_t receive(struct channel *channel)
{
    ssize_t got = recv(channel->fds[1], channel->text, sizeof channel->text - 1, MSG_DONTWAIT);

    channel->text[got > 0 ? got : 0] = '\0';
    return got > 0 ? (size_t)got : 0;
}

static size_t count_lines(const char *text)
{
    size_t count = 0;

    for (; *text != '\0'; text++)
        count += *text == '\n';
    return count;
}

Test(backtrace, a_panic_is_printed_in_one_piece_with_a_line_for_each_frame)
{
    struct channel channel;
    struct gopool_panic panic;

    open_channel(&channel);
    cr_assert_eq(gopool_try(test_backtrace_raise, "as text", &panic), -ECANCELED);
    gopool_panic_print(&panic, channel.fds[0]);
    cr_assert_neq(receive(&channel), 0);
    cr_assert_eq(count_lines(channel.text), 1 + panic.frame_count);
    cr_assert_eq(strncmp(channel.text, "gopool: as text (test_backtrace_raise, ", 39), 0);
    cr_assert_not_null(strstr(channel.text, "\n  #0 test_backtrace_raise ("));
    cr_assert_eq(receive(&channel), 0);
}

Test(backtrace, the_line_says_whose_task_it_was_and_what_else_panicked)
{
    struct channel channel;
    struct gopool_panic panic = {.message = "m",
                                 .file = "f.c",
                                 .function = "f",
                                 .line = 3,
                                 .nested = 2,
                                 .pool = "billing",
                                 .task_fn = test_backtrace_raise,
                                 .task_arg = (void *)0x10};

    open_channel(&channel);
    gopool_panic_print(&panic, channel.fds[0]);
    cr_assert_neq(receive(&channel), 0);
    cr_assert_str_eq(channel.text, "gopool: billing: m (f, f.c:3), 2 more in deferred calls, task "
                                   "test_backtrace_raise(0x10)\n");
}

Test(backtrace, the_text_for_a_log_is_the_message_and_the_place)
{
    const struct gopool_panic panic = {
        .message = "no such account", .file = "account.c", .function = "find", .line = 31};
    char text[GOPOOL_PANIC_TEXT_BYTES];

    cr_assert_eq(gopool_panic_text(&panic, text, sizeof text), 30);
    cr_assert_str_eq(text, "no such account (account.c:31)");
    cr_assert_eq(gopool_panic_text(&panic, text, 8), 30);
    cr_assert_str_eq(text, "no such");
    cr_assert_eq(gopool_panic_text(&panic, NULL, 0), 30);
}

Test(backtrace, the_text_of_a_fault_names_its_innermost_frame)
{
    char *place = (char *)(uintptr_t)test_backtrace_raise + 1;
    const struct gopool_panic fault = {.message = "SIGSEGV at address 0x0",
                                       .file = "?",
                                       .function = "?",
                                       .frame_count = 1,
                                       .frames = {place},
                                       .signal = SIGSEGV};
    const struct gopool_panic unknown = {.message = "SIGILL", .signal = SIGILL};
    static const char begin[] = "SIGSEGV at address 0x0 (test_backtrace_raise, ";
    char text[GOPOOL_PANIC_TEXT_BYTES];

    cr_assert_eq(gopool_panic_text(&fault, text, sizeof text), strlen(text));
    cr_assert_eq(strncmp(text, begin, sizeof begin - 1), 0);
    cr_assert_not_null(strstr(text, "+0x"));
    (void)gopool_panic_text(&unknown, text, sizeof text);
    cr_assert_str_eq(text, "SIGILL (?)");
}

Test(backtrace, an_address_without_a_name_is_printed_as_it_is)
{
    struct channel channel;
    struct gp_text text;
    void *frames[] = {(void *)0x11};

    open_channel(&channel);
    gp_text_begin(&text, channel.fds[0]);
    gp_backtrace_write(&text, frames, 1);
    gp_text_end(&text);
    cr_assert_neq(receive(&channel), 0);
    cr_assert_str_eq(channel.text, "  #0 0x10\n");
}

Test(backtrace, text_that_does_not_fit_comes_in_pieces_and_in_order)
{
    struct channel channel;
    struct gp_text text;
    unsigned expected = 0;

    open_channel(&channel);
    gp_text_begin(&text, channel.fds[0]);
    for (unsigned i = 0; i < 1000; i++)
        gp_text_add(&text, "line %03u\n", i);
    gp_text_end(&text);
    while (receive(&channel) != 0) {
        for (const char *line = channel.text; *line != '\0'; line += 9)
            cr_assert_eq((unsigned)strtoul(line + 5, NULL, 10), expected++);
    }
    cr_assert_eq(expected, 1000);
}

Test(backtrace, text_longer_than_the_buffer_is_cut)
{
    static char large[2 * GP_TEXT_BYTES];
    struct channel channel;
    struct gp_text text;

    memset(large, 'x', sizeof large - 1);
    open_channel(&channel);
    gp_text_begin(&text, channel.fds[0]);
    gp_text_add(&text, "before\n");
    gp_text_add(&text, "%s", large);
    gp_text_end(&text);
    cr_assert_eq(receive(&channel), strlen("before\n"));
    cr_assert_eq(receive(&channel), GP_TEXT_BYTES - 1);
    cr_assert_eq(receive(&channel), 0);
}
