/*
 * Every kind of fault, many times: those that are recovered from in one process, the others in one
 * each. A program of its own, because it dies, and without a framework, so that it can be built
 * with every compiler and level of optimisation.
 */
#include "fault_kinds.h"

#include <gopool/fault.h>
#include <gopool/gopool.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define TIMES_DEFAULT 50
#define DEADLINE_MS   20000

/* In a child, whose status tells. */
#define MUST(condition)                                                  \
    do {                                                                 \
        if (!(condition)) {                                              \
            dprintf(STDOUT_FILENO, "  does not hold: %s\n", #condition); \
            _exit(1);                                                    \
        }                                                                \
    } while (0)

struct told {
    const struct fault_kind *kind;
    unsigned count;
    unsigned deferred;
};

static void on_panic(const struct gopool_panic *panic, void *arg)
{
    struct told *told = arg;
    MUST(panic->signal == told->kind->signal);
    MUST(panic->frame_count > 0);
    told->count++;
}

static void count_deferred(void *arg)
{
    struct told *told = arg;
    told->deferred++;
}

static void task(void *arg)
{
    struct told *told = arg;
    struct gopool_defer defer;
    gopool_defer_push(&defer, count_deferred, told);
    fault_behind_frames(told->kind->fault, told);
    gopool_defer_pop(&defer, false);
}

static struct gopool *make_pool(struct told *told)
{
    const struct gopool_fault_options options = {.budget = GOPOOL_FAULT_BUDGET_UNLIMITED};
    struct gopool *pool;
    int silence = open("/dev/null", O_WRONLY | O_CLOEXEC);
    alarm(DEADLINE_MS / 1000);
    MUST(silence >= 0 && dup2(silence, STDERR_FILENO) >= 0);
    MUST(gopool_fault_recovery_enable(&options) == 0);
    MUST(gopool_create(
             &(struct gopool_options){.panic_handler = on_panic, .panic_handler_arg = told},
             &pool) == 0);
    return pool;
}

/* In a child. */
static void fault_and_recover(const struct fault_kind *kind, unsigned times)
{
    struct told told = {.kind = kind};
    struct gopool *pool = make_pool(&told);
    struct gopool_future future;
    struct gopool_stats stats;
    for (unsigned i = 0; i < times; i++) {
        MUST(gopool_call(pool, &future, task, &told, 0) == 0);
        MUST(gopool_wait(&future, DEADLINE_MS) == -ECANCELED);
    }
    MUST(gopool_drain(pool, DEADLINE_MS) == 0);
    gopool_stats_read(pool, &stats);
    MUST(told.count == times && told.deferred == times);
    MUST(stats.fault_count == times && stats.panic_count == times);
    MUST(gopool_fault_count() == times);
    gopool_destroy(pool);
    _exit(0);
}

/* In a child. */
static void fault_and_die(const struct fault_kind *kind)
{
    struct told told = {.kind = kind};
    struct gopool *pool = make_pool(&told);
    struct gopool_future future;
    MUST(gopool_call(pool, &future, task, &told, 0) == 0);
    (void)!gopool_wait(&future, DEADLINE_MS);
    _exit(0);
}

static bool has_ended_well(const struct fault_kind *kind, unsigned times)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        if (kind->is_deadly)
            fault_and_die(kind);
        fault_and_recover(kind, times);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        return false;
    if (kind->is_deadly)
        return WIFSIGNALED(status) && WTERMSIG(status) == kind->signal;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool check(const struct fault_kind *kind, unsigned times)
{
    unsigned good = 0;
    unsigned rounds = kind->is_deadly ? times : 1;
    for (unsigned i = 0; i < rounds; i++)
        good += has_ended_well(kind, times);
    printf("%-40s %s %u times of %u\n", kind->name, kind->is_deadly ? "dies" : "recovers",
           kind->is_deadly ? good : good * times, times);
    (void)fflush(stdout);
    return good == rounds;
}

int main(int argc, char **argv)
{
    const struct rlimit no_core = {0, 0};
    const char *refusal = gopool_fault_recovery_refusal();
    unsigned times = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : TIMES_DEFAULT;
    bool is_good = true;
    if (times == 0) {
        (void)fprintf(stderr, "usage: %s [TIMES]\n", argv[0]);
        return 2;
    }
    if (refusal != NULL) {
        printf("faults cannot be recovered from here: %s\n", refusal);
        return 77;
    }
    (void)setrlimit(RLIMIT_CORE, &no_core);
    for (const struct fault_kind *kind = fault_kinds; kind->name != NULL; kind++)
        is_good = check(kind, times) && is_good;
    return is_good ? 0 : 1;
}
