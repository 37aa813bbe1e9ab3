/* The log: levels as an option and at run time, the limit, and what is told of lines kept back. */
#include "../support/process.h"
#include "rig.h"
#include "runtime.h"

#include <mcache/mcache.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

TestSuite(log, .timeout = 60);

#define SECOND_MS 1000

/* What the log function was given. */
struct lines {
    pthread_mutex_t mutex;
    uint64_t count[NP_LOG_LEVELS]; /* by level, those about suppressed lines left out */
    uint64_t suppressed[NP_LOG_LEVELS];
    uint64_t notices;
    char text[4096]; /* of all, as far as there is room */
};

static void gather(enum netpoll_log_level level, const char *message, void *arg)
{
    struct lines *lines = arg;
    char *end;
    uint64_t n = strtoull(message, &end, 10);
    CHECK(level >= NETPOLL_LOG_ERROR && level <= NETPOLL_LOG_DEBUG);
    pthread_mutex_lock(&lines->mutex);
    if (strcmp(end, " lines suppressed") == 0) {
        CHECK(n > 0);
        lines->suppressed[level] += n;
        lines->notices++;
    } else {
        lines->count[level]++;
    }
    size_t at = strlen(lines->text);
    snprintf(lines->text + at, sizeof lines->text - at, "%s\n", message);
    pthread_mutex_unlock(&lines->mutex);
}

#define LINES_INIT                          \
    {                                       \
        .mutex = PTHREAD_MUTEX_INITIALIZER, \
    }

static uint64_t told(struct lines *lines, enum netpoll_log_level level)
{
    pthread_mutex_lock(&lines->mutex);
    uint64_t count = lines->count[level];
    pthread_mutex_unlock(&lines->mutex);
    return count;
}

static uint64_t told_suppressed(struct lines *lines, enum netpoll_log_level level)
{
    pthread_mutex_lock(&lines->mutex);
    uint64_t count = lines->suppressed[level];
    pthread_mutex_unlock(&lines->mutex);
    return count;
}

static struct netpoll_runtime *open_log(struct lines *lines, struct netpoll_runtime_options options)
{
    struct netpoll_runtime *runtime;
    if (options.backend == NETPOLL_BACKEND_AUTO)
        options.backend = backend_under_test();
    options.pollers = 2;
    options.log = gather;
    options.log_arg = lines;
    CHECK(netpoll_runtime_create(&options, &runtime) == 0);
    return runtime;
}

static void close_log(struct netpoll_runtime *runtime)
{
    CHECK(netpoll_runtime_destroy(runtime) == 0);
}

static uint64_t suppressed(const struct netpoll_runtime *runtime)
{
    struct netpoll_stats stats;
    netpoll_runtime_stats_read(runtime, &stats);
    return stats.log_suppressed;
}

Test(log, an_unknown_level_or_rate_is_refused)
{
    const struct netpoll_runtime_options wrong[] = {
        {.log_level = (enum netpoll_log_level)(NETPOLL_LOG_DEBUG + 1)},
        {.log_level = (enum netpoll_log_level) - 1},
        {.log_rate = NETPOLL_LOG_RATE_MAX + 1},
        {.log_rate = NETPOLL_LOG_RATE_NONE - 1},
    };
    size_t bytes = live_bytes();
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct netpoll_runtime *runtime = (struct netpoll_runtime *)&bytes;
        cr_assert_eq(netpoll_runtime_create(&wrong[i], &runtime), -EINVAL, "%zu", i);
        cr_assert_null(runtime);
        cr_assert_eq(live_bytes(), bytes);
    }
}

/* A server that serves one connection and shuts down. */
static void serve_one(struct netpoll_runtime *runtime, char address[NETPOLL_ADDRESS_BYTES])
{
    struct netpoll_conn_options options = {.on_request = echo_copy};
    struct netpoll_server *server;
    CHECK(netpoll_server_create(runtime, &options, NULL, &server) == 0);
    CHECK(netpoll_server_listen(server, "127.0.0.1:0") == 0);
    CHECK(netpoll_server_address(server, 0, address, NETPOLL_ADDRESS_BYTES) == 0);
    int fd = client_dial(address);
    expect_echo(fd, 1, 10);
    client_close(fd);
    struct netpoll_stats stats;
    do
        netpoll_runtime_stats_read(runtime, &stats);
    while (stats.connections > 0);
    CHECK(netpoll_server_shutdown(server, DEADLINE_MS) == 0);
    CHECK(netpoll_server_destroy(server) == 0);
}

