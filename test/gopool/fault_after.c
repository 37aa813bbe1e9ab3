/* What happens when a fault has been recovered from. */
#include "fault_kinds.h"
#include "fault_rig.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void budget_is_used_up(void)
{
    struct gopool *pool = make_pool(0);
    enable(NULL);
    for (unsigned i = 0; i < GOPOOL_FAULT_BUDGET_DEFAULT; i++)
        MUST(run(pool, fault_null_read, NULL) == -ECANCELED);
    MUST(gopool_fault_count() == GOPOOL_FAULT_BUDGET_DEFAULT);
    (void)run(pool, fault_null_read, NULL);
}

static void budget_comes_back(void)
{
    const struct timespec window = {.tv_sec = 1, .tv_nsec = 1000000};
    struct gopool *pool = make_pool(0);
    enable(&(struct gopool_fault_options){.budget = 2, .window_s = 1});
    for (unsigned i = 0; i < 3; i++) {
        MUST(run(pool, fault_null_read, NULL) == -ECANCELED);
        MUST(run(pool, fault_null_read, NULL) == -ECANCELED);
        (void)nanosleep(&window, NULL);
    }
}

static void go_on_after_fault(void *arg)
{
    struct gopool_panic panic;
    MUST(gopool_try(fault_null_read, NULL, &panic) == -ECANCELED);
    MUST(panic.signal == SIGSEGV && panic.address == NULL && panic.pool == NULL);
    *(pid_t *)arg = gettid();
}

static void note_thread(void *arg)
{
    *(pid_t *)arg = gettid();
}

static void inner_boundary(void)
{
    struct gopool *pool = make_pool(1);
    struct gopool_stats stats;
    pid_t first;
    pid_t second;
    enable(NULL);
    MUST(run(pool, go_on_after_fault, &first) == 0);
    MUST(run(pool, note_thread, &second) == 0);
    MUST(first != second);
    gopool_stats_read(pool, &stats);
    MUST(stats.fault_count == 1 && stats.panic_count == 0);
}

static void call_abort(void *arg)
{
    (void)arg;
    abort();
}

static void expect_text(void (*fn)(void *arg), const char *begin)
{
    struct gopool_panic panic;
    char text[GOPOOL_PANIC_TEXT_BYTES];
    MUST(gopool_try(fn, NULL, &panic) == -ECANCELED);
    MUST(gopool_panic_text(&panic, text, sizeof text) == strlen(text));
    MUST(strncmp(text, begin, strlen(begin)) == 0 && strstr(text, "+0x") != NULL);
    MUST(strstr(text, "libc.so") == NULL);
}

static void fault_for_text(void *arg)
{
    (void)arg;
    expect_text(fault_null_read, "SIGSEGV at address 0x0 (");
    expect_text(call_abort, "SIGABRT: abort() was called (");
}

static void text_for_log(void)
{
    enable(NULL);
    MUST(run(make_pool(0), fault_for_text, NULL) == 0);
}

#define BATCH  32
#define FAULTY 3

struct item {
    struct gopool_task task;
    unsigned number;
    unsigned *next;
    pid_t thread; /* the kernel's id: that of pthread_self() is soon used again */
};

static void run_item(void *arg)
{
    struct item *item = arg;
    MUST(*item->next == item->number);
    ++*item->next;
    item->thread = gettid();
    if (item->number == FAULTY)
        fault_null_read(NULL);
}

/* The worker has taken them all, and leaves what it has not run. */
static void rest_of_batch(void)
{
    static struct item items[BATCH];
    struct gopool *pool = make_pool(1);
    struct gopool_stats stats;
    unsigned next = 0;
    enable(NULL);
    for (unsigned i = 0; i < BATCH; i++)
        items[i] = (struct item){.number = i,
                                 .next = &next,
                                 .task = {.next = i + 1 < BATCH ? &items[i + 1].task : NULL,
                                          .fn = run_item,
                                          .arg = &items[i],
                                          .flags = GOPOOL_TASK_NONBLOCKING}};
    MUST(gopool_submit_batch(pool, &items[0].task) == 0);
    MUST(gopool_drain(pool, DEADLINE_MS) == 0);
    MUST(next == BATCH && panics == 1);
    MUST(items[FAULTY].thread != items[FAULTY + 1].thread);
    gopool_stats_read(pool, &stats);
    MUST(stats.finished_count == BATCH && stats.fault_count == 1 && stats.workers <= 1);
}

static void leave_critical_section(void *arg)
{
    (void)arg;
    gopool_critical_begin();
    gopool_critical_begin();
    gopool_panic("left");
}

static void forget_critical_section(void *arg)
{
    (void)arg;
    gopool_critical_begin();
}

static void end_critical_section(void *arg)
{
    (void)arg;
    gopool_critical_end();
}

static void critical_section_that_is_left(void)
{
    struct gopool *pool = make_pool(1);
    enable(NULL);
    MUST(run(pool, leave_critical_section, NULL) == -ECANCELED);
    MUST(run(pool, forget_critical_section, NULL) == 0);
    MUST(run(pool, end_critical_section, NULL) == -ECANCELED && last.signal == 0);
    MUST(run(pool, fault_null_read, NULL) == -ECANCELED && last.signal == SIGSEGV);
}

static void child_with_pool(void)
{
    int status;
    MUST(fault_in_task(fault_null_read, NULL) == -ECANCELED);
    pid_t child = fork();
    if (child == 0)
        _exit(run(make_pool(0), fault_null_read, NULL) == -ECANCELED ? 0 : 1);
    MUST(waitpid(child, &status, 0) == child && status == 0);
}

static void defer_faults(void *arg)
{
    struct gopool_defer outer;
    struct gopool_defer inner;
    gopool_defer_push(&outer, note_thread, arg);
    gopool_defer_push(&inner, fault_null_read, NULL);
    fault_null_read(NULL);
}

