/*
 * Answers in the making while connections break, time limits pass and handlers panic. A plain
 * program: it is made for ThreadSanitizer.
 */
#include "web.h"

#include <gopool/panic.h>
#include <linkbuffer/linkbuffer.h>
#include <nhttp/body.h>

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CLIENTS 4
#define ROUNDS  40

static void sleep_us(long us)
{
    nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
}

/* CLIENTS threads of this function, with the web. */
static void run_clients(struct web *web, void *(*be_client)(void *web))
{
    pthread_t clients[CLIENTS];
    for (unsigned i = 0; i < CLIENTS; i++)
        CHECK(pthread_create(&clients[i], NULL, be_client, web) == 0);
    for (unsigned i = 0; i < CLIENTS; i++)
        pthread_join(clients[i], NULL);
}

static _Atomic unsigned taken;
static _Atomic unsigned released;

static void count_release(void *arg)
{
    (void)arg;
    atomic_fetch_add(&released, 1);
}

static void pour(struct nhttp_request *request, void *arg)
{
    (void)arg;
    if (nhttp_response_begin(request, NHTTP_LENGTH_UNKNOWN) != 0)
        return;
    for (unsigned i = 0; nhttp_response_write_ref(request, "x", 1, count_release, NULL) == 0; i++) {
        atomic_fetch_add(&taken, 1);
        if (i % 64 == 0 && nhttp_response_flush_wait(request, DEADLINE_MS) < 0)
            return;
    }
}

static void *leave_in_the_middle(void *arg)
{
    const struct web *web = arg;
    char into[4096];
    for (unsigned round = 0; round < ROUNDS; round++) {
        int fd = web_dial(web);
        ask(fd, GET("/"));
        (void)client_try_receive(fd, into, 200 + round * 50);
        client_reset(fd);
    }
    return NULL;
}

/* Memory that was taken is given back once, other memory never. */
static void race_for_memory(void)
{
    struct web web = {.options = {.handler = pour}};
    web_start(&web);
    run_clients(&web, leave_in_the_middle);
    web_finish_when_idle(&web);
    CHECK(atomic_load(&taken) > 0 && atomic_load(&taken) == atomic_load(&released));
}

struct source {
    struct linkbuffer *lb;
    _Atomic bool is_over;
};

static void *produce(void *arg)
{
    struct source *source = arg;
    for (unsigned i = 0; i < 20000; i++) {
        CHECK(linkbuffer_write(source->lb, "abcdefghij", 10) == 0);
        linkbuffer_flush(source->lb);
    }
    atomic_store(&source->is_over, true);
    return NULL;
}

static void pass_on(struct nhttp_request *request, void *arg)
{
    struct source source = {.lb = NULL};
    pthread_t producer;
    (void)arg;
    CHECK(linkbuffer_create(&source.lb) == 0);
    CHECK(pthread_create(&producer, NULL, produce, &source) == 0);
    CHECK(nhttp_response_begin(request, NHTTP_LENGTH_UNKNOWN) == 0);
    while (!atomic_load(&source.is_over))
        CHECK(nhttp_response_append(request, source.lb) == 0);
    pthread_join(producer, NULL);
    linkbuffer_destroy(source.lb);
}

/* A piece is as long as it was said to be, whatever its source gets meanwhile. */
static void race_with_a_source(void)
{
    struct web web = {.options = {.handler = pass_on}};
    web_start(&web);
    int fd = web_dial(&web);
    expect_answer(fd, GET("/"), 200, NULL);
    client_close(fd);
    web_finish_when_idle(&web);
}

#define LIMIT_MS 20

static void take_late(struct nhttp_request *request, void *arg)
{
    struct linkbuffer *lb;
    (void)arg;
    CHECK(linkbuffer_create(&lb) == 0);
    /* The alarm may be some milliseconds early, or late. */
    sleep_us(LIMIT_MS * 1000 - 2000 + rand() % 4000);
    (void)!nhttp_body_take(request, lb);
    linkbuffer_destroy(lb);
}

static void *wait_to_be_asked(void *arg)
{
    const struct web *web = arg;
    struct answer answer;
    for (unsigned round = 0; round < ROUNDS; round++) {
        int fd = web_dial(web);
        ask(fd, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                "Content-Length: 10\r\n\r\n");
        receive_answer(fd, &answer, false);
        if (answer.status == 100) {
            answer_free(&answer);
            receive_answer(fd, &answer, false);
        }
        CHECK(answer.status == 200 || answer.status == 503);
        CHECK(answer.status == 200 || client_sees_end(fd));
        answer_free(&answer);
        client_close(fd);
    }
    return NULL;
}

/* A client is asked for its body, or answered by the time limit, but not asked behind the answer.
 */
