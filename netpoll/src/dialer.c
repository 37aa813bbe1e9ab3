/* A dialer: its dials, and the group of their connections. */
#include "dialer.h"

#include "conn.h"
#include "dial.h"
#include "runtime.h"

#include <gopool/gopool.h>
#include <mcache/mcache.h>
#include <netpoll/error.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>

static int check_options(const struct netpoll_dialer_options *options)
{
    for (size_t i = 0; i < sizeof options->reserved / sizeof options->reserved[0]; i++) {
        if (options->reserved[i] != 0)
            return -EINVAL;
    }
    return options->resolver_threads > NETPOLL_RESOLVER_THREADS_MAX ? -EINVAL : 0;
}

static int set_options(struct netpoll_dialer *dialer, const struct netpoll_dialer_options *options)
{
    dialer->timeout_ms = options->timeout_ms;
    dialer->fallback_ms = options->fallback_ms;
    dialer->resolver_threads = options->resolver_threads != 0 ? options->resolver_threads
                                                              : NETPOLL_RESOLVER_THREADS_DEFAULT;
    dialer->how.fast_open = options->fast_open;
    int status = np_timeout_complete(&dialer->timeout_ms, NETPOLL_DIAL_TIMEOUT_MS_DEFAULT);
    if (status == 0)
        status = np_timeout_complete(&dialer->fallback_ms, NETPOLL_DIAL_FALLBACK_MS_DEFAULT);
    if (status != 0 || options->local == NULL)
        return status;
    dialer->how.local = &dialer->local;
    return np_target_parse_local(options->local, &dialer->local);
}

int netpoll_dialer_create(struct netpoll_runtime *runtime, const struct netpoll_conn_options *conn,
                          const struct netpoll_dialer_options *options, struct netpoll_dialer **out)
{
    static const struct netpoll_dialer_options defaults;
    *out = NULL;
    if (options == NULL)
        options = &defaults;
    int status = check_options(options);
    if (status != 0)
        return status;
    struct netpoll_dialer *dialer = mcache_alloc(sizeof *dialer);
    if (dialer == NULL)
        return -ENOMEM;
    memset(dialer, 0, sizeof *dialer);
    status = set_options(dialer, options);
    if (status == 0)
        status = np_group_init(&dialer->group, runtime, conn);
    if (status != 0) {
        mcache_free(dialer);
        return status;
    }
    dialer->how.options = &dialer->group.options;
    *out = dialer;
    return 0;
}

/* Under the mutex. */
static void list_dial(struct netpoll_dialer *dialer, struct netpoll_dial *dial)
{
    dial->next = dialer->dials;
    dial->link = &dialer->dials;
    if (dial->next != NULL)
        dial->next->link = &dial->next;
    dialer->dials = dial;
}

static void unlist_dial(struct netpoll_dial *dial)
{
    if (dial->next != NULL)
        dial->next->link = dial->link;
    *dial->link = dial->next;
}

int np_dialer_enter(struct netpoll_dialer *dialer, struct np_poller *poller,
                    struct netpoll_dial *dial)
{
    struct np_group *group = &dialer->group;
    pthread_mutex_lock(&group->mutex);
    int status = np_group_is_shutting_down(group) ? -ESHUTDOWN : 0;
    if (status == 0) {
        dialer->running++;
        group->conn_count++;
        if (dial != NULL)
            list_dial(dialer, dial);
    }
    pthread_mutex_unlock(&group->mutex);
    /* Relaxed: a figure; counted here, so that a burst of dials is spread. */
    if (status == 0)
        atomic_fetch_add_explicit(&poller->conn_count, 1, memory_order_relaxed);
    return status;
}

void np_dialer_leave(struct netpoll_dialer *dialer, struct np_poller *poller,
                     struct netpoll_dial *dial, bool is_connected)
{
    struct np_group *group = &dialer->group;
    /* Relaxed: a figure; takes back what np_dialer_enter() has counted. */
    if (!is_connected)
        atomic_fetch_sub_explicit(&poller->conn_count, 1, memory_order_relaxed);
    pthread_mutex_lock(&group->mutex);
    dialer->running--;
    if (!is_connected)
        group->conn_count--;
    if (dial != NULL)
        unlist_dial(dial);
    np_group_notify(group);
}

