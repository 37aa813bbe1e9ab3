/* What connections cost that do nothing, do not read, or promise much: memory of the servers and
 * the time of somebody else beside them; and how soon an end and a deadline are seen. */
#define _GNU_SOURCE /* NOLINT(readability-identifier-naming): the C library's name for it */
#include "connect.h"
#include "figures.h"
#include "flags.h"
#include "frame.h"
#include "process.h"

#include <netpoll/netpoll.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define IDLE_MAX      20000
#define SLOW_PEERS    50
#define SLOW_PIECE    ((size_t)64 * 1024)
#define PROMISERS     5000
#define PROMISE_BYTES (UINT32_C(16) << 20)
#define TRIALS        50
/* Idle workers are reaped after ten seconds. */
#define REAPED_MS 12000

static const char *const backends[] = {"epoll", "io_uring"};

struct settings {
    uint32_t connections;
    uint32_t seconds; /* of the cases that go on for a time */
    unsigned cpus[2];
};

static _Noreturn void fail(const char *what, int error)
{
    fprintf(stderr, "bench_connections: %s: %s\n", what, strerror(-error));
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void sleep_ms(unsigned ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000},
              NULL);
}

static struct process start(const char *program, const char *backend, const struct settings *set)
{
    const char *const args[] = {"--backend", backend, "--pollers", "1", NULL};
    struct process_cpus cpus = {.ids = set->cpus, .count = 1};
    struct process server;
    int status = process_start(program, args, &cpus, &server);
    if (status != 0)
        fail(program, status);
    return server;
}

static void stop(const struct process *server)
{
    int status = process_stop(server);
    if (status != 0)
        fail("the server's end", status);
}

/* A figure of /proc/PID/FILE in KiB. */
static uint64_t read_kib(const struct process *server, const char *file, const char *key)
{
    char path[64];
    char line[256];
    uint64_t kib = 0;
    bool found = false;
    snprintf(path, sizeof path, "/proc/%d/%s", (int)server->pid, file);
    FILE *in = fopen(path, "r");
    if (in == NULL)
        fail(path, -errno);
    while (!found && fgets(line, sizeof line, in) != NULL)
        found = strncmp(line, key, strlen(key)) == 0;
    if (found)
        kib = strtoull(line + strlen(key) + 1, NULL, 10);
    fclose(in);
    if (!found)
        fail(path, -ENOENT);
    return kib;
}

static int dial(const struct process *server)
{
    int fd = connect_to(server->address);
    if (fd < 0)
        fail("connect", fd);
    return fd;
}

static void send_all(int fd, const void *data, size_t n)
{
    size_t sent = 0;
    while (sent < n) {
        ssize_t result = send(fd, (const char *)data + sent, n - sent, MSG_NOSIGNAL);
        if (result < 0)
            fail("send", -errno);
        sent += (size_t)result;
    }
}

/* One message and its answer. Nanoseconds. */
static uint64_t round_trip(int fd, const char *frame, size_t n)
{
    static char answer[4096];
    uint64_t since = now_ns();
    send_all(fd, frame, n);
    for (size_t got = 0; got < n;) {
        ssize_t result = recv(fd, answer + got, n - got, 0);
        if (result <= 0)
            fail("receive", result < 0 ? -errno : -ECONNRESET);
        got += (size_t)result;
    }
    return now_ns() - since;
}

static void measure_idle(const char *backend, const struct settings *set)
{
    static int fds[IDLE_MAX];
    struct process server = start("../examples/rpc_server", backend, set);
    char *frame = frame_create(64);
    size_t n = FRAME_HEAD_BYTES + 64;
    int first = dial(&server);
    for (int i = 0; i < 100; i++)
        round_trip(first, frame, n);
    sleep_ms(REAPED_MS);
    uint64_t before = read_kib(&server, "smaps_rollup", "Private_Dirty");
    for (uint32_t i = 0; i < set->connections; i++) {
        fds[i] = dial(&server);
        round_trip(fds[i], frame, n);
    }
    sleep_ms(REAPED_MS);
    uint64_t after = read_kib(&server, "smaps_rollup", "Private_Dirty");
    printf("idle_connection_%s %.0f B\n", backend,
           1024.0 * ((double)after - (double)before) / set->connections);
    for (uint32_t i = 0; i < set->connections; i++)
        close(fds[i]);
    close(first);
    free(frame);
    stop(&server);
}

