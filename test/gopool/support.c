/* Helpers of the tests, and the pthread_create() that fails on demand (by the linker's --wrap). */
#include "support.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Names that ld's --wrap dictates. NOLINTBEGIN(readability-identifier-naming) */
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
                          void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
                          void *arg);

static _Atomic int successes_left;
static _Atomic int failures_left;

void fail_thread_creation(int count)
{
    fail_thread_creation_after(0, count);
}

void fail_thread_creation_after(int successes, int count)
{
    atomic_store(&successes_left, successes);
    atomic_store(&failures_left, count);
}

/* Takes one off unless none is left; negative ones stay. Returns what there was. */
static int take_one(_Atomic int *left)
{
    int before = atomic_load(left);

    while (before > 0 && !atomic_compare_exchange_weak(left, &before, before - 1))
        continue;
    return before;
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
                          void *arg)
{
    if (take_one(&successes_left) == 0 && take_one(&failures_left) != 0)
        return EAGAIN;
    return __real_pthread_create(thread, attr, fn, arg);
}
/* NOLINTEND(readability-identifier-naming) */

int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct gopool_stats stats_of(struct gopool *pool)
{
    struct gopool_stats stats;

    gopool_stats_read(pool, &stats);
    return stats;
}

struct gopool *pool_with(const struct gopool_options *options)
{
    struct gopool *pool;

    cr_assert_eq(gopool_create(options, &pool), 0);
    return pool;
}

size_t thread_count(void)
{
    DIR *tasks = opendir("/proc/self/task");
    size_t count = 0;

    cr_assert_not_null(tasks);
    for (const struct dirent *entry = readdir(tasks); entry != NULL; entry = readdir(tasks))
        count += entry->d_name[0] != '.';
    closedir(tasks);
    return count;
}

bool thread_sleeps(int thread)
{
    char path[64];
    char state = '?';

    snprintf(path, sizeof path, "/proc/self/task/%d/stat", thread);
    FILE *stat = fopen(path, "r");
    if (stat == NULL)
        return false;
    /* The name in parentheses holds no space: Criterion leaves the program's. */
    bool read = fscanf(stat, "%*d %*s %c", &state) == 1;
    fclose(stat);
    return read && state == 'S';
}

int run_in_child(void (*fn)(void *arg), void *arg, char *output, size_t size)
{
    int fds[2];
    int status;
    size_t length = 0;
    ssize_t got;

    cr_assert_eq(pipe(fds), 0);
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        /* Criterion reports a crash from its own handler; here the plain end is wanted. */
        signal(SIGABRT, SIG_DFL);
        dup2(fds[1], STDERR_FILENO);
        fn(arg);
        _exit(0);
    }
    close(fds[1]);
    while (length < size - 1 && (got = read(fds[0], output + length, size - 1 - length)) > 0)
        length += (size_t)got;
    output[length] = '\0';
    close(fds[0]);
    cr_assert_eq(waitpid(child, &status, 0), child);
    return status;
}
