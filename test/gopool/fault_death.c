/* Who looks at a process that dies of a fault finds the fault, and not the handler's work. */
#include "fault_kinds.h"
#include "fault_rig.h"

#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

static void plain_fault(void)
{
    fault_null_read(NULL);
}

static void wild_pointer(void)
{
    void *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(page != MAP_FAILED);
    (void)fault_in_task(fault_read_at, &page);
}

/* Where a plain fault leaves a core file one that is not recovered from does, too. */
static bool check_core(void)
{
    char folder[] = "/tmp/fault_death_XXXXXX";
    char remove[sizeof folder + sizeof "rm -r "];
    if (mkdtemp(folder) == NULL || chdir(folder) != 0)
        return false;
    int plain = status_of(plain_fault, RLIM_INFINITY);
    int refused = status_of(wild_pointer, RLIM_INFINITY);
    (void)snprintf(remove, sizeof remove, "rm -r %s", folder);
    if (chdir("/") != 0 || system(remove) != 0)
        return false;
    bool is_same = WIFSIGNALED(refused) && WCOREDUMP(plain) == WCOREDUMP(refused);
    printf("%-45s %s%s\n", "the core file of a fault", is_same ? "ok" : "FAILED",
           WCOREDUMP(plain) ? "" : " (there is none here)");
    return is_same;
}

/* What a debugger sees of a signal before it is delivered. */
struct sight {
    siginfo_t info;
    struct user_regs_struct regs;
};

static bool is_same_fault(const struct sight *a, const struct sight *b)
{
    return a->info.si_signo == b->info.si_signo && a->info.si_code == b->info.si_code &&
           a->info.si_addr == b->info.si_addr && a->regs.rip == b->regs.rip &&
           a->regs.rsp == b->regs.rsp && a->regs.rax == b->regs.rax;
}

/* In a child: its threads are seen by its parent. */
static void die_before_parent(void)
{
    MUST(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
    (void)raise(SIGSTOP);
    wild_pointer();
}

/* Lets every thread of a child go on until it is dead. How often SIGSEGV was seen, and how; the
 * status of the child. */
static int watch(pid_t child, struct sight *seen, unsigned max, unsigned *count)
{
    int status = 0;
    pid_t thread;
    while ((thread = waitpid(-1, &status, __WALL)) > 0) {
        if (!WIFSTOPPED(status)) {
            if (thread == child)
                return status;
            continue;
        }
        int signal = WSTOPSIG(status);
        if (signal == SIGSEGV && *count < max) {
            struct sight *sight = &seen[(*count)++];
            if (ptrace(PTRACE_GETSIGINFO, thread, NULL, &sight->info) != 0 ||
                ptrace(PTRACE_GETREGS, thread, NULL, &sight->regs) != 0)
                return -1;
        }
        bool is_ours = signal == SIGSTOP || signal == SIGTRAP;
        (void)ptrace(PTRACE_CONT, thread, NULL, is_ours ? 0L : (long)signal);
    }
    return -1;
}

/* The kernel's signal, and the one that ends the process. */
static bool check_debugger(void)
{
    struct sight seen[3];
    unsigned count = 0;
    int status;
    pid_t child = fork();
    if (child == 0) {
        alarm(DEADLINE_MS / 1000);
        die_before_parent();
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        return false;
    if (!WIFSTOPPED(status)) {
        printf("%-45s not tried: ptrace(2) is refused\n", "the fault as a debugger sees it");
        return true;
    }
    bool is_good =
        ptrace(PTRACE_SETOPTIONS, child, NULL, PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL) == 0 &&
        ptrace(PTRACE_CONT, child, NULL, NULL) == 0;
    status = is_good ? watch(child, seen, sizeof seen / sizeof *seen, &count) : -1;
    is_good = WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV && count == 2 &&
              is_same_fault(&seen[0], &seen[1]);
    printf("%-45s %s\n", "the fault as a debugger sees it", is_good ? "ok" : "FAILED");
    return is_good;
}

static int compare_badly(const void *left, const void *right)
{
    fault_null_read(NULL);
    return left == right;
}

static void sort_badly(void *arg)
{
    int values[] = {2, 1};
    qsort(values, 2, sizeof *values, compare_badly);
    *(int *)arg = values[0];
}

static void callback_of_libc(void)
{
    int value;
    (void)fault_in_task(sort_badly, &value);
}

static void in_critical_section(void *arg)
{
    gopool_critical_begin();
    fault_null_read(arg);
    gopool_critical_end();
}

static void critical_section(void)
{
    (void)fault_in_task(in_critical_section, NULL);
}

static void no_task(void)
{
    enable(NULL);
    fault_null_read(NULL);
}

static void too_many(void)
{
    struct gopool *pool = make_pool(0);
    enable(&(struct gopool_fault_options){.budget = 1});
    (void)run(pool, fault_null_read, NULL);
    (void)run(pool, fault_null_read, NULL);
}

static const struct {
    void (*fn)(void);
    const char *line;
} reasons[] = {
    {wild_pointer, "gopool: SIGSEGV is fatal: its address is not in the first 64 KiB\n"},
    {callback_of_libc,
     "gopool: SIGSEGV is fatal: the C library may have left something half done\n"},
    {critical_section, "gopool: SIGSEGV is fatal: it is in a critical section, or in no task\n"},
    {no_task, "gopool: SIGSEGV is fatal: it is not on a worker of a pool\n"},
    {too_many, "gopool: SIGSEGV is fatal: there were too many lately\n"},
    {plain_fault, ""},
};

/* What a child that ends so writes to stderr. */
static bool writes(void (*fn)(void), const char *line)
{
    char written[512] = "";
    int ends[2];
    int saved = dup(STDERR_FILENO);
    if (saved < 0 || pipe(ends) != 0 || dup2(ends[1], STDERR_FILENO) < 0)
        return false;
    (void)close(ends[1]);
    int status = status_of(fn, 0);
    bool is_restored = dup2(saved, STDERR_FILENO) >= 0;
    (void)close(saved);
    ssize_t n = read(ends[0], written, sizeof written - 1);
    (void)close(ends[0]);
    return is_restored && n >= 0 && WIFSIGNALED(status) && strcmp(written, line) == 0;
}

static bool check_reasons(void)
{
    bool is_good = true;
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        (void)fflush(stdout);
        bool is_told = writes(reasons[i].fn, reasons[i].line);
        if (!is_told)
            printf("not told: %s", reasons[i].line);
        is_good = is_good && is_told;
    }
    printf("%-45s %s\n", "why it is fatal", is_good ? "ok" : "FAILED");
    return is_good;
}

int main(void)
{
    int skipped = skip_status();
    if (skipped != 0)
        return skipped;
    bool is_seen = check_debugger();
    bool is_kept = check_core();
    return check_reasons() && is_seen && is_kept ? 0 : 1;
}
