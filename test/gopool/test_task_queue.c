/* The intrusive queue: order, counts, lists that are refused. */
#include "task_queue.h"

#include <criterion/criterion.h>
#include <errno.h>

static void nothing(void *arg)
{
    (void)arg;
}

static struct gp_task_list list_of(struct gopool_task *tasks, size_t count)
{
    struct gp_task_list list;

    for (size_t i = 0; i < count; i++)
        tasks[i] =
            (struct gopool_task){.next = i + 1 < count ? &tasks[i + 1] : NULL, .fn = nothing};
    cr_assert_eq(gp_task_list_measure(tasks, &list), 0);
    return list;
}

Test(task_queue, a_list_is_measured)
{
    struct gopool_task tasks[3];
    struct gp_task_list list = list_of(tasks, 3);

    cr_assert_eq(list.first, &tasks[0]);
    cr_assert_eq(list.last, &tasks[2]);
    cr_assert_eq(list.count, 3);
}

Test(task_queue, a_task_without_function_is_refused_wherever_it_stands)
{
    for (size_t bad = 0; bad < 3; bad++) {
        struct gopool_task tasks[3];
        struct gp_task_list list = list_of(tasks, 3);

        tasks[bad].fn = NULL;
        cr_assert_eq(gp_task_list_measure(tasks, &list), -EINVAL);
    }
}

Test(task_queue, tasks_leave_in_the_order_they_came)
{
    struct gp_task_queue queue = {0};
    struct gopool_task tasks[3];
    struct gopool_task more[2];
    struct gp_task_list list = list_of(tasks, 3);

    gp_task_queue_append(&queue, &list);
    list = list_of(more, 2);
    gp_task_queue_append(&queue, &list);
    cr_assert_eq(queue.count, 5);
    for (size_t i = 0; i < 3; i++)
        cr_assert_eq(gp_task_queue_pop(&queue), &tasks[i]);
    for (size_t i = 0; i < 2; i++)
        cr_assert_eq(gp_task_queue_pop(&queue), &more[i]);
    cr_assert_null(queue.head);
    cr_assert_eq(queue.count, 0);
}

Test(task_queue, an_emptied_queue_takes_tasks_again)
{
    struct gp_task_queue queue = {0};
    struct gopool_task task;

    for (int round = 0; round < 3; round++) {
        struct gp_task_list list = list_of(&task, 1);

        gp_task_queue_append(&queue, &list);
        cr_assert_eq(gp_task_queue_pop(&queue), &task);
        cr_assert_null(queue.head);
    }
}
