/* The signal, its handler, and the one sheet of paper that question and answer are written on. */
#include "interrogation.h"

#include <errno.h>
#include <gopool/panic.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <ucontext.h>

#include "backtrace.h"
#include "deadline.h"

/* A thread that runs answers in microseconds; one that the kernel does not let go, not at all. */
#define ANSWER_MS 200

enum state {
    STATE_NONE,
    STATE_ASKED,
    STATE_ANSWERING,
    STATE_ANSWERED,
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool handler_is_ours;

/* One asks at a time. */
static pthread_mutex_t asking = PTHREAD_MUTEX_INITIALIZER;

/* ASKED by who asks; then whoever of the two takes it out of this state decides whether an answer
 * comes. */
static _Atomic int state;
static pthread_t asked;
static sem_t answered;
static void *answer[GOPOOL_PANIC_FRAMES];
static uint32_t answer_count;

static const void *interrupted_at(const ucontext_t *context)
{
#if defined(__x86_64__)
    return (const void *)context->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    return (const void *)context->uc_mcontext.pc;
#else
    (void)context;
    return NULL;
#endif
}

static void on_signal(int signal, siginfo_t *info, void *context)
{
    int saved = errno;
    int expected = STATE_ASKED;

    (void)signal;
    (void)info;
    /* Acquire: pairs with the store in gp_interrogation_send(), for `asked`. */
    if (atomic_load_explicit(&state, memory_order_acquire) == STATE_ASKED &&
        pthread_equal(asked, pthread_self()) &&
        atomic_compare_exchange_strong_explicit(&state, &expected, STATE_ANSWERING,
                                                memory_order_acquire, memory_order_relaxed)) {
        answer_count = gp_backtrace_take_from(interrupted_at(context), answer, GOPOOL_PANIC_FRAMES);
        /* Release: pairs with the load in gp_interrogation_wait(). */
        atomic_store_explicit(&state, STATE_ANSWERED, memory_order_release);
        sem_post(&answered);
    }
    errno = saved;
}

static void install(void)
{
    struct sigaction action = {.sa_sigaction = on_signal,
                               .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};
    struct sigaction old;
    void *frame;

    /* The first call may load a library. */
    (void)gp_backtrace_take(&frame, 1);
    sem_init(&answered, 0, 0);
    sigfillset(&action.sa_mask);
    if (sigaction(GP_INTERROGATION_SIGNAL, NULL, &old) != 0 || (old.sa_flags & SA_SIGINFO) != 0 ||
        (old.sa_handler != SIG_DFL && old.sa_handler != SIG_IGN))
        return;
    handler_is_ours = sigaction(GP_INTERROGATION_SIGNAL, &action, NULL) == 0;
}

void gp_interrogation_prepare(void)
{
    pthread_once(&once, install);
}

bool gp_interrogation_works(void)
{
    return handler_is_ours;
}

void gp_interrogation_begin(void)
{
    pthread_mutex_lock(&asking);
}

void gp_interrogation_end(void)
{
    pthread_mutex_unlock(&asking);
}

void gp_interrogation_send(pthread_t thread)
{
    asked = thread;
    /* Release: pairs with the load in on_signal(). */
    atomic_store_explicit(&state, STATE_ASKED, memory_order_release);
    pthread_kill(thread, GP_INTERROGATION_SIGNAL);
}

uint32_t gp_interrogation_wait(void **frames, uint32_t max)
{
    const struct timespec deadline = gp_deadline_after(ANSWER_MS);
    int expected = STATE_ASKED;
    int error;

    do {
        error = sem_clockwait(&answered, CLOCK_MONOTONIC, &deadline) == 0 ? 0 : errno;
    } while (error == EINTR);
    /* Relaxed: there is nothing to read when it has not begun to answer. */
    if (error != 0 &&
        atomic_compare_exchange_strong_explicit(&state, &expected, STATE_NONE, memory_order_relaxed,
                                                memory_order_relaxed))
        return 0;
    while (error != 0)
        error = sem_wait(&answered) == 0 ? 0 : errno;
    /* Acquire: pairs with the store in on_signal(). The semaphore orders them as well, but its
     * clockwait is not known to every race detector. */
    if (atomic_load_explicit(&state, memory_order_acquire) != STATE_ANSWERED)
        return 0;
    uint32_t count = answer_count < max ? answer_count : max;
    memcpy(frames, answer, count * sizeof *frames);
    return count;
}
