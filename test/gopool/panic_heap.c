/*
 * Nothing of a panic takes memory from the heap, the first one included: not raising it, not its
 * frames, not printing it. A plain program, because it counts by its own malloc().
 */
#include <gopool/gopool.h>

#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* glibc's own names for what is replaced here. NOLINTBEGIN(bugprone-reserved-identifier) */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
/* NOLINTEND(bugprone-reserved-identifier) */

/* Relaxed: one thread, or one that has been waited for. */
static _Atomic unsigned requests;

static void count_request(void)
{
    atomic_fetch_add_explicit(&requests, 1, memory_order_relaxed);
}

void *malloc(size_t size)
{
    count_request();
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    count_request();
    return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    count_request();
    return __libc_realloc(old, size);
}

static void panic_again(void *arg)
{
    gopool_panic("deferred %s", (const char *)arg);
}

static void raise_panic(void *arg)
{
    struct gopool_defer defer;

    gopool_defer_push(&defer, panic_again, arg);
    gopool_panic("number %d, %f, %s", 7, 0.5, (const char *)arg);
}

static void told(const struct gopool_panic *panic)
{
    if (panic->frame_count == 0)
        abort();
}

static unsigned requests_of_a_panic(int fd)
{
    struct gopool_panic panic;
    unsigned before = requests;

    if (gopool_try(raise_panic, "text", &panic) == 0)
        abort();
    gopool_panic_print(&panic, fd);
    return requests - before;
}

/* The second panic of a worker: starting a thread does take memory. */
static unsigned requests_of_a_task(struct gopool *pool)
{
    unsigned before = 0;

    for (int i = 0; i < 2; i++) {
        before = requests;
        if (gopool_go(pool, raise_panic, "text") != 0 || gopool_drain(pool, -1) != 0)
            abort();
    }
    return requests - before;
}

int main(void)
{
    struct gopool *pool;
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    void *volatile block = malloc(1); /* not left out by the compiler */

    if (fd < 0 || block == NULL || requests == 0 || gopool_create(NULL, &pool) != 0)
        return 1;
    free(block);
    gopool_set_panic_hook(told);
    unsigned of_panic = requests_of_a_panic(fd);
    unsigned of_task = requests_of_a_task(pool);
    gopool_destroy(pool);
    close(fd);
    printf("panic_heap_requests %u count\npanic_heap_requests_of_a_task %u count\n", of_panic,
           of_task);
    return of_panic == 0 && of_task == 0 ? 0 : 1;
}
