/* Descriptors that are no connections, watched on a poller. */
#include "rig.h"

#include <criterion/criterion.h>
#include <gopool/panic.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

static void start_rig(struct rig *rig)
{
    static const struct netpoll_conn_options options = {.on_request = echo_copy};
    rig_start(rig, &options);
}

struct look {
    struct event calls;
    int fd;
    _Atomic uint32_t events; /* all that were told */
    _Atomic uint64_t bytes;
    size_t step;   /* bytes read by a call */
    bool is_final; /* a call stops the watch */
};

static void take_step(struct netpoll_watch *watch, uint32_t events, void *arg)
{
    struct look *look = arg;
    char data[4096];
    atomic_fetch_or(&look->events, events);
    if ((events & NETPOLL_WATCH_READABLE) != 0) {
        ssize_t n = read(look->fd, data, look->step);
        if (n > 0)
            atomic_fetch_add(&look->bytes, (uint64_t)n);
    }
    if (look->is_final)
        CHECK(netpoll_watch_set(watch, 0) == 0);
    event_add(&look->calls);
}

static void open_pipe(int ends[2])
{
    CHECK(pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0);
}

static void close_pipe(const int ends[2])
{
    close(ends[0]);
    close(ends[1]);
}

/* The rig counts descriptors: another one in the place of the one that goes. */
static int close_but_keep_count(int fd)
{
    int spare = eventfd(0, EFD_CLOEXEC);
    close(fd);
    return spare;
}

Test(watch, what_is_left_is_told_again)
{
    struct rig rig = {0};
    struct netpoll_watch *watch;
    int ends[2];
    open_pipe(ends);
    struct look look = {.calls = EVENT_INIT, .fd = ends[0], .step = 10};
    start_rig(&rig);
    cr_assert_eq(
        netpoll_watch_open(rig.runtime, ends[0], NETPOLL_WATCH_READABLE, take_step, &look, &watch),
        0);
    CHECK(write(ends[1], "0123456789012345678901234", 25) == 25);
    event_wait(&look.calls, 3);
    cr_assert_eq(atomic_load(&look.bytes), 25);
    CHECK(write(ends[1], "x", 1) == 1);
    event_wait(&look.calls, 4);
    cr_assert_eq(netpoll_watch_close_wait(watch), 0);
    cr_assert_eq(event_count(&look.calls), 4, "no call without an event");
    cr_assert_eq(atomic_load(&look.events), NETPOLL_WATCH_READABLE);
    rig_finish(&rig);
    close_pipe(ends);
}

Test(watch, room_in_a_full_pipe)
{
    struct rig rig = {0};
    struct netpoll_watch *watch;
    char data[4096] = {0};
    int ends[2];
    open_pipe(ends);
    struct look look = {.calls = EVENT_INIT, .fd = ends[0], .is_final = true};
    while (write(ends[1], data, sizeof data) > 0)
        ;
    start_rig(&rig);
    cr_assert_eq(
        netpoll_watch_open(rig.runtime, ends[1], NETPOLL_WATCH_WRITABLE, take_step, &look, &watch),
        0);
    rig_round_trip(&rig);
    cr_assert_eq(event_count(&look.calls), 0);
    while (read(ends[0], data, sizeof data) > 0)
        ;
    event_wait(&look.calls, 1);
    cr_assert_eq(atomic_load(&look.events), NETPOLL_WATCH_WRITABLE);
    cr_assert_eq(netpoll_watch_close_wait(watch), 0);
    rig_finish_when_idle(&rig);
    close_pipe(ends);
}

Test(watch, events_may_be_changed_while_nothing_happens)
{
    struct rig rig = {0};
    struct netpoll_watch *watch;
    int ends[2];
    open_pipe(ends);
    struct look look = {.calls = EVENT_INIT, .fd = ends[0], .is_final = true};
    start_rig(&rig);
    cr_assert_eq(netpoll_watch_open(rig.runtime, ends[1], 0, take_step, &look, &watch), 0);
    cr_assert_eq(netpoll_watch_set(watch, NETPOLL_WATCH_READABLE), 0);
    rig_round_trip(&rig);
    cr_assert_eq(event_count(&look.calls), 0, "it can be written to, which nobody asked for");
    cr_assert_eq(netpoll_watch_set(watch, NETPOLL_WATCH_WRITABLE), 0);
    event_wait(&look.calls, 1);
    cr_assert_eq(netpoll_watch_set(watch, NETPOLL_WATCH_WRITABLE), 0);
    event_wait(&look.calls, 2);
    cr_assert_eq(netpoll_watch_close_wait(watch), 0);
    rig_finish_when_idle(&rig);
    close_pipe(ends);
}

Test(watch, hang_up_is_told_once)
{
    struct rig rig = {0};
    struct netpoll_watch *watch;
    int ends[2];
    open_pipe(ends);
    struct look look = {.calls = EVENT_INIT, .fd = ends[0], .step = 10};
    start_rig(&rig);
    cr_assert_eq(
        netpoll_watch_open(rig.runtime, ends[0], NETPOLL_WATCH_READABLE, take_step, &look, &watch),
        0);
    int spare = close_but_keep_count(ends[1]);
    event_wait(&look.calls, 1);
    rig_round_trip(&rig);
    cr_assert_eq(event_count(&look.calls), 1);
    cr_assert_neq(atomic_load(&look.events) & NETPOLL_WATCH_HANGUP, 0);
    cr_assert_eq(netpoll_watch_close_wait(watch), 0);
    rig_finish_when_idle(&rig);
    close(ends[0]);
    close(spare);
}

/* Without an event to ask for it is still told that the other side has gone, and that once, though
 * every call asks for nothing anew. */