/* What each level tells of one runtime that serves one connection, and of two lines of our own. */
static void run_at(enum netpoll_log_level level, struct lines *lines,
                   char address[NETPOLL_ADDRESS_BYTES])
{
    struct netpoll_runtime *runtime =
        open_log(lines, (struct netpoll_runtime_options){.log_level = level});
    serve_one(runtime, address);
    np_log(runtime, NETPOLL_LOG_WARNING, "a warning");
    np_log_error(runtime, -ENOMEM, "an error");
    close_log(runtime);
}

Test(log, log_level)
{
    const enum netpoll_log_level levels[] = {NETPOLL_LOG_DEFAULT, NETPOLL_LOG_ERROR,
                                             NETPOLL_LOG_WARNING, NETPOLL_LOG_INFO,
                                             NETPOLL_LOG_DEBUG};
    /* By level: lines of ERROR, WARNING, INFO, DEBUG. */
    const uint64_t expected[][4] = {
        {1, 1, 0, 0}, {1, 0, 0, 0}, {1, 1, 0, 0}, {1, 1, 3, 0}, {1, 1, 3, 2}};
    for (unsigned i = 0; i < 5; i++) {
        struct lines lines = LINES_INIT;
        char address[NETPOLL_ADDRESS_BYTES];
        run_at(levels[i], &lines, address);
        for (unsigned k = 0; k < 4; k++)
            cr_assert_eq(lines.count[k + 1], expected[i][k], "level %u, lines of %u:\n%s", i, k + 1,
                         lines.text);
    }
}

static void expect_text(const struct lines *lines, const char *text)
{
    cr_assert_not_null(strstr(lines->text, text), "no \"%s\" in:\n%s", text, lines->text);
}

Test(log, what_is_told)
{
    struct lines lines = LINES_INIT;
    char address[NETPOLL_ADDRESS_BYTES];
    char listening[NETPOLL_ADDRESS_BYTES + 16];
    run_at(NETPOLL_LOG_DEBUG, &lines, address);
    snprintf(listening, sizeof listening, "listening on %s\n", address);
    expect_text(&lines, backend_under_test() == NETPOLL_BACKEND_EPOLL
                            ? "backend epoll, pollers 2: "
                            : "backend io_uring, pollers 2: ");
    expect_text(&lines, listening);
    expect_text(&lines, "connection 1 opened: 127.0.0.1:");
    expect_text(&lines, "connection 1 closed: eof\n");
    expect_text(&lines, "shut down, connections aborted: 0\n");
    expect_text(&lines, "an error: ");
}

/* Falling back is a warning: told by default, but not to those who want errors alone. */
Test(log, a_fallback_is_a_warning)
{
    cr_assert_eq(unsetenv("NETPOLL_BACKEND"), 0);
    refuse_system_call(SYS_io_uring_setup, EPERM);
    for (unsigned i = 0; i < 2; i++) {
        struct lines lines = LINES_INIT;
        struct netpoll_runtime *runtime;
        struct netpoll_runtime_options options = {.pollers = 1,
                                                  .log = gather,
                                                  .log_arg = &lines,
                                                  .log_level = i == 0 ? NETPOLL_LOG_DEFAULT
                                                                      : NETPOLL_LOG_ERROR};
        cr_assert_eq(netpoll_runtime_create(&options, &runtime), 0);
        close_log(runtime);
        cr_assert_eq(lines.count[NETPOLL_LOG_WARNING], i == 0, "%s", lines.text);
    }
}

