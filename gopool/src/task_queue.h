/* The queue of accepted tasks: first in, first out, linked through the tasks themselves. */
#ifndef GP_TASK_QUEUE_H
#define GP_TASK_QUEUE_H

#include <gopool/gopool.h>

/* The task was made by gopool_go(): whoever runs it frees it first. Not for users. */
#define GP_TASK_OWNED UINT32_C(0x80000000)

/* All zero is an empty queue. Guarded by a lock of the pool. */
struct gp_task_queue {
    struct gopool_task *head; /* the oldest; NULL when the queue is empty */
    struct gopool_task *tail; /* the youngest; meaningless when the queue is empty */
    size_t count;
};

/* A list of tasks linked by next, measured before a lock is taken. */
struct gp_task_list {
    struct gopool_task *first;
    struct gopool_task *last;
    size_t count;
    uint32_t flags; /* of any of them */
};

/* Walks a list. Returns 0, or -EINVAL when one of its tasks has no function or an unknown flag. */
int gp_task_list_measure(struct gopool_task *first, struct gp_task_list *out);

/* Puts a list that is not empty behind the youngest task. */
void gp_task_queue_append(struct gp_task_queue *queue, const struct gp_task_list *list);

/* Moves all tasks of a queue to another one, which must be empty. */
void gp_task_queue_move(struct gp_task_queue *from, struct gp_task_queue *to);

/*
 * Takes the oldest task off, and with one that does not block up to max in all of those behind it
 * that do not either. The queue must not be empty. Returns a list.
 */
struct gopool_task *gp_task_queue_take(struct gp_task_queue *queue, size_t max);

/* Puts a list that was taken back in front of the oldest task. NULL does nothing. */
void gp_task_queue_put_back(struct gp_task_queue *queue, struct gopool_task *first);

#endif
