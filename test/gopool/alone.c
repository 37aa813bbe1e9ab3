/* gopool by itself: linked with netpoll::gopool only. */
#include <gopool/gopool.h>

#include <stdio.h>

static void hello(void *arg)
{
    puts(arg);
}

int main(void)
{
    struct gopool *pool;
    static char text[] = "hello from a worker";

    if (gopool_create(NULL, &pool) != 0)
        return 1;
    int status = gopool_go(pool, hello, text);
    gopool_destroy(pool);
    return status != 0;
}
