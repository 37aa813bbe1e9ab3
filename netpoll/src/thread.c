/* Birth of a poller's thread. */
#include "thread.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>

int np_start_thread(struct np_start *start, pthread_t *thread, void *(*main)(void *start))
{
    sigset_t all;
    sigset_t old;
    pthread_mutex_init(&start->mutex, NULL);
    pthread_cond_init(&start->reported, NULL);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int status = -pthread_create(thread, NULL, main, start);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (status == 0) {
        pthread_mutex_lock(&start->mutex);
        while (!start->is_reported)
            pthread_cond_wait(&start->reported, &start->mutex);
        status = start->status;
        pthread_mutex_unlock(&start->mutex);
        if (status != 0)
            pthread_join(*thread, NULL);
    }
    pthread_cond_destroy(&start->reported);
    pthread_mutex_destroy(&start->mutex);
    return status;
}

void np_start_report(struct np_start *start, int status)
{
    pthread_mutex_lock(&start->mutex);
    start->status = status;
    start->is_reported = true;
    pthread_cond_signal(&start->reported);
    pthread_mutex_unlock(&start->mutex);
}

void np_thread_setup(const char *name, uint32_t index, bool batch_scheduling)
{
    char full[16];
    snprintf(full, sizeof full, "%.10s-%u", name, index % 1000);
    pthread_setname_np(pthread_self(), full);
    if (batch_scheduling) {
        const struct sched_param param = {.sched_priority = 0};
        sched_setscheduler(0, SCHED_BATCH, &param);
    }
}
