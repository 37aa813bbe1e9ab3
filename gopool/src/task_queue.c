/* The intrusive queue of accepted tasks. Any thread, under the queue's lock. */
#include "task_queue.h"

#include <errno.h>

/* That a user may set. */
#define FLAGS (GOPOOL_TASK_NONBLOCKING | GOPOOL_TASK_REJECT_WHEN_FULL)

int gp_task_list_measure(struct gopool_task *first, struct gp_task_list *out)
{
    out->first = first;
    out->last = first;
    out->count = 0;
    out->flags = 0;
    for (struct gopool_task *task = first; task != NULL; task = task->next) {
        if (task->fn == NULL || (task->flags & ~FLAGS) != 0)
            return -EINVAL;
        out->last = task;
        out->flags |= task->flags;
        out->count++;
    }
    return 0;
}

void gp_task_queue_append(struct gp_task_queue *queue, const struct gp_task_list *list)
{
    if (queue->head == NULL)
        queue->head = list->first;
    else
        queue->tail->next = list->first;
    queue->tail = list->last;
    queue->count += list->count;
}

void gp_task_queue_move(struct gp_task_queue *from, struct gp_task_queue *to)
{
    *to = *from;
    *from = (struct gp_task_queue){0};
}

static bool may_block(const struct gopool_task *task)
{
    return (task->flags & GOPOOL_TASK_NONBLOCKING) == 0;
}

struct gopool_task *gp_task_queue_take(struct gp_task_queue *queue, size_t max)
{
    struct gopool_task *first = queue->head;
    struct gopool_task *last = first;
    size_t count = 1;

    if (!may_block(first)) {
        for (; count < max && last->next != NULL && !may_block(last->next); count++)
            last = last->next;
    }
    queue->head = last->next;
    queue->count -= count;
    last->next = NULL;
    return first;
}

void gp_task_queue_put_back(struct gp_task_queue *queue, struct gopool_task *first)
{
    struct gopool_task *last = first;
    size_t count = 1;

    if (first == NULL)
        return;
    for (; last->next != NULL; count++)
        last = last->next;
    last->next = queue->head;
    if (queue->head == NULL)
        queue->tail = last;
    queue->head = first;
    queue->count += count;
}
