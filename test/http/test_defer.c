/* Answers that come later, from elsewhere, or in vain. */
#include "web.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <gopool/panic.h>
#include <linkbuffer/linkbuffer.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Takes requests that are to be answered by the test. */
struct desk {
    struct event arrivals;
    struct event active; /* connections on which a request has begun */
    struct event cancels;
    pthread_mutex_t mutex;
    struct nhttp_request *requests[64];
    unsigned count;
};

#define DESK_INIT                                                            \
    {                                                                        \
        .arrivals = EVENT_INIT, .active = EVENT_INIT, .cancels = EVENT_INIT, \
        .mutex = PTHREAD_MUTEX_INITIALIZER                                   \
    }

static void note_cancel(struct nhttp_request *request, void *arg)
{
    struct desk *desk = arg;
    (void)request;
    event_add(&desk->cancels);
}

static void take(struct nhttp_request *request, void *arg)
{
    struct desk *desk = arg;
    if (path_is(request, "/")) {
        say(request, "now");
        return;
    }
    nhttp_request_defer(request);
    CHECK(nhttp_request_on_cancel(request, NULL, NULL) == -EINVAL);
    if (path_is(request, "/watched")) {
        CHECK(nhttp_request_on_cancel(request, note_cancel, desk) == 0);
        CHECK(nhttp_request_on_cancel(request, note_cancel, desk) == -EEXIST);
    }
    if (path_is(request, "/here")) {
        say(request, "here");
        nhttp_request_finish(request);
        return;
    }
    pthread_mutex_lock(&desk->mutex);
    CHECK(desk->count < 64);
    desk->requests[desk->count++] = request;
    pthread_mutex_unlock(&desk->mutex);
    event_add(&desk->arrivals);
}

static void answer(struct desk *desk, unsigned i, const char *text)
{
    say(desk->requests[i], text);
    nhttp_request_finish(desk->requests[i]);
}

TEST_BOTH_MODES(http_defer, an_answer_from_another_thread)
{
    struct desk desk = DESK_INIT;
    struct web web = {.options = {.handler = take, .executor = *mode, .arg = &desk}};
    web_start(&web);
    int fd = web_dial(&web);
    /* What comes behind it waits. */
    ask(fd, GET("/later") GET("/") GET("/here") GET("/later"));
    event_wait(&desk.arrivals, 1);
    answer(&desk, 0, "first");
    expect_answer(fd, NULL, 200, "first");
    expect_answer(fd, NULL, 200, "now");
    expect_answer(fd, NULL, 200, "here");
    event_wait(&desk.arrivals, 2);
    answer(&desk, 1, "second");
    expect_answer(fd, NULL, 200, "second");
    client_close(fd);
    web_finish_when_idle(&web);
}

TEST_BOTH_MODES(http_defer, a_client_that_goes_is_noticed)
{
    struct desk desk = DESK_INIT;
    struct web web = {.options = {.handler = take, .executor = *mode, .arg = &desk}};
    web_start(&web);
    for (unsigned i = 0; i < 2; i++) {
        int fd = web_dial(&web);
        ask(fd, GET("/watched"));
        event_wait(&desk.arrivals, i + 1);
        cr_assert_not(nhttp_request_is_cancelled(desk.requests[i]));
        int64_t since = now_ms();
        if (i == 0)
            client_close(fd);
        else
            client_reset(fd);
        event_wait(&desk.cancels, i + 1);
        cr_assert_lt(now_ms() - since, 1000);
        cr_assert(nhttp_request_is_cancelled(desk.requests[i]));
        cr_assert_eq(nhttp_request_on_cancel(desk.requests[i], note_cancel, &desk), -ECANCELED);
        answer(&desk, i, "in vain");
    }
    WAIT_UNTIL(web_stats(&web).connections == 0);
    cr_assert_eq(event_count(&desk.cancels), 2);
    cr_assert_eq(web_stats(&web).cancelled, 2);
    web_finish(&web);
}

TEST_BOTH_MODES(http_defer, half_a_close_is_served_or_not)
{
    for (unsigned i = 0; i < 2; i++) {
        struct desk desk = DESK_INIT;
        struct web web = {
            .options = {
                .handler = take, .executor = *mode, .arg = &desk, .ignore_half_close = i == 1}};
        web_start(&web);
        int fd = web_dial(&web);
        ask(fd, GET("/watched"));
        event_wait(&desk.arrivals, 1);
        client_end_sending(fd);
        event_wait(&desk.cancels, 1);
        if (i == 1)
            WAIT_UNTIL(!netpoll_conn_is_active(nhttp_request_conn(desk.requests[0])));
        answer(&desk, 0, "late");
        if (i == 0)
            expect_answer(fd, NULL, 200, "late");
        client_close(fd);
        web_finish_when_idle(&web);
    }
}

TEST_BOTH_MODES(http_defer, a_time_limit_answers_first)
{
    struct desk desk = DESK_INIT;
    struct web web = {
        .options = {.handler = take, .executor = *mode, .arg = &desk, .handler_timeout_ms = 50}};
    web_start(&web);
    int fd = web_dial(&web);
    ask(fd, GET("/watched") GET("/"));
    expect_answer(fd, NULL, 503, NULL);
    expect_answer(fd, NULL, 200, "now");
    event_wait(&desk.cancels, 1);
    cr_assert(nhttp_request_is_cancelled(desk.requests[0]));
    answer(&desk, 0, "in vain");
    expect_answer(fd, GET("/"), 200, "now");
    /* One whose handler outlives its connection. */
    ask(fd, GET("/later"));
    event_wait(&desk.arrivals, 2);
    expect_answer(fd, NULL, 503, NULL);
    client_close(fd);
    WAIT_UNTIL(web_stats(&web).connections == 0);
    answer(&desk, 1, "in vain");
    web_finish_when_idle(&web);
}

