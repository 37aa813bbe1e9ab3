/* Options of servers: balancing, and what is said of their sockets. */
#include "../support/process.h"
#include "rig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(server_options, .timeout = 60);

static void expect_create(const struct netpoll_server_options *options, int expected)
{
    struct rig rig = {0};
    struct netpoll_conn_options plain = {.on_request = echo_copy};
    struct netpoll_server *server = (struct netpoll_server *)&rig;
    rig_start(&rig, &plain);
    cr_assert_eq(netpoll_server_create(rig.runtime, &plain, options, &server), expected);
    cr_assert_eq(server == NULL, expected != 0);
    cr_assert_eq(netpoll_server_destroy(server), 0);
    rig_finish(&rig);
}

Test(server_options, out_of_range_are_refused)
{
    static const struct netpoll_server_options bad[] = {
        {.backlog = -1},
        {.balancing = (enum netpoll_balancing)3},
        {.balancing = (enum netpoll_balancing) - 1},
        {.when_full = (enum netpoll_when_full)2},
        {.shed_after_ms = -2},
        {.shed_after_ms = (int64_t)INT32_MAX + 1},
        {.defer_accept_s = -1},
        {.fast_open_queue = -1},
        {.unix_mode = 01000},
        {.address_wait_ms = -2},
        {.address_wait_ms = INT64_MAX},
        {.shutdown_grace_ms = -2},
        {.shutdown_grace_ms = INT64_MAX},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        expect_create(&bad[i], -EINVAL);
    for (size_t i = 0; i < sizeof bad[0].reserved / sizeof bad[0].reserved[0]; i++) {
        struct netpoll_server_options options = {.backlog = 1};
        options.reserved[i] = 1;
        expect_create(&options, -EINVAL);
    }
    expect_create(&(struct netpoll_server_options){.shed_after_ms = NETPOLL_TIMEOUT_NONE,
                                                   .shutdown_grace_ms = NETPOLL_TIMEOUT_MS_MAX,
                                                   .unix_mode = 0777,
                                                   .when_full = NETPOLL_WHEN_FULL_REFUSE,
                                                   .balancing = NETPOLL_BALANCING_PER_POLLER},
                  0);
}

/* Balancing. */

#define POLLERS 4

static uint64_t connections_of(const struct rig *rig, uint32_t poller)
{
    struct netpoll_stats stats;
    CHECK(netpoll_runtime_poller_stats_read(rig->runtime, poller, &stats) == 0);
    return stats.connections;
}

static uint64_t accepted_by(const struct rig *rig, uint32_t poller)
{
    struct netpoll_stats stats;
    CHECK(netpoll_runtime_poller_stats_read(rig->runtime, poller, &stats) == 0);
    return stats.accepted;
}

/* Answers each byte with the number of its poller. */
static void tell_poller(struct netpoll_conn *conn, void *arg)
{
    char name[16];
    (void)arg;
    CHECK(pthread_getname_np(pthread_self(), name, sizeof name) == 0);
    char number = (char)strtol(strchr(name, '-') + 1, NULL, 10);
    CHECK(netpoll_conn_skip(conn, netpoll_conn_len(conn)) == 0);
    CHECK(netpoll_conn_write(conn, &number, 1) == 0 && netpoll_conn_flush(conn) == 0);
}

static uint32_t ask_poller(int fd)
{
    char number;
    client_send(fd, "?", 1);
    cr_assert_eq(client_receive(fd, &number, 1), 1);
    return (uint32_t)number;
}

static void start_balanced(struct rig *rig, const struct netpoll_server_options *options)
{
    static const struct netpoll_conn_options conn = {.on_request = tell_poller,
                                                     .handler = NETPOLL_HANDLER_INLINE};
    *rig = (struct rig){.pollers = POLLERS, .server_options = options};
    rig_start(rig, &conn);
}

static void expect_spread(const struct rig *rig, uint64_t least, uint64_t most)
{
    for (uint32_t i = 0; i < POLLERS; i++) {
        uint64_t count = connections_of(rig, i);
        cr_assert(count >= least && count <= most, "poller %u has %llu", i,
                  (unsigned long long)count);
    }
}

static void close_fds(const int *fds, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        client_close(fds[i]);
}

Test(server_options, a_burst_goes_to_those_with_the_fewest)
{
    struct rig rig;
    static int fds[1002];
    start_balanced(&rig, NULL);
    for (unsigned i = 0; i < 1002; i++)
        fds[i] = rig_dial(&rig);
    WAIT_UNTIL(rig_stats(&rig).connections == 1002);
    expect_spread(&rig, 250, 251);
    close_fds(fds, 1002);
    rig_finish_when_idle(&rig);
}

/* Twenty on each poller, then those of poller 0 and 1 go: how many are left. */
static unsigned start_lopsided(struct rig *rig, int fds[20 * POLLERS])
{
    unsigned left = 0;
    for (unsigned i = 0; i < 20 * POLLERS; i++) {
        int fd = rig_dial(rig);
        if (ask_poller(fd) < 2)
            fds[20 * POLLERS - 1 - (i - left)] = fd;
        else
            fds[left++] = fd;
    }
    expect_spread(rig, 20, 20);
    close_fds(fds + left, 20 * POLLERS - left);
    WAIT_UNTIL(rig_stats(rig).connections == left);
    cr_assert_eq(left, 20 * (POLLERS - 2));
    return left;
}

Test(server_options, the_fewest_make_up_for_closes)
{
    struct rig rig;
    int fds[20 * POLLERS];
    start_balanced(&rig, NULL);
    unsigned left = start_lopsided(&rig, fds);
    for (unsigned i = left; i < 20 * POLLERS; i++) {
        fds[i] = rig_dial(&rig);
        cr_assert_lt(ask_poller(fds[i]), 2);
    }
    expect_spread(&rig, 20, 20);
    close_fds(fds, 20 * POLLERS);
    rig_finish_when_idle(&rig);
}

Test(server_options, round_robin_does_not)
{
    struct netpoll_server_options options = {.balancing = NETPOLL_BALANCING_ROUND_ROBIN};
    struct rig rig;
    int fds[20 * POLLERS];
    start_balanced(&rig, &options);
    unsigned left = start_lopsided(&rig, fds);
    for (unsigned i = 0; i < POLLERS; i++) {
        fds[left + i] = rig_dial(&rig);
        cr_assert_eq(ask_poller(fds[left + i]), i);
    }
    close_fds(fds, left + POLLERS);
    rig_finish_when_idle(&rig);
}

Test(server_options, per_poller_keeps_what_it_accepts)
{
    struct netpoll_server_options options = {.balancing = NETPOLL_BALANCING_PER_POLLER};
    struct rig rig;
    static int fds[400];
    uint64_t asked[POLLERS] = {0};
    start_balanced(&rig, &options);
    cr_assert_eq(netpoll_server_listeners(rig.server), 1, "one address");
    for (unsigned i = 0; i < 400; i++) {
        fds[i] = rig_dial(&rig);
        asked[ask_poller(fds[i])]++;
    }
    for (uint32_t i = 0; i < POLLERS; i++) {
        cr_assert_eq(accepted_by(&rig, i), asked[i]);
        cr_assert_gt(asked[i], 40, "the kernel spreads them: %u", i);
    }
    close_fds(fds, 400);
    rig_finish_when_idle(&rig);
}

Test(server_options, per_poller_serves_unix_sockets_too)
{
    struct netpoll_server_options options = {.balancing = NETPOLL_BALANCING_PER_POLLER};
    static const struct netpoll_conn_options conn = {.on_request = tell_poller,
                                                     .handler = NETPOLL_HANDLER_INLINE};
    char listen[64];
    snprintf(listen, sizeof listen, "unix:@netpoll-per-poller-%d", (int)getpid());
    struct rig rig = {.pollers = POLLERS, .server_options = &options, .listen = listen};
    int fds[POLLERS];
    rig_start(&rig, &conn);
    for (unsigned i = 0; i < POLLERS; i++)
        fds[i] = rig_dial(&rig);
    WAIT_UNTIL(rig_stats(&rig).connections == POLLERS);
    expect_spread(&rig, 1, 1);
    close_fds(fds, POLLERS);
    rig_finish_when_idle(&rig);
}

/* Sockets. */

static void find_listener(int fd, void *arg)
{
    int listens = 0;
    socklen_t n = sizeof listens;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &n) == 0 && listens != 0)
        *(int *)arg = fd;
}

