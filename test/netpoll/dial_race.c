/*
 * Dials of every kind at once, for ThreadSanitizer: some come about, some are refused, some hang
 * and are called off at any moment, sockets are adopted, and then the dialer shuts down in the
 * middle of it. Every function must be called exactly once and nothing be left.
 */
#include "../support/pattern.h"
#include "dial_rig.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DIALERS    4
#define DIALS      400
#define DIALS_OPEN 16

struct race {
    struct dial_rig rig;
    struct deaf deaf;
    char nobody[NETPOLL_ADDRESS_BYTES];
    /* Relaxed: read when every thread has been joined and the dialer has ended. */
    _Atomic uint64_t started;
    _Atomic uint64_t told;
    _Atomic uint64_t connected;
    _Atomic uint64_t called_off;
    _Atomic uint64_t told_called_off;
    _Atomic bool is_shutting_down; /* set before the shutdown: then any dial may end by it */
};

static void count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static void dialed(struct netpoll_conn *conn, int status, void *arg)
{
    struct race *race = arg;
    count(&race->told);
    if (status == -ECANCELED)
        count(&race->told_called_off);
    CHECK(status == 0 || status == -ECANCELED || status == -ETIMEDOUT || status == -ECONNREFUSED ||
          status == -ESHUTDOWN);
    CHECK(status != -ESHUTDOWN || atomic_load(&race->is_shutting_down));
    if (conn == NULL)
        return;
    count(&race->connected);
    if ((atomic_load(&race->connected) & 1) != 0)
        (void)netpoll_conn_close(conn);
    else
        (void)netpoll_conn_abort(conn);
    netpoll_conn_release(conn);
}

static const char *address_of(struct race *race, uint64_t which)
{
    if (which < 4)
        return race->rig.rig.address;
    return which == 4 ? race->nobody : race->deaf.address;
}

/* Starts one in a place of its own, when the one that was there has been called off or let go of.
 */
static bool replace(struct race *race, struct netpoll_dial **place, uint64_t *seed)
{
    if (*place != NULL) {
        if (random_below(seed, 2) == 0 && netpoll_dial_cancel(*place) == 1)
            count(&race->called_off);
        netpoll_dial_release(*place);
        *place = NULL;
    }
    int64_t timeout_ms = (int64_t)random_size(seed, 100);
    int status = netpoll_dialer_start(race->rig.dialer, address_of(race, random_below(seed, 6)),
                                      timeout_ms, dialed, race, place);
    CHECK(status == 0 || status == -ESHUTDOWN);
    if (status == 0)
        count(&race->started);
    return status == 0;
}

static bool dial_and_echo(struct race *race, uint64_t *seed)
{
    struct netpoll_conn *conn;
    int status = netpoll_dialer_dial(race->rig.dialer, race->rig.rig.address,
                                     (int64_t)random_size(seed, 1000), &conn);
    CHECK(status == 0 || status == -ETIMEDOUT || status == -ESHUTDOWN);
    if (status != 0)
        return status != -ESHUTDOWN;
    char byte = 'x';
    if (netpoll_conn_write(conn, &byte, 1) == 0 && netpoll_conn_flush(conn) >= 0)
        (void)!netpoll_conn_wait(conn, 1, 1000);
    netpoll_conn_release(conn);
    return true;
}

static bool adopt(struct race *race)
{
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    int status = netpoll_dialer_adopt(race->rig.dialer, pair[0], NULL);
    CHECK(status == 0 || status == -ESHUTDOWN);
    client_close(pair[1]);
    if (status != 0)
        client_close(pair[0]);
    return status == 0;
}

struct dialing {
    struct race *race;
    uint64_t seed;
    pthread_t thread;
};

static void *run(void *arg)
{
    struct dialing *dialing = arg;
    struct netpoll_dial *open[DIALS_OPEN] = {NULL};
    bool goes_on = true;
    for (int i = 0; i < DIALS && goes_on; i++) {
        uint64_t what = random_below(&dialing->seed, 10);
        if (what == 0)
            goes_on = dial_and_echo(dialing->race, &dialing->seed);
        else if (what == 1)
            goes_on = adopt(dialing->race);
        else
            goes_on = replace(dialing->race, &open[random_below(&dialing->seed, DIALS_OPEN)],
                              &dialing->seed);
    }
    for (int i = 0; i < DIALS_OPEN; i++)
        netpoll_dial_release(open[i]);
    return NULL;
}

static void run_round(uint64_t seed, uint64_t until_shutdown)
{
    static struct dialing dialings[DIALERS];
    struct race race = {0};
    race.rig.options.fallback_ms = 10;
    deaf_start(&race.deaf, (seed & 1) != 0 ? "127.0.0.1:0" : own_unix_name("dial-race"));
    free_address(race.nobody, sizeof race.nobody);
    dial_rig_start(&race.rig);
    for (int i = 0; i < DIALERS; i++) {
        dialings[i] = (struct dialing){.race = &race, .seed = seed * DIALERS + (uint64_t)i + 1};
        CHECK(pthread_create(&dialings[i].thread, NULL, run, &dialings[i]) == 0);
    }
    WAIT_UNTIL(atomic_load(&race.told) >= until_shutdown);
    atomic_store(&race.is_shutting_down, true);
    CHECK(netpoll_dialer_shutdown(race.rig.dialer, 20) >= 0);
    for (int i = 0; i < DIALERS; i++)
        CHECK(pthread_join(dialings[i].thread, NULL) == 0);
    CHECK(atomic_load(&race.started) == atomic_load(&race.told));
    CHECK(atomic_load(&race.called_off) == atomic_load(&race.told_called_off));
    printf("%llu dials, %llu connected, %llu called off\n", (unsigned long long)race.started,
           (unsigned long long)race.connected, (unsigned long long)race.called_off);
    dial_rig_finish(&race.rig);
    deaf_finish(&race.deaf);
}

int main(void)
{
    int error = backend_refusal();
    if (error != 0) {
        fprintf(stderr, "skipped: io_uring is refused here: %s\n", strerror(error));
        return STATUS_SKIPPED;
    }
    for (uint64_t round = 0; round < 10; round++)
        run_round(round, round * 100);
    return 0;
}
