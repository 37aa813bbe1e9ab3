/* How watches end, alone and by the thousand, and who may not have one. */
#include "rig.h"

#include <criterion/criterion.h>
#include <gopool/panic.h>

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void start_rig(struct rig *rig)
{
    static const struct netpoll_conn_options options = {.on_request = echo_copy};
    rig_start(rig, &options);
}

static void count_call(struct netpoll_watch *watch, uint32_t events, void *arg)
{
    (void)watch;
    (void)events;
    event_add(arg);
}

struct closer {
    struct event closed;
    struct event calls;
    int fd;
};

static void tell_closed(void *arg)
{
    struct closer *closer = arg;
    close(closer->fd);
    event_add(&closer->closed);
}

static void close_at_once(struct netpoll_watch *watch, uint32_t events, void *arg)
{
    struct closer *closer = arg;
    (void)events;
    event_add(&closer->calls);
    netpoll_watch_close(watch, tell_closed, closer);
}

Test(watch_end, may_be_closed_by_its_own_function)
{
    struct rig rig = {0};
    start_rig(&rig);
    for (int i = 0; i < 100; i++) {
        struct closer closer = {.closed = EVENT_INIT, .calls = EVENT_INIT};
        struct netpoll_watch *watch;
        closer.fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
        cr_assert_eq(netpoll_watch_open(rig.runtime, closer.fd, NETPOLL_WATCH_READABLE,
                                        close_at_once, &closer, &watch),
                     0);
        event_wait(&closer.closed, 1);
        cr_assert_eq(event_count(&closer.calls), 1);
    }
    rig_finish(&rig);
}

Test(watch_end, may_be_closed_while_events_come)
{
    struct rig rig = {0};
    start_rig(&rig);
    for (int i = 0; i < 200; i++) {
        int fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
        struct event calls = EVENT_INIT;
        struct netpoll_watch *watch;
        cr_assert_eq(
            netpoll_watch_open(rig.runtime, fd, NETPOLL_WATCH_READABLE, count_call, &calls, &watch),
            0);
        event_wait(&calls, (uint64_t)i % 3);
        cr_assert_eq(netpoll_watch_close_wait(watch), 0);
        close(fd);
    }
    rig_finish(&rig);
}

static void panic_now(struct netpoll_watch *watch, uint32_t events, void *arg)
{
    (void)watch;
    (void)events;
    event_add(arg);
    gopool_panic("seen too much");
}

Test(watch_end, a_panic_is_logged_and_silences_it)
{
    struct rig rig = {.expected_logs = 1};
    struct event calls = EVENT_INIT;
    struct netpoll_watch *watch;
    int fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
    start_rig(&rig);
    cr_assert_eq(
        netpoll_watch_open(rig.runtime, fd, NETPOLL_WATCH_READABLE, panic_now, &calls, &watch), 0);
    event_wait(&calls, 1);
    rig_round_trip(&rig);
    cr_assert_eq(event_count(&calls), 1);
    cr_assert_eq(netpoll_watch_close_wait(watch), 0);
    rig_finish_when_idle(&rig);
    close(fd);
}

Test(watch_end, bad_ones_are_refused)
{
    struct rig rig = {0};
    struct event calls = EVENT_INIT;
    struct netpoll_watch *watch = (struct netpoll_watch *)&rig;
    int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    int fd = eventfd(0, EFD_CLOEXEC);
    start_rig(&rig);
    cr_assert_eq(netpoll_watch_open(rig.runtime, fd, 1, NULL, &calls, &watch), -EINVAL);
    cr_assert_null(watch);
    cr_assert_eq(
        netpoll_watch_open(rig.runtime, fd, NETPOLL_WATCH_HANGUP, count_call, &calls, &watch),
        -EINVAL);
    cr_assert_eq(netpoll_watch_open(rig.runtime, -1, 1, count_call, &calls, &watch), -EBADF);
    cr_assert_eq(netpoll_watch_open(rig.runtime, file, 1, count_call, &calls, &watch), -EPERM);
    cr_assert_eq(netpoll_watch_open(rig.runtime, fd, 1, count_call, &calls, &watch), 0);
    cr_assert_eq(netpoll_watch_set(watch, 64), -EINVAL);
    cr_assert_eq(netpoll_watch_close_wait(watch), 0);
    rig_finish(&rig);
    close(fd);
    close(file);
}

Test(watch_end, keeps_its_runtime_from_being_destroyed)
{
    struct netpoll_runtime *runtime;
    struct event calls = EVENT_INIT;
    struct netpoll_watch *watch;
    struct netpoll_runtime_options options = {.backend = backend_under_test()};
    int fd = eventfd(0, EFD_CLOEXEC);
    cr_assert_eq(netpoll_runtime_create(&options, &runtime), 0);
    cr_assert_eq(netpoll_watch_open(runtime, fd, 1, count_call, &calls, &watch), 0);
    cr_assert_eq(netpoll_runtime_destroy(runtime), -EBUSY);
    cr_assert_eq(netpoll_watch_close_wait(watch), 0);
    cr_assert_eq(netpoll_runtime_destroy(runtime), 0);
    close(fd);
}

