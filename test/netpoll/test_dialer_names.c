/*
 * Dials to names, and the accidents of connect(2). The program is linked so that getaddrinfo(3)
 * and connect(2) come here first.
 */
#include "dial_rig.h"
#include "resolver.h"
#include "runtime.h"

#include "../support/process.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <netdb.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

TestSuite(dialer_names, .timeout = 60);

int __real_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **out);
int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **out);
int __real_connect(int fd, const struct sockaddr *address, socklen_t n);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t n);

/* What names stand for: numeric addresses, or an error. */
static const struct {
    const char *name;
    const char *addresses[24];
    int error;
} hosts[] = {
    {"both.test", {"::1", "127.0.0.1"}, 0},
    {"four.test", {"127.0.0.1"}, 0},
    {"slow.test", {"127.0.0.1"}, 0},
    {"order.test", {"2001:db8::1", "2001:db8::2", "2001:db8::3", "192.0.2.1", "192.0.2.2"}, 0},
    {"many.test",
     {"::1", "::2", "::3", "::4", "::5", "::6", "::7", "::8",  "::9",  "::a",
      "::b", "::c", "::d", "::e", "::f", "::2", "::3", "1::1", "1::2", "192.0.2.1"},
     0},
    {"unknown.test", {NULL}, EAI_NONAME},
    {"no-address.test", {NULL}, EAI_NODATA},
    {"later.test", {NULL}, EAI_AGAIN},
    {"failed.test", {NULL}, EAI_FAIL},
    {"memory.test", {NULL}, EAI_MEMORY},
    {"system.test", {NULL}, EAI_SYSTEM},
};

static struct event asked = EVENT_INIT;
static struct event gate = EVENT_INIT;

static int answer(const char *const *addresses, const char *service, const struct addrinfo *hints,
                  struct addrinfo **out)
{
    struct addrinfo numeric = *hints;
    numeric.ai_flags |= AI_NUMERICHOST;
    *out = NULL;
    for (; *addresses != NULL; addresses++) {
        bool is_6 = strchr(*addresses, ':') != NULL;
        if (hints->ai_family != AF_UNSPEC && hints->ai_family != (is_6 ? AF_INET6 : AF_INET))
            continue;
        CHECK(__real_getaddrinfo(*addresses, service, &numeric, out) == 0);
        out = &(*out)->ai_next;
    }
    return 0;
}

int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **out)
{
    CHECK(is_thread_named("resolver"));
    event_add(&asked);
    if (strcmp(host, "slow.test") == 0)
        event_wait(&gate, 1);
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        if (strcmp(hosts[i].name, host) != 0)
            continue;
        if (hosts[i].error != 0) {
            errno = EMFILE;
            return hosts[i].error;
        }
        return answer(hosts[i].addresses, service, hints, out);
    }
    return __real_getaddrinfo(host, service, hints, out);
}

/* connect(2) of the dialer: what happens to the first calls. */
static _Atomic int no_ports;  /* so many find no port */
static _Atomic int to_itself; /* so many reach the socket itself */
static _Atomic int connects;

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t n)
{
    connects++;
    if (no_ports > 0) {
        no_ports--;
        errno = EADDRNOTAVAIL;
        return -1;
    }
    if (to_itself > 0) {
        struct sockaddr_storage own;
        socklen_t len = sizeof own;
        to_itself--;
        CHECK(bind(fd, (const struct sockaddr *)&(struct sockaddr_in){.sin_family = AF_INET},
                   sizeof(struct sockaddr_in)) == 0);
        CHECK(getsockname(fd, (struct sockaddr *)&own, &len) == 0);
        return __real_connect(fd, (struct sockaddr *)&own, len);
    }
    return __real_connect(fd, address, n);
}

static void named(char *out, const char *name, const char *address)
{
    snprintf(out, NETPOLL_ADDRESS_BYTES, "%s%s", name, strrchr(address, ':'));
}

