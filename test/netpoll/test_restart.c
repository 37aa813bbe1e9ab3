/* Listeners of other processes, and for them. */
#include "../support/process.h"
#include "rig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(restart, .timeout = 60);

static const struct netpoll_conn_options echo = {.on_request = echo_copy};

/* A listening socket of the test's own. */
static int make_listener(char address[NETPOLL_ADDRESS_BYTES])
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof in;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(bind(fd, (const struct sockaddr *)&in, n) == 0 && listen(fd, 100) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&in, &n) == 0);
    snprintf(address, NETPOLL_ADDRESS_BYTES, "127.0.0.1:%u", (unsigned)ntohs(in.sin_port));
    return fd;
}

static int copy_of(int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    CHECK(copy >= 0);
    return copy;
}

static void expect_served(const char *address)
{
    int fd = client_dial(address);
    expect_echo(fd, 1, 1000);
    client_close(fd);
}

Test(restart, a_listening_socket_of_others_is_served_and_outlives_the_server)
{
    struct rig rig = {.beside_another = true};
    char address[NETPOLL_ADDRESS_BYTES];
    char told[NETPOLL_ADDRESS_BYTES];
    int listener = make_listener(address);
    rig_start(&rig, &echo);
    cr_assert_eq(netpoll_server_listen_fd(rig.server, copy_of(listener)), 0);
    cr_assert_eq(netpoll_server_listeners(rig.server), 2);
    cr_assert_eq(netpoll_server_address(rig.server, 1, told, sizeof told), 0);
    cr_assert_str_eq(told, address);
    expect_served(address);
    rig_finish_when_idle(&rig);
    /* Closed, never shut down. */
    int late = client_dial(address);
    CHECK(fcntl(listener, F_SETFL, 0) == 0);
    int accepted = accept(listener, NULL, NULL);
    cr_assert_geq(accepted, 0);
    close(accepted);
    client_close(late);
    close(listener);
}

Test(restart, who_waits_at_a_socket_of_others_is_left_to_them)
{
    struct netpoll_server_options server_options = {.max_connections = 1};
    struct rig rig = {.beside_another = true, .server_options = &server_options};
    char address[NETPOLL_ADDRESS_BYTES];
    int listener = make_listener(address);
    rig_start(&rig, &echo);
    cr_assert_eq(netpoll_server_listen_fd(rig.server, copy_of(listener)), 0);
    int served = client_dial(address);
    expect_echo(served, 1, 100);
    int waiting = client_dial(address);
    WAIT_UNTIL(rig_stats(&rig).accept_pauses == 1);
    rig_finish(&rig);
    int accepted = accept(listener, NULL, NULL);
    cr_assert_geq(accepted, 0);
    client_send(accepted, "still here", 10);
    char words[10];
    cr_assert_eq(client_receive(waiting, words, 10), 10);
    close(accepted);
    client_close(waiting);
    client_close(served);
    close(listener);
}

static void expect_not_listened(const struct rig *rig, int fd, int expected)
{
    cr_assert_eq(netpoll_server_listen_fd(rig->server, fd), expected);
    cr_assert(expected == -EBADF || fcntl(fd, F_GETFD) >= 0, "it is the caller's");
    if (expected != -EBADF)
        close(fd);
}

Test(restart, what_does_not_listen_is_refused)
{
    struct rig rig = {0};
    char address[NETPOLL_ADDRESS_BYTES];
    int fds[2];
    rig_start(&rig, &echo);
    expect_not_listened(&rig, -1, -EBADF);
    expect_not_listened(&rig, socket(AF_INET, SOCK_STREAM, 0), -EINVAL);
    expect_not_listened(&rig, socket(AF_INET, SOCK_DGRAM, 0), -EPROTOTYPE);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    expect_not_listened(&rig, fds[0], -EINVAL);
    close(fds[1]);
    CHECK(pipe(fds) == 0);
    expect_not_listened(&rig, fds[0], -ENOTSOCK);
    close(fds[1]);
    cr_assert_eq(netpoll_server_listeners(rig.server), 1);
    cr_assert_eq(netpoll_server_shutdown(rig.server, 0), 0);
    expect_not_listened(&rig, make_listener(address), -ESHUTDOWN);
    rig_finish(&rig);
}

/* Socket activation, in processes of their own. */

struct activation {
    const char *pid; /* NULL: the child's */
    const char *count;
    int fds[2]; /* become 3 and 4 */
    int expected;
    char address[NETPOLL_ADDRESS_BYTES]; /* served when something is expected */
};

