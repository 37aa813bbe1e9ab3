/* The intrusive queue of accepted tasks. Any thread, under the pool's lock. */
#include "task_queue.h"

#include <errno.h>

int gp_task_list_measure(struct gopool_task *first, struct gp_task_list *out)
{
    out->first = first;
    out->last = first;
    out->count = 0;
    for (struct gopool_task *task = first; task != NULL; task = task->next) {
        if (task->fn == NULL)
            return -EINVAL;
        out->last = task;
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

struct gopool_task *gp_task_queue_pop(struct gp_task_queue *queue)
{
    struct gopool_task *task = queue->head;

    queue->head = task->next;
    queue->count--;
    return task;
}
