/* Who looks at a process that dies of a fault finds the fault, and not the handler's work. */
#include "fault_kinds.h"
#include "fault_rig.h"

#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
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
    bool is_good = ptrace(PTRACE_SETOPTIONS, child, NULL,
                          PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL) == 0 &&
                   ptrace(PTRACE_CONT, child, NULL, NULL) == 0;
    status = is_good ? watch(child, seen, sizeof seen / sizeof *seen, &count) : -1;
    is_good = WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV && count == 2 &&
              is_same_fault(&seen[0], &seen[1]);
    printf("%-45s %s\n", "the fault as a debugger sees it", is_good ? "ok" : "FAILED");
    return is_good;
}

int main(void)
{
    int skipped = skip_status();
    if (skipped != 0)
        return skipped;
    bool is_good = check_debugger();
    return check_core() && is_good ? 0 : 1;
}