static void run_activated(void *arg)
{
    const struct activation *activation = arg;
    struct netpoll_runtime_options options = {.backend = backend_under_test(), .pollers = 1};
    struct netpoll_runtime *runtime;
    struct netpoll_server *server;
    char pid[32];
    int fds[2] = {fcntl(activation->fds[0], F_DUPFD_CLOEXEC, 10),
                  fcntl(activation->fds[1], F_DUPFD_CLOEXEC, 10)};
    CHECK(dup2(fds[0], 3) == 3 && dup2(fds[1], 4) == 4);
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    CHECK(setenv("LISTEN_PID", activation->pid != NULL ? activation->pid : pid, 1) == 0);
    CHECK(setenv("LISTEN_FDS", activation->count, 1) == 0);
    CHECK(netpoll_runtime_create(&options, &runtime) == 0);
    CHECK(netpoll_server_create(runtime, &echo, NULL, &server) == 0);
    CHECK(netpoll_server_listen_activated(server) == activation->expected);
    int listens = activation->expected > 0 ? activation->expected : 0;
    CHECK(netpoll_server_listeners(server) == (size_t)listens);
    CHECK(netpoll_server_listen_activated(server) == (listens > 0 ? 0 : activation->expected));
    const char *left = getenv("LISTEN_FDS");
    CHECK(left != NULL && strcmp(left, activation->count) == 0);
    if (listens > 0)
        expect_served(activation->address);
    CHECK(netpoll_server_shutdown(server, DEADLINE_MS) == 0);
    CHECK(netpoll_server_destroy(server) == 0 && netpoll_runtime_destroy(runtime) == 0);
}

static void expect_activated(struct activation *activation)
{
    char output[1024];
    int status = run_in_child(run_activated, activation, output, sizeof output);
    cr_assert_eq(status, 0, "%s", output);
}

Test(restart, sockets_that_the_process_was_started_with)
{
    struct activation activation = {.count = "2", .expected = 2};
    char second[NETPOLL_ADDRESS_BYTES];
    activation.fds[0] = make_listener(activation.address);
    activation.fds[1] = make_listener(second);
    expect_activated(&activation);
    memcpy(activation.address, second, sizeof second);
    expect_activated(&activation);
    activation.count = "1";
    activation.expected = 1;
    activation.fds[1] = STDERR_FILENO;
    expect_activated(&(struct activation){
        .count = "1", .expected = 0, .pid = "1", .fds = {activation.fds[0], STDERR_FILENO}});
    expect_activated(&(struct activation){
        .count = "2", .expected = -ENOTSOCK, .fds = {activation.fds[0], STDERR_FILENO}});
    expect_activated(&(struct activation){
        .count = "x", .expected = -EINVAL, .fds = {activation.fds[0], STDERR_FILENO}});
    expect_activated(&(struct activation){
        .count = "-1", .expected = -EINVAL, .fds = {activation.fds[0], STDERR_FILENO}});
    expect_activated(&(struct activation){
        .count = "0", .expected = 0, .fds = {activation.fds[0], STDERR_FILENO}});
}

/* Handover. */

struct handover {
    struct rig old;
    struct rig new;
    int fds[2];
    int status; /* of netpoll_server_hand_over() */
};

static void start_handover(struct handover *handover, const char *listen,
                           const struct netpoll_server_options *server_options)
{
    *handover = (struct handover){
        .old = {.beside_another = true, .listen = listen, .server_options = server_options},
        .new = {.beside_another = true, .server_options = server_options}};
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, handover->fds) == 0);
    rig_start(&handover->old, &echo);
    rig_start(&handover->new, &echo);
}

static void *hand_over(void *arg)
{
    struct handover *handover = arg;
    handover->status =
        netpoll_server_hand_over(handover->old.server, handover->fds[0], DEADLINE_MS);
    return NULL;
}

static int take_over(struct handover *handover)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, hand_over, handover) == 0);
    int count = netpoll_server_take_over(handover->new.server, handover->fds[1], DEADLINE_MS);
    pthread_join(thread, NULL);
    return count;
}

static void end_handover(struct handover *handover)
{
    rig_finish_when_idle(&handover->new);
    close(handover->fds[0]);
    close(handover->fds[1]);
}

