/*
 * Requests that are answered by whoever is first: handlers, other threads, time limits, while
 * clients come, pipeline and go. A plain program: it is made for ThreadSanitizer.
 */
#include "web.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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
        say(request, "later");
        nhttp_request_finish(request);
    }
}

static void handle(struct nhttp_request *request, void *arg)
{
    (void)arg;
    if (path_is(request, "/later")) {
        put_off(request);
    } else if (path_is(request, "/slow")) {
        sleep_us(30000);
        say(request, "slow");
    } else {
        web_handle(request, NULL);
    }
}

static void *be_client(void *arg)
{
    static const char *const paths[] = {"/", "/later", "/slow", "/later", "/"};
    const struct web *web = arg;
    unsigned seed = (unsigned)(uintptr_t)&seed;
    char requests[1024];
    char into[65536];
    for (unsigned round = 0; round < ROUNDS; round++) {
        int fd = web_dial(web);
        requests[0] = '\0';
        unsigned n = (unsigned)rand_r(&seed) % 6;
        for (unsigned i = 0; i < n; i++) {
            strcat(requests, "POST ");
            strcat(requests, paths[(unsigned)rand_r(&seed) % 5]);
            strcat(requests, " HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
        }
        size_t len = strlen(requests);
        size_t sent = rand_r(&seed) % 4 == 0 ? (size_t)rand_r(&seed) % (len + 1) : len;
        (void)client_try_send(fd, requests, sent);
        if (rand_r(&seed) % 3 == 0)
            sleep_us(rand_r(&seed) % 2000);
        else if (rand_r(&seed) % 2 == 0 && n > 0 && sent == len)
            (void)client_try_receive(fd, into, 17);
        if (rand_r(&seed) % 2 == 0)
            client_reset(fd);
        else
            client_close(fd);
    }
    return NULL;
}

static void race(enum netpoll_handler executor)
{
    struct gopool_options few = {.cap = 3};
    struct web web = {.options = {.handler = handle,
                                  .executor = executor,
                                  .handler_timeout_ms = 25,
                                  .queue_timeout_ms = 22,
                                  .watchdog_ms = NETPOLL_TIMEOUT_NONE},
                      .own_pool = &few};
    pthread_t clients[CLIENTS];
    pthread_t answerers[ANSWERERS];
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
    race(NETPOLL_HANDLER_POOL);
    race(NETPOLL_HANDLER_INLINE);
    return 0;
}