static void panic_at_the_end(void *arg)
{
    event_add(arg);
    gopool_panic("at the end");
}

Test(watch_end, a_panic_in_the_last_call_is_logged)
{
    struct rig rig = {.expected_logs = 1};
    struct event calls = EVENT_INIT;
    struct netpoll_watch *watch;
    int fd = eventfd(0, EFD_CLOEXEC);
    start_rig(&rig);
    cr_assert_eq(netpoll_watch_open(rig.runtime, fd, 1, count_call, &calls, &watch), 0);
    netpoll_watch_close(watch, panic_at_the_end, &calls);
    event_wait(&calls, 1);
    rig_round_trip(&rig);
    rig_finish_when_idle(&rig);
    close(fd);
}

static void wait_for_itself(struct netpoll_watch *watch, uint32_t events, void *arg)
{
    (void)events;
    CHECK(netpoll_watch_close_wait(watch) == -EDEADLK);
    CHECK(netpoll_watch_set(watch, 0) == 0);
    event_add(arg);
}

Test(watch_end, waiting_on_a_poller_is_a_deadlock)
{
    struct rig rig = {0};
    struct event calls = EVENT_INIT;
    struct netpoll_watch *watch;
    int fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    start_rig(&rig);
    cr_assert_eq(netpoll_watch_open(rig.runtime, fd, 1, wait_for_itself, &calls, &watch), 0);
    event_wait(&calls, 1);
    cr_assert_eq(netpoll_watch_close_wait(watch), 0);
    rig_finish(&rig);
    close(fd);
}

Test(watch_end, a_child_of_fork_is_refused)
{
    struct rig rig = {0};
    struct event calls = EVENT_INIT;
    struct netpoll_watch *watch;
    int status;
    int fd = eventfd(0, EFD_CLOEXEC);
    start_rig(&rig);
    cr_assert_eq(netpoll_watch_open(rig.runtime, fd, 1, count_call, &calls, &watch), 0);
    pid_t child = fork();
    if (child == 0) {
        struct netpoll_watch *mine;
        bool is_refused =
            netpoll_watch_set(watch, 0) == -EPERM && netpoll_watch_close_wait(watch) == -EPERM &&
            netpoll_watch_open(rig.runtime, fd, 1, count_call, &calls, &mine) == -EPERM;
        netpoll_watch_close(watch, NULL, NULL);
        _exit(is_refused ? 0 : 1);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
    uint64_t one = 1;
    CHECK(write(fd, &one, sizeof one) == sizeof one);
    event_wait(&calls, 1);
    cr_assert_eq(netpoll_watch_close_wait(watch), 0);
    rig_finish(&rig);
    close(fd);
}

/* Two that are on one poller, and see events in the same round. */
struct rivals {
    struct netpoll_watch *watches[2];
    struct event calls;
    struct event held; /* the poller, until both have an event */
    struct event gate;
    struct event ends;
    bool closes;
    int winner; /* whose function was called */
};

static void note_rival(void *arg)
{
    event_add(arg);
}

static void silence_other(struct netpoll_watch *watch, uint32_t events, void *arg)
{
    struct rivals *rivals = arg;
    struct netpoll_watch *other = rivals->watches[watch == rivals->watches[0]];
    (void)events;
    rivals->winner = watch != rivals->watches[0];
    event_add(&rivals->calls);
    CHECK(netpoll_watch_set(watch, 0) == 0);
    if (rivals->closes)
        netpoll_watch_close(other, note_rival, &rivals->ends);
    else
        CHECK(netpoll_watch_set(other, 0) == 0);
}

static void hold_poller(struct netpoll_timer *timer, void *arg)
{
    struct rivals *rivals = arg;
    netpoll_timer_release(timer);
    event_add(&rivals->held);
    event_wait(&rivals->gate, 1);
}

static void run_rivals(bool closes)
{
    struct rig rig = {.pollers = 1};
    struct rivals rivals = {.calls = EVENT_INIT,
                            .held = EVENT_INIT,
                            .gate = EVENT_INIT,
                            .ends = EVENT_INIT,
                            .closes = closes};
    struct netpoll_timer *timer;
    int pairs[2][2];
    for (int i = 0; i < 2; i++)
        CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pairs[i]) == 0);
    start_rig(&rig);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(netpoll_watch_open(rig.runtime, pairs[i][0], NETPOLL_WATCH_READABLE,
                                        silence_other, &rivals, &rivals.watches[i]),
                     0);
    }
    rig_round_trip(&rig);
    cr_assert_eq(netpoll_timer_after(rig.runtime, 0, hold_poller, &rivals, &timer), 0);
    event_wait(&rivals.held, 1);
    /* A hang-up would be told though nothing is asked for. */
    for (int i = 0; i < 2; i++)
        CHECK(closes ? shutdown(pairs[i][1], SHUT_RDWR) == 0 : write(pairs[i][1], "x", 1) == 1);
    event_add(&rivals.gate);
    event_wait(&rivals.calls, 1);
    rig_round_trip(&rig);
    cr_assert_eq(event_count(&rivals.calls), 1);
    if (closes)
        event_wait(&rivals.ends, 1);
    for (int i = 0; i < 2; i++) {
        if (!closes || i == rivals.winner)
            cr_assert_eq(netpoll_watch_close_wait(rivals.watches[i]), 0);
    }
    rig_finish_when_idle(&rig);
    for (int i = 0; i < 4; i++)
        close(pairs[i / 2][i % 2]);
}