static void expect_handover(const char *listen)
{
    struct handover handover;
    char address[NETPOLL_ADDRESS_BYTES];
    start_handover(&handover, listen, NULL);
    int busy = rig_dial(&handover.old);
    expect_echo(busy, 1, 100);
    cr_assert_eq(take_over(&handover), 1);
    cr_assert_eq(handover.status, 0);
    cr_assert_eq(netpoll_server_address(handover.new.server, 1, address, sizeof address), 0);
    cr_assert_str_eq(address, handover.old.address);
    cr_assert_eq(netpoll_server_listen(handover.new.server, address), 0, "that is done");
    cr_assert_eq(netpoll_server_listeners(handover.new.server), 2);
    expect_echo(busy, 2, 100);
    rig_finish(&handover.old);
    cr_assert(client_sees_end(busy));
    client_close(busy);
    expect_served(address);
    end_handover(&handover);
    cr_assert_lt(client_try_dial(address), 0, "its end is the end");
}

Test(restart, a_server_takes_the_place_of_another)
{
    char path[64];
    struct stat info;
    snprintf(path, sizeof path, "unix:@netpoll-handover-%d", (int)getpid());
    expect_handover(NULL);
    expect_handover("tcp6:localhost:0");
    expect_handover(path);
    snprintf(path, sizeof path, "unix:/tmp/netpoll-handover-%d", (int)getpid());
    expect_handover(path);
    cr_assert_eq(stat(path + 5, &info), -1, "the file goes with who has it last");
}

Test(restart, a_set_of_sockets_is_handed_over_as_one)
{
    struct netpoll_server_options options = {.balancing = NETPOLL_BALANCING_PER_POLLER};
    struct handover handover;
    int fds[100];
    start_handover(&handover, NULL, &options);
    cr_assert_eq(take_over(&handover), 2);
    cr_assert_eq(handover.status, 0);
    cr_assert_eq(netpoll_server_listeners(handover.new.server), 2);
    rig_finish(&handover.old);
    for (unsigned i = 0; i < 100; i++) {
        fds[i] = client_dial(handover.old.address);
        expect_echo(fds[i], i, 100);
    }
    for (uint32_t i = 0; i < 2; i++) {
        struct netpoll_stats stats;
        CHECK(netpoll_runtime_poller_stats_read(handover.new.runtime, i, &stats) == 0);
        cr_assert_gt(stats.accepted, 10);
        cr_assert_eq(stats.accepted, stats.connections);
    }
    for (unsigned i = 0; i < 100; i++)
        client_close(fds[i]);
    end_handover(&handover);
}

/* Who connects while both listen is served by one of them. */
Test(restart, who_waits_is_left_to_the_one_that_takes_over)
{
    struct netpoll_server_options options = {.max_connections = 1};
    struct handover handover;
    start_handover(&handover, NULL, &options);
    int first = rig_dial(&handover.old);
    expect_echo(first, 1, 100);
    int other = rig_dial(&handover.new);
    expect_echo(other, 1, 100);
    cr_assert_eq(take_over(&handover), 1);
    int waiting = rig_dial(&handover.old);
    rig_finish(&handover.old);
    client_close(other);
    expect_echo(waiting, 2, 100);
    client_close(waiting);
    client_close(first);
    end_handover(&handover);
}

static void expect_still_served(struct handover *handover)
{
    expect_served(handover->old.address);
    /* Not shared: who waits at the end is served. */
    int fd = rig_dial(&handover->old);
    client_send(fd, "last", 4);
    rig_finish(&handover->old);
    char answer[4];
    cr_assert_eq(client_receive(fd, answer, 4), 4);
    client_close(fd);
}

Test(restart, without_a_taker_everything_is_as_before)
{
    struct handover handover;
    start_handover(&handover, NULL, NULL);
    struct netpoll_server *old = handover.old.server;
    cr_assert_eq(netpoll_server_hand_over(old, handover.fds[0], 50), -ETIMEDOUT);
    cr_assert_eq(netpoll_server_hand_over(old, handover.fds[0], -2), -EINVAL);
    cr_assert_eq(netpoll_server_take_over(old, handover.fds[0], -2), -EINVAL);
    cr_assert_eq(netpoll_server_hand_over(old, -1, 50), -EBADF);
    close(handover.fds[1]);
    cr_assert_eq(netpoll_server_hand_over(old, handover.fds[0], DEADLINE_MS), -EPIPE);
    cr_assert_eq(netpoll_server_take_over(handover.new.server, handover.fds[0], 50), -EPIPE);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, handover.fds) == 0);
    cr_assert_eq(netpoll_server_take_over(handover.new.server, handover.fds[0], 50), -ETIMEDOUT);
    cr_assert_eq(netpoll_server_listeners(handover.new.server), 1);
    expect_still_served(&handover);
    end_handover(&handover);
}

