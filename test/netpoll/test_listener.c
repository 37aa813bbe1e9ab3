/* Listening: every kind of address, what is refused, and the descriptor limit. */
#include "../support/process.h"
#include "rig.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

TestSuite(listener, .timeout = 60);

/* A place for socket files that goes with the test. */
static char directory[] = "/tmp/netpoll-listener-XXXXXX";

static void make_directory(void)
{
    cr_assert_not_null(mkdtemp(directory));
}

static void remove_directory(void)
{
    char path[64];
    snprintf(path, sizeof path, "%s/socket", directory);
    (void)unlink(path);
    (void)rmdir(directory);
}

static void name_file(char *path, size_t size)
{
    snprintf(path, size, "unix:%s/socket", directory);
}

static void expect_served(const char *listen)
{
    struct rig rig = {.listen = listen};
    struct netpoll_conn_options options = {.on_request = echo_copy};
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    expect_echo(fd, 1, 1000);
    client_close(fd);
    rig_finish_when_idle(&rig);
}

Test(listener, serves_every_kind_of_address)
{
    char abstract[64];
    snprintf(abstract, sizeof abstract, "unix:@netpoll-kinds-%d", (int)getpid());
    expect_served("127.0.0.1:0");
    expect_served("localhost:0");
    expect_served("[::1]:0");
    expect_served("tcp4:localhost:0");
    expect_served("tcp6:localhost:0");
    expect_served(abstract);
}

Test(listener, an_empty_host_is_every_address_of_both_families)
{
    struct rig rig = {.listen = ":0"};
    struct netpoll_conn_options options = {.on_request = echo_copy};
    char address[NETPOLL_ADDRESS_BYTES];
    rig_start(&rig, &options);
    cr_assert_eq(strncmp(rig.address, "[::]:", 5), 0, "%s", rig.address);
    const char *port = strrchr(rig.address, ':');
    const char *const hosts[] = {"127.0.0.1", "[::1]"};
    for (unsigned i = 0; i < 2; i++) {
        snprintf(address, sizeof address, "%s%s", hosts[i], port);
        int fd = client_dial(address);
        expect_echo(fd, 1, 100);
        client_close(fd);
    }
    rig_finish_when_idle(&rig);
}

Test(listener, a_socket_file_is_made_and_removed, .init = make_directory, .fini = remove_directory)
{
    char listen[64];
    struct stat info;
    name_file(listen, sizeof listen);
    expect_served(listen);
    cr_assert_eq(stat(listen + 5, &info), -1);
    cr_assert_eq(errno, ENOENT);
}

/* A socket file whose listener is gone. */
static void leave_stale_file(const char *path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
    CHECK(fd >= 0 && bind(fd, (const struct sockaddr *)&un, sizeof un) == 0 && listen(fd, 1) == 0);
    close(fd);
}

Test(listener, a_socket_file_without_a_listener_is_replaced, .init = make_directory,
     .fini = remove_directory)
{
    char listen[64];
    name_file(listen, sizeof listen);
    leave_stale_file(listen + 5);
    expect_served(listen);
}

static void expect_refused(struct rig *rig, const char *address, int expected)
{
    size_t before = netpoll_server_listeners(rig->server);
    size_t descriptors = descriptor_count();
    cr_assert_eq(netpoll_server_listen(rig->server, address), expected, "%s",
                 address != NULL ? address : "");
    cr_assert_eq(netpoll_server_listeners(rig->server), before);
    /* Whether somebody listens on a socket file is asked by a connection, which its server ends. */
    WAIT_UNTIL(descriptor_count() == descriptors);
}

Test(listener, what_is_in_use_or_not_ours_is_refused, .init = make_directory,
     .fini = remove_directory)
{
    char path[64];
    struct rig rig = {0};
    struct netpoll_conn_options options = {.on_request = echo_copy};
    name_file(path, sizeof path);
    rig_start(&rig, &options);
    expect_refused(&rig, rig.address, -EADDRINUSE);
    expect_refused(&rig, "192.0.2.1:0", -EADDRNOTAVAIL);
    expect_refused(&rig, "unix:/nowhere/netpoll/socket", -ENOENT);
    cr_assert_eq(netpoll_server_listen(rig.server, path), 0);
    expect_refused(&rig, path, -EADDRINUSE);
    int fd = rig_dial(&rig);
    expect_echo(fd, 1, 100);
    client_close(fd);
    rig_finish_when_idle(&rig);
    FILE *plain = fopen(path + 5, "we");
    CHECK(plain != NULL && fclose(plain) == 0);
    struct rig second = {0};
    rig_start(&second, &options);
    expect_refused(&second, path, -EADDRINUSE);
    rig_finish(&second);
}