static void note_state(uint64_t conn_id, enum nhttp_conn_state state, void *arg)
{
    struct desk *desk = arg;
    CHECK(conn_id != 0);
    if (state == NHTTP_CONN_ACTIVE)
        event_add(&desk->active);
}

static void *shut_down(void *arg)
{
    CHECK(nhttp_server_shutdown(arg, DEADLINE_MS) == 0);
    return NULL;
}

TEST_BOTH_MODES(http_defer, a_shutdown_waits_for_answers)
{
    struct desk desk = DESK_INIT;
    struct web web = {
        .options = {.handler = take, .executor = *mode, .arg = &desk, .on_state = note_state}};
    pthread_t thread;
    web_start(&web);
    int idle = web_dial(&web);
    expect_answer(idle, GET("/"), 200, "now");
    int fd = web_dial(&web);
    ask(fd, GET("/later"));
    event_wait(&desk.arrivals, 1);
    int begun = web_dial(&web);
    ask(begun, "GET / HTTP/1.1\r\nHo");
    event_wait(&desk.active, 3);
    CHECK(pthread_create(&thread, NULL, shut_down, web.server) == 0);
    cr_assert(client_sees_end(idle));
    answer(&desk, 0, "late");
    expect_last(fd, 200);
    ask(begun, "st: a\r\n\r\n");
    expect_last(begun, 200);
    pthread_join(thread, NULL);
    client_close(idle);
    client_close(fd);
    client_close(begun);
    web_finish(&web);
}

/* Whoever answers later need not know when the server ends. */
TEST_BOTH_MODES(http_defer, a_request_outlives_its_server)
{
    struct desk desk = DESK_INIT;
    struct web web = {.options = {.handler = take, .executor = *mode, .arg = &desk}};
    web_start(&web);
    int fd = web_dial(&web);
    ask(fd, GET("/watched"));
    event_wait(&desk.arrivals, 1);
    cr_assert_eq(nhttp_server_shutdown(web.server, 20), 1);
    event_wait(&desk.cancels, 1);
    cr_assert(client_sees_reset(fd));
    cr_assert_eq(nhttp_server_destroy(web.server), 0);
    cr_assert_eq(netpoll_runtime_destroy(web.rig.runtime), 0);
    cr_assert(nhttp_request_is_cancelled(desk.requests[0]));
    cr_assert(path_is(desk.requests[0], "/watched"));
    answer(&desk, 0, "in vain");
    client_close(fd);
    cr_assert_eq(live_bytes(), web.rig.live_bytes);
}

struct takeover {
    struct event calls;
    _Atomic int fd;
};

/* Speaks another protocol: gives back what it gets, once. */
static void speak(int fd, struct linkbuffer *unread, void *arg)
{
    struct takeover *takeover = arg;
    char bytes[64];
    if (unread != NULL) {
        size_t n = linkbuffer_read(unread, bytes, sizeof bytes);
        CHECK(send(fd, bytes, n, MSG_NOSIGNAL) == (ssize_t)n);
        linkbuffer_destroy(unread);
    }
    atomic_store(&takeover->fd, fd);
    event_add(&takeover->calls);
}

static void hijack(struct nhttp_request *request, void *arg)
{
    CHECK(nhttp_request_hijack(request, NULL, NULL) == -EINVAL);
    CHECK(nhttp_response_set_status(request, 101) == -EINVAL);
    CHECK(nhttp_request_hijack(request, speak, arg) == 0);
    CHECK(nhttp_request_hijack(request, speak, arg) == -EBUSY);
    if (path_is(request, "/panic"))
        gopool_panic("on purpose");
    if (!nhttp_request_wants_upgrade(request)) {
        CHECK(nhttp_response_set_status(request, 101) == -EINVAL);
        say(request, "ok");
        return;
    }
    CHECK(nhttp_response_set_status(request, 101) == 0);
    CHECK(nhttp_response_set_field(request, "Upgrade", "other") == 0);
}

TEST_BOTH_MODES(http_defer, a_connection_is_taken_over_behind_the_answer)
{
    struct takeover takeover = {.calls = EVENT_INIT};
    struct web web = {.options = {.handler = hijack, .executor = *mode, .arg = &takeover}};
    struct answer answer;
    char back[8];
    web_start(&web);
    for (unsigned i = 0; i < 2; i++) {
        int fd = web_dial(&web);
        ask(fd, i == 0
                    ? "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n"
                      "unread"
                    : GET("/"));
        receive_answer(fd, &answer, false);
        cr_assert_eq(answer.status, i == 0 ? 101 : 200);
        const char *connection = answer_field(&answer, "Connection");
        cr_assert(i == 0 ? strcmp(connection, "upgrade") == 0 : connection == NULL);
        answer_free(&answer);
        if (i == 0)
            cr_assert_eq(client_receive(fd, back, 6), 6);
        event_wait(&takeover.calls, i + 1);
        int theirs = atomic_load(&takeover.fd);
        cr_assert_eq(send(theirs, "hello", 5, MSG_NOSIGNAL), 5);
        cr_assert_eq(client_receive(fd, back, 5), 5);
        close(theirs);
        cr_assert(client_sees_end(fd));
        client_close(fd);
    }
    /* One that does not come to it is told so, and the connection stays. */
    int fd = web_dial(&web);
    expect_answer(fd, GET("/panic"), 500, NULL);
    event_wait(&takeover.calls, 3);
    cr_assert_eq(atomic_load(&takeover.fd), -1);
    expect_answer(fd, GET("/panic"), 500, NULL);
    client_close(fd);
    web.rig.expected_logs = 2;
    web_finish_when_idle(&web);
}