Test(dialer_names, a_name_is_dialed)
{
    static const char *const names[] = {"both.test", "four.test", "tcp4:both.test"};
    struct dial_rig rig = {0};
    char address[NETPOLL_ADDRESS_BYTES];
    dial_rig_start(&rig);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        named(address, names[i], rig.rig.address);
        struct netpoll_conn *conn = dial(&rig, address);
        expect_conn_echo(conn, i, 1000);
        hang_up(conn);
    }
    cr_assert_eq(event_count(&asked), 3);
    dial_rig_finish(&rig);
}

Test(dialer_names, the_family_that_is_asked_for_is_dialed)
{
    struct dial_rig rig = {.rig.listen = "[::1]:0"};
    char address[NETPOLL_ADDRESS_BYTES];
    dial_rig_start(&rig);
    named(address, "tcp4:both.test", rig.rig.address);
    cr_assert_eq(failing_dial(&rig, address, 0), -ECONNREFUSED);
    named(address, "tcp6:both.test", rig.rig.address);
    hang_up(dial(&rig, address));
    dial_rig_finish(&rig);
}

Test(dialer_names, numeric_hosts_and_localhost_are_not_looked_up)
{
    struct dial_rig rig = {0};
    char address[NETPOLL_ADDRESS_BYTES];
    dial_rig_start(&rig);
    named(address, "localhost", rig.rig.address);
    hang_up(dial(&rig, address));
    hang_up(dial(&rig, rig.rig.address));
    cr_assert_eq(event_count(&asked), 0);
    cr_assert_eq(thread_named("resolver"), -1);
    dial_rig_finish(&rig);
}

Test(dialer_names, names_fail_in_ways_of_their_own)
{
    struct dial_rig rig = {0};
    dial_rig_start(&rig);
    cr_assert_eq(failing_dial(&rig, "unknown.test:80", 0), NETPOLL_UNKNOWN_NAME);
    cr_assert_eq(failing_dial(&rig, "no-address.test:80", 0), NETPOLL_UNKNOWN_NAME);
    cr_assert_eq(failing_dial(&rig, "later.test:80", 0), NETPOLL_NAME_FAILED);
    cr_assert_eq(failing_dial(&rig, "failed.test:80", 0), NETPOLL_NAME_FAILED);
    cr_assert_eq(failing_dial(&rig, "memory.test:80", 0), -ENOMEM);
    cr_assert_eq(failing_dial(&rig, "system.test:80", 0), -EMFILE);
    dial_rig_finish(&rig);
}

Test(dialer_names, a_name_that_nobody_can_have_is_not_found)
{
    struct dial_rig rig = {.options.timeout_ms = 20000};
    dial_rig_start(&rig);
    int status = failing_dial(&rig, "netpoll.invalid:80", 0);
    /* Where there is no name server nobody can tell. */
    cr_assert(status == NETPOLL_UNKNOWN_NAME || status == NETPOLL_NAME_FAILED ||
                  status == -ETIMEDOUT,
              "%s", netpoll_strerror(status));
    dial_rig_finish(&rig);
}

/* The resolver itself */

static void note_lookup(struct np_lookup *lookup)
{
    event_add(lookup->owner);
}

static void expect_order(const char *name, const char *const *expected, uint32_t count)
{
    struct dial_rig rig = {0};
    struct event done = EVENT_INIT;
    struct np_target target;
    char text[NETPOLL_ADDRESS_BYTES];
    dial_rig_start(&rig);
    cr_assert_eq(np_target_parse(name, &target), 0);
    struct np_lookup *lookup = np_lookup_new(&target);
    cr_assert_not_null(lookup);
    lookup->poller = np_runtime_pick(rig.rig.runtime);
    lookup->done = note_lookup;
    lookup->owner = &done;
    cr_assert_eq(np_resolver_start(&rig.rig.runtime->resolver, lookup, 1), 0);
    event_wait(&done, 1);
    cr_assert_eq(lookup->status, 0);
    cr_assert_eq(lookup->count, count);
    for (uint32_t i = 0; expected[i] != NULL; i++) {
        cr_assert_eq(np_address_format(&lookup->addresses[i], text, sizeof text), 0);
        cr_assert_str_eq(text, expected[i]);
    }
    np_lookup_free(lookup);
    dial_rig_finish(&rig);
}