Test(listener, what_is_no_address_is_refused)
{
    static const char *const bad[] = {
        "",
        ":",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:x",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:1 ",
        "example.org:80",
        "300.0.0.1:80",
        "::1:80",
        "[::1]",
        "[::1:80",
        "[127.0.0.1]:80",
        "unix:",
        "unix:@",
    };
    char too_long[200];
    struct rig rig = {0};
    struct netpoll_conn_options options = {.on_request = echo_copy};
    rig_start(&rig, &options);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        expect_refused(&rig, bad[i], -EINVAL);
    snprintf(too_long, sizeof too_long, "unix:/%0150d", 0);
    expect_refused(&rig, too_long, -EINVAL);
    expect_refused(&rig, NULL, -EINVAL);
    rig_finish(&rig);
}

Test(listener, a_server_may_listen_on_several_addresses)
{
    struct rig rig = {0};
    struct netpoll_conn_options options = {.on_request = echo_copy};
    char address[NETPOLL_ADDRESS_BYTES];
    rig_start(&rig, &options);
    cr_assert_eq(netpoll_server_listen(rig.server, "[::1]:0"), 0);
    cr_assert_eq(netpoll_server_listen(rig.server, "127.0.0.1:0"), 0);
    cr_assert_eq(netpoll_server_listeners(rig.server), 3);
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(netpoll_server_address(rig.server, i, address, sizeof address), 0);
        cr_assert_eq(address[0] == '[', i == 1);
        int fd = client_dial(address);
        expect_echo(fd, i, 100);
        client_close(fd);
    }
    cr_assert_eq(netpoll_server_address(rig.server, 3, address, sizeof address), -EINVAL);
    cr_assert_eq(netpoll_server_address(rig.server, 0, address, 5), -ENOSPC);
    rig_finish_when_idle(&rig);
}

/* Holds every descriptor there may be. */
static unsigned take_descriptors(int *fds, unsigned max)
{
    unsigned count = 0;
    while (count < max && (fds[count] = dup(STDERR_FILENO)) >= 0)
        count++;
    CHECK(count < max && errno == EMFILE);
    return count;
}

TEST_BOTH_MODES(listener, accepting_goes_on_after_the_descriptor_limit)
{
    struct rig rig = {.beside_another = true}; /* the log is looked at here */
    struct netpoll_conn_options options = {.on_request = echo_copy, .handler = *mode};
    struct rlimit limit;
    static int fds[256];
    /* First: a ring keeps the limit that it was armed under. */
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = 200;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    expect_echo(fd, 1, 100);
    unsigned count = take_descriptors(fds, 256);
    client_close(fds[--count]);
    int late = rig_dial(&rig);
    WAIT_UNTIL(rig_stats(&rig).accept_fails > 0);
    expect_echo(fd, 2, 100);
    while (count > 0)
        client_close(fds[--count]);
    expect_echo(late, 3, 100);
    cr_assert_not_null(strstr(rig.last_log, "accept rests"), "%s", rig.last_log);
    rig.expected_logs = rig_logs(&rig);
    client_close(late);
    client_close(fd);
    rig_finish_when_idle(&rig);
}

static void listen_from_inside(struct netpoll_conn *conn, void *arg)
{
    const struct rig *rig = arg;
    CHECK(netpoll_server_listen(rig->server, "127.0.0.1:0") == -EDEADLK);
    echo_copy(conn, NULL);
}

Test(listener, listening_on_a_poller_is_refused)
{
    struct rig rig = {.pollers = 1};
    struct netpoll_conn_options options = {
        .on_request = listen_from_inside, .handler = NETPOLL_HANDLER_INLINE, .arg = &rig};
    rig_start(&rig, &options);
    int fd = rig_dial(&rig);
    expect_echo(fd, 1, 100);
    cr_assert_eq(netpoll_server_listeners(rig.server), 1);
    client_close(fd);
    rig_finish_when_idle(&rig);
}
