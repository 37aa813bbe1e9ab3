/*
 * Output that is refilled just when the poller ends a pause: np_state_clear() is replaced, so that
 * the flush comes between the poller's look and what it does about it.
 */
#include "rig.h"

#include "conn_state.h"

#include <stdlib.h>

#define LARGE ((size_t)8 << 20)

struct refill {
    struct grab grab; /* first: see grab_conn() */
    struct event refills;
    struct event requests;
};

static struct refill refill = {.grab = GRAB_INIT, .refills = EVENT_INIT, .requests = EVENT_INIT};
static char large[LARGE];
static atomic_bool is_armed;

/* The linker gives these names. NOLINTBEGIN(readability-identifier-naming) */
uint64_t __real_np_state_clear(struct np_conn_state *state, uint32_t bits);
uint64_t __wrap_np_state_clear(struct np_conn_state *state, uint32_t bits);
/* NOLINTEND(readability-identifier-naming) */

static void write_large(void)
{
    struct netpoll_conn *conn = refill.grab.conn;
    CHECK(netpoll_conn_write_ref(conn, large, LARGE, NULL, NULL) == 0);
    CHECK(netpoll_conn_flush(conn) == 1);
}

/* NOLINTNEXTLINE(readability-identifier-naming) */
uint64_t __wrap_np_state_clear(struct np_conn_state *state, uint32_t bits)
{
    if (bits == NP_CONN_PAUSE_OUTPUT && atomic_exchange(&is_armed, false)) {
        write_large();
        event_add(&refill.refills);
    }
    return __real_np_state_clear(state, bits);
}

static void echo(struct netpoll_conn *conn, void *arg)
{
    event_add(&((struct refill *)arg)->requests);
    echo_copy(conn, arg);
}

static void note_round(struct netpoll_timer *timer, void *arg)
{
    (void)timer;
    event_add(arg);
}

/* What could have come by now has come. */
static void let_the_poller_look(const struct rig *rig)
{
    struct event rounds = EVENT_INIT;
    for (uint32_t i = 1; i <= 3; i++) {
        struct netpoll_timer *timer;
        CHECK(netpoll_timer_after(rig->runtime, 20, note_round, &rounds, &timer) == 0);
        event_wait(&rounds, i);
        netpoll_timer_release(timer);
    }
}

int main(void)
{
    struct rig rig = {.pollers = 1};
    struct netpoll_conn_options options = {
        .on_connect = grab_conn, .on_request = echo, .arg = &refill};
    size_t n = 65536;
    char *into = malloc(2 * LARGE + 1);
    int refusal = backend_refusal();
    CHECK(into != NULL);
    if (refusal != 0)
        return STATUS_SKIPPED;
    rig_start(&rig, &options);
    int fd = client_dial_narrow(rig.address, 4096);
    event_wait(&refill.grab.connects, 1);
    atomic_store(&is_armed, true);
    write_large();
    size_t got = 0;
    for (; event_count(&refill.refills) == 0; got += n)
        CHECK(client_receive(fd, into, n) == n);
    client_send(fd, "x", 1);
    let_the_poller_look(&rig);
    CHECK(netpoll_conn_unsent(refill.grab.conn) > (size_t)1 << 20);
    CHECK(event_count(&refill.requests) == 0);
    /* The pause ends all the same. */
    CHECK(client_receive(fd, into, 2 * LARGE + 1 - got) == 2 * LARGE + 1 - got);
    CHECK(event_count(&refill.requests) == 1);
    client_close(fd);
    netpoll_conn_release(refill.grab.conn);
    rig_finish_when_idle(&rig);
    free(into);
    return 0;
}