static int option_of_listener(const struct netpoll_server_options *server_options, int level,
                              int name)
{
    struct rig rig = {.server_options = server_options};
    struct netpoll_conn_options options = {.on_request = echo_copy};
    int fd = -1;
    int value = -1;
    socklen_t n = sizeof value;
    rig_start(&rig, &options);
    for_each_descriptor(find_listener, &fd);
    CHECK(getsockopt(fd, level, name, &value, &n) == 0);
    CHECK(is_close_on_exec(fd));
    rig_finish(&rig);
    return value;
}

Test(server_options, fast_open_queue)
{
    struct netpoll_server_options options = {.fast_open_queue = 0};
    cr_assert_eq(option_of_listener(&options, IPPROTO_TCP, TCP_FASTOPEN), 0);
    options.fast_open_queue = 5;
    cr_assert_eq(option_of_listener(&options, IPPROTO_TCP, TCP_FASTOPEN), 5);
}

Test(server_options, defer_accept_s)
{
    struct netpoll_server_options server_options = {.defer_accept_s = 30};
    struct rig rig = {.server_options = &server_options};
    struct netpoll_conn_options options = {.on_request = echo_copy};
    rig_start(&rig, &options);
    int silent = rig_dial(&rig);
    rig_round_trip(&rig);
    cr_assert_eq(rig_stats(&rig).accepted, 1, "who has said nothing is not there yet");
    expect_echo(silent, 1, 100);
    cr_assert_eq(rig_stats(&rig).accepted, 2);
    client_close(silent);
    rig_finish_when_idle(&rig);
}