Test(watch, hang_up_is_told_when_nothing_was_asked_for)
{
    struct rig rig = {0};
    struct netpoll_watch *watch;
    int ends[2];
    open_pipe(ends);
    struct look look = {.calls = EVENT_INIT, .fd = ends[0], .is_final = true};
    start_rig(&rig);
    cr_assert_eq(netpoll_watch_open(rig.runtime, ends[0], 0, take_step, &look, &watch), 0);
    CHECK(write(ends[1], "x", 1) == 1);
    rig_round_trip(&rig);
    cr_assert_eq(event_count(&look.calls), 0);
    int spare = close_but_keep_count(ends[1]);
    event_wait(&look.calls, 1);
    rig_round_trip(&rig);
    rig_round_trip(&rig);
    cr_assert_eq(event_count(&look.calls), 1);
    cr_assert_eq(atomic_load(&look.events), NETPOLL_WATCH_HANGUP);
    cr_assert_eq(netpoll_watch_set(watch, NETPOLL_WATCH_READABLE), 0);
    event_wait(&look.calls, 2);
    cr_assert_eq(netpoll_watch_close_wait(watch), 0);
    rig_finish_when_idle(&rig);
    close(ends[0]);
    close(spare);
}

Test(watch, what_came_before_the_hang_up_is_told_to_its_end)
{
    struct rig rig = {0};
    struct netpoll_watch *watch;
    int ends[2];
    open_pipe(ends);
    struct look look = {.calls = EVENT_INIT, .fd = ends[0], .step = 10};
    CHECK(write(ends[1], "0123456789012345678901234", 25) == 25);
    close(ends[1]);
    start_rig(&rig);
    cr_assert_eq(
        netpoll_watch_open(rig.runtime, ends[0], NETPOLL_WATCH_READABLE, take_step, &look, &watch),
        0);
    event_wait(&look.calls, 4);
    rig_round_trip(&rig);
    cr_assert_eq(event_count(&look.calls), 4, "three steps, and the hang-up alone");
    cr_assert_eq(atomic_load(&look.bytes), 25);
    cr_assert_eq(netpoll_watch_close_wait(watch), 0);
    rig_finish_when_idle(&rig);
    close(ends[0]);
}

static uint64_t wakeups(const struct rig *rig)
{
    return rig_stats(rig).wakeups;
}

static void fill(int fd)
{
    char data[4096] = {0};
    while (write(fd, data, sizeof data) > 0)
        ;
}

static void drain(int fd)
{
    char data[4096];
    while (read(fd, data, sizeof data) > 0)
        ;
}

/* The end of the other side's half is no event of those who only write. */
Test(watch, a_half_that_has_ended_does_not_hide_what_was_asked_for)
{
    struct rig rig = {.pollers = 1};
    struct netpoll_watch *watch;
    int ends[2];
    struct look look = {.calls = EVENT_INIT, .fd = -1, .is_final = true};
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    fill(ends[0]);
    start_rig(&rig);
    cr_assert_eq(
        netpoll_watch_open(rig.runtime, ends[0], NETPOLL_WATCH_WRITABLE, take_step, &look, &watch),
        0);
    for (int i = 0; i < 3; i++) {
        CHECK(shutdown(ends[1], SHUT_WR) == 0);
        rig_round_trip(&rig);
        uint64_t before = wakeups(&rig);
        for (int trip = 0; trip < 5; trip++)
            rig_round_trip(&rig);
        cr_assert_leq(wakeups(&rig), before + 100, "it goes round for nothing");
        cr_assert_eq(event_count(&look.calls), (uint64_t)i);
        drain(ends[1]);
        event_wait(&look.calls, (uint64_t)i + 1);
        fill(ends[0]);
        cr_assert_eq(netpoll_watch_set(watch, NETPOLL_WATCH_WRITABLE), 0);
    }
    cr_assert_eq(atomic_load(&look.events), NETPOLL_WATCH_WRITABLE);
    cr_assert_eq(netpoll_watch_close_wait(watch), 0);
    rig_finish_when_idle(&rig);
    close_pipe(ends);
}

Test(watch, an_error_is_told)
{
    struct rig rig = {0};
    struct netpoll_watch *watch;
    int ends[2];
    open_pipe(ends);
    struct look look = {.calls = EVENT_INIT, .fd = -1};
    fill(ends[1]);
    start_rig(&rig);
    cr_assert_eq(netpoll_watch_open(rig.runtime, ends[1], 0, take_step, &look, &watch), 0);
    int spare = close_but_keep_count(ends[0]);
    event_wait(&look.calls, 1);
    cr_assert_eq(atomic_load(&look.events), NETPOLL_WATCH_ERROR);
    cr_assert_eq(netpoll_watch_close_wait(watch), 0);
    rig_finish(&rig);
    close(ends[1]);
    close(spare);
}

Test(watch, a_signal)
{
    struct rig rig = {0};
    struct netpoll_watch *watch;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    CHECK(fd >= 0);
    struct look look = {.calls = EVENT_INIT, .fd = fd, .step = sizeof(struct signalfd_siginfo)};
    start_rig(&rig);
    cr_assert_eq(
        netpoll_watch_open(rig.runtime, fd, NETPOLL_WATCH_READABLE, take_step, &look, &watch), 0);
    CHECK(kill(getpid(), SIGUSR1) == 0);
    event_wait(&look.calls, 1);
    /* A signal is there for any thread that reads; the poller's own need not have it pending. */
    cr_assert_eq(netpoll_watch_close_wait(watch), 0);
    rig_finish(&rig);
    close(fd);
}