Test(restart, a_taker_that_cannot_says_why)
{
    struct handover handover;
    start_handover(&handover, NULL, NULL);
    cr_assert_eq(netpoll_server_shutdown(handover.new.server, 0), 0);
    cr_assert_eq(take_over(&handover), -ESHUTDOWN);
    cr_assert_eq(handover.status, -ESHUTDOWN);
    expect_still_served(&handover);
    end_handover(&handover);
}

/* Sends bytes that are no record, with a descriptor or without. */
static void send_nonsense(int fd, int passed)
{
    char nonsense[4096];
    char control[CMSG_SPACE(sizeof passed)] = {0};
    memset(nonsense, 'x', sizeof nonsense);
    struct iovec iov = {.iov_base = nonsense, .iov_len = sizeof nonsense};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    if (passed >= 0) {
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        *head = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof passed), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(head), &passed, sizeof passed);
    }
    CHECK(sendmsg(fd, &message, 0) == sizeof nonsense);
}

Test(restart, nonsense_is_refused_and_leaves_nothing)
{
    struct handover handover;
    start_handover(&handover, NULL, NULL);
    size_t before = descriptor_count();
    send_nonsense(handover.fds[0], -1);
    cr_assert_eq(netpoll_server_take_over(handover.new.server, handover.fds[1], 1000), -EPROTO);
    for (unsigned i = 0; i < 2; i++) {
        int fds[2];
        CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
        send_nonsense(fds[0], STDERR_FILENO);
        int status = i == 0 ? netpoll_server_take_over(handover.new.server, fds[1], 1000)
                            : netpoll_server_hand_over(handover.old.server, fds[1], 1000);
        cr_assert_eq(status, -EPROTO);
        close(fds[0]);
        close(fds[1]);
    }
    cr_assert_eq(descriptor_count(), before);
    cr_assert_eq(netpoll_server_listeners(handover.new.server), 1);
    rig_finish(&handover.old);
    end_handover(&handover);
}

/* Passes the first of what comes on, with its descriptor. */
static void pass_one(const int fds[2])
{
    char bytes[4096];
    char control[CMSG_SPACE(sizeof(int))];
    struct iovec iov = {.iov_base = bytes, .iov_len = sizeof bytes};
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    int passed;
    /* A descriptor ends what is received at once. */
    ssize_t got = recvmsg(fds[0], &message, MSG_CMSG_CLOEXEC);
    CHECK(got > 0 && message.msg_controllen > 0);
    iov.iov_len = (size_t)got;
    CHECK(sendmsg(fds[1], &message, 0) == got);
    const struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    CHECK(head != NULL);
    memcpy(&passed, CMSG_DATA(head), sizeof passed);
    close(passed);
}

/* The same, and ends. */
static void *pass_one_on(void *arg)
{
    const int *fds = arg;
    pass_one(fds);
    close(fds[0]);
    close(fds[1]);
    return NULL;
}

Test(restart, half_a_handover_is_taken_back)
{
    struct handover handover;
    char listen[64];
    int other[2];
    pthread_t thread;
    snprintf(listen, sizeof listen, "unix:/tmp/netpoll-half-%d", (int)getpid());
    start_handover(&handover, listen, NULL);
    cr_assert_eq(netpoll_server_listen(handover.old.server, "127.0.0.1:0"), 0);
    /* What is handed over comes out of the first pair, and goes on into the second. */
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, other) == 0);
    int ends[2] = {handover.fds[1], other[0]};
    handover.fds[1] = other[1];
    CHECK(pthread_create(&thread, NULL, pass_one_on, ends) == 0);
    cr_assert_eq(take_over(&handover), -EPIPE);
    pthread_join(thread, NULL);
    cr_assert_eq(handover.status, -EPIPE);
    cr_assert_eq(netpoll_server_listeners(handover.new.server), 1);
    cr_assert_eq(access(listen + 5, F_OK), 0, "the file is the old one's");
    expect_still_served(&handover);
    cr_assert_eq(access(listen + 5, F_OK), -1);
    end_handover(&handover);
}

struct standstill {
    struct event begins;
    struct event ends; /* by the test */
};

static void stand_still(struct netpoll_timer *timer, void *arg)
{
    struct standstill *standstill = arg;
    (void)timer;
    event_add(&standstill->begins);
    event_wait(&standstill->ends, 1);
}

static void *take_half(void *arg)
{
    struct handover *handover = arg;
    CHECK(netpoll_server_take_over(handover->new.server, handover->fds[1], DEADLINE_MS) == -EPIPE);
    return NULL;
}