static void fault_in_deferred_call(void)
{
    pid_t thread = 0;
    MUST(fault_in_task(defer_faults, &thread) == -ECANCELED);
    MUST(last.nested == 1 && thread != 0 && thread != gettid());
    MUST(gopool_fault_count() == 2);
}

static void use_much_stack(void *arg)
{
    volatile char block[8192];
    memset((char *)block, 1, sizeof block);
    *(int *)arg += block[sizeof block - 1];
}

/* NOLINTNEXTLINE(misc-no-recursion): that is what it is for. */
static void overflow_with_deferred(void *arg)
{
    struct gopool_defer defer;
    volatile char block[1 << 14];
    block[0] = 1;
    gopool_defer_push(&defer, use_much_stack, arg);
    if (*(int *)arg >= 0)
        overflow_with_deferred(arg);
    block[1] = block[0];
    gopool_defer_pop(&defer, false);
}

static void deferred_calls_of_overflow(void)
{
    int count = 0;
    MUST(fault_in_task(overflow_with_deferred, &count) == -ECANCELED);
    MUST(strcmp(last.message, "stack overflow") == 0 && last.nested == 0);
    MUST(count > 4);
}

static void exit_task(void *arg)
{
    *(int *)arg += 1;
    gopool_exit_task();
}

static void overflow_and_exit(void *arg)
{
    struct gopool_defer defer;
    gopool_defer_push(&defer, exit_task, arg);
    if (*(int *)arg >= 0)
        overflow_with_deferred(arg);
}

static void deferred_call_that_ends_task(void)
{
    int count = 0;
    MUST(fault_in_task(overflow_and_exit, &count) == -ECANCELED);
    MUST(count > 4 && last.signal == 0);
}

static void overflow_in_deferred(void *arg)
{
    struct gopool_defer defer;
    gopool_defer_push(&defer, overflow_with_deferred, arg);
    if (*(int *)arg >= 0)
        overflow_with_deferred(arg);
}

static void overflow_of_emergency_stack(void)
{
    int count = 0;
    (void)fault_in_task(overflow_in_deferred, &count);
}

static void fault_handler(const struct gopool_panic *panic, void *arg)
{
    (void)panic;
    *(int *)arg += 1;
    fault_null_read(NULL);
}

static void fault_in_panic_handler(void)
{
    struct gopool *pool = make_pool(0);
    int calls = 0;
    enable(NULL);
    gopool_set_panic_handler(pool, fault_handler, &calls);
    MUST(run(pool, fault_null_read, NULL) == -ECANCELED);
    MUST(calls == 1 && gopool_fault_count() == 2);
}

static void overflow_of_emergency_stack_anywhere(void)
{
    int count = 0;
    enable(&(struct gopool_fault_options){.any_address = true});
    (void)run(make_pool(0), overflow_in_deferred, &count);
}

static void pop_and_fault(void *arg)
{
    struct gopool_defer outer;
    struct gopool_defer defer;
    gopool_defer_push(&outer, note_thread, arg);
    gopool_defer_push(&defer, fault_null_read, NULL);
    gopool_defer_pop(&defer, true);
    gopool_defer_pop(&outer, false);
}

static void fault_when_frame_is_left(void)
{
    pid_t thread = 0;
    MUST(fault_in_task(pop_and_fault, &thread) == -ECANCELED);
    MUST(last.nested == 0 && thread != 0 && thread != gettid());
}

/* Copies go backwards, and the registers of the x87 are in use. */
static void leave_machine_odd(void *arg)
{
    (void)arg;
    __asm__ volatile("fld1\n\tfld1\n\tfld1\n\tfld1\n\tfld1\n\tfld1\n\tfld1\n\tfld1\n\t"
                     "std\n\tud2");
}

static void compute(void *arg)
{
    volatile long double third = 1;
    third /= 3;
    *(bool *)arg = third > 0.33L && third < 0.34L;
}

static void defer_computation(void *arg)
{
    struct gopool_defer defer;
    gopool_defer_push(&defer, compute, arg);
    leave_machine_odd(NULL);
}

static void state_of_machine(void)
{
    bool is_right = false;
    MUST(fault_in_task(defer_computation, &is_right) == -ECANCELED);
    MUST(is_right && last.signal == SIGILL && last.frame_count > 0);
}

static const struct rule rules[] = {
    {"the budget is used up", budget_is_used_up, SIGSEGV},
    {"the budget comes back", budget_comes_back, 0},
    {"the innermost boundary holds it", inner_boundary, 0},
    {"the text for a log names the code of the task", text_for_log, 0},
    {"the rest of a batch is run by another worker", rest_of_batch, 0},
    {"a critical section that is left", critical_section_that_is_left, 0},
    {"a child with a pool of its own", child_with_pool, 0},
    {"a fault in a deferred call", fault_in_deferred_call, 0},
    {"deferred calls of a stack that is used up", deferred_calls_of_overflow, 0},
    {"a deferred call that ends the task", deferred_call_that_ends_task, 0},
    {"an overflow of the emergency stack", overflow_of_emergency_stack, SIGSEGV},
    {"a fault in the panic handler", fault_in_panic_handler, 0},
    {"flags and registers afterwards", state_of_machine, 0},
    {"an overflow of the emergency stack, anywhere", overflow_of_emergency_stack_anywhere, SIGSEGV},
    {"a frame that is left", fault_when_frame_is_left, 0},
};

int main(void)
{
    int skipped = skip_status();
    if (skipped != 0)
        return skipped;
    bool is_good = check_rules(rules, sizeof rules / sizeof *rules);
    return is_good ? 0 : 1;
}
