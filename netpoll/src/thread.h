/*
 * Starting a poller's thread: it reports whether it could set itself up before anybody goes on.
 */
#ifndef NP_THREAD_H
#define NP_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct np_poller;

struct np_start {
    struct np_poller *poller;
    pthread_mutex_t mutex;
    pthread_cond_t reported;
    bool is_reported;
    int status;
};

/* Runs main(start) with every signal blocked; returns what it reports: 0, or -errno and joined. */
int np_start_thread(struct np_start *start, pthread_t *thread, void *(*main)(void *start));
/* Called once by the new thread; start is gone when it returns. */
void np_start_report(struct np_start *start, int status);
/* Name and scheduling policy of the calling thread; what is refused is done without. */
void np_thread_setup(const char *name, uint32_t index, bool batch_scheduling);

#endif
