/* Connections that the user brings. */
#include "../support/process.h"
#include "rig.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

TestSuite(server_adopt, .timeout = 60);

/* Two ends of a TCP connection, of which nobody else knows. */
static void make_pair(int fds[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(bind(listener, (const struct sockaddr *)&address, n) == 0 && listen(listener, 1) == 0);
    CHECK(getsockname(listener, (struct sockaddr *)&address, &n) == 0);
    fds[0] = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(connect(fds[0], (const struct sockaddr *)&address, n) == 0);
    fds[1] = accept(listener, NULL, NULL);
    CHECK(fds[1] >= 0);
    close(listener);
}

static void expect_adopted(struct rig *rig, int fds[2])
{
    client_send(fds[0], "early", 5);
    char answer[5];
    cr_assert_eq(netpoll_server_adopt(rig->server, fds[1]), 0);
    cr_assert_eq(client_receive(fds[0], answer, 5), 5);
    cr_assert_arr_eq(answer, "early", 5);
    cr_assert(is_close_on_exec(fds[1]));
    cr_assert((fcntl(fds[1], F_GETFL) & O_NONBLOCK) != 0);
    expect_echo(fds[0], 1, 100000);
    client_close(fds[0]);
    WAIT_UNTIL(rig_stats(rig).connections == 0);
    WAIT_UNTIL(fcntl(fds[1], F_GETFD) == -1);
}

TEST_BOTH_MODES(server_adopt, is_served_as_if_accepted)
{
    struct rig rig = {0};
    struct netpoll_conn_options options = {.on_request = echo_copy, .handler = *mode};
    int fds[2];
    int value = 0;
    socklen_t n = sizeof value;
    rig_start(&rig, &options);
    make_pair(fds);
    expect_adopted(&rig, fds);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    expect_adopted(&rig, fds);
    make_pair(fds);
    cr_assert_eq(netpoll_server_adopt(rig.server, fds[1]), 0);
    cr_assert_eq(getsockopt(fds[1], IPPROTO_TCP, TCP_NODELAY, &value, &n), 0);
    cr_assert_eq(value, 1);
    client_close(fds[0]);
    WAIT_UNTIL(rig_stats(&rig).closed[NETPOLL_CLOSE_EOF] == 3);
    cr_assert_eq(rig_stats(&rig).accepted, 3);
    rig_finish_when_idle(&rig);
}

/* It is as it was and still the caller's. */
static void expect_refused(const struct rig *rig, int fd, int expected)
{
    int descriptor = fcntl(fd, F_GETFD);
    int status = fcntl(fd, F_GETFL);
    cr_assert_eq(netpoll_server_adopt(rig->server, fd), expected);
    cr_assert_eq(fcntl(fd, F_GETFD), descriptor);
    cr_assert_eq(fcntl(fd, F_GETFL), status);
}

Test(server_adopt, what_cannot_be_served_stays_the_callers)
{
    struct rig rig = {0};
    struct netpoll_conn_options options = {.on_request = echo_copy};
    int fds[2];
    rig_start(&rig, &options);
    CHECK(pipe(fds) == 0);
    expect_refused(&rig, fds[0], -ENOTSOCK);
    close(fds[0]);
    close(fds[1]);
    expect_refused(&rig, fds[0], -EBADF);
    expect_refused(&rig, -1, -EBADF);
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds) == 0);
    expect_refused(&rig, fds[0], -EPROTOTYPE);
    close(fds[0]);
    close(fds[1]);
    int lonely = socket(AF_INET, SOCK_STREAM, 0);
    expect_refused(&rig, lonely, -ENOTCONN);
    close(lonely);
    cr_assert_eq(rig_stats(&rig).accepted, 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    cr_assert_eq(netpoll_server_shutdown(rig.server, 0), 0);
    expect_refused(&rig, fds[0], -ESHUTDOWN);
    close(fds[0]);
    close(fds[1]);
    rig_finish(&rig);
}

Test(server_adopt, max_connections_holds)
{
    struct netpoll_server_options server_options = {.max_connections = 1};
    struct rig rig = {.server_options = &server_options};
    struct netpoll_conn_options options = {.on_request = echo_copy};
    int fds[2];
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    expect_echo(fd, 1, 100);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    expect_refused(&rig, fds[1], -EBUSY);
    client_close(fd);
    WAIT_UNTIL(netpoll_server_adopt(rig.server, fds[1]) == 0);
    expect_echo(fds[0], 1, 100);
    client_close(fds[0]);
    rig_finish_when_idle(&rig);
}

struct from_inside {
    struct rig *rig;
    int fd;
};

static void adopt_from_inside(struct netpoll_conn *conn, void *arg)
{
    struct from_inside *inside = arg;
    if (inside->fd >= 0)
        CHECK(netpoll_server_adopt(inside->rig->server, inside->fd) == 0);
    inside->fd = -1;
    echo_copy(conn, NULL);
}

TEST_BOTH_MODES(server_adopt, may_be_done_in_a_handler)
{
    struct rig rig = {.pollers = 1};
    struct from_inside inside = {.rig = &rig};
    struct netpoll_conn_options options = {
        .on_request = adopt_from_inside, .handler = *mode, .arg = &inside};
    int fds[2];
    make_pair(fds);
    inside.fd = fds[1];
    rig_start(&rig, &options);
    rig.beside_another = true; /* the pair was there before */
    int fd = rig_dial(&rig);
    expect_echo(fd, 1, 100);
    expect_echo(fds[0], 1, 100);
    client_close(fds[0]);
    client_close(fd);
    rig_finish_when_idle(&rig);
}

/* Adopts until the server does not take it any more. */
static void *adopt_until_late(void *arg)
{
    const struct rig *rig = arg;
    int fds[2];
    for (;;) {
        /* No faster than they go: descriptors would run out. */
        while (rig_stats(rig).connections > 100)
            sched_yield();
        CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
        int status = netpoll_server_adopt(rig->server, fds[1]);
        close(fds[0]);
        if (status == 0)
            continue;
        CHECK(status == -ESHUTDOWN);
        close(fds[1]);
        return NULL;
    }
}

Test(server_adopt, is_taken_or_comes_too_late_for_a_shutdown)
{
    struct netpoll_conn_options options = {.on_request = echo_copy};
    for (unsigned round = 0; round < 30; round++) {
        struct rig rig = {0};
        pthread_t threads[2];
        rig_start(&rig, &options);
        for (unsigned i = 0; i < 2; i++)
            CHECK(pthread_create(&threads[i], NULL, adopt_until_late, &rig) == 0);
        WAIT_UNTIL(rig_stats(&rig).accepted > 20);
        cr_assert_geq(netpoll_server_shutdown(rig.server, DEADLINE_MS), 0);
        for (unsigned i = 0; i < 2; i++)
            pthread_join(threads[i], NULL);
        rig_finish(&rig);
    }
}