bool np_dialer_is_on_poller(const struct netpoll_dialer *dialer)
{
    return netpoll_runtime_is_poller(dialer->group.runtime);
}

int netpoll_dialer_start(struct netpoll_dialer *dialer, const char *address, int64_t timeout_ms,
                         netpoll_dialed_fn *fn, void *arg, struct netpoll_dial **out)
{
    struct np_target target;
    struct netpoll_dial *dial;
    if (out != NULL)
        *out = NULL;
    if (fn == NULL)
        return -EINVAL;
    if (np_runtime_is_foreign(dialer->group.runtime))
        return -EPERM;
    int status = np_timeout_complete(&timeout_ms, dialer->timeout_ms);
    if (status == 0)
        status = np_target_parse(address, &target);
    if (status == 0)
        status = np_dial_new(dialer, &target, timeout_ms, &dial);
    if (status != 0)
        return status;
    dial->fn = fn;
    dial->arg = arg;
    if (out != NULL) {
        /* Relaxed: nobody else has it yet but whoever calls it off. */
        atomic_fetch_add_explicit(&dial->refs, 1, memory_order_relaxed);
        *out = dial;
    }
    np_dial_start(dial);
    return 0;
}

int netpoll_dial_cancel(struct netpoll_dial *dial)
{
    int before = np_dial_call_off(dial, -ECANCELED);
    if (before == -EPERM)
        return -EPERM;
    return before == 0 || before == -ECANCELED;
}

void netpoll_dial_release(struct netpoll_dial *dial)
{
    if (dial != NULL)
        np_dial_unref(dial);
}

/* A thread that waits for a connection. */
struct waiter {
    pthread_mutex_t mutex;
    pthread_cond_t told;
    bool is_told;
    int status;
    struct netpoll_conn *conn;
};

static void tell(struct netpoll_conn *conn, int status, void *arg)
{
    struct waiter *waiter = arg;
    pthread_mutex_lock(&waiter->mutex);
    waiter->conn = conn;
    waiter->status = status;
    waiter->is_told = true;
    pthread_cond_signal(&waiter->told);
    pthread_mutex_unlock(&waiter->mutex);
}

static void init_waiter(struct waiter *waiter)
{
    *waiter = (struct waiter){0};
    pthread_mutex_init(&waiter->mutex, NULL);
    pthread_cond_init(&waiter->told, NULL);
}

static int wait_and_fini(struct waiter *waiter)
{
    pthread_mutex_lock(&waiter->mutex);
    while (!waiter->is_told)
        pthread_cond_wait(&waiter->told, &waiter->mutex);
    pthread_mutex_unlock(&waiter->mutex);
    pthread_cond_destroy(&waiter->told);
    pthread_mutex_destroy(&waiter->mutex);
    return waiter->status;
}

/* The limit is the dial's own, whose function comes in any case. */
static int dial_and_wait(struct netpoll_dialer *dialer, const char *address, int64_t timeout_ms,
                         struct netpoll_conn **out)
{
    struct waiter waiter;
    init_waiter(&waiter);
    int status = netpoll_dialer_start(dialer, address, timeout_ms, tell, &waiter, NULL);
    if (status != 0)
        tell(NULL, status, &waiter);
    status = wait_and_fini(&waiter);
    *out = waiter.conn;
    return status;
}

int netpoll_dialer_dial(struct netpoll_dialer *dialer, const char *address, int64_t timeout_ms,
                        struct netpoll_conn **out)
{
    *out = NULL;
    if (np_dialer_is_on_poller(dialer))
        return -EDEADLK;
    int status = gopool_block_begin();
    if (status != 0 && status != -EPERM)
        return status;
    bool is_replaced = status == 0;
    status = dial_and_wait(dialer, address, timeout_ms, out);
    if (is_replaced)
        gopool_block_end();
    return status;
}

