/*
 * What decides whether a fault is recovered from, and what happens then. Every case is a child of
 * its own, for many of them are to die.
 */
#include "fault_kinds.h"

#include <gopool/fault.h>
#include <gopool/gopool.h>
#include <linkbuffer/linkbuffer.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DEADLINE_MS 20000

/* In a child, whose status tells. */
#define MUST(condition)                                                                     \
    do {                                                                                    \
        if (!(condition)) {                                                                 \
            dprintf(STDOUT_FILENO, "  does not hold: %s, line %d\n", #condition, __LINE__); \
            _exit(1);                                                                       \
        }                                                                                   \
    } while (0)

static struct gopool_panic last;
static unsigned panics;

static void on_panic(const struct gopool_panic *panic, void *arg)
{
    (void)arg;
    last = *panic;
    panics++;
}

static void enable(const struct gopool_fault_options *options)
{
    MUST(gopool_fault_recovery_enable(options) == 0);
}

static struct gopool *make_pool(uint32_t cap)
{
    struct gopool *pool;
    MUST(gopool_create(&(struct gopool_options){.cap = cap, .panic_handler = on_panic}, &pool) ==
         0);
    return pool;
}

static int run(struct gopool *pool, gopool_fn *fn, void *arg)
{
    struct gopool_future future;
    MUST(gopool_call(pool, &future, fn, arg, 0) == 0);
    int status = gopool_wait(&future, DEADLINE_MS);
    /* What is told of the task, is told before. */
    MUST(gopool_drain(pool, DEADLINE_MS) == 0);
    return status;
}

/* With the default options. */
static int fault_in_task(gopool_fn *fn, void *arg)
{
    enable(NULL);
    return run(make_pool(0), fn, arg);
}

static void bad_options(void)
{
    static const struct {
        struct gopool_fault_options options;
    } bad[] = {
        {{.signals = GOPOOL_FAULT_ABRT << 1}},
        {{.budget = GOPOOL_FAULT_BUDGET_MAX + 1}},
        {{.reserved = {0, 0, 0, 1}}},
        {{.module_count = GOPOOL_FAULT_MODULES_MAX + 1}},
    };
    const void *const nowhere[] = {(const void *)16};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        MUST(gopool_fault_recovery_enable(&bad[i].options) == -EINVAL);
    MUST(gopool_fault_recovery_enable(
             &(struct gopool_fault_options){.modules = nowhere, .module_count = 1}) == -EINVAL);
    enable(NULL);
    MUST(gopool_fault_recovery_enable(NULL) == -EALREADY);
    MUST(gopool_fault_recovery_refusal() == NULL);
}

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

static int *wild(void)
{
    int *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(page != MAP_FAILED);
    return page;
}

/* The kernel says address 0 of one that is none. */
#define NOT_CANONICAL ((int *)0x4141414141414141)

static void wild_pointer(void)
{
    int *page = wild();
    (void)fault_in_task(fault_read_at, &page);
}

static void pointer_that_is_none(void)
{
    int *none = NOT_CANONICAL;
    (void)fault_in_task(fault_read_at, &none);
}

static void any_address(void)
{
    int *page = wild();
    int *none = NOT_CANONICAL;
    struct gopool *pool = make_pool(0);
    enable(&(struct gopool_fault_options){.any_address = true});
    MUST(run(pool, fault_read_at, &page) == -ECANCELED);
    MUST(last.address == page && last.signal_code == SEGV_ACCERR);
    MUST(run(pool, fault_read_at, &none) == -ECANCELED);
}

static void only_some_signals(void)
{
    enable(&(struct gopool_fault_options){.signals = GOPOOL_FAULT_FPE | GOPOOL_FAULT_ABRT});
    (void)run(make_pool(0), fault_null_read, NULL);
}

static void thread_of_its_own(void)
{
    enable(NULL);
    (void)!gopool_try(fault_null_read, NULL, NULL);
}

static void wait_for_pipe(void *arg)
{
    char byte;
    (void)!read(*(const int *)arg, &byte, 1);
}

static void fault_here(void *arg)
{
    (void)arg;
    fault_null_read(NULL);
}

static void caller_that_faults(void)
{
    struct gopool *pool;
    int ends[2];
    MUST(pipe2(ends, O_CLOEXEC) == 0);
    MUST(gopool_create(&(struct gopool_options){.cap = 1,
                                                .queue_limit = 1,
                                                .when_full = GOPOOL_WHEN_FULL_CALLER_RUNS},
                       &pool) == 0);
    enable(NULL);
    MUST(gopool_go(pool, wait_for_pipe, &ends[0]) == 0);
    for (;;)
        (void)!gopool_go(pool, fault_here, NULL);
}

static void misuse_toolkit(void *arg)
{
    gopool_defer_push(*(struct gopool_defer *volatile *)arg, fault_null_read, NULL);
}

static void fault_in_toolkit(void)
{
    void *null = NULL;
    (void)fault_in_task(misuse_toolkit, &null);
}

static void go_on_after_fault(void *arg)
{
    struct gopool_panic panic;
    MUST(gopool_try(fault_null_read, NULL, &panic) == -ECANCELED);
    MUST(panic.signal == SIGSEGV && panic.address == NULL && panic.pool == NULL);
    *(pthread_t *)arg = pthread_self();
}

static void note_thread(void *arg)
{
    *(pthread_t *)arg = pthread_self();
}

static void inner_boundary(void)
{
    struct gopool *pool = make_pool(1);
    struct gopool_stats stats;
    pthread_t first;
    pthread_t second;
    enable(NULL);
    MUST(run(pool, go_on_after_fault, &first) == 0);
    MUST(run(pool, note_thread, &second) == 0);
    MUST(!pthread_equal(first, second));
    gopool_stats_read(pool, &stats);
    MUST(stats.fault_count == 1 && stats.panic_count == 0);
}

#define BATCH  32
#define FAULTY 3

struct item {
    struct gopool_task task;
    unsigned number;
    unsigned *next;
    pthread_t thread;
};

static void run_item(void *arg)
{
    struct item *item = arg;
    MUST(*item->next == item->number);
    ++*item->next;
    item->thread = pthread_self();
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
    MUST(!pthread_equal(items[FAULTY].thread, items[FAULTY + 1].thread));
    gopool_stats_read(pool, &stats);
    MUST(stats.finished_count == BATCH && stats.fault_count == 1 && stats.workers <= 1);
}

static void try_in_critical_section(void *arg)
{
    gopool_critical_begin();
    (void)!gopool_try(fault_null_read, arg, NULL);
    gopool_critical_end();
}

static void boundary_in_critical_section(void)
{
    (void)fault_in_task(try_in_critical_section, NULL);
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

static _Atomic int handler_calls;
static void *mended;

static void mend(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    handler_calls++;
    if (info->si_addr != mended || mprotect(mended, 4096, PROT_READ | PROT_WRITE) != 0)
        _exit(1);
}

static void set_handler(int flags)
{
    struct sigaction action = {.sa_sigaction = mend, .sa_flags = SA_SIGINFO | flags};
    MUST(sigaction(SIGSEGV, &action, NULL) == 0);
}

/* As a write barrier does: the access goes on. */
static void previous_handler(void)
{
    mended = wild();
    set_handler(0);
    MUST(fault_in_task(fault_read_at, &mended) == 0 && handler_calls == 1);
    mended = wild();
    fault_read_at(&mended);
    MUST(handler_calls == 2);
    MUST(run(make_pool(0), fault_null_read, NULL) == -ECANCELED && handler_calls == 2);
}

static void previous_handler_once(void)
{
    mended = wild();
    set_handler((int)SA_RESETHAND);
    enable(NULL);
    fault_read_at(&mended);
    MUST(handler_calls == 1);
    mended = wild();
    fault_read_at(&mended);
}

static void ignore_from_outside(void)
{
    MUST(signal(SIGSEGV, SIG_IGN) != SIG_ERR);
    enable(NULL);
    MUST(kill(getpid(), SIGSEGV) == 0);
}

static void fork_and_fault(void *arg)
{
    pid_t child = fork();
    if (child == 0) {
        fault_null_read(NULL);
        _exit(0);
    }
    MUST(waitpid(child, arg, 0) == child);
}

static void child_of_task(void)
{
    int status;
    MUST(fault_in_task(fork_and_fault, &status) == 0);
    MUST(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
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

static void task_without_tables(void)
{
    (void)fault_in_task(fault_without_tables, NULL);
}

static fault_module_call_fn *module_call;

static void call_module(void *arg)
{
    module_call(fault_null_read, arg);
}

static void load_module(void)
{
    void *module = dlopen(FAULT_MODULE, RTLD_NOW | RTLD_LOCAL);
    MUST(module != NULL);
    *(void **)&module_call = dlsym(module, "fault_module_call");
    MUST(module_call != NULL);
}

static void foreign_module(void)
{
    load_module();
    (void)fault_in_task(call_module, NULL);
}

static void allowed_module(void)
{
    load_module();
    const void *const modules[] = {*(void **)&module_call};
    enable(&(struct gopool_fault_options){.modules = modules, .module_count = 1});
    MUST(run(make_pool(0), call_module, NULL) == -ECANCELED);
}

static void raise_abort(void *arg)
{
    (void)arg;
    (void)raise(SIGABRT);
}

static void raised_by_itself(void)
{
    (void)fault_in_task(raise_abort, NULL);
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
    pthread_t thread = pthread_self();
    MUST(fault_in_task(defer_faults, &thread) == -ECANCELED);
    MUST(last.nested == 1 && !pthread_equal(thread, pthread_self()));
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

/* The frame is found by its pointer: see CMakeLists.txt. */
static void lose_frame(void *arg)
{
    (void)arg;
    __asm__ volatile("movabsq $0x7eee0000000, %%rbp\n\tud2" : : : "memory");
}

static void broken_stack(void)
{
    (void)fault_in_task(lose_frame, NULL);
}

static atomic_bool is_spinning;

static void spin(void *arg)
{
    *(pthread_t *)arg = pthread_self();
    atomic_store(&is_spinning, true);
    for (;;) {
    }
}

/* In the task's own code, and with every address allowed. */
static void signal_to_task(void)
{
    struct gopool *pool = make_pool(0);
    pthread_t worker;
    enable(&(struct gopool_fault_options){.any_address = true});
    MUST(gopool_go(pool, spin, &worker) == 0);
    while (!atomic_load(&is_spinning)) {
    }
    MUST(pthread_kill(worker, SIGSEGV) == 0);
    (void)!gopool_drain(pool, DEADLINE_MS);
}

static void overflow_of_emergency_stack_anywhere(void)
{
    int count = 0;
    enable(&(struct gopool_fault_options){.any_address = true});
    (void)run(make_pool(0), overflow_in_deferred, &count);
}

static void lock_null(void *arg)
{
    (void)!pthread_mutex_lock(*(pthread_mutex_t *volatile *)arg);
}

/* One frame of the C library, but not of a function without state. */
static void lock_of_library(void)
{
    void *small = (void *)16;
    (void)fault_in_task(lock_null, &small);
}

static struct linkbuffer *buffer_that_faults(void)
{
    static char data[4096];
    struct linkbuffer *buffer;
    MUST(linkbuffer_create(&buffer) == 0);
    MUST(linkbuffer_write_ref(buffer, data, sizeof data, fault_null_read, NULL) == 0);
    (void)!linkbuffer_flush(buffer);
    return buffer;
}

static void destroy_buffer(void *arg)
{
    linkbuffer_destroy(arg);
}

static void callback_of_toolkit(void)
{
    (void)fault_in_task(destroy_buffer, buffer_that_faults());
}

/* The task is a function of the toolkit's. */
static void callback_of_toolkit_alone(void)
{
    (void)fault_in_task((gopool_fn *)(void (*)(void))linkbuffer_destroy, buffer_that_faults());
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
    pthread_t thread = pthread_self();
    MUST(fault_in_task(pop_and_fault, &thread) == -ECANCELED);
    MUST(last.nested == 0 && !pthread_equal(thread, pthread_self()));
}

static int give_up_comparing(const void *left, const void *right)
{
    if (left != right)
        abort();
    return 0;
}

static void abort_in_callback(void *arg)
{
    int values[] = {3, 1, 2};
    qsort(values, 3, sizeof *values, give_up_comparing);
    *(int *)arg = values[0];
}

static void callback_that_aborts(void)
{
    int value;
    (void)fault_in_task(abort_in_callback, &value);
}

/* An allocator of the program's, in place of the C library's. */
__attribute__((noinline)) void *valloc(size_t size)
{
    fault_null_read(NULL);
    return malloc(size);
}

static void allocate(void *arg)
{
    *(void **)arg = valloc(1);
}

static void fault_in_allocator(void)
{
    void *block;
    (void)fault_in_task(allocate, &block);
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

struct rule {
    const char *name;
    void (*fn)(void);
    int signal; /* that it dies by; 0: it does not */
};

static const struct rule rules[] = {
    {"bad options are refused", bad_options, 0},
    {"the budget is used up", budget_is_used_up, SIGSEGV},
    {"the budget comes back", budget_comes_back, 0},
    {"a wild pointer", wild_pointer, SIGSEGV},
    {"a pointer that is none", pointer_that_is_none, SIGSEGV},
    {"any address, if allowed", any_address, 0},
    {"a signal that was not chosen", only_some_signals, SIGSEGV},
    {"a thread that is no worker", thread_of_its_own, SIGSEGV},
    {"a submitter that runs tasks", caller_that_faults, SIGSEGV},
    {"a fault inside of the toolkit", fault_in_toolkit, SIGSEGV},
    {"the innermost boundary holds it", inner_boundary, 0},
    {"the rest of a batch is run by another worker", rest_of_batch, 0},
    {"a boundary in a critical section", boundary_in_critical_section, SIGSEGV},
    {"a critical section that is left", critical_section_that_is_left, 0},
    {"a handler that was there before", previous_handler, 0},
    {"a handler that was there before, once", previous_handler_once, SIGSEGV},
    {"a signal that is ignored", ignore_from_outside, 0},
    {"a child that a task forks", child_of_task, 0},
    {"a child with a pool of its own", child_with_pool, 0},
    {"a task without unwind tables", task_without_tables, SIGSEGV},
    {"a module that is not allowed", foreign_module, SIGSEGV},
    {"a module that is allowed", allowed_module, 0},
    {"a signal that the task raises", raised_by_itself, SIGABRT},
    {"a fault in a deferred call", fault_in_deferred_call, 0},
    {"deferred calls of a stack that is used up", deferred_calls_of_overflow, 0},
    {"a deferred call that ends the task", deferred_call_that_ends_task, 0},
    {"an overflow of the emergency stack", overflow_of_emergency_stack, SIGSEGV},
    {"a fault in the panic handler", fault_in_panic_handler, 0},
    {"a stack that is broken", broken_stack, SIGILL},
    {"flags and registers afterwards", state_of_machine, 0},
    {"a signal to the task's own code", signal_to_task, SIGSEGV},
    {"an overflow of the emergency stack, anywhere", overflow_of_emergency_stack_anywhere, SIGSEGV},
    {"a lock of the C library", lock_of_library, SIGSEGV},
    {"a callback of the toolkit", callback_of_toolkit, SIGSEGV},
    {"a task that is the toolkit's", callback_of_toolkit_alone, SIGSEGV},
    {"a frame that is left", fault_when_frame_is_left, 0},
    {"a callback that aborts", callback_that_aborts, SIGABRT},
    {"an allocator of the program's", fault_in_allocator, SIGSEGV},
};

static bool is_as_told(const struct rule *rule, int status)
{
    if (rule->signal != 0)
        return WIFSIGNALED(status) && WTERMSIG(status) == rule->signal;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Status of wait(2). */
static int status_of(void (*fn)(void), rlim_t core_bytes)
{
    const struct rlimit core = {core_bytes, core_bytes};
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        (void)setrlimit(RLIMIT_CORE, &core);
        alarm(DEADLINE_MS / 1000);
        fn();
        _exit(0);
    }
    return child > 0 && waitpid(child, &status, 0) == child ? status : -1;
}

static void plain_fault(void)
{
    fault_null_read(NULL);
}

/* Where a plain fault leaves a core file one that is not recovered from does, too. */
static bool check_core(void)
{
    char folder[] = "/tmp/fault_rules_XXXXXX";
    char remove[sizeof folder + sizeof "rm -r "];
    if (mkdtemp(folder) == NULL || chdir(folder) != 0)
        return false;
    int plain = status_of(plain_fault, RLIM_INFINITY);
    int refused = status_of(budget_is_used_up, RLIM_INFINITY);
    (void)snprintf(remove, sizeof remove, "rm -r %s", folder);
    if (chdir("/") != 0 || system(remove) != 0)
        return false;
    bool is_same = WIFSIGNALED(refused) && WCOREDUMP(plain) == WCOREDUMP(refused);
    printf("%-45s %s%s\n", "the core file of a fault", is_same ? "ok" : "FAILED",
           WCOREDUMP(plain) ? "" : " (there is none here)");
    return is_same;
}

int main(void)
{
    const char *refusal = gopool_fault_recovery_refusal();
    bool is_good = true;
    if (refusal != NULL) {
        printf("faults cannot be recovered from here: %s\n", refusal);
        return 77;
    }
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        (void)fflush(stdout);
        int status = status_of(rules[i].fn, 0);
        bool is_ok = is_as_told(&rules[i], status);
        printf("%-45s %s", rules[i].name, is_ok ? "ok\n" : "FAILED");
        if (!is_ok)
            printf(", status %#x\n", (unsigned)status);
        is_good = is_good && is_ok;
    }
    return check_core() && is_good ? 0 : 1;
}