static void *shut_down(void *arg)
{
    CHECK(netpoll_server_shutdown(arg, DEADLINE_MS) == 0);
    return NULL;
}

/* The listeners that have come are ended by the poller after the handover has failed. */
Test(restart, half_a_handover_in_a_shutdown_is_taken_back)
{
    struct standstill standstill = {.begins = EVENT_INIT, .ends = EVENT_INIT};
    char listen[64];
    int other[2];
    pthread_t threads[3];
    struct netpoll_timer *timer;
    snprintf(listen, sizeof listen, "unix:/tmp/netpoll-half-end-%d", (int)getpid());
    struct handover handover = {.old = {.beside_another = true, .listen = listen},
                                .new = {.beside_another = true, .pollers = 1}};
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, handover.fds) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, other) == 0);
    rig_start(&handover.old, &echo);
    rig_start(&handover.new, &echo);
    cr_assert_eq(netpoll_server_listen(handover.old.server, "127.0.0.1:0"), 0);
    int ends[2] = {handover.fds[1], other[0]};
    handover.fds[1] = other[1];
    CHECK(pthread_create(&threads[0], NULL, hand_over, &handover) == 0);
    CHECK(pthread_create(&threads[1], NULL, take_half, &handover) == 0);
    pass_one(ends);
    WAIT_UNTIL(netpoll_server_listeners(handover.new.server) == 2);
    CHECK(netpoll_timer_after(handover.new.runtime, 0, stand_still, &standstill, &timer) == 0);
    event_wait(&standstill.begins, 1);
    CHECK(pthread_create(&threads[2], NULL, shut_down, handover.new.server) == 0);
    WAIT_UNTIL(netpoll_server_set_shared(handover.new.server, false) == -ESHUTDOWN);
    close(ends[0]);
    close(ends[1]);
    pthread_join(threads[1], NULL);
    event_add(&standstill.ends);
    pthread_join(threads[2], NULL);
    pthread_join(threads[0], NULL);
    netpoll_timer_release(timer);
    cr_assert_eq(handover.status, -EPIPE);
    cr_assert_eq(access(listen + 5, F_OK), 0, "the file is the old one's");
    expect_still_served(&handover);
    end_handover(&handover);
}

Test(restart, sockets_for_a_process_that_is_to_be_started)
{
    struct netpoll_server_options options = {.balancing = NETPOLL_BALANCING_PER_POLLER};
    struct rig rig = {.beside_another = true, .server_options = &options};
    int fds[3];
    rig_start(&rig, &echo);
    cr_assert_eq(netpoll_server_dup_listeners(rig.server, fds, 1), -ENOSPC);
    cr_assert_eq(netpoll_server_dup_listeners(rig.server, fds, 3), 2);
    cr_assert(is_close_on_exec(fds[0]) && is_close_on_exec(fds[1]));
    cr_assert_eq(netpoll_server_set_shared(rig.server, true), 0);
    rig_finish(&rig);
    client_close(rig_dial(&rig));
    close(fds[0]);
    close(fds[1]);
    cr_assert_eq(client_try_dial(rig.address), -ECONNREFUSED);
}

Test(restart, set_shared_can_be_taken_back)
{
    struct handover handover;
    start_handover(&handover, NULL, NULL);
    cr_assert_eq(netpoll_server_set_shared(handover.old.server, true), 0);
    cr_assert_eq(netpoll_server_set_shared(handover.old.server, false), 0);
    expect_still_served(&handover);
    end_handover(&handover);
}

/* Not for pollers. */
static void ask_on_poller(struct netpoll_conn *conn, void *arg)
{
    const struct rig *rig = arg;
    int fd = -1;
    CHECK(netpoll_server_listen_fd(rig->server, 0) == -EDEADLK);
    CHECK(netpoll_server_listen_activated(rig->server) == -EDEADLK);
    CHECK(netpoll_server_dup_listeners(rig->server, &fd, 1) == -EDEADLK);
    CHECK(netpoll_server_set_shared(rig->server, true) == -EDEADLK);
    CHECK(netpoll_server_hand_over(rig->server, 0, 1) == -EDEADLK);
    CHECK(netpoll_server_take_over(rig->server, 0, 1) == -EDEADLK);
    echo_copy(conn, NULL);
}

Test(restart, a_poller_is_refused)
{
    struct rig rig = {0};
    struct netpoll_conn_options options = {
        .on_request = ask_on_poller, .handler = NETPOLL_HANDLER_INLINE, .arg = &rig};
    rig_start(&rig, &options);
    rig_round_trip(&rig);
    rig_finish_when_idle(&rig);
}
