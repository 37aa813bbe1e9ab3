/* A runtime: which backend, how many pollers, and the figures of them all. */
#include "runtime.h"

#include "log.h"

#include <gopool/gopool.h>
#include <mcache/mcache.h>
#include <netpoll/error.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POLLERS_MAX 256U

/* Forks between the first process and this one. Written where there is one thread only. */
static uint32_t fork_count;

static void enter_child(void)
{
    fork_count++;
}

static void register_fork(void)
{
    /* Fails for want of memory only; then a runtime used in a child hangs, as without this. */
    (void)pthread_atfork(NULL, NULL, enter_child);
}

static void prepare_for_fork(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, register_fork);
}

static uint32_t cpus_allowed(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    return (uint32_t)CPU_COUNT(&set);
}

/* The environment replaces AUTO only. 0 or -EINVAL. */
static int read_environment(struct netpoll_runtime *runtime, enum netpoll_backend *backend)
{
    const char *word = getenv("NETPOLL_BACKEND");
    if (*backend != NETPOLL_BACKEND_AUTO || word == NULL || word[0] == '\0')
        return 0;
    if (strcmp(word, "epoll") == 0)
        *backend = NETPOLL_BACKEND_EPOLL;
    else if (strcmp(word, "io_uring") == 0)
        *backend = NETPOLL_BACKEND_IO_URING;
    else if (strcmp(word, "auto") != 0) {
        np_log(runtime, NETPOLL_LOG_ERROR,
               "NETPOLL_BACKEND is \"%.32s\": it must be auto, io_uring or epoll", word);
        return -EINVAL;
    }
    return 0;
}

static int check_options(const struct netpoll_runtime_options *options)
{
    for (size_t i = 0; i < sizeof options->reserved / sizeof options->reserved[0]; i++) {
        if (options->reserved[i] != 0)
            return -EINVAL;
    }
    if (options->pollers > POLLERS_MAX || options->demote_idle_ms > NETPOLL_TIMEOUT_MS_MAX)
        return -EINVAL;
    if (options->backend < NETPOLL_BACKEND_AUTO || options->backend > NETPOLL_BACKEND_IO_URING)
        return -EINVAL;
    return 0;
}

static void stop_pollers(struct netpoll_runtime *runtime, uint32_t count)
{
    pthread_barrier_t all_stopped;
    if (count > 0)
        pthread_barrier_init(&all_stopped, NULL, count);
    for (uint32_t i = 0; i < count; i++)
        np_poller_stop(&runtime->pollers[i], &all_stopped);
    for (uint32_t i = 0; i < count; i++)
        np_poller_join(&runtime->pollers[i]);
    if (count > 0)
        pthread_barrier_destroy(&all_stopped);
    np_log_settle(runtime);
}

static int start_pollers(struct netpoll_runtime *runtime, const struct np_backend *backend)
{
    for (uint32_t i = 0; i < runtime->poller_count; i++) {
        int status = np_poller_start(&runtime->pollers[i], runtime, backend, i);
        if (status != 0) {
            stop_pollers(runtime, i);
            return status;
        }
    }
    runtime->backend = backend;
    return 0;
}

static int start_epoll(struct netpoll_runtime *runtime)
{
    return start_pollers(runtime, &np_backend_epoll);
}

#if NETPOLL_HAVE_URING
/* 0; -errno with the reason noted when the kernel does not serve it, on any poller. */
static int start_uring(struct netpoll_runtime *runtime)
{
    int status = np_backend_uring.probe(runtime->reason, sizeof runtime->reason);
    if (status != 0)
        return status;
    status = start_pollers(runtime, &np_backend_uring);
    if (status != 0)
        snprintf(runtime->reason, sizeof runtime->reason, "a poller's ring cannot be set up: %s",
                 netpoll_strerror(status));
    return status;
}
#else
static int start_uring(struct netpoll_runtime *runtime)
{
    snprintf(runtime->reason, sizeof runtime->reason, "built without liburing");
    return -ENOTSUP;
}
#endif

static int start_backend(struct netpoll_runtime *runtime, enum netpoll_backend backend)
{
    if (backend == NETPOLL_BACKEND_EPOLL) {
        snprintf(runtime->reason, sizeof runtime->reason, "epoll was asked for");
        return start_epoll(runtime);
    }
    if (start_uring(runtime) == 0) {
        snprintf(runtime->reason, sizeof runtime->reason, "%s",
                 backend == NETPOLL_BACKEND_AUTO ? "the kernel serves all that is needed"
                                                 : "io_uring was asked for");
        return 0;
    }
    if (backend == NETPOLL_BACKEND_IO_URING) {
        np_log(runtime, NETPOLL_LOG_ERROR, "io_uring was asked for but does not work: %s",
               runtime->reason);
        return -ENOTSUP;
    }
    np_log(runtime, NETPOLL_LOG_WARNING, "using epoll, io_uring does not work: %s",
           runtime->reason);
    return start_epoll(runtime);
}

