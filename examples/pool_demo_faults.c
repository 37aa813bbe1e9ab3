/* Faults that a task survives, and one that nobody does. */
#define _GNU_SOURCE /* NOLINT(readability-identifier-naming): the C library's name for it */
#include "pool_check.h"
#include "pool_demo.h"

#include <gopool/fault.h>

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

struct account {
    int balance;
};

/* No account has that name. Volatile, so that the compiler does not see what is coming. */
static struct account *volatile no_account;

struct visit {
    pid_t worker;
    bool is_released;
    int balance;
};

static void release(void *arg)
{
    struct visit *visit = arg;
    visit->is_released = true;
}

static void look_up(void *arg)
{
    struct visit *visit = arg;
    struct gopool_defer defer;
    visit->worker = gettid();
    gopool_defer_push(&defer, release, visit);
    visit->balance = no_account->balance;
    gopool_defer_pop(&defer, true);
}

static void look_up_exclusively(void *arg)
{
    /* What the others need is half changed meanwhile. */
    gopool_critical_begin();
    look_up(arg);
    gopool_critical_end();
}

static void only_come(void *arg)
{
    struct visit *visit = arg;
    visit->worker = gettid();
}

static void note_fault(const struct gopool_panic *panic, void *arg)
{
    *(struct gopool_panic *)arg = *panic;
}

static void show_recovery(void)
{
    struct gopool_panic panic = {0};
    struct visit faulty = {0};
    struct visit next = {0};
    struct gopool *pool = make_pool(&(struct gopool_options){
        .cap = 1, .panic_handler = note_fault, .panic_handler_arg = &panic});
    must(gopool_go(pool, look_up, &faulty));
    must(gopool_go(pool, only_come, &next));
    settle(pool);
    check(panic.signal == SIGSEGV && panic.task_arg == &faulty, "the task is told of");
    check(faulty.is_released, "deferred calls run");
    check(faulty.worker != next.worker, "its worker has ended");
    check(stats_of(pool).fault_count == 1 && gopool_fault_count() == 1, "it is counted");
    printf("fault:     \"%s\", %" PRIu32
           " frames; deferred calls were made, and another worker has "
           "run the next task\n",
           panic.message, panic.frame_count);
    gopool_destroy(pool);
}

/* In a child, which has a pool of its own. */
static void fault_in_critical_section(void)
{
    const struct rlimit no_core = {0, 0};
    struct visit visit = {0};
    struct gopool *pool = make_pool(NULL);
    (void)setrlimit(RLIMIT_CORE, &no_core);
    /* Where the line goes that says why. */
    (void)dup2(STDOUT_FILENO, STDERR_FILENO);
    must(gopool_go(pool, look_up_exclusively, &visit));
    settle(pool);
    _exit(0);
}

static void show_critical_section(void)
{
    int status = 0;
    (void)fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        fault_in_critical_section();
    check(child > 0 && waitpid(child, &status, 0) == child, "a child");
    check(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV, "it dies by the fault");
    printf("critical:  so it ended, a child here, inside of gopool_critical_begin(), by SIG%s\n",
           sigabbrev_np(WTERMSIG(status)));
}

void show_faults(void)
{
    const char *refusal = gopool_fault_recovery_refusal();
    const char *again;
    if (refusal != NULL) {
        const char *status = expect(gopool_fault_recovery_enable(NULL), -ENOTSUP, "enabling");
        printf("fault:     would end the process here, %s: %s\n", status, refusal);
        return;
    }
    must(gopool_fault_recovery_enable(NULL));
    again = expect(gopool_fault_recovery_enable(NULL), -EALREADY, "enabling again");
    show_recovery();
    show_critical_section();
    printf("budget:    %d faults in %d s, the next one is not survived; enabling it again: %s\n",
           GOPOOL_FAULT_BUDGET_DEFAULT, GOPOOL_FAULT_WINDOW_S_DEFAULT, again);
}
