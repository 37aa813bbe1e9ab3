/* Counted events. */
#include "event.h"

#include <errno.h>
#include <time.h>

int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void event_add(struct event *event)
{
    pthread_mutex_lock(&event->mutex);
    event->count++;
    pthread_cond_broadcast(&event->happened);
    pthread_mutex_unlock(&event->mutex);
}

void event_wait(struct event *event, uint64_t count)
{
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += DEADLINE_MS / 1000;
    pthread_mutex_lock(&event->mutex);
    while (event->count < count)
        CHECK(pthread_cond_timedwait(&event->happened, &event->mutex, &deadline) != ETIMEDOUT);
    pthread_mutex_unlock(&event->mutex);
}

uint64_t event_count(struct event *event)
{
    pthread_mutex_lock(&event->mutex);
    uint64_t count = event->count;
    pthread_mutex_unlock(&event->mutex);
    return count;
}
