/* Pools by name, and the pool of the process. */
#include <gopool/gopool.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>

#include "support.h"

TestSuite(registry, .timeout = 60);

Test(registry, a_pool_is_found_by_its_name_until_it_is_destroyed)
{
    struct gopool *first = pool_with(&(struct gopool_options){.name = "first"});
    struct gopool *second = pool_with(&(struct gopool_options){.name = "second"});

    cr_assert_null(gopool_find("first"));
    cr_assert_eq(gopool_register(first), 0);
    cr_assert_eq(gopool_register(second), 0);
    cr_assert_eq(gopool_find("first"), first);
    cr_assert_eq(gopool_find("second"), second);
    cr_assert_null(gopool_find("secon"));
    gopool_destroy(first);
    cr_assert_null(gopool_find("first"));
    cr_assert_eq(gopool_find("second"), second);
    gopool_destroy(second);
    cr_assert_null(gopool_find("second"));
}

Test(registry, a_name_is_given_once)
{
    struct gopool *pool = pool_with(&(struct gopool_options){.name = "same"});
    struct gopool *other = pool_with(&(struct gopool_options){.name = "same"});

    cr_assert_eq(gopool_register(pool), 0);
    cr_assert_eq(gopool_register(pool), -EEXIST);
    cr_assert_eq(gopool_register(other), -EEXIST);
    gopool_destroy(other);
    cr_assert_eq(gopool_find("same"), pool);
    gopool_destroy(pool);
}

static void *ask_for_default(void *arg)
{
    (void)arg;
    return gopool_default();
}

static void set_flag(void *arg)
{
    *(int *)arg = 1;
}

Test(registry, the_process_has_one_pool_of_its_own)
{
    pthread_t threads[8];
    struct gopool_future call;
    int flag = 0;

    for (int i = 0; i < 8; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, ask_for_default, NULL), 0);
    for (int i = 0; i < 8; i++) {
        void *pool;

        cr_assert_eq(pthread_join(threads[i], &pool), 0);
        cr_assert_not_null(pool);
        cr_assert_eq(pool, gopool_default());
    }
    cr_assert_eq(gopool_call(gopool_default(), &call, set_flag, &flag, 0), 0);
    cr_assert_eq(gopool_wait(&call, DEADLINE_MS), 0);
    cr_assert_eq(flag, 1);
}

static void destroy_default(void *arg)
{
    gopool_destroy(arg);
}

Test(registry, the_pool_of_the_process_cannot_be_stopped)
{
    struct gopool *pool = gopool_default();
    struct gopool_panic panic;

    cr_assert_eq(gopool_stop(pool), -EPERM);
    cr_assert_eq(gopool_try(destroy_default, pool, &panic), -ECANCELED);
    cr_assert_str_eq(panic.message, "gopool_destroy() of gopool_default()");
    cr_assert_eq(gopool_default(), pool);
    cr_assert_eq(gopool_drain(pool, 0), 0);
}