/* A socket on its way to its poller. */
struct adoption {
    struct np_work work;
    struct netpoll_dialer *dialer;
    struct np_poller *poller;
    struct np_socket socket;
    struct waiter waiter;
};

static int open_here(struct netpoll_dialer *dialer, struct np_poller *poller,
                     const struct np_socket *socket, struct netpoll_conn **out)
{
    int status = np_conn_open(&dialer->group, poller, socket, out);
    if (status == 0)
        np_count(&poller->counters.dialed, 1);
    np_dialer_leave(dialer, poller, NULL, status == 0);
    return status;
}

static void adopt_work(struct np_work *work)
{
    struct adoption *adoption = (struct adoption *)work;
    struct netpoll_conn *conn = NULL;
    int status = open_here(adoption->dialer, adoption->poller, &adoption->socket, &conn);
    tell(conn, status, &adoption->waiter);
}

static int open_there(struct netpoll_dialer *dialer, struct np_poller *poller,
                      const struct np_socket *socket, struct netpoll_conn **out)
{
    struct adoption adoption = {
        .work.fn = adopt_work, .dialer = dialer, .poller = poller, .socket = *socket};
    init_waiter(&adoption.waiter);
    np_poller_post(poller, &adoption.work);
    int status = wait_and_fini(&adoption.waiter);
    *out = adoption.waiter.conn;
    return status;
}

static int adopt(struct netpoll_dialer *dialer, const struct np_socket *socket,
                 struct netpoll_conn **out)
{
    struct netpoll_runtime *runtime = dialer->group.runtime;
    bool is_here = np_dialer_is_on_poller(dialer);
    struct np_poller *poller = is_here ? np_poller_current() : np_runtime_pick(runtime);
    int status = np_dialer_enter(dialer, poller, NULL);
    if (status != 0)
        return status;
    if (!socket->is_unix)
        np_socket_set_options(socket->fd, &dialer->group.options);
    return is_here ? open_here(dialer, poller, socket, out)
                   : open_there(dialer, poller, socket, out);
}

int netpoll_dialer_adopt(struct netpoll_dialer *dialer, int fd, struct netpoll_conn **out)
{
    struct np_socket socket = {.fd = fd};
    struct netpoll_conn *conn = NULL;
    if (out != NULL)
        *out = NULL;
    if (np_runtime_is_foreign(dialer->group.runtime))
        return -EPERM;
    struct np_socket_flags before;
    int status = np_socket_check_stream(fd, &socket.is_unix);
    if (status == 0)
        status = np_socket_set_flags(fd, &before);
    if (status != 0)
        return status;
    status = adopt(dialer, &socket, &conn);
    if (status != 0) {
        np_socket_restore_flags(fd, &before);
        return status;
    }
    if (out != NULL)
        *out = conn;
    else
        netpoll_conn_release(conn);
    return 0;
}

/* Under the mutex, which it leaves while it waits. */
static void end_dials(struct np_group *group)
{
    struct netpoll_dialer *dialer = (struct netpoll_dialer *)group;
    for (struct netpoll_dial *dial = dialer->dials; dial != NULL; dial = dial->next)
        (void)np_dial_call_off(dial, -ESHUTDOWN);
    while (dialer->running > 0)
        pthread_cond_wait(&group->changed, &group->mutex);
}

int netpoll_dialer_shutdown(struct netpoll_dialer *dialer, int64_t timeout_ms)
{
    return np_group_shut_down(&dialer->group, timeout_ms, end_dials);
}

int netpoll_dialer_destroy(struct netpoll_dialer *dialer)
{
    if (dialer == NULL)
        return 0;
    int status = netpoll_dialer_shutdown(dialer, 0);
    if (status < 0)
        return status;
    np_group_fini(&dialer->group);
    np_group_unref(&dialer->group);
    return 0;
}
