/*
 * A pool of few places under everything at once, for ThreadSanitizer: gets that block and gets that
 * do not, peers that hang up, connections that are closed or aborted while they are out, idle and
 * wait timeouts of milliseconds, and a stop in the middle of it. Every get must be answered once,
 * no connection be handed to two at a time, and nothing be left.
 */
#include "../support/pattern.h"
#include "dial_rig.h"

#include <errno.h>
#include <netpoll/client_pool.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define GETTERS  8
#define GETS     300
#define IN_HANDS 64

struct race {
    struct dial_rig rig;
    struct netpoll_client_pool *pool;
    char addresses[2][NETPOLL_ADDRESS_BYTES];
    /* Relaxed, all: read when every thread has been joined and nothing is under way. */
    _Atomic uint64_t started;
    _Atomic uint64_t told;
    _Atomic uint64_t given;
    _Atomic uint64_t reused;
    _Atomic bool is_stopped; /* set before the stop */
    /* Ids of connections that somebody has, by slot. */
    _Atomic uint64_t in_hands[IN_HANDS];
};

struct getting {
    struct race *race;
    uint64_t seed;
    pthread_t thread;
};

/* Some connections hang up after a word or two, in the middle of a request or of nothing. */
static void answer(struct netpoll_conn *conn, void *arg)
{
    const void *data;
    size_t n = netpoll_conn_len(conn);
    (void)arg;
    if (netpoll_conn_next(conn, n, &data) != 0)
        return;
    char last = ((const char *)data)[n - 1];
    if (last % 16 == 1)
        (void)netpoll_conn_abort(conn);
    else if (netpoll_conn_write(conn, data, n) == 0)
        (void)!netpoll_conn_flush(conn);
    if (last % 16 == 2)
        (void)netpoll_conn_close(conn);
}

static void mark(struct race *race, const struct netpoll_conn *conn, bool mine)
{
    uint64_t id = netpoll_conn_id(conn);
    uint64_t expected = mine ? 0 : id;
    /* More are out than slots: then those that meet are not looked at. */
    _Atomic uint64_t *slot = &race->in_hands[id % IN_HANDS];
    uint64_t found = expected;
    bool done = atomic_compare_exchange_strong(slot, &found, mine ? id : 0);
    CHECK(done || found != (mine ? id : 0) || !mine);
}

static void use(struct race *race, struct netpoll_conn *conn, uint64_t *seed)
{
    mark(race, conn, true);
    char byte = (char)random_below(seed, 127);
    const void *back;
    bool is_good = netpoll_conn_write(conn, &byte, 1) == 0 && netpoll_conn_flush(conn) >= 0 &&
                   netpoll_conn_wait(conn, 1, DEADLINE_MS) == 0 &&
                   netpoll_conn_next(conn, 1, &back) == 0;
    if (is_good)
        CHECK(*(const char *)back == byte && netpoll_conn_len(conn) == 0);
    /* About as long as others wait, so that places come and waits end at the same time. */
    for (int64_t until_ms = now_ms() + (int64_t)random_below(seed, 3); now_ms() < until_ms;)
        sched_yield();
    if (random_below(seed, 16) == 0)
        (void)netpoll_conn_abort(conn);
    mark(race, conn, false);
    CHECK(netpoll_client_pool_put(race->pool, conn, is_good) == 0);
}

static bool is_expected(struct race *race, int status)
{
    if (status == -ESHUTDOWN)
        return atomic_load(&race->is_stopped);
    return status == 0 || status == -ETIMEDOUT || status == -ECONNRESET;
}

static void note(struct race *race, struct netpoll_conn *conn, int status)
{
    CHECK(is_expected(race, status));
    atomic_fetch_add(&race->told, 1);
    if (conn == NULL)
        return;
    atomic_fetch_add(&race->given, 1);
    if (netpoll_client_pool_is_reused(race->pool, conn))
        atomic_fetch_add(&race->reused, 1);
}