Test(server_options, reuse_port)
{
    struct netpoll_server_options server_options = {.reuse_port = true};
    struct netpoll_conn_options options = {.on_request = echo_copy};
    struct rig rig = {.server_options = &server_options};
    struct netpoll_server *other;
    rig_start(&rig, &options);
    cr_assert_eq(netpoll_server_create(rig.runtime, &options, NULL, &other), 0);
    cr_assert_eq(netpoll_server_listen(other, rig.address), -EADDRINUSE);
    cr_assert_eq(netpoll_server_destroy(other), 0);
    cr_assert_eq(netpoll_server_create(rig.runtime, &options, &server_options, &other), 0);
    cr_assert_eq(netpoll_server_listen(other, rig.address), 0);
    cr_assert_eq(netpoll_server_destroy(other), 0);
    rig_round_trip(&rig);
    rig_finish_when_idle(&rig);
}

/* A process whose end takes some time. */
struct predecessor {
    struct rig rig;
    pthread_t thread;
    int64_t stays_ms;
};

static void *end_later(void *arg)
{
    struct predecessor *predecessor = arg;
    const struct timespec pause = {.tv_nsec = (long)predecessor->stays_ms * 1000000};
    (void)nanosleep(&pause, NULL);
    rig_finish(&predecessor->rig);
    return NULL;
}

/* What listening at an address gives that somebody else has for so long. */
static int listen_after(const char *address, int64_t stays_ms, int64_t address_wait_ms)
{
    struct netpoll_server_options server_options = {.address_wait_ms = address_wait_ms};
    struct netpoll_conn_options options = {.on_request = echo_copy};
    struct predecessor predecessor = {.rig = {.listen = address, .beside_another = true},
                                      .stays_ms = stays_ms};
    struct rig rig = {.beside_another = true};
    struct netpoll_server *server;
    rig_start(&predecessor.rig, &options);
    rig_start(&rig, &options);
    CHECK(netpoll_server_create(rig.runtime, &options, &server_options, &server) == 0);
    CHECK(pthread_create(&predecessor.thread, NULL, end_later, &predecessor) == 0);
    int status = netpoll_server_listen(server, predecessor.rig.address);
    pthread_join(predecessor.thread, NULL);
    CHECK(netpoll_server_destroy(server) == 0);
    rig_finish(&rig);
    return status;
}

