/* The pool's threads: signals, name, scheduling, and the chain in which they are joined. */
#include "thread.h"

#include <errno.h>
#include <mcache/mcache.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>

#include "fault.h"
#include "interrogation.h"

static _Thread_local struct gp_thread *current;

struct gp_thread *gp_thread_current(void)
{
    return current;
}

static void name_thread(const struct gp_thread *thread)
{
    char name[16];

    snprintf(name, sizeof name, "%s-%u", thread->pool->config.name, thread->number % 10000U);
    pthread_setname_np(pthread_self(), name);
}

/*
 * A batch thread does not preempt on wake-up whoever submitted the task. Where the policy is
 * another one, somebody chose it.
 */
static void ask_for_batch_scheduling(void)
{
    const struct sched_param param = {0};

    if (sched_getscheduler(0) == SCHED_OTHER)
        sched_setscheduler(0, SCHED_BATCH, &param);
}

static void *thread_main(void *arg)
{
    struct gp_thread *thread = arg;
    int previous;

    current = thread;
    /* By itself: whoever joins it may do so before pthread_create() has told the creator. */
    thread->id = pthread_self();
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &previous);
    name_thread(thread);
    if (thread->pool->config.batch_scheduling)
        ask_for_batch_scheduling();
    thread->main(thread);
    return NULL;
}

int gp_thread_start(struct gp_thread *thread)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};
    sigset_t blocked;
    sigset_t previous;
    pthread_attr_t attr;
    pthread_t id;

    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        sigdelset(&blocked, faults[i]);
    if (thread->pool->config.stuck_after_ms != 0 && gp_interrogation_works())
        sigdelset(&blocked, GP_INTERROGATION_SIGNAL);
    pthread_sigmask(SIG_SETMASK, &blocked, &previous);
    pthread_attr_init(&attr);
    pthread_attr_setguardsize(&attr, GP_FAULT_GUARD_BYTES);
    int error = pthread_create(&id, gp_fault_is_enabled() ? &attr : NULL, thread_main, thread);
    pthread_attr_destroy(&attr);
    pthread_sigmask(SIG_SETMASK, &previous, NULL);
    return error;
}

int gp_thread_start_helper(struct gopool *pool, void (*main)(struct gp_thread *thread))
{
    struct gp_thread *thread = mcache_alloc(sizeof *thread);

    if (thread == NULL)
        return ENOMEM;
    *thread = (struct gp_thread){.pool = pool, .main = main};
    int error = gp_thread_start(thread);
    if (error != 0)
        mcache_free(thread);
    return error;
}

struct gp_thread *gp_thread_leave(struct gp_thread *thread)
{
    struct gp_thread *before = thread->pool->leaver;

    thread->pool->leaver = thread;
    thread->has_left = true;
    return before;
}

void gp_thread_reap(struct gp_thread *thread)
{
    if (thread == NULL)
        return;
    pthread_join(thread->id, NULL);
    gp_fault_disarm(thread->fault);
    mcache_free(thread);
}

void gp_thread_end_helper(struct gp_thread *thread, bool *exists, bool is_passed_on)
{
    struct gopool *pool = thread->pool;
    struct gp_thread *before = gp_thread_leave(thread);

    *exists = is_passed_on;
    pthread_cond_broadcast(&pool->ended);
    pthread_mutex_unlock(&pool->lock);
    gp_thread_reap(before);
}
