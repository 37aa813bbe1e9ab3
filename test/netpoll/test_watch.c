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
    int spare = dup(ends[0]); /* in the place of the end that goes */
    close(ends[1]);
    event_wait(&look.calls, 1);
    rig_round_trip(&rig);
    cr_assert_eq(event_count(&look.calls), 1);
    cr_assert_neq(atomic_load(&look.events) & NETPOLL_WATCH_HANGUP, 0);
    cr_assert_eq(netpoll_watch_close_wait(watch), 0);
    rig_finish_when_idle(&rig);
    close(ends[0]);
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

Test(watch, may_be_closed_by_its_own_function)
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

Test(watch, may_be_closed_while_events_come)
{
    struct rig rig = {0};
    start_rig(&rig);
    for (int i = 0; i < 200; i++) {
        int fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
        struct look look = {.calls = EVENT_INIT, .fd = -1};
        struct netpoll_watch *watch;
        cr_assert_eq(
            netpoll_watch_open(rig.runtime, fd, NETPOLL_WATCH_READABLE, take_step, &look, &watch),
            0);
        event_wait(&look.calls, (uint64_t)i % 3);
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

Test(watch, a_panic_is_logged_and_silences_it)
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

Test(watch, bad_ones_are_refused)
{
    struct rig rig = {0};
    struct look look = {.calls = EVENT_INIT};
    struct netpoll_watch *watch = (struct netpoll_watch *)&rig;
    int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    int fd = eventfd(0, EFD_CLOEXEC);
    start_rig(&rig);
    cr_assert_eq(netpoll_watch_open(rig.runtime, fd, 1, NULL, &look, &watch), -EINVAL);
    cr_assert_null(watch);
    cr_assert_eq(
        netpoll_watch_open(rig.runtime, fd, NETPOLL_WATCH_HANGUP, take_step, &look, &watch),
        -EINVAL);
    cr_assert_eq(netpoll_watch_open(rig.runtime, -1, 1, take_step, &look, &watch), -EBADF);
    cr_assert_eq(netpoll_watch_open(rig.runtime, file, 1, take_step, &look, &watch), -EPERM);
    cr_assert_eq(netpoll_watch_open(rig.runtime, fd, 1, take_step, &look, &watch), 0);
    cr_assert_eq(netpoll_watch_set(watch, 64), -EINVAL);
    cr_assert_eq(netpoll_watch_close_wait(watch), 0);
    rig_finish(&rig);
    close(fd);
    close(file);
}

Test(watch, keeps_its_runtime_from_being_destroyed)
{
    struct netpoll_runtime *runtime;
    struct look look = {.calls = EVENT_INIT};
    struct netpoll_watch *watch;
    struct netpoll_runtime_options options = {.backend = backend_under_test()};
    int fd = eventfd(0, EFD_CLOEXEC);
    cr_assert_eq(netpoll_runtime_create(&options, &runtime), 0);
    cr_assert_eq(netpoll_watch_open(runtime, fd, 1, take_step, &look, &watch), 0);
    cr_assert_eq(netpoll_runtime_destroy(runtime), -EBUSY);
    cr_assert_eq(netpoll_watch_close_wait(watch), 0);
    cr_assert_eq(netpoll_runtime_destroy(runtime), 0);
    close(fd);
}