Test(server_options, address_wait_ms)
{
    char path[64];
    snprintf(path, sizeof path, "unix:/tmp/netpoll-wait-%d", (int)getpid());
    cr_assert_eq(listen_after(NULL, 50, DEADLINE_MS), 0);
    cr_assert_eq(listen_after(path, 50, DEADLINE_MS), 0);
    cr_assert_eq(listen_after(NULL, 500, NETPOLL_TIMEOUT_NONE), -EADDRINUSE);
    cr_assert_eq(listen_after(NULL, 500, 10), -EADDRINUSE);
}

static void *shut_down_later(void *arg)
{
    const struct timespec pause = {.tv_nsec = 50000000};
    (void)nanosleep(&pause, NULL);
    CHECK(netpoll_server_shutdown(arg, 0) == 0);
    return NULL;
}

Test(server_options, address_wait_ms_ends_with_the_server)
{
    struct netpoll_server_options server_options = {.address_wait_ms = NETPOLL_TIMEOUT_MS_MAX};
    struct netpoll_conn_options options = {.on_request = echo_copy};
    struct netpoll_server *server;
    struct rig rig = {0};
    pthread_t thread;
    rig_start(&rig, &options);
    cr_assert_eq(netpoll_server_create(rig.runtime, &options, &server_options, &server), 0);
    cr_assert_eq(pthread_create(&thread, NULL, shut_down_later, server), 0);
    cr_assert_eq(netpoll_server_listen(server, rig.address), -ESHUTDOWN);
    pthread_join(thread, NULL);
    cr_assert_eq(netpoll_server_destroy(server), 0);
    rig_finish(&rig);
}

static int dial_by_ip4(const char *listen, bool ip6_only)
{
    struct netpoll_server_options server_options = {.ip6_only = ip6_only};
    struct rig rig = {.server_options = &server_options, .listen = listen};
    struct netpoll_conn_options options = {.on_request = echo_copy};
    char address[64];
    rig_start(&rig, &options);
    snprintf(address, sizeof address, "127.0.0.1%s", strrchr(rig.address, ':'));
    int fd = client_try_dial(address);
    if (fd >= 0)
        client_close(fd);
    snprintf(address, sizeof address, "[::1]%s", strrchr(rig.address, ':'));
    client_close(client_dial(address));
    rig_finish_when_idle(&rig);
    return fd < 0 ? fd : 0;
}

Test(server_options, ip6_only)
{
    cr_assert_eq(dial_by_ip4(":0", false), 0);
    cr_assert_eq(dial_by_ip4(":0", true), -ECONNREFUSED);
    cr_assert_eq(dial_by_ip4("[::]:0", false), 0);
    cr_assert_eq(dial_by_ip4("tcp6:[::]:0", false), -ECONNREFUSED);
}

static mode_t mode_of_socket_file(uint32_t unix_mode)
{
    struct netpoll_server_options server_options = {.unix_mode = unix_mode};
    struct netpoll_conn_options options = {.on_request = echo_copy};
    char listen[64];
    struct stat info;
    snprintf(listen, sizeof listen, "unix:/tmp/netpoll-mode-%d", (int)getpid());
    struct rig rig = {.server_options = &server_options, .listen = listen};
    umask(027);
    rig_start(&rig, &options);
    CHECK(stat(listen + 5, &info) == 0);
    rig_round_trip(&rig);
    rig_finish_when_idle(&rig);
    CHECK(stat(listen + 5, &info) == -1 && errno == ENOENT);
    return info.st_mode & 07777;
}

Test(server_options, unix_mode)
{
    cr_assert_eq(mode_of_socket_file(0), 0750);
    cr_assert_eq(mode_of_socket_file(0600), 0600);
    cr_assert_eq(mode_of_socket_file(0666), 0666);
}

/* Shutdown. */

struct farewell {
    struct rig *rig;
    int used;
    int fresh;
    unsigned calls;
};

