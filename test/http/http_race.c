/*
 * Requests that are answered by whoever is first: handlers, other threads, time limits, while
 * clients come, pipeline and go. A plain program: it is made for ThreadSanitizer.
 */
#include "web.h"

#include <linkbuffer/linkbuffer.h>
#include <nhttp/body.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS   6
#define ROUNDS    150
#define ANSWERERS 2

/* Requests that somebody else answers. */
struct queue {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct nhttp_request *requests[256];
    unsigned count;
    bool is_over;
};

static struct queue queue = {.mutex = PTHREAD_MUTEX_INITIALIZER,
                             .changed = PTHREAD_COND_INITIALIZER};
static _Atomic unsigned cancels;
#define FILE_BYTES 3000000
static int file_fd;

static void sleep_us(long us)
{
    nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
}

static void note_cancel(struct nhttp_request *request, void *arg)
{
    (void)request;
    (void)arg;
    atomic_fetch_add(&cancels, 1);
}

static void put_off(struct nhttp_request *request)
{
    nhttp_request_defer(request);
    (void)!nhttp_request_on_cancel(request, note_cancel, NULL);
    pthread_mutex_lock(&queue.mutex);
    CHECK(queue.count < 256);
    queue.requests[queue.count++] = request;
    pthread_cond_signal(&queue.changed);
    pthread_mutex_unlock(&queue.mutex);
}

/* Takes what there is. What that ended with. */
static ssize_t take(struct nhttp_request *request)
{
    struct linkbuffer *lb;
    CHECK(linkbuffer_create(&lb) == 0);
    ssize_t n = 1;
    while (n > 0)
        n = nhttp_body_take(request, lb);
    linkbuffer_destroy(lb);
    return n;
}

/* Reads to the end on the thread it is on. */
static void read_here(struct nhttp_request *request)
{
    while (take(request) == -EAGAIN)
        (void)!nhttp_body_wait(request, 5);
    say(request, "read");
}

/* What is not the server's after all is still ours. */
static void give_file(struct nhttp_request *request)
{
    int fd = dup(file_fd);
    CHECK(fd >= 0);
    if (nhttp_response_file(request, fd, 1000, FILE_BYTES - 1000) != 0)
        close(fd);
}

static void *answer_others(void *arg)
{
    (void)arg;
    for (unsigned n = 0;; n++) {
        pthread_mutex_lock(&queue.mutex);
        while (queue.count == 0 && !queue.is_over)
            pthread_cond_wait(&queue.changed, &queue.mutex);
        struct nhttp_request *request = queue.count > 0 ? queue.requests[--queue.count] : NULL;
        pthread_mutex_unlock(&queue.mutex);
        if (request == NULL)
            return NULL;
        sleep_us(n % 7 == 0 ? 30000 : 200);
        if (n % 3 == 0)
            read_here(request);
        else if (n % 3 == 1)
            give_file(request);
        else
            say(request, "later");
        nhttp_request_finish(request);
    }
}

static void read_on(struct nhttp_request *request, void *arg)
{
    while (take(request) == -EAGAIN) {
        if (nhttp_body_on_more(request, read_on, arg) == 0)
            return;
    }
    say(request, "called");
    nhttp_request_finish(request);
}

static void handle(struct nhttp_request *request, void *arg)
{
    const struct web *web = arg;
    if (path_is(request, "/read") && !netpoll_runtime_is_poller(web->rig.runtime)) {
        read_here(request);
        return;
    }
    if (path_is(request, "/called") || path_is(request, "/read")) {
        nhttp_request_defer(request);
        read_on(request, arg);
        return;
    }
    if (path_is(request, "/later")) {
        put_off(request);
    } else if (path_is(request, "/file")) {
        give_file(request);
    } else if (path_is(request, "/slow")) {
        sleep_us(30000);
        say(request, "slow");
    } else {
        web_handle(request, NULL);
    }
}

#define BODY_BYTES_MAX 100000
#define REQUESTS_BYTES (6 * (BODY_BYTES_MAX + 200))

