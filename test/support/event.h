/* Waiting for things that happen on other threads; every wait has a deadline. Any thread. */
#ifndef TEST_SUPPORT_EVENT_H
#define TEST_SUPPORT_EVENT_H

#include "check.h"

#include <pthread.h>
#include <sched.h>
#include <stdint.h>

/* Longest wait for what is sure to come, many times what it takes. */
#define DEADLINE_MS 30000

/* For what can only be looked at. What tells by itself should use struct event. */
#define WAIT_UNTIL(condition)                              \
    do {                                                   \
        const int64_t give_up_at = now_ms() + DEADLINE_MS; \
        while (!(condition)) {                             \
            CHECK(now_ms() < give_up_at && #condition);    \
            sched_yield();                                 \
        }                                                  \
    } while (0)

/* Something that happens a number of times. */
struct event {
    pthread_mutex_t mutex;
    pthread_cond_t happened;
    uint64_t count;
};

#define EVENT_INIT                                                               \
    {                                                                            \
        .mutex = PTHREAD_MUTEX_INITIALIZER, .happened = PTHREAD_COND_INITIALIZER \
    }

int64_t now_ms(void);
/* It happened once more. */
void event_add(struct event *event);
/* Waits until it has happened that often since the start. */
void event_wait(struct event *event, uint64_t count);
uint64_t event_count(struct event *event);

#endif