Test(watch_end, what_its_poller_takes_back_is_not_told)
{
    run_rivals(false);
}

Test(watch_end, what_its_poller_closes_is_not_told)
{
    run_rivals(true);
}

static void keep_events(struct netpoll_watch *watch, uint32_t events, void *arg)
{
    struct closer *closer = arg;
    (void)watch;
    closer->fd = (int)events;
    event_add(&closer->calls);
}

/* epoll knows a descriptor once; where it is so, the second watch is told. */
Test(watch_end, what_cannot_be_watched_is_told_as_an_error)
{
    struct netpoll_backend_info info;
    struct rig rig = {.pollers = 1};
    struct event calls = EVENT_INIT;
    struct closer second = {.calls = EVENT_INIT};
    struct netpoll_watch *watches[2];
    int fd = eventfd(0, EFD_CLOEXEC);
    bool is_epoll = backend_under_test() == NETPOLL_BACKEND_EPOLL;
    rig.expected_logs = is_epoll ? 2 : 0;
    start_rig(&rig);
    netpoll_runtime_backend(rig.runtime, &info);
    cr_assert_eq(strcmp(info.name, "epoll") == 0, is_epoll);
    cr_assert_eq(netpoll_watch_open(rig.runtime, fd, 1, count_call, &calls, &watches[0]), 0);
    cr_assert_eq(netpoll_watch_open(rig.runtime, fd, 1, keep_events, &second, &watches[1]), 0);
    if (is_epoll) {
        event_wait(&second.calls, 1);
        cr_assert_eq(second.fd, NETPOLL_WATCH_ERROR);
        cr_assert_eq(netpoll_watch_set(watches[1], NETPOLL_WATCH_WRITABLE), 0);
        event_wait(&second.calls, 2);
        cr_assert_eq(second.fd, NETPOLL_WATCH_ERROR);
        cr_assert_eq(netpoll_watch_close_wait(watches[0]), 0);
        cr_assert_eq(netpoll_watch_set(watches[1], NETPOLL_WATCH_WRITABLE), 0);
        event_wait(&second.calls, 3);
        cr_assert_eq(second.fd, NETPOLL_WATCH_WRITABLE);
    } else {
        cr_assert_eq(netpoll_watch_close_wait(watches[0]), 0);
    }
    cr_assert_eq(netpoll_watch_close_wait(watches[1]), 0);
    rig_finish(&rig);
    close(fd);
}

static void count_end(void *arg)
{
    event_add(arg);
}

#define MANY 1000U

struct seat {
    struct event *all;
    int fd;
    unsigned calls; /* poller */
};

static void take_seat(struct netpoll_watch *watch, uint32_t events, void *arg)
{
    struct seat *seat = arg;
    uint64_t count;
    (void)watch;
    CHECK(events == NETPOLL_WATCH_READABLE);
    CHECK(read(seat->fd, &count, sizeof count) == sizeof count);
    seat->calls++;
    event_add(seat->all);
}

Test(watch_end, a_thousand)
{
    static struct seat seats[MANY];
    static struct netpoll_watch *watches[MANY];
    struct rig rig = {0};
    struct event all = EVENT_INIT;
    struct event ends = EVENT_INIT;
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    start_rig(&rig);
    for (unsigned i = 0; i < MANY; i++) {
        seats[i] = (struct seat){.all = &all, .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
        cr_assert_eq(netpoll_watch_open(rig.runtime, seats[i].fd, NETPOLL_WATCH_READABLE, take_seat,
                                        &seats[i], &watches[i]),
                     0);
    }
    for (uint64_t round = 1; round <= 5; round++) {
        for (unsigned i = 0; i < MANY; i++)
            CHECK(write(seats[i].fd, &round, sizeof round) == sizeof round);
        event_wait(&all, round * MANY);
    }
    for (unsigned i = 0; i < MANY; i++)
        netpoll_watch_close(watches[i], count_end, &ends);
    event_wait(&ends, MANY);
    for (unsigned i = 0; i < MANY; i++) {
        cr_assert_eq(seats[i].calls, 5);
        close(seats[i].fd);
    }
    rig_finish(&rig);
}