/* A thread that comes back from a system call was switched to. */
static void measure_rest(const char *backend, const struct settings *set)
{
    struct process server = start("../examples/rpc_server", backend, set);
    struct process_usage before;
    struct process_usage after;
    char *frame = frame_create(64);
    int fd = dial(&server);
    for (int i = 0; i < 1000; i++)
        round_trip(fd, frame, FRAME_HEAD_BYTES + 64);
    sleep_ms(REAPED_MS);
    if (process_usage_read(&server, &before) != 0)
        fail("usage", -ESRCH);
    sleep_ms(10000);
    if (process_usage_read(&server, &after) != 0)
        fail("usage", -ESRCH);
    printf("switches_at_rest_10s_%s %llu 1\n", backend,
           (unsigned long long)(after.switches - before.switches));
    close(fd);
    free(frame);
    stop(&server);
}

static void measure_slow_readers(const char *backend, const struct settings *set)
{
    struct process server = start("../examples/echo_server", backend, set);
    static char piece[SLOW_PIECE];
    int fds[SLOW_PEERS];
    char *frame = frame_create(60);
    uint64_t worst_ns = 0;
    uint64_t worst_kib = 0;
    for (int i = 0; i < SLOW_PEERS; i++)
        fds[i] = dial(&server);
    int other = dial(&server);
    uint64_t until = now_ns() + (uint64_t)set->seconds * 1000000000;
    while (now_ns() < until) {
        for (int i = 0; i < SLOW_PEERS; i++)
            while (send(fds[i], piece, sizeof piece, MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
                ;
        uint64_t ns = round_trip(other, frame, FRAME_HEAD_BYTES + 60);
        uint64_t kib = read_kib(&server, "status", "VmRSS");
        worst_ns = ns > worst_ns ? ns : worst_ns;
        worst_kib = kib > worst_kib ? kib : worst_kib;
    }
    printf("slow_readers_rss_%s %.1f MiB\n", backend, (double)worst_kib / 1024);
    printf("slow_readers_other_trip_max_%s %.2f ms\n", backend, (double)worst_ns / 1e6);
    for (int i = 0; i < SLOW_PEERS; i++)
        close(fds[i]);
    close(other);
    free(frame);
    stop(&server);
}

static void measure_promises(const char *backend, const struct settings *set)
{
    static int fds[PROMISERS];
    struct process server = start("../examples/rpc_server", backend, set);
    char head[5] = {0};
    uint32_t length = htonl(PROMISE_BYTES);
    memcpy(head, &length, sizeof length);
    sleep_ms(200);
    uint64_t before = read_kib(&server, "status", "VmRSS");
    for (int i = 0; i < PROMISERS; i++) {
        fds[i] = dial(&server);
        send_all(fds[i], head, sizeof head);
    }
    sleep_ms(1000);
    printf("promises_rss_%s %.1f MiB\n", backend,
           (double)(read_kib(&server, "status", "VmRSS") - before) / 1024);
    for (int i = 0; i < PROMISERS; i++)
        close(fds[i]);
    stop(&server);
}

/* In this process: when the end of a connection and a new deadline are seen. */
struct own {
    struct netpoll_runtime *runtime;
    struct netpoll_server *server;
    char address[NETPOLL_ADDRESS_BYTES];
    _Atomic(struct netpoll_conn *) waiting; /* in netpoll_conn_wait(), retained */
    _Atomic uint64_t acted_ns;              /* closed, or given a deadline */
    _Atomic uint64_t woken_ns;
    bool waits;
};

static void on_request(struct netpoll_conn *conn, void *arg)
{
    struct own *own = arg;
    const void *data;
    if (!own->waits) {
        atomic_store(&own->acted_ns, now_ns());
        netpoll_conn_close(conn);
        return;
    }
    if (netpoll_conn_next(conn, netpoll_conn_len(conn), &data) != 0)
        return;
    netpoll_conn_retain(conn);
    atomic_store(&own->waiting, conn);
    int status = netpoll_conn_wait(conn, 1, NETPOLL_TIMEOUT_NONE);
    atomic_store(&own->woken_ns, now_ns());
    if (status != -ETIMEDOUT)
        fail("wait", status);
    netpoll_conn_close(conn);
}

static void open_own(struct own *own, enum netpoll_backend backend)
{
    struct netpoll_runtime_options runtime = {.backend = backend, .pollers = 1};
    struct netpoll_conn_options conn = {.on_request = on_request, .arg = own};
    int status = netpoll_runtime_create(&runtime, &own->runtime);
    if (status == 0)
        status = netpoll_server_create(own->runtime, &conn, NULL, &own->server);
    if (status == 0)
        status = netpoll_server_listen(own->server, "127.0.0.1:0");
    if (status == 0)
        status = netpoll_server_address(own->server, 0, own->address, sizeof own->address);
    if (status != 0)
        fail("server", status);
}

static void close_own(struct own *own)
{
    int status = netpoll_server_destroy(own->server);
    if (status == 0)
        status = netpoll_runtime_destroy(own->runtime);
    if (status != 0)
        fail("destroy", status);
}

static uint64_t time_of_end(struct own *own)
{
    struct process server;
    char byte = 'x';
    snprintf(server.address, sizeof server.address, "%s", own->address);
    int fd = dial(&server);
    send_all(fd, &byte, 1);
    while (recv(fd, &byte, 1, 0) > 0)
        ;
    uint64_t ns = now_ns() - atomic_load(&own->acted_ns);
    close(fd);
    return ns;
}

static uint64_t time_of_deadline(struct own *own)
{
    struct process server;
    char byte = 'x';
    snprintf(server.address, sizeof server.address, "%s", own->address);
    atomic_store(&own->waiting, NULL);
    atomic_store(&own->woken_ns, 0);
    int fd = dial(&server);
    send_all(fd, &byte, 1);
    struct netpoll_conn *conn;
    while ((conn = atomic_load(&own->waiting)) == NULL)
        sleep_ms(1);
    sleep_ms(5);
    uint64_t since = now_ns();
    int status = netpoll_conn_set_deadline(conn, NETPOLL_READ_DEADLINE, 0);
    if (status != 0)
        fail("set_deadline", status);
    while (recv(fd, &byte, 1, 0) > 0)
        ;
    uint64_t ns = atomic_load(&own->woken_ns) - since;
    netpoll_conn_release(conn);
    close(fd);
    return ns;
}

static void print_times(const char *name, const char *backend, double *ms)
{
    struct quartiles quartiles = figures_quartiles(ms, TRIALS);
    printf("%s_%s %.3f ms\n", name, backend, quartiles.median);
    printf("%s_max_%s %.3f ms\n", name, backend, ms[TRIALS - 1]);
}

static void measure_ends(const char *name, enum netpoll_backend backend)
{
    struct own own = {.waits = false};
    double ms[TRIALS];
    open_own(&own, backend);
    for (int i = 0; i < TRIALS; i++)
        ms[i] = (double)time_of_end(&own) / 1e6;
    print_times("close_to_end", name, ms);
    own.waits = true;
    for (int i = 0; i < TRIALS; i++)
        ms[i] = (double)time_of_deadline(&own) / 1e6;
    print_times("deadline_to_wake", name, ms);
    close_own(&own);
}

static void allow_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        fail("getrlimit", -errno);
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        fail("setrlimit", -errno);
}

int main(int argc, char **argv)
{
    struct settings set = {.connections = 9000, .seconds = 5};
    const struct flag flags[] = {
        {.name = "--connections",
         .value = "N",
         .help = "idle connections (default 9000)",
         .parse = flag_number,
         .into = &set.connections,
         .min = 1,
         .max = IDLE_MAX},
        {.name = "--seconds",
         .value = "N",
         .help = "of the slow readers (default 5)",
         .parse = flag_number,
         .into = &set.seconds,
         .min = 1,
         .max = 600},
    };
    const struct flag_set known = {.program = "bench_connections",
                                   .summary = "Memory and manners of connections that do little.",
                                   .flags = flags,
                                   .count = sizeof flags / sizeof flags[0]};
    flags_parse(&known, argc, argv);
    setvbuf(stdout, NULL, _IOLBF, 0);
    allow_descriptors();
    int status = process_pick_cpus(set.cpus);
    if (status != 0)
        fail("two CPUs are needed", status);
    for (size_t i = 0; i < sizeof backends / sizeof backends[0]; i++) {
        fprintf(stderr, "bench_connections: %s\n", backends[i]);
        measure_ends(backends[i], i == 0 ? NETPOLL_BACKEND_EPOLL : NETPOLL_BACKEND_IO_URING);
        measure_idle(backends[i], &set);
        measure_promises(backends[i], &set);
        measure_slow_readers(backends[i], &set);
        measure_rest(backends[i], &set);
    }
    return 0;
}
