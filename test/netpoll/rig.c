/* Start, end and the bookkeeping of a rig. */
#include "rig.h"

#include "../support/pattern.h"
#include "../support/process.h"

#include <linkbuffer/linkbuffer.h>
#include <mcache/mcache.h>

#include <errno.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SHUTDOWN_MS 20000

enum netpoll_backend backend_under_test(void)
{
    const char *name = getenv("NETPOLL_TEST_BACKEND");
    if (name == NULL || strcmp(name, "epoll") == 0)
        return NETPOLL_BACKEND_EPOLL;
    CHECK(strcmp(name, "io_uring") == 0);
    return NETPOLL_BACKEND_IO_URING;
}

static int ring_refusal(void)
{
    struct io_uring_params params = {.flags =
                                         IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
    int fd = (int)syscall(SYS_io_uring_setup, 8, &params);
    if (fd < 0)
        return errno;
    int error = 0;
    if (syscall(SYS_io_uring_enter, fd, 0, 0, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
        error = errno;
    struct io_uring_probe probe = {0};
    if (error == 0 && syscall(SYS_io_uring_register, fd, IORING_REGISTER_PROBE, &probe, 0) < 0)
        error = errno;
    close(fd);
    return error;
}

int backend_refusal(void)
{
    return backend_under_test() == NETPOLL_BACKEND_IO_URING ? ring_refusal() : 0;
}

void rig_log(enum netpoll_log_level level, const char *message, void *arg)
{
    struct rig *rig = arg;
    (void)level;
    pthread_mutex_lock(&rig->log_mutex);
    rig->logs++;
    snprintf(rig->last_log, sizeof rig->last_log, "%s", message);
    pthread_mutex_unlock(&rig->log_mutex);
}

const char *own_unix_name(const char *name)
{
    static char text[NETPOLL_ADDRESS_BYTES];
    snprintf(text, sizeof text, "unix:@netpoll-%s-%d", name, (int)getpid());
    return text;
}

size_t live_bytes(void)
{
    struct mcache_stats stats;
    mcache_stats_read(&stats);
    return stats.live_bytes + stats.system_bytes;
}

void rig_start(struct rig *rig, const struct netpoll_conn_options *options)
{
    struct netpoll_runtime_options runtime_options = {
        .backend = backend_under_test(),
        .pollers = rig->pollers != 0 ? rig->pollers : 2,
        .log = rig->log != NULL ? rig->log : rig_log,
        .log_arg = rig,
        .demote_idle_ms = rig->demote_idle_ms,
        .log_rate = NETPOLL_LOG_RATE_NONE, /* they are counted */
    };
    const char *address = rig->listen != NULL ? rig->listen : "127.0.0.1:0";
    pthread_mutex_init(&rig->log_mutex, NULL);
    rig->descriptors = descriptor_count();
    rig->live_bytes = live_bytes();
    if (rig->own_pool != NULL)
        CHECK(gopool_create(rig->own_pool, &rig->pool) == 0);
    runtime_options.pool = rig->pool;
    CHECK(netpoll_runtime_create(&runtime_options, &rig->runtime) == 0);
    CHECK(netpoll_server_create(rig->runtime, options, rig->server_options, &rig->server) == 0);
    CHECK(netpoll_server_listen(rig->server, address) == 0);
    CHECK(netpoll_server_address(rig->server, 0, rig->address, sizeof rig->address) == 0);
}

void rig_finish(struct rig *rig)
{
    CHECK(netpoll_server_shutdown(rig->server, SHUTDOWN_MS) == 0);
    struct netpoll_stats stats = rig_stats(rig);
    CHECK(stats.connections == 0);
    CHECK(netpoll_server_destroy(rig->server) == 0);
    CHECK(netpoll_runtime_destroy(rig->runtime) == 0);
    gopool_destroy(rig->pool);
    if (rig->logs != rig->expected_logs)
        fprintf(stderr, "%u lines of log, the last: %s\n", rig->logs, rig->last_log);
    CHECK(rig->logs == rig->expected_logs);
    CHECK(rig->beside_another || descriptor_count() == rig->descriptors);
    CHECK(rig->beside_another || live_bytes() == rig->live_bytes);
    pthread_mutex_destroy(&rig->log_mutex);
}

void rig_finish_when_idle(struct rig *rig)
{
    WAIT_UNTIL(rig_stats(rig).connections == 0);
    rig_finish(rig);
}

int rig_dial(const struct rig *rig)
{
    return client_dial(rig->address);
}

struct netpoll_stats rig_stats(const struct rig *rig)
{
    struct netpoll_stats stats;
    netpoll_runtime_stats_read(rig->runtime, &stats);
    return stats;
}

uint32_t rig_logs(struct rig *rig)
{
    pthread_mutex_lock(&rig->log_mutex);
    uint32_t logs = rig->logs;
    pthread_mutex_unlock(&rig->log_mutex);
    return logs;
}

void rig_round_trip(const struct rig *rig)
{
    int fd = rig_dial(rig);
    expect_echo(fd, 1, 16);
    client_close(fd);
}

void grab_conn(struct netpoll_conn *conn, void *arg)
{
    struct grab *grab = arg;
    netpoll_conn_retain(conn);
    grab->conn = conn;
    event_add(&grab->connects);
}

struct turn_call {
    void (*fn)(struct netpoll_conn *conn, void *arg);
    void *arg;
    struct event done;
};

static void make_turn_call(struct netpoll_conn *conn, void *arg)
{
    struct turn_call *call = arg;
    call->fn(conn, call->arg);
    event_add(&call->done);
}

void run_in_turn(struct netpoll_conn *conn, void (*fn)(struct netpoll_conn *conn, void *arg),
                 void *arg)
{
    struct turn_call call = {.fn = fn, .arg = arg, .done = EVENT_INIT};
    CHECK(netpoll_conn_post(conn, make_turn_call, &call) == 0);
    event_wait(&call.done, 1);
}

static void read_stats(struct netpoll_conn *conn, void *arg)
{
    netpoll_conn_stats_read(conn, arg);
}

struct netpoll_conn_stats conn_stats(struct netpoll_conn *conn)
{
    struct netpoll_conn_stats stats;
    run_in_turn(conn, read_stats, &stats);
    return stats;
}

void echo_copy(struct netpoll_conn *conn, void *arg)
{
    const void *data;
    size_t n = netpoll_conn_len(conn);
    (void)arg;
    /* The peer may have gone meanwhile: then there is nobody to answer. */
    if (netpoll_conn_next(conn, n, &data) != 0 || netpoll_conn_write(conn, data, n) != 0)
        return;
    (void)!netpoll_conn_flush(conn);
}

void echo_blocks(struct netpoll_conn *conn, void *arg)
{
    struct linkbuffer *slice;
    (void)arg;
    if (netpoll_conn_slice(conn, netpoll_conn_len(conn), &slice) != 0)
        return;
    if (netpoll_conn_append(conn, slice) == 0)
        (void)!netpoll_conn_flush(conn);
    linkbuffer_destroy(slice);
}

void expect_echo(int fd, uint64_t seed, size_t n)
{
    char *data = malloc(n);
    CHECK(data != NULL);
    pattern_fill(seed, 0, data, n);
    client_send(fd, data, n);
    memset(data, 0, n);
    CHECK(client_receive(fd, data, n) == n);
    CHECK(pattern_matches(seed, 0, data, n));
    free(data);
}