static void race_with_a_limit(void)
{
    struct web web = {
        .options = {.handler = take_late, .stream_bodies = true, .handler_timeout_ms = LIMIT_MS}};
    web_start(&web);
    run_clients(&web, wait_to_be_asked);
    web_finish_when_idle(&web);
}

static _Atomic unsigned finished;

static void *answer_elsewhere(void *arg)
{
    struct nhttp_request *request = arg;
    if (nhttp_response_begin(request, 2) == 0)
        (void)!nhttp_response_write(request, "ok", 2);
    nhttp_request_finish(request);
    atomic_fetch_add(&finished, 1);
    return NULL;
}

static void hand_over_and_panic(struct nhttp_request *request, void *arg)
{
    pthread_t thread;
    (void)arg;
    nhttp_request_defer(request);
    CHECK(pthread_create(&thread, NULL, answer_elsewhere, request) == 0);
    pthread_detach(thread);
    gopool_panic("on purpose");
}

static void *take_what_comes(void *arg)
{
    const struct web *web = arg;
    struct answer answer;
    int fd = web_dial(web);
    for (unsigned round = 0; round < ROUNDS; round++) {
        ask(fd, GET("/"));
        receive_answer(fd, &answer, false);
        CHECK(answer.status == 200 || answer.status == 500);
        CHECK(answer.status == 500 || strcmp(answer.body, "ok") == 0);
        answer_free(&answer);
    }
    client_close(fd);
    return NULL;
}

/* The one who has a deferred request and the panic of its handler do not both answer. */
static void race_with_a_panic(enum netpoll_handler executor)
{
    struct web web = {.options = {.handler = hand_over_and_panic, .executor = executor},
                      .rig = {.expected_logs = CLIENTS * ROUNDS}};
    atomic_store(&finished, 0);
    web_start(&web);
    run_clients(&web, take_what_comes);
    WAIT_UNTIL(atomic_load(&finished) == CLIENTS * ROUNDS);
    web_finish_when_idle(&web);
}

static _Atomic unsigned cancels;

static void note_cancel(struct nhttp_request *request, void *arg)
{
    (void)request;
    (void)arg;
    atomic_fetch_add(&cancels, 1);
}

static void answer_for_good(struct nhttp_request *request, void *arg)
{
    (void)arg;
    CHECK(nhttp_request_on_cancel(request, note_cancel, NULL) == 0);
    CHECK(nhttp_response_close(request) == 0);
    say(request, "bye");
}

static void *read_to_the_end(void *arg)
{
    const struct web *web = arg;
    for (unsigned round = 0; round < 5 * ROUNDS; round++) {
        int fd = web_dial(web);
        expect_answer(fd, GET("/"), 200, "bye");
        client_close(fd);
    }
    return NULL;
}

/* Who has been answered is not told that it was in vain. */
static void race_to_the_end(void)
{
    struct web web = {.options = {.handler = answer_for_good}};
    web_start(&web);
    run_clients(&web, read_to_the_end);
    WAIT_UNTIL(web_stats(&web).connections == 0);
    CHECK(web_stats(&web).cancelled == 0 && atomic_load(&cancels) == 0);
    web_finish(&web);
}

static _Atomic unsigned looks;

static void look_at_value(struct nhttp_request *request, void *arg)
{
    CHECK(nhttp_request_value(request, "mine") == arg);
    atomic_fetch_add(&looks, 1);
}

static void set_values(struct nhttp_request *request, void *arg)
{
    static const char *const keys[] = {"a", "b", "c", "d"};
    CHECK(nhttp_request_set_value(request, "mine", arg, NULL) == 0);
    if (nhttp_request_on_cancel(request, look_at_value, arg) != 0)
        return; /* The client has gone already. */
    for (unsigned i = 0; !nhttp_request_is_cancelled(request) || i < 100; i++)
        CHECK(nhttp_request_set_value(request, keys[i % 4], i % 3 == 0 ? arg : NULL, NULL) == 0);
}

static void *ask_and_go(void *arg)
{
    const struct web *web = arg;
    for (unsigned round = 0; round < ROUNDS; round++) {
        int fd = web_dial(web);
        ask(fd, GET("/"));
        sleep_us(200);
        client_reset(fd);
    }
    return NULL;
}

/* Who is told of the client's end finds what was set before, whatever is set meanwhile. */
static void race_for_values(void)
{
    struct web web = {.options = {.handler = set_values, .arg = &looks}};
    web_start(&web);
    run_clients(&web, ask_and_go);
    web_finish_when_idle(&web);
    CHECK(atomic_load(&looks) > 0);
}

int main(void)
{
    if (backend_refusal() != 0)
        return STATUS_SKIPPED;
    race_for_memory();
    race_with_a_source();
    race_with_a_limit();
    race_with_a_panic(NETPOLL_HANDLER_POOL);
    race_with_a_panic(NETPOLL_HANDLER_INLINE);
    race_to_the_end();
    race_for_values();
    return 0;
}
