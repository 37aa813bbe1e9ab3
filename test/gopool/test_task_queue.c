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
        cr_assert_eq(gp_task_queue_take(&queue, 1), &tasks[i]);
    for (size_t i = 0; i < 2; i++)
        cr_assert_eq(gp_task_queue_take(&queue, 1), &more[i]);
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
        cr_assert_eq(gp_task_queue_take(&queue, 1), &task);
        cr_assert_null(queue.head);
    }
}

static size_t length_of(const struct gopool_task *first)
{
    size_t length = 0;

    for (; first != NULL; first = first->next)
        length++;
    return length;
}

Test(task_queue, only_tasks_that_do_not_block_are_taken_together)
{
    struct gp_task_queue queue = {0};
    struct gp_task_list list;
    struct gopool_task tasks[8];
    static const uint32_t marked = GOPOOL_TASK_NONBLOCKING;
    const uint32_t flags[8] = {marked, marked, 0, 0, marked, marked, marked, 0};
    const size_t taken[6] = {2, 1, 1, 2, 1, 1}; /* two at most */

    for (size_t i = 0; i < 8; i++)
        tasks[i] = (struct gopool_task){
            .next = i < 7 ? &tasks[i + 1] : NULL, .fn = nothing, .flags = flags[i]};
    cr_assert_eq(gp_task_list_measure(tasks, &list), 0);
    gp_task_queue_append(&queue, &list);
    size_t next = 0;
    for (size_t i = 0; i < 6; i++) {
        struct gopool_task *first = gp_task_queue_take(&queue, 2);
        cr_assert_eq(first, &tasks[next]);
        cr_assert_eq(length_of(first), taken[i], "take %zu", i);
        next += taken[i];
        cr_assert_eq(queue.count, 8 - next);
    }
    cr_assert_null(queue.head);
}

Test(task_queue, what_is_put_back_is_taken_first)
{
    struct gp_task_queue queue = {0};
    struct gp_task_list list;
    struct gopool_task tasks[4];

    for (size_t i = 0; i < 4; i++)
        tasks[i] = (struct gopool_task){
            .next = i < 3 ? &tasks[i + 1] : NULL, .fn = nothing, .flags = GOPOOL_TASK_NONBLOCKING};
    cr_assert_eq(gp_task_list_measure(tasks, &list), 0);
    gp_task_queue_append(&queue, &list);
    struct gopool_task *first = gp_task_queue_take(&queue, 4);
    struct gopool_task *rest = first->next;
    gp_task_queue_put_back(&queue, NULL);
    cr_assert_null(queue.head);
    first->next = NULL;
    gp_task_queue_put_back(&queue, rest);
    cr_assert_eq(queue.count, 3);
    gp_task_queue_put_back(&queue, first);
    for (size_t i = 0; i < 4; i++)
        cr_assert_eq(gp_task_queue_take(&queue, 1), &tasks[i]);
    cr_assert_null(queue.head);
}