Test(dialer_names, families_take_turns)
{
    static const char *const expected[] = {"[2001:db8::1]:80", "192.0.2.1:80",
                                           "[2001:db8::2]:80", "192.0.2.2:80",
                                           "[2001:db8::3]:80", NULL};
    expect_order("order.test:80", expected, 5);
}

Test(dialer_names, so_many_addresses_are_tried)
{
    static const char *const expected[] = {"[::1]:443", "192.0.2.1:443", "[::2]:443", NULL};
    expect_order("many.test:443", expected, NETPOLL_DIAL_ADDRESSES_MAX);
}

/* Lookups that take long */

Test(dialer_names, a_dial_does_not_wait_longer_than_it_may_for_its_name)
{
    struct dial_rig rig = {0};
    dial_rig_start(&rig);
    int64_t begin_ms = now_ms();
    cr_assert_eq(failing_dial(&rig, "slow.test:80", 50), -ETIMEDOUT);
    cr_assert_geq(now_ms() - begin_ms, 50);
    cr_assert_lt(now_ms() - begin_ms, 5000);
    event_add(&gate);
    dial_rig_finish(&rig);
}

Test(dialer_names, a_name_that_comes_in_time_is_dialed)
{
    struct dial_rig rig = {0};
    struct outcome outcome = OUTCOME_INIT;
    char address[NETPOLL_ADDRESS_BYTES];
    dial_rig_start(&rig);
    named(address, "slow.test", rig.rig.address);
    cr_assert_eq(
        netpoll_dialer_start(rig.dialer, address, DEADLINE_MS, note_outcome, &outcome, NULL), 0);
    event_wait(&asked, 1);
    cr_assert_eq(event_count(&outcome.told), 0);
    event_add(&gate);
    event_wait(&outcome.told, 1);
    cr_assert_eq(outcome.status, 0);
    hang_up(outcome.conn);
    dial_rig_finish(&rig);
}

Test(dialer_names, a_dial_is_called_off_while_its_name_is_looked_up)
{
    struct dial_rig rig = {0};
    struct outcome outcome = OUTCOME_INIT;
    struct netpoll_dial *handle;
    dial_rig_start(&rig);
    cr_assert_eq(netpoll_dialer_start(rig.dialer, "slow.test:80", DEADLINE_MS, note_outcome,
                                      &outcome, &handle),
                 0);
    event_wait(&asked, 1);
    cr_assert_eq(netpoll_dial_cancel(handle), 1);
    event_wait(&outcome.told, 1);
    cr_assert_eq(outcome.status, -ECANCELED);
    netpoll_dial_release(handle);
    event_add(&gate);
    dial_rig_finish(&rig);
}

static void *open_gate(void *arg)
{
    struct dial_rig *rig = arg;
    WAIT_UNTIL(rig_stats(&rig->rig).connections == 0);
    event_add(&gate);
    return NULL;
}

