/* The options of a server: checked, and completed by their defaults. */
#include "server.h"

#include <netpoll/error.h>
#include <nhttp/chunked.h>
#include <nhttp/syntax.h>

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

int hs_timeout_complete(int64_t *timeout_ms, int64_t fallback)
{
    if (*timeout_ms < NETPOLL_TIMEOUT_NONE || *timeout_ms > NETPOLL_TIMEOUT_MS_MAX)
        return -EINVAL;
    if (*timeout_ms == 0)
        *timeout_ms = fallback;
    return 0;
}

static int complete_timeouts(struct nhttp_server_options *options)
{
    struct {
        int64_t *timeout_ms;
        int64_t fallback;
    } all[] = {
        {&options->header_timeout_ms, NHTTP_HEADER_TIMEOUT_MS_DEFAULT},
        {&options->body_timeout_ms, NHTTP_BODY_TIMEOUT_MS_DEFAULT},
        {&options->write_timeout_ms, NHTTP_WRITE_TIMEOUT_MS_DEFAULT},
        {&options->idle_timeout_ms, NHTTP_IDLE_TIMEOUT_MS_DEFAULT},
        {&options->handler_timeout_ms, NETPOLL_TIMEOUT_NONE},
        {&options->queue_timeout_ms, NETPOLL_TIMEOUT_NONE},
        {&options->watchdog_ms, NHTTP_WATCHDOG_MS_DEFAULT},
        {&options->linger_timeout_ms, NHTTP_LINGER_TIMEOUT_MS_DEFAULT},
        {&options->max_age_ms, NHTTP_AGE_MS_DEFAULT},
    };
    int status = 0;
    for (size_t i = 0; status == 0 && i < sizeof all / sizeof all[0]; i++)
        status = hs_timeout_complete(all[i].timeout_ms, all[i].fallback);
    return status;
}

static void complete(uint32_t *number, uint32_t fallback)
{
    if (*number == 0)
        *number = fallback;
}

/* So many that the rest of the program has descriptors left. */
static uint32_t default_connections(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return NHTTP_CONNECTIONS_DEFAULT;
    uint64_t share = (uint64_t)limit.rlim_cur / 5 * 4;
    if (share > NHTTP_CONNECTIONS_DEFAULT)
        share = NHTTP_CONNECTIONS_DEFAULT;
    return share > 0 ? (uint32_t)share : 1;
}

static int complete_limits(struct nhttp_server_options *options)
{
    complete(&options->head.head_bytes, NHTTP_HEAD_BYTES_DEFAULT);
    /* Heads that are shorter than a line may be have lines as long as they. */
    complete(&options->head.line_bytes, options->head.head_bytes < NHTTP_LINE_BYTES_DEFAULT
                                            ? options->head.head_bytes
                                            : NHTTP_LINE_BYTES_DEFAULT);
    complete(&options->head.fields, NHTTP_HEAD_FIELDS_DEFAULT);
    complete(&options->chunked.line_bytes, NHTTP_CHUNK_LINE_BYTES_DEFAULT);
    complete(&options->chunked.overhead_bytes, NHTTP_CHUNK_OVERHEAD_BYTES_DEFAULT);
    complete(&options->body_min_rate, NHTTP_BODY_MIN_RATE_DEFAULT);
    complete(&options->max_requests, NHTTP_REQUESTS_DEFAULT);
    complete(&options->max_connections, default_connections());
    complete(&options->retry_after_s, NHTTP_RETRY_AFTER_S_DEFAULT);
    complete(&options->body_window_bytes, NHTTP_BODY_WINDOW_BYTES_DEFAULT);
    if (options->max_drain_bytes == 0)
        options->max_drain_bytes = NHTTP_DRAIN_BYTES_DEFAULT;
    if (options->max_body_bytes == 0)
        options->max_body_bytes = NHTTP_BODY_BYTES_DEFAULT;
    bool is_bad = options->head.fields > NHTTP_FIELDS_MAX ||
                  options->head.head_bytes > NHTTP_HEAD_BYTES_MAX ||
                  options->head.line_bytes > options->head.head_bytes ||
                  options->chunked.line_bytes > NHTTP_CHUNK_LINE_BYTES_MAX ||
                  options->max_body_bytes > INT64_MAX;
    return is_bad ? -EINVAL : 0;
}

int hs_options_complete(struct nhttp_server_options *options)
{
    for (size_t i = 0; i < sizeof options->reserved / sizeof options->reserved[0]; i++) {
        if (options->reserved[i] != 0)
            return -EINVAL;
    }
    bool has_own_pool = options->max_workers != 0 || options->max_queued != 0;
    if (options->handler == NULL || (options->pool != NULL && has_own_pool))
        return -EINVAL;
    if (options->executor != NETPOLL_HANDLER_POOL && options->executor != NETPOLL_HANDLER_INLINE)
        return -EINVAL;
    if (options->listener.max_connections != 0 || options->listener.on_shutdown != NULL ||
        options->listener.arg != NULL)
        return -EINVAL;
    if (options->name != NULL &&
        (options->name[0] == '\0' || !nhttp_is_value(options->name, strlen(options->name))))
        return -EINVAL;
    int status = complete_timeouts(options);
    return status != 0 ? status : complete_limits(options);
}