Test(log, the_level_can_be_changed)
{
    struct lines lines = LINES_INIT;
    char address[NETPOLL_ADDRESS_BYTES];
    struct netpoll_runtime *runtime = open_log(&lines, (struct netpoll_runtime_options){0});
    serve_one(runtime, address);
    cr_assert_eq(told(&lines, NETPOLL_LOG_DEBUG), 0);
    cr_assert_eq(netpoll_runtime_set_log_level(runtime, NETPOLL_LOG_DEBUG), 0);
    serve_one(runtime, address);
    cr_assert_eq(told(&lines, NETPOLL_LOG_DEBUG), 2);
    cr_assert_eq(told(&lines, NETPOLL_LOG_INFO), 2);
    cr_assert_eq(netpoll_runtime_set_log_level(runtime, NETPOLL_LOG_ERROR), 0);
    np_log(runtime, NETPOLL_LOG_WARNING, "not told");
    cr_assert_eq(netpoll_runtime_set_log_level(runtime, NETPOLL_LOG_DEFAULT), 0);
    np_log(runtime, NETPOLL_LOG_WARNING, "told");
    cr_assert_eq(told(&lines, NETPOLL_LOG_WARNING), 1);
    serve_one(runtime, address);
    cr_assert_eq(told(&lines, NETPOLL_LOG_DEBUG), 2);
    cr_assert_eq(
        netpoll_runtime_set_log_level(runtime, (enum netpoll_log_level)(NETPOLL_LOG_DEBUG + 1)),
        -EINVAL);
    close_log(runtime);
}

/* So many errors at once; how many were told, less what came by while it lasted. */
static void expect_burst(struct netpoll_runtime_options options, uint64_t rate, uint64_t burst)
{
    struct lines lines = LINES_INIT;
    struct netpoll_runtime *runtime = open_log(&lines, options);
    int64_t start = now_ms();
    for (unsigned i = 0; i < 1000; i++)
        np_log_error(runtime, -EIO, "line %u", i);
    uint64_t count = told(&lines, NETPOLL_LOG_ERROR);
    uint64_t meanwhile = (uint64_t)(now_ms() - start + 1) * rate / SECOND_MS;
    cr_assert_geq(count, burst);
    cr_assert_leq(count, burst + meanwhile);
    cr_assert_eq(suppressed(runtime), 1000 - count);
    close_log(runtime);
    cr_assert_eq(lines.suppressed[NETPOLL_LOG_ERROR], 1000 - count);
}

Test(log, log_burst)
{
    expect_burst((struct netpoll_runtime_options){0}, 10, 20);
    expect_burst((struct netpoll_runtime_options){.log_burst = 7}, 10, 7);
    expect_burst((struct netpoll_runtime_options){.log_burst = 1, .log_rate = 1}, 1, 1);
}

/* The first takes what there is; then one comes by for each tick of the rate, and no more. */
Test(log, log_rate)
{
    struct lines lines = LINES_INIT;
    struct netpoll_runtime *runtime =
        open_log(&lines, (struct netpoll_runtime_options){.log_rate = 50, .log_burst = 1});
    int64_t start = now_ms();
    do
        np_log(runtime, NETPOLL_LOG_ERROR, "again");
    while (told(&lines, NETPOLL_LOG_ERROR) < 11);
    cr_assert_geq(now_ms() - start, 10 * SECOND_MS / 50 - 1);
    poll(NULL, 0, 200);
    uint64_t before = told(&lines, NETPOLL_LOG_ERROR);
    for (unsigned i = 0; i < 5; i++)
        np_log(runtime, NETPOLL_LOG_ERROR, "rest does not gather more than the burst");
    cr_assert_eq(told(&lines, NETPOLL_LOG_ERROR), before + 1);
    close_log(runtime);
}

Test(log, without_a_limit_every_line_is_told)
{
    struct lines lines = LINES_INIT;
    struct netpoll_runtime *runtime =
        open_log(&lines, (struct netpoll_runtime_options){.log_rate = NETPOLL_LOG_RATE_NONE});
    for (unsigned i = 0; i < 10000; i++)
        np_log(runtime, NETPOLL_LOG_ERROR, "line %u", i);
    cr_assert_eq(told(&lines, NETPOLL_LOG_ERROR), 10000);
    cr_assert_eq(suppressed(runtime), 0);
    close_log(runtime);
    cr_assert_eq(lines.notices, 0);
}

