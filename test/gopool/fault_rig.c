/* Children, pools, and what their panics were. */
#include "fault_rig.h"

#include <errno.h>
#include <sys/wait.h>

struct gopool_panic last;
unsigned panics;

static void on_panic(const struct gopool_panic *panic, void *arg)
{
    (void)arg;
    last = *panic;
    panics++;
}

void enable(const struct gopool_fault_options *options)
{
    MUST(gopool_fault_recovery_enable(options) == 0);
}

struct gopool *make_pool(uint32_t cap)
{
    struct gopool *pool;
    MUST(gopool_create(&(struct gopool_options){.cap = cap, .panic_handler = on_panic}, &pool) ==
         0);
    return pool;
}

int run(struct gopool *pool, gopool_fn *fn, void *arg)
{
    struct gopool_future future;
    MUST(gopool_call(pool, &future, fn, arg, 0) == 0);
    int status = gopool_wait(&future, DEADLINE_MS);
    /* What is told of the task, is told before. */
    MUST(gopool_drain(pool, DEADLINE_MS) == 0);
    return status;
}

int fault_in_task(gopool_fn *fn, void *arg)
{
    enable(NULL);
    return run(make_pool(0), fn, arg);
}

static bool is_as_told(const struct rule *rule, int status)
{
    if (rule->signal != 0)
        return WIFSIGNALED(status) && WTERMSIG(status) == rule->signal;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int status_of(void (*fn)(void), rlim_t core_bytes)
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

bool check_rules(const struct rule *rules, size_t count)
{
    bool is_good = true;
    for (size_t i = 0; i < count; i++) {
        (void)fflush(stdout);
        int status = status_of(rules[i].fn, 0);
        bool is_ok = is_as_told(&rules[i], status);
        printf("%-45s %s", rules[i].name, is_ok ? "ok\n" : "FAILED");
        if (!is_ok)
            printf(", status %#x\n", (unsigned)status);
        is_good = is_good && is_ok;
    }
    return is_good;
}

int skip_status(void)
{
    const char *refusal = gopool_fault_recovery_refusal();
    if (refusal == NULL)
        return 0;
    printf("faults cannot be recovered from here: %s\n", refusal);
    return 77;
}