static bool is_open(int fd)
{
    char byte;
    return recv(fd, &byte, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN;
}

static void say_farewell(struct netpoll_server *server, void *arg)
{
    struct farewell *farewell = arg;
    const struct rig *rig = farewell->rig;
    farewell->calls++;
    CHECK(server == rig->server);
    CHECK(is_thread_named("farewell"));
    CHECK(client_try_dial(rig->address) == -ECONNREFUSED);
    CHECK(netpoll_server_listen(server, "127.0.0.1:0") == -ESHUTDOWN);
    CHECK(netpoll_server_shutdown(server, 0) == -EDEADLK);
    CHECK(netpoll_server_destroy(server) == -EDEADLK);
    /* Nobody has been told yet. */
    CHECK(is_open(farewell->used) && is_open(farewell->fresh));
    expect_echo(farewell->used, 2, 100);
}

Test(server_options, on_shutdown)
{
    struct rig rig = {0};
    struct farewell farewell = {.rig = &rig};
    struct netpoll_server_options server_options = {.on_shutdown = say_farewell, .arg = &farewell};
    struct netpoll_conn_options options = {.on_request = echo_copy};
    rig.server_options = &server_options;
    CHECK(pthread_setname_np(pthread_self(), "farewell") == 0);
    rig_start(&rig, &options);
    farewell.used = rig_dial(&rig);
    expect_echo(farewell.used, 1, 100);
    farewell.fresh = rig_dial(&rig);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(netpoll_server_shutdown(rig.server, DEADLINE_MS), 0);
        cr_assert_eq(farewell.calls, 1);
    }
    cr_assert(client_sees_end(farewell.used));
    cr_assert(client_sees_end(farewell.fresh));
    client_close(farewell.used);
    client_close(farewell.fresh);
    rig_finish(&rig);
}

static void *run_shutdown(void *arg)
{
    const struct rig *rig = arg;
    CHECK(netpoll_server_shutdown(rig->server, INT64_C(2) * DEADLINE_MS) == 0);
    return NULL;
}

Test(server_options, shutdown_grace_ms_is_for_those_who_are_about_to_send)
{
    struct netpoll_server_options server_options = {.shutdown_grace_ms = DEADLINE_MS};
    struct rig rig = {.server_options = &server_options};
    struct netpoll_conn_options options = {.on_request = echo_copy};
    pthread_t thread;
    rig_start(&rig, &options);
    int used = rig_dial(&rig);
    expect_echo(used, 1, 100);
    int fresh = rig_dial(&rig);
    WAIT_UNTIL(rig_stats(&rig).connections == 2);
    CHECK(pthread_create(&thread, NULL, run_shutdown, &rig) == 0);
    cr_assert(client_sees_end(used), "the shutdown is at work");
    expect_echo(fresh, 2, 100);
    cr_assert(client_sees_end(fresh), "no more is expected of it");
    pthread_join(thread, NULL);
    client_close(used);
    client_close(fresh);
    rig_finish(&rig);
}

static void expect_silent_closed(int64_t grace_ms, int64_t timeout_ms)
{
    struct netpoll_server_options server_options = {.shutdown_grace_ms = grace_ms};
    struct rig rig = {.server_options = &server_options};
    struct netpoll_conn_options options = {.on_request = echo_copy};
    rig_start(&rig, &options);
    int fresh = rig_dial(&rig);
    WAIT_UNTIL(rig_stats(&rig).connections == 1);
    cr_assert_eq(netpoll_server_shutdown(rig.server, timeout_ms), 0);
    cr_assert(client_sees_end(fresh), "closed, not aborted");
    client_close(fresh);
    rig_finish(&rig);
}

Test(server_options, shutdown_grace_ms_is_at_most_half_the_time)
{
    expect_silent_closed(INT64_C(10) * DEADLINE_MS, 1000);
}

Test(server_options, shutdown_grace_ms_may_be_none)
{
    expect_silent_closed(NETPOLL_TIMEOUT_NONE, NETPOLL_TIMEOUT_NONE);
    expect_silent_closed(0, NETPOLL_TIMEOUT_NONE);
}