Test(dialer_names, the_end_of_the_runtime_waits_for_a_lookup)
{
    struct dial_rig rig = {0};
    pthread_t thread;
    dial_rig_start(&rig);
    cr_assert_eq(failing_dial(&rig, "slow.test:80", 20), -ETIMEDOUT);
    cr_assert_eq(event_count(&asked), 1);
    cr_assert_eq(netpoll_dialer_destroy(rig.dialer), 0);
    cr_assert_eq(netpoll_server_destroy(rig.rig.server), 0);
    cr_assert_eq(pthread_create(&thread, NULL, open_gate, &rig), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert_eq(netpoll_runtime_destroy(rig.rig.runtime), 0);
    cr_assert_eq(live_bytes(), rig.rig.live_bytes);
}

Test(dialer_names, as_many_names_are_looked_up_at_once_as_there_are_threads)
{
    struct dial_rig rig = {.options.resolver_threads = 3};
    struct outcome outcomes[8];
    dial_rig_start(&rig);
    for (int i = 0; i < 8; i++) {
        outcomes[i] = (struct outcome)OUTCOME_INIT;
        cr_assert_eq(
            netpoll_dialer_start(rig.dialer, "slow.test:80", 100, note_outcome, &outcomes[i], NULL),
            0);
    }
    event_wait(&asked, 3);
    for (int i = 0; i < 8; i++) {
        event_wait(&outcomes[i].told, 1);
        cr_assert_eq(outcomes[i].status, -ETIMEDOUT);
    }
    cr_assert_eq(event_count(&asked), 3);
    event_add(&gate);
    dial_rig_finish(&rig);
    /* Nobody was waiting any more for the others. */
    cr_assert_eq(event_count(&asked), 3);
}

Test(dialer_names, a_second_dialer_may_bring_more_threads)
{
    struct dial_rig rig = {.options.resolver_threads = 1};
    struct netpoll_dialer *second;
    struct outcome outcomes[3] = {OUTCOME_INIT, OUTCOME_INIT, OUTCOME_INIT};
    dial_rig_start(&rig);
    cr_assert_eq(netpoll_dialer_create(rig.rig.runtime, &rig.conn,
                                       &(struct netpoll_dialer_options){.resolver_threads = 2},
                                       &second),
                 0);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(netpoll_dialer_start(i == 0 ? rig.dialer : second, "slow.test:80", 200,
                                          note_outcome, &outcomes[i], NULL),
                     0);
    event_wait(&asked, 2);
    for (int i = 0; i < 3; i++)
        event_wait(&outcomes[i].told, 1);
    cr_assert_eq(event_count(&asked), 2);
    event_add(&gate);
    cr_assert_eq(netpoll_dialer_destroy(second), 0);
    dial_rig_finish(&rig);
}

Test(dialer_names, lookups_wait_up_to_a_number)
{
    enum {
        COUNT = 1 + NETPOLL_LOOKUPS_MAX
    };
    static struct outcome outcomes[COUNT];
    struct dial_rig rig = {.rig.pollers = 1, .options.resolver_threads = 1};
    dial_rig_start(&rig);
    for (int i = 0; i < COUNT; i++) {
        outcomes[i] = (struct outcome)OUTCOME_INIT;
        cr_assert_eq(netpoll_dialer_start(rig.dialer, "slow.test:9", NETPOLL_TIMEOUT_NONE,
                                          note_outcome, &outcomes[i], NULL),
                     0);
        if (i == 0)
            event_wait(&asked, 1); /* it does not wait */
    }
    cr_assert_eq(failing_dial(&rig, "slow.test:9", 0), -EAGAIN);
    /* Not on behalf of those that are known already. */
    hang_up(dial(&rig, rig.rig.address));
    cr_assert_eq(netpoll_dialer_shutdown(rig.dialer, 0), 0);
    for (int i = 0; i < COUNT; i++)
        cr_assert_eq(outcomes[i].status, -ESHUTDOWN);
    event_add(&gate);
    dial_rig_finish(&rig);
    cr_assert_eq(event_count(&asked), 1);
}

/* Accidents of connect(2) */

Test(dialer_names, a_port_that_is_not_found_at_once_is_looked_for_again)
{
    struct dial_rig rig = {0};
    dial_rig_start(&rig);
    no_ports = 2;
    hang_up(dial(&rig, rig.rig.address));
    no_ports = 3;
    connects = 0;
    cr_assert_eq(failing_dial(&rig, rig.rig.address, 0), -EADDRNOTAVAIL);
    cr_assert_eq(connects, 3);
    dial_rig_finish(&rig);
}

Test(dialer_names, a_dial_that_reaches_itself_is_made_again)
{
    struct dial_rig rig = {0};
    dial_rig_start(&rig);
    to_itself = 2;
    struct netpoll_conn *conn = dial(&rig, rig.rig.address);
    expect_conn_echo(conn, 4, 4000);
    hang_up(conn);
    to_itself = 3;
    connects = 0;
    cr_assert_eq(failing_dial(&rig, rig.rig.address, 0), -ECONNREFUSED);
    cr_assert_eq(connects, 3);
    dial_rig_finish(&rig);
}