/* On a poller: nothing may be waited for there, so the connection goes back as it is. */
static void got(struct netpoll_conn *conn, int status, void *arg)
{
    struct race *race = arg;
    note(race, conn, status);
    if (conn == NULL)
        return;
    mark(race, conn, true);
    mark(race, conn, false);
    CHECK(netpoll_client_pool_put(race->pool, conn, (netpoll_conn_id(conn) & 3) != 0) == 0);
}

static bool get_once(struct getting *getting)
{
    struct race *race = getting->race;
    const char *address = race->addresses[random_below(&getting->seed, 2)];
    struct netpoll_conn *conn = NULL;
    if (random_below(&getting->seed, 2) == 0) {
        int status = netpoll_client_pool_start_get(race->pool, address, DEADLINE_MS, got, race);
        CHECK(is_expected(race, status));
        if (status == 0)
            atomic_fetch_add(&race->started, 1);
        return status == 0;
    }
    int status = netpoll_client_pool_get(race->pool, address, DEADLINE_MS, &conn);
    atomic_fetch_add(&race->started, 1);
    note(race, conn, status);
    if (conn != NULL)
        use(race, conn, &getting->seed);
    return status != -ESHUTDOWN;
}

static void *run(void *arg)
{
    struct getting *getting = arg;
    for (int i = 0; i < GETS && get_once(getting); i++)
        ;
    return NULL;
}

static struct netpoll_client_pool_stats stats_of(struct race *race)
{
    struct netpoll_client_pool_stats stats;
    netpoll_client_pool_stats_read(race->pool, &stats);
    return stats;
}

static void start(struct race *race)
{
    struct netpoll_client_pool_options options = {.max_per_address = 2,
                                                  .max_idle_per_address = 2,
                                                  .max_idle = 3,
                                                  .wait_timeout_ms = 1,
                                                  .idle_timeout_ms = 3,
                                                  .max_age_ms = 50};
    race->rig.server.on_request = answer;
    dial_rig_start(&race->rig);
    CHECK(netpoll_client_pool_create(race->rig.dialer, &options, &race->pool) == 0);
    memcpy(race->addresses[0], race->rig.rig.address, NETPOLL_ADDRESS_BYTES);
    CHECK(netpoll_server_listen(race->rig.rig.server, own_unix_name("client-pool-race")) == 0);
    CHECK(netpoll_server_address(race->rig.rig.server, 1, race->addresses[1],
                                 NETPOLL_ADDRESS_BYTES) == 0);
}

static void run_round(uint64_t seed, uint64_t until_stop)
{
    static struct getting gettings[GETTERS];
    static struct race race;
    memset(&race, 0, sizeof race);
    start(&race);
    for (int i = 0; i < GETTERS; i++) {
        gettings[i] = (struct getting){.race = &race, .seed = seed * GETTERS + (uint64_t)i + 1};
        CHECK(pthread_create(&gettings[i].thread, NULL, run, &gettings[i]) == 0);
    }
    WAIT_UNTIL(atomic_load(&race.told) >= until_stop);
    atomic_store(&race.is_stopped, true);
    netpoll_client_pool_stop(race.pool);
    for (int i = 0; i < GETTERS; i++)
        CHECK(pthread_join(gettings[i].thread, NULL) == 0);
    WAIT_UNTIL(atomic_load(&race.told) == atomic_load(&race.started));
    WAIT_UNTIL(stats_of(&race).in_use == 0);
    struct netpoll_client_pool_stats stats = stats_of(&race);
    CHECK(stats.gets == atomic_load(&race.given));
    CHECK(stats.reuses == atomic_load(&race.reused));
    CHECK(stats.waiting == 0 && stats.dialing == 0);
    printf("%llu gets, %llu reuses, %llu dials, %llu waits, %llu of them in vain\n",
           (unsigned long long)stats.gets, (unsigned long long)stats.reuses,
           (unsigned long long)stats.dials, (unsigned long long)stats.full,
           (unsigned long long)stats.wait_timeouts);
    CHECK(netpoll_client_pool_destroy(race.pool) == 0);
    dial_rig_finish(&race.rig);
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
