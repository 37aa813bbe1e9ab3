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
    STATE_COUNT,
};

static pthread_once_t once = PTHREAD_ONCE_INIT;

/* One asks at a time. */
static pthread_mutex_t asking = PTHREAD_MUTEX_INITIALIZER;

/*
 * The number of the question times STATE_COUNT, plus the state. ASKED by who asks; then whoever of
 * the two takes it out of this state decides whether an answer comes. The number keeps a thread
 * that was slow to look from answering the next question.
 */
static _Atomic uint64_t word;
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
    /* Acquire: pairs with the store in gp_interrogation_send(), for `asked`. */
    uint64_t question = atomic_load_explicit(&word, memory_order_acquire);

    (void)signal;
    (void)info;
    if (question % STATE_COUNT == STATE_ASKED && pthread_equal(asked, pthread_self()) &&
        atomic_compare_exchange_strong_explicit(&word, &question,
                                                question - STATE_ASKED + STATE_ANSWERING,
                                                memory_order_acquire, memory_order_relaxed)) {
        answer_count = gp_backtrace_take_from(interrupted_at(context), answer, GOPOOL_PANIC_FRAMES);
        /* Release: pairs with the load in gp_interrogation_wait(). */
        atomic_store_explicit(&word, question - STATE_ASKED + STATE_ANSWERED, memory_order_release);
        sem_post(&answered);
    }
    errno = saved;
}

/* Whether the process's handler is this one. */
static bool is_ours(const struct sigaction *action)
{
    return (action->sa_flags & SA_SIGINFO) != 0 && action->sa_sigaction == on_signal;
}

static bool is_free(const struct sigaction *action)
{
    return (action->sa_flags & SA_SIGINFO) == 0 &&
           (action->sa_handler == SIG_DFL || action->sa_handler == SIG_IGN);
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
    if (sigaction(GP_INTERROGATION_SIGNAL, NULL, &old) == 0 && is_free(&old))
        sigaction(GP_INTERROGATION_SIGNAL, &action, NULL);
}

void gp_interrogation_prepare(void)
{
    pthread_once(&once, install);
}

bool gp_interrogation_works(void)
{
    struct sigaction now;

    return sigaction(GP_INTERROGATION_SIGNAL, NULL, &now) == 0 && is_ours(&now);
}

void gp_interrogation_clear(void)
{
    pthread_mutex_init(&asking, NULL);
    sem_init(&answered, 0, 0);
    atomic_store_explicit(&word, STATE_NONE, memory_order_relaxed);
}

void gp_interrogation_begin(void)
{
    pthread_mutex_lock(&asking);
}

void gp_interrogation_end(void)
{
    pthread_mutex_unlock(&asking);
}

bool gp_interrogation_send(pthread_t thread)
{
    uint64_t last = atomic_load_explicit(&word, memory_order_relaxed);

    if (!gp_interrogation_works())
        return false;
    asked = thread;
    /* Release: pairs with the load in on_signal(). */
    atomic_store_explicit(&word, last - last % STATE_COUNT + STATE_COUNT + STATE_ASKED,
                          memory_order_release);
    pthread_kill(thread, GP_INTERROGATION_SIGNAL);
    return true;
}

uint32_t gp_interrogation_wait(void **frames, uint32_t max)
{
    const struct timespec deadline = gp_deadline_after(ANSWER_MS);
    uint64_t question = atomic_load_explicit(&word, memory_order_relaxed);
    int error;

    question = question - question % STATE_COUNT + STATE_ASKED;
    do {
        error = sem_clockwait(&answered, CLOCK_MONOTONIC, &deadline) == 0 ? 0 : errno;
    } while (error == EINTR);
    /* Relaxed: there is nothing to read when it has not begun to answer. */
    if (error != 0 && atomic_compare_exchange_strong_explicit(
                          &word, &question, question - STATE_ASKED + STATE_NONE,
                          memory_order_relaxed, memory_order_relaxed))
        return 0;
    while (error != 0)
        error = sem_wait(&answered) == 0 ? 0 : errno;
    /* Acquire: pairs with the store in on_signal(). The semaphore orders them as well, but its
     * clockwait is not known to every race detector. */
    if (atomic_load_explicit(&word, memory_order_acquire) % STATE_COUNT != STATE_ANSWERED)
        return 0;
    uint32_t count = answer_count < max ? answer_count : max;
    memcpy(frames, answer, count * sizeof *frames);
    return count;
}