Test(log, a_storm_of_one_level_does_not_hide_another)
{
    struct lines lines = LINES_INIT;
    struct netpoll_runtime *runtime =
        open_log(&lines, (struct netpoll_runtime_options){.log_level = NETPOLL_LOG_DEBUG});
    for (unsigned i = 0; i < 100; i++)
        np_log(runtime, NETPOLL_LOG_DEBUG, "chatter");
    np_log(runtime, NETPOLL_LOG_ERROR, "an error");
    cr_assert_eq(told(&lines, NETPOLL_LOG_ERROR), 1);
    cr_assert_gt(suppressed(runtime), 0);
    close_log(runtime);
    cr_assert_gt(lines.suppressed[NETPOLL_LOG_DEBUG], 0);
    cr_assert_eq(lines.suppressed[NETPOLL_LOG_ERROR], 0);
}

/* Nobody logs any more: what was kept back is told all the same, once, and the pollers rest. */
Test(log, suppressed_lines_are_told_when_the_storm_is_over)
{
    struct lines lines = LINES_INIT;
    struct netpoll_runtime *runtime =
        open_log(&lines, (struct netpoll_runtime_options){.log_rate = 1, .log_burst = 5});
    for (unsigned storm = 1; storm <= 2; storm++) {
        uint64_t before = told_suppressed(&lines, NETPOLL_LOG_ERROR);
        for (unsigned i = 0; i < 100; i++)
            np_log(runtime, NETPOLL_LOG_ERROR, "line %u", i);
        uint64_t kept_back = suppressed(runtime);
        cr_assert_gt(kept_back, before);
        WAIT_UNTIL(told_suppressed(&lines, NETPOLL_LOG_ERROR) == kept_back);
        cr_assert_eq(lines.notices, storm);
    }
    cr_assert_eq(told(&lines, NETPOLL_LOG_ERROR) + told_suppressed(&lines, NETPOLL_LOG_ERROR), 200);
    struct netpoll_stats before;
    struct netpoll_stats after;
    poll(NULL, 0, SECOND_MS); /* the memory of the start has been given back */
    netpoll_runtime_stats_read(runtime, &before);
    poll(NULL, 0, 7 * SECOND_MS / 2);
    netpoll_runtime_stats_read(runtime, &after);
    cr_assert_leq(after.wakeups, before.wakeups + 2, "three notices if they went on");
    close_log(runtime);
    cr_assert_eq(lines.notices, 2);
}

static uint64_t allocations(void)
{
    struct mcache_stats stats;
    mcache_stats_read(&stats);
    uint64_t sum = stats.system_alloc_count;
    for (size_t i = 0; i < MCACHE_CLASS_COUNT; i++)
        sum += stats.classes[i].alloc_count;
    return sum;
}

Test(log, a_suppressed_line_takes_no_memory)
{
    struct lines lines = LINES_INIT;
    struct netpoll_runtime *runtime =
        open_log(&lines, (struct netpoll_runtime_options){.log_rate = 1, .log_burst = 1});
    np_log(runtime, NETPOLL_LOG_ERROR, "told");
    uint64_t before = allocations();
    for (unsigned i = 0; i < 10000; i++)
        np_log_error(runtime, -EIO, "line %u", i);
    cr_assert_eq(allocations(), before);
    close_log(runtime);
}

/* The log function logs, as one that uses this library may bring about. */
static void log_again(enum netpoll_log_level level, const char *message, void *arg)
{
    struct netpoll_runtime **runtime = arg;
    (void)level;
    (void)message;
    if (*runtime != NULL)
        np_log(*runtime, NETPOLL_LOG_ERROR, "from the log");
}

Test(log, a_log_function_that_logs_ends)
{
    struct netpoll_runtime *in_log = NULL;
    struct netpoll_runtime_options options = {
        .backend = backend_under_test(), .log = log_again, .log_arg = &in_log};
    struct netpoll_runtime *runtime;
    cr_assert_eq(netpoll_runtime_create(&options, &runtime), 0);
    in_log = runtime;
    np_log(runtime, NETPOLL_LOG_ERROR, "the first");
    cr_assert_gt(suppressed(runtime), 0);
    in_log = NULL;
    close_log(runtime);
}