static int set_pool(struct netpoll_runtime *runtime, struct gopool *pool)
{
    runtime->pool = pool;
    if (pool != NULL)
        return 0;
    runtime->owns_pool = true;
    return gopool_create(&(struct gopool_options){.name = "handler"}, &runtime->pool);
}

static void free_runtime(struct netpoll_runtime *runtime)
{
    if (runtime->owns_pool)
        gopool_destroy(runtime->pool);
    mcache_free(runtime->pollers);
    mcache_free(runtime);
}

/* What is set is valid. NULL without memory. */
static struct netpoll_runtime *new_runtime(const struct netpoll_runtime_options *options)
{
    struct netpoll_runtime *runtime = mcache_alloc(sizeof *runtime);
    if (runtime == NULL)
        return NULL;
    *runtime = (struct netpoll_runtime){
        .poller_count = options->pollers != 0 ? options->pollers : cpus_allowed(),
        .batch_scheduling = !options->disable_batch_scheduling,
        .demote_idle_ms = options->demote_idle_ms,
        .fork_count = fork_count,
    };
    if (runtime->poller_count > POLLERS_MAX)
        runtime->poller_count = POLLERS_MAX;
    np_resolver_init(&runtime->resolver);
    return runtime;
}

int netpoll_runtime_create(const struct netpoll_runtime_options *options,
                           struct netpoll_runtime **out)
{
    static const struct netpoll_runtime_options defaults;
    *out = NULL;
    prepare_for_fork();
    if (options == NULL)
        options = &defaults;
    int status = check_options(options);
    if (status != 0)
        return status;
    struct netpoll_runtime *runtime = new_runtime(options);
    if (runtime == NULL)
        return -ENOMEM;
    enum netpoll_backend backend = options->backend;
    status = np_log_init(&runtime->log, options);
    if (status == 0)
        status = read_environment(runtime, &backend);
    if (status == 0) {
        runtime->pollers = mcache_alloc(runtime->poller_count * sizeof *runtime->pollers);
        status = runtime->pollers == NULL ? -ENOMEM : set_pool(runtime, options->pool);
    }
    if (status == 0)
        status = start_backend(runtime, backend);
    if (status != 0) {
        np_resolver_fini(&runtime->resolver);
        free_runtime(runtime);
        return status;
    }
    np_log(runtime, NETPOLL_LOG_INFO, "backend %s, pollers %u: %s", runtime->backend->name,
           runtime->poller_count, runtime->reason);
    runtime->log.pollers_run = true;
    *out = runtime;
    return 0;
}

int netpoll_runtime_destroy(struct netpoll_runtime *runtime)
{
    if (runtime == NULL)
        return 0;
    if (np_runtime_is_foreign(runtime))
        return -EPERM;
    if (netpoll_runtime_is_poller(runtime) || gopool_is_worker(runtime->pool))
        return -EDEADLK;
    /* Acquire: pairs with the release of the last server's end. */
    if (atomic_load_explicit(&runtime->group_count, memory_order_acquire) != 0)
        return -EBUSY;
    if (runtime->owns_pool) {
        int status = gopool_stop(runtime->pool);
        if (status != 0)
            return status;
    }
    np_resolver_fini(&runtime->resolver);
    stop_pollers(runtime, runtime->poller_count);
    free_runtime(runtime);
    return 0;
}

void netpoll_runtime_backend(const struct netpoll_runtime *runtime,
                             struct netpoll_backend_info *out)
{
    *out = (struct netpoll_backend_info){.name = runtime->backend->name, .reason = runtime->reason};
}

uint32_t netpoll_runtime_pollers(const struct netpoll_runtime *runtime)
{
    return runtime->poller_count;
}

bool netpoll_runtime_is_poller(const struct netpoll_runtime *runtime)
{
    const struct np_poller *poller = np_poller_current();
    return poller != NULL && poller->runtime == runtime;
}

struct gopool *netpoll_runtime_pool(const struct netpoll_runtime *runtime)
{
    return runtime->pool;
}

bool np_runtime_is_foreign(const struct netpoll_runtime *runtime)
{
    return runtime->fork_count != fork_count;
}

struct np_poller *np_runtime_pick(struct netpoll_runtime *runtime)
{
    struct np_poller *least = &runtime->pollers[0];
    uint32_t count = UINT32_MAX;
    for (uint32_t i = 0; i < runtime->poller_count; i++) {
        struct np_poller *poller = &runtime->pollers[i];
        /* Relaxed: a stale figure only balances a little worse. */
        uint32_t its = atomic_load_explicit(&poller->conn_count, memory_order_relaxed);
        if (its < count) {
            count = its;
            least = poller;
        }
    }
    return least;
}

struct np_poller *np_runtime_next_poller(struct netpoll_runtime *runtime)
{
    struct np_poller *poller = np_poller_current();
    if (poller != NULL && poller->runtime == runtime)
        return poller;
    /* Relaxed: only spreads them. */
    uint32_t turn = atomic_fetch_add_explicit(&runtime->next_poller, 1, memory_order_relaxed);
    return &runtime->pollers[turn % runtime->poller_count];
}