/* Bytes of it. */
static size_t make_request(char *out, unsigned *seed)
{
    static const char *const paths[] = {"/",     "/later",  "/slow", "/later",
                                        "/read", "/called", "/",     "/file"};
    const char *path = paths[(unsigned)rand_r(seed) % (sizeof paths / sizeof paths[0])];
    bool is_long = rand_r(seed) % 4 == 0;
    size_t body = is_long ? (size_t)rand_r(seed) % BODY_BYTES_MAX : 3;
    bool is_chunked = rand_r(seed) % 2 == 0;
    const char *form = is_chunked ? "POST %s HTTP/1.1\r\nHost: a\r\n"
                                    "Transfer-Encoding: chunked\r\n\r\n%zx\r\n"
                                  : "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n";
    size_t n = (size_t)sprintf(out, form, path, body);
    memset(out + n, 'x', body);
    n += body;
    if (is_chunked)
        n += (size_t)sprintf(out + n, body > 0 ? "\r\n0\r\n\r\n" : "\r\n");
    return n;
}

static void *be_client(void *arg)
{
    const struct web *web = arg;
    unsigned seed = (unsigned)(uintptr_t)&seed;
    char *requests = malloc(REQUESTS_BYTES);
    char into[65536];
    CHECK(requests != NULL);
    for (unsigned round = 0; round < ROUNDS; round++) {
        int fd = web_dial(web);
        unsigned n = (unsigned)rand_r(&seed) % 6;
        size_t len = 0;
        for (unsigned i = 0; i < n; i++)
            len += make_request(requests + len, &seed);
        size_t sent = rand_r(&seed) % 4 == 0 ? (size_t)rand_r(&seed) % (len + 1) : len;
        size_t half = rand_r(&seed) % 2 == 0 ? sent / 2 : 0;
        (void)client_try_send(fd, requests, half);
        sleep_us(half > 0 ? rand_r(&seed) % 500 : 0);
        (void)client_try_send(fd, requests + half, sent - half);
        if (rand_r(&seed) % 3 == 0)
            sleep_us(rand_r(&seed) % 2000);
        else if (rand_r(&seed) % 2 == 0 && n > 0 && sent == len)
            (void)client_try_receive(fd, into, 17);
        if (rand_r(&seed) % 2 == 0)
            client_reset(fd);
        else
            client_close(fd);
    }
    free(requests);
    return NULL;
}

static void race(enum netpoll_handler executor)
{
    struct gopool_options few = {.cap = 3};
    struct web web = {.options = {.handler = handle,
                                  .executor = executor,
                                  .handler_timeout_ms = 25,
                                  .queue_timeout_ms = 22,
                                  .stream_bodies = true,
                                  .body_window_bytes = 8192,
                                  .max_drain_bytes = 60000,
                                  .watchdog_ms = NETPOLL_TIMEOUT_NONE},
                      .own_pool = &few};
    pthread_t clients[CLIENTS];
    pthread_t answerers[ANSWERERS];
    web.options.arg = &web;
    web_start(&web);
    queue.is_over = false;
    for (unsigned i = 0; i < ANSWERERS; i++)
        CHECK(pthread_create(&answerers[i], NULL, answer_others, NULL) == 0);
    for (unsigned i = 0; i < CLIENTS; i++)
        CHECK(pthread_create(&clients[i], NULL, be_client, &web) == 0);
    for (unsigned i = 0; i < CLIENTS; i++)
        pthread_join(clients[i], NULL);
    /* Who has come and gone may still wait to be accepted. */
    CHECK(nhttp_server_shutdown(web.server, DEADLINE_MS) == 0);
    struct nhttp_server_stats stats = web_stats(&web);
    CHECK(stats.requests > 0 && stats.answers > 0);
    /* Every end was seen. */
    CHECK(stats.header_timeouts == 0 && stats.body_timeouts == 0 && stats.idle_timeouts == 0);
    /* Requests of connections that have gone may still wait for a worker. */
    CHECK(gopool_drain(web.options.pool, DEADLINE_MS) == 0);
    pthread_mutex_lock(&queue.mutex);
    queue.is_over = true;
    pthread_cond_broadcast(&queue.changed);
    pthread_mutex_unlock(&queue.mutex);
    for (unsigned i = 0; i < ANSWERERS; i++)
        pthread_join(answerers[i], NULL);
    web_finish(&web);
}

int main(void)
{
    if (backend_refusal() != 0)
        return STATUS_SKIPPED;
    char name[] = "/tmp/nhttp-XXXXXX";
    file_fd = mkstemp(name);
    CHECK(file_fd >= 0 && unlink(name) == 0 && ftruncate(file_fd, FILE_BYTES) == 0);
    race(NETPOLL_HANDLER_POOL);
    race(NETPOLL_HANDLER_INLINE);
    close(file_fd);
    return 0;
}
