/* Options of a server: whatever is beyond its range is an error at the start, what is at its end
 * not. */
#include "web.h"

#include <criterion/criterion.h>
#include <gopool/gopool.h>
#include <netpoll/error.h>
#include <nhttp/chunked.h>

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define TIMEOUT(name)                                      \
    {                                                      \
#        name, offsetof(struct nhttp_server_options, name) \
    }

static const struct {
    const char *name;
    size_t offset;
} timeouts[] = {
    TIMEOUT(header_timeout_ms), TIMEOUT(body_timeout_ms),  TIMEOUT(write_timeout_ms),
    TIMEOUT(idle_timeout_ms),   TIMEOUT(queue_timeout_ms), TIMEOUT(handler_timeout_ms),
    TIMEOUT(watchdog_ms),       TIMEOUT(max_age_ms),       TIMEOUT(linger_timeout_ms),
};

/* What creating a server with these options says; one that came to be is gone. */
static int create(const struct web *web, struct nhttp_server_options options)
{
    struct nhttp_server *server;
    if (options.handler == NULL)
        options.handler = web_handle;
    int status = nhttp_server_create(web->rig.runtime, &options, &server);
    cr_assert_eq(server != NULL, status == 0);
    cr_assert_eq(nhttp_server_destroy(server), 0);
    return status;
}

Test(http_options, timeouts_have_a_range)
{
    static const int64_t bad[] = {-2, INT64_MIN, (int64_t)NETPOLL_TIMEOUT_MS_MAX + 1, INT64_MAX};
    static const int64_t good[] = {NETPOLL_TIMEOUT_NONE, 1, NETPOLL_TIMEOUT_MS_MAX};
    struct web web = {.pollers = 1};
    web_start(&web);
    for (size_t i = 0; i < sizeof timeouts / sizeof timeouts[0]; i++) {
        struct nhttp_server_options options = {0};
        int64_t *timeout_ms = (int64_t *)(void *)((char *)&options + timeouts[i].offset);
        for (size_t j = 0; j < sizeof bad / sizeof bad[0]; j++) {
            *timeout_ms = bad[j];
            cr_assert_eq(create(&web, options), -EINVAL, "%s, %zu", timeouts[i].name, j);
        }
        for (size_t j = 0; j < sizeof good / sizeof good[0]; j++) {
            *timeout_ms = good[j];
            cr_assert_eq(create(&web, options), 0, "%s, %zu", timeouts[i].name, j);
        }
    }
    web_finish(&web);
}

static void on_shutdown(struct netpoll_server *server, void *arg)
{
    (void)server, (void)arg;
}

Test(http_options, out_of_range_are_refused)
{
    static int anything;
    struct gopool *pool = gopool_default();
    const struct nhttp_server_options bad[] = {
        {.head = {.fields = NHTTP_FIELDS_MAX + 1}},
        {.head = {.line_bytes = 100, .head_bytes = 99}},
        {.head = {.line_bytes = NHTTP_HEAD_BYTES_DEFAULT + 1}},
        {.head = {.head_bytes = NHTTP_HEAD_BYTES_MAX + 1}},
        {.chunked = {.line_bytes = NHTTP_CHUNK_LINE_BYTES_MAX + 1}},
        {.max_body_bytes = (uint64_t)INT64_MAX + 1},
        {.pool = pool, .max_workers = 1},
        {.pool = pool, .max_queued = 1},
        {.max_workers = GOPOOL_CAP_MAX + 1},
        {.executor = (enum netpoll_handler)7},
        {.name = ""},
        {.name = "a\r\nX: y"},
        {.keepalive_s = -2},
        {.listener = {.max_connections = 5}},
        {.listener = {.on_shutdown = on_shutdown}},
        {.listener = {.arg = &anything}},
        {.listener = {.backlog = -1}},
        {.listener = {.balancing = (enum netpoll_balancing)7}},
        {.listener = {.when_full = (enum netpoll_when_full)7}},
        {.listener = {.shed_after_ms = -2}},
        {.listener = {.defer_accept_s = -1}},
        {.listener = {.fast_open_queue = -1}},
        {.listener = {.unix_mode = 01000}},
        {.listener = {.shutdown_grace_ms = -2}},
        {.listener = {.reserved = {[5] = 1}}},
        {.listener = {.address_wait_ms = -2}},
    };
    struct web web = {.pollers = 1};
    struct nhttp_server *server;
    web_start(&web);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_eq(create(&web, bad[i]), -EINVAL, "%zu", i);
    const struct nhttp_server_options no_handler = {.max_requests = 1};
    cr_assert_eq(nhttp_server_create(web.rig.runtime, &no_handler, &server), -EINVAL);
    cr_assert_null(server);
    for (size_t i = 0; i < sizeof no_handler.reserved / sizeof no_handler.reserved[0]; i++) {
        struct nhttp_server_options options = {0};
        options.reserved[i] = 1;
        cr_assert_eq(create(&web, options), -EINVAL, "reserved %zu", i);
    }
    web_finish(&web);
}

Test(http_options, at_the_end_of_their_range_are_taken)
{
    const struct nhttp_server_options good[] = {
        {.head = {.fields = NHTTP_FIELDS_MAX}},
        {.head = {.head_bytes = NHTTP_HEAD_BYTES_MAX}},
        {.head = {.line_bytes = NHTTP_HEAD_BYTES_MAX, .head_bytes = NHTTP_HEAD_BYTES_MAX}},
        {.chunked = {.line_bytes = NHTTP_CHUNK_LINE_BYTES_MAX, .overhead_bytes = UINT32_MAX}},
        {.max_body_bytes = INT64_MAX},
        {.max_drain_bytes = UINT64_MAX, .body_window_bytes = UINT32_MAX},
        {.body_min_rate = UINT32_MAX, .max_requests = UINT32_MAX, .retry_after_s = UINT32_MAX},
        {.max_connections = UINT32_MAX, .max_per_address = UINT32_MAX},
        {.max_workers = 1, .max_queued = UINT32_MAX},
        {.executor = NETPOLL_HANDLER_INLINE, .name = "a (b)", .keepalive_s = -1},
        {.listener = {.unix_mode = 0777, .shutdown_grace_ms = NETPOLL_TIMEOUT_NONE}},
    };
    struct web web = {.pollers = 1};
    web_start(&web);
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        cr_assert_eq(create(&web, good[i]), 0, "%zu", i);
    cr_assert_eq(nhttp_server_destroy(NULL), 0);
    web_finish(&web);
}

/* Whoever wants short heads need not speak of their first line. */
Test(http_options, a_short_head_has_short_lines)
{
    struct web web = {.options = {.head = {.head_bytes = 100}}};
    char line[200];
    web_start(&web);
    int fd = web_dial(&web);
    expect_answer(fd, GET("/"), 200, NULL);
    memset(line, 'a', sizeof line);
    memcpy(line, "GET /", 5);
    line[sizeof line - 1] = '\0';
    ask(fd, line);
    expect_last(fd, 431);
    client_close(fd);
    web_finish_when_idle(&web);
}
