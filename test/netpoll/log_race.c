/* Threads that log far beyond the limit while others change the level, read the figures as text and
 * are served; every line is told or counted, and nothing is told of a runtime that has ended. */
#include "rig.h"
#include "runtime.h"

#include <linkbuffer/linkbuffer.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define RUNTIMES 8
#define LOGGERS  UINT64_C(3)
#define LINES    3000
#define ECHOES   50

struct tally {
    _Atomic uint64_t told;
    _Atomic uint64_t suppressed;
    _Atomic bool ended;
};

static void count_line(enum netpoll_log_level level, const char *message, void *arg)
{
    struct tally *tally = arg;
    char *end;
    uint64_t n = strtoull(message, &end, 10);
    CHECK(!atomic_load(&tally->ended));
    if (level != NETPOLL_LOG_ERROR)
        return;
    if (strcmp(end, " lines suppressed") == 0)
        atomic_fetch_add(&tally->suppressed, n);
    else
        atomic_fetch_add(&tally->told, 1);
}

static void *log_lines(void *arg)
{
    for (unsigned i = 0; i < LINES; i++)
        np_log(arg, NETPOLL_LOG_ERROR, "line %u", i);
    return NULL;
}

static void *change_level(void *arg)
{
    for (unsigned i = 0; i < LINES; i++) {
        CHECK(netpoll_runtime_set_log_level(arg, NETPOLL_LOG_ERROR) == 0);
        CHECK(netpoll_runtime_set_log_level(arg, NETPOLL_LOG_DEBUG) == 0);
    }
    return NULL;
}

static void *read_figures(void *arg)
{
    static char text[1 << 16];
    for (unsigned i = 0; i < 20; i++) {
        struct linkbuffer *lb;
        CHECK(linkbuffer_create(&lb) == 0);
        CHECK(netpoll_stats_write_prometheus(arg, lb) > 0);
        CHECK(netpoll_stats_text(arg, text, sizeof text) > 0);
        CHECK(netpoll_stats_prometheus(arg, text, sizeof text) > 0);
        linkbuffer_destroy(lb);
    }
    return NULL;
}

static void serve(struct netpoll_runtime *runtime)
{
    struct netpoll_conn_options options = {.on_request = echo_copy};
    struct netpoll_server *server;
    char address[NETPOLL_ADDRESS_BYTES];
    CHECK(netpoll_server_create(runtime, &options, NULL, &server) == 0);
    CHECK(netpoll_server_listen(server, "127.0.0.1:0") == 0);
    CHECK(netpoll_server_address(server, 0, address, sizeof address) == 0);
    for (unsigned i = 0; i < ECHOES; i++) {
        int fd = client_dial(address);
        expect_echo(fd, i, 100);
        client_close(fd);
    }
    CHECK(netpoll_server_shutdown(server, DEADLINE_MS) == 0);
    CHECK(netpoll_server_destroy(server) == 0);
}

/* The first runtimes end in the midst of a storm, the last one when its storm has been told. */
static void run_one(unsigned index)
{
    struct tally tally = {0};
    struct netpoll_runtime_options options = {.backend = backend_under_test(),
                                              .pollers = 2,
                                              .log = count_line,
                                              .log_arg = &tally,
                                              .log_rate = 1000,
                                              .log_burst = 5};
    struct netpoll_runtime *runtime;
    pthread_t threads[LOGGERS + 2];
    CHECK(netpoll_runtime_create(&options, &runtime) == 0);
    for (unsigned i = 0; i < LOGGERS; i++)
        CHECK(pthread_create(&threads[i], NULL, log_lines, runtime) == 0);
    CHECK(pthread_create(&threads[LOGGERS], NULL, change_level, runtime) == 0);
    CHECK(pthread_create(&threads[LOGGERS + 1], NULL, read_figures, runtime) == 0);
    serve(runtime);
    for (unsigned i = 0; i < LOGGERS + 2; i++)
        pthread_join(threads[i], NULL);
    if (index + 1 == RUNTIMES)
        WAIT_UNTIL(atomic_load(&tally.told) + atomic_load(&tally.suppressed) == LOGGERS * LINES);
    CHECK(netpoll_runtime_destroy(runtime) == 0);
    atomic_store(&tally.ended, true);
    CHECK(atomic_load(&tally.told) + atomic_load(&tally.suppressed) == LOGGERS * LINES);
    CHECK(atomic_load(&tally.suppressed) > 0);
}

int main(void)
{
    if (backend_refusal() != 0)
        return STATUS_SKIPPED;
    for (unsigned i = 0; i < RUNTIMES; i++)
        run_one(i);
    return 0;
}
