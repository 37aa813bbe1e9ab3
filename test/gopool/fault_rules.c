/* What decides whether a fault is recovered from. */
#include "fault_kinds.h"
#include "fault_rig.h"

#include <linkbuffer/linkbuffer.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>

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

/* Mapped, but the file ends before it. */
static void *beyond_file(void)
{
    int fd = memfd_create("short", MFD_CLOEXEC);
    MUST(fd >= 0);
    void *page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    MUST(page != MAP_FAILED);
    return page;
}

static void pointer_beyond_file(void)
{
    void *page = beyond_file();
    (void)fault_in_task(fault_read_at, &page);
}

static void any_address_beyond_file(void)
{
    void *page = beyond_file();
    enable(&(struct gopool_fault_options){.any_address = true});
    MUST(run(make_pool(0), fault_read_at, &page) == -ECANCELED);
    MUST(last.signal == SIGBUS && last.signal_code == BUS_ADRERR && last.address == page);
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

/* As compilers make of a call that is the last thing in a function: no frame is left of it. */
void jump_to_null(void *arg);
void jump_to_strlen(void *arg);
void jump_to_puts(void *arg);
void jump_to_abort(void *arg);

#define FUNCTION(name, ...) #name ":\n\t.cfi_startproc\n\t" __VA_ARGS__ "\n\t.cfi_endproc\n\t"

__asm__(".pushsection .text\n" FUNCTION(jump_to_null, "xorl %eax, %eax\n\tjmp *%rax")
            FUNCTION(jump_to_strlen, "movl $16, %edi\n\tjmp strlen@PLT")
                FUNCTION(jump_to_puts, "movl $16, %edi\n\tjmp puts@PLT")
                    FUNCTION(jump_to_abort, "jmp abort@PLT") ".popsection\n");

static void try_jump(void *arg)
{
    MUST(gopool_try(jump_to_null, arg, NULL) == -ECANCELED);
}

static void task_that_leaves_no_frame(void)
{
    struct gopool *pool = make_pool(0);
    enable(NULL);
    MUST(run(pool, jump_to_null, NULL) == -ECANCELED);
    MUST(run(pool, jump_to_strlen, NULL) == -ECANCELED);
    MUST(run(pool, try_jump, NULL) == 0);
}

static void task_that_leaves_a_frame_of_libc(void)
{
    (void)fault_in_task(jump_to_puts, NULL);
}

static void task_that_leaves_abort(void)
{
    (void)fault_in_task(jump_to_abort, NULL);
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

static const struct rule rules[] = {
    {"bad options are refused", bad_options, 0},
    {"a wild pointer", wild_pointer, SIGSEGV},
    {"a pointer that is none", pointer_that_is_none, SIGSEGV},
    {"any address, if allowed", any_address, 0},
    {"an address beyond the end of a file", pointer_beyond_file, SIGBUS},
    {"the same, if allowed", any_address_beyond_file, 0},
    {"a signal that was not chosen", only_some_signals, SIGSEGV},
    {"a thread that is no worker", thread_of_its_own, SIGSEGV},
    {"a submitter that runs tasks", caller_that_faults, SIGSEGV},
    {"a fault inside of the toolkit", fault_in_toolkit, SIGSEGV},
    {"a boundary in a critical section", boundary_in_critical_section, SIGSEGV},
    {"a handler that was there before", previous_handler, 0},
    {"a handler that was there before, once", previous_handler_once, SIGSEGV},
    {"a signal that is ignored", ignore_from_outside, 0},
    {"a child that a task forks", child_of_task, 0},
    {"a task without unwind tables", task_without_tables, SIGSEGV},
    {"a module that is not allowed", foreign_module, SIGSEGV},
    {"a module that is allowed", allowed_module, 0},
    {"a signal that the task raises", raised_by_itself, SIGABRT},
    {"a task that leaves no frame", task_that_leaves_no_frame, 0},
    {"a task that leaves a frame of the C library", task_that_leaves_a_frame_of_libc, SIGSEGV},
    {"a task that leaves the frame of abort", task_that_leaves_abort, SIGABRT},
    {"a stack that is broken", broken_stack, SIGILL},
    {"a signal to the task's own code", signal_to_task, SIGSEGV},
    {"a lock of the C library", lock_of_library, SIGSEGV},
    {"a callback of the toolkit", callback_of_toolkit, SIGSEGV},
    {"a task that is the toolkit's", callback_of_toolkit_alone, SIGSEGV},
    {"a callback that aborts", callback_that_aborts, SIGABRT},
    {"an allocator of the program's", fault_in_allocator, SIGSEGV},
};

int main(void)
{
    int skipped = skip_status();
    if (skipped != 0)
        return skipped;
    return check_rules(rules, sizeof rules / sizeof *rules) ? 0 : 1;
}
