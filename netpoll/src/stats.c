/* The figures of a runtime: read from what its pollers count, and added up. Any thread. */
#include "stats.h"

#include "runtime.h"

#include <netpoll/stats.h>

#include <errno.h>

const char *np_close_reason_word(enum netpoll_close_reason reason)
{
    static const char *const words[] = {
        [NETPOLL_CLOSE_NONE] = "none",
        [NETPOLL_CLOSE_EOF] = "eof",
        [NETPOLL_CLOSE_RESET] = "reset",
        [NETPOLL_CLOSE_USER] = "user",
        [NETPOLL_CLOSE_PANIC] = "panic",
        [NETPOLL_CLOSE_ERROR] = "error",
        [NETPOLL_CLOSE_SHUTDOWN] = "shutdown",
        [NETPOLL_CLOSE_READ_TIMEOUT] = "read_timeout",
        [NETPOLL_CLOSE_WRITE_TIMEOUT] = "write_timeout",
        [NETPOLL_CLOSE_IDLE_TIMEOUT] = "idle_timeout",
        [NETPOLL_CLOSE_BAD_MESSAGE] = "bad_message",
        [NETPOLL_CLOSE_DETACHED] = "detached",
    };
    _Static_assert(sizeof words / sizeof words[0] == NETPOLL_CLOSE_REASON_COUNT,
                   "a word for each reason");
    return words[reason];
}

static uint64_t figure(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void read_connections(const struct np_poller *poller, struct netpoll_stats *out)
{
    const struct np_counters *own = &poller->counters;
    out->connections = atomic_load_explicit(&poller->conn_count, memory_order_relaxed);
    out->accepted = figure(&own->accepted);
    out->accept_fails = figure(&own->accept_fails);
    out->accept_drops = figure(&own->accept_drops);
    out->refused = figure(&own->refused);
    out->dialed = figure(&own->dialed);
    out->dial_fails = figure(&own->dial_fails);
    for (size_t i = 0; i < NETPOLL_CLOSE_REASON_COUNT; i++)
        out->closed[i] = figure(&own->closed[i]);
}

static void read_timeouts(const struct np_poller *poller, struct netpoll_stats *out)
{
    const struct np_counters *own = &poller->counters;
    out->read_timeouts = figure(&own->read_timeouts);
    out->write_timeouts = figure(&own->write_timeouts);
    out->idle_timeouts = figure(&own->idle_timeouts);
    out->request_timeouts = figure(&own->request_timeouts);
    out->close_timeouts = figure(&own->close_timeouts);
    out->dial_timeouts = figure(&own->dial_timeouts);
    out->wait_timeouts = figure(&poller->shared.wait_timeouts);
}

static void read_poller(const struct np_poller *poller, struct netpoll_stats *out)
{
    const struct np_counters *own = &poller->counters;
    const struct np_shared_counters *shared = &poller->shared;
    *out = (struct netpoll_stats){0};
    read_connections(poller, out);
    read_timeouts(poller, out);
    out->requests = figure(&own->requests) + figure(&shared->requests);
    out->panics = figure(&shared->panics);
    out->bytes_in = figure(&own->bytes_in);
    out->bytes_out = figure(&own->bytes_out) + figure(&shared->bytes_out);
    out->receives = figure(&own->receives);
    out->sends = figure(&own->sends) + figure(&shared->sends);
    out->bytes_copied = figure(&own->bytes_copied);
    out->pin_limits = figure(&own->pin_limits);
    out->flushes_refused = figure(&shared->flushes_refused);
    out->input_pauses = figure(&own->input_pauses);
    out->output_pauses = figure(&own->output_pauses);
    out->user_pauses = figure(&own->user_pauses);
    out->accept_pauses = figure(&own->accept_pauses);
    out->wakeups = figure(&own->wakeups);
    out->posts_woke = figure(&shared->posts_woke);
    out->round_us_sum = figure(&own->round_ns_sum) / 1000;
    out->round_us_max = figure(&own->round_ns_max) / 1000;
    out->buffers_exhausted = figure(&own->buffers_exhausted);
}

_Static_assert(sizeof(struct netpoll_stats) % sizeof(uint64_t) == 0, "figures and nothing else");

static void add(struct netpoll_stats *sum, const struct netpoll_stats *one)
{
    uint64_t longest =
        sum->round_us_max > one->round_us_max ? sum->round_us_max : one->round_us_max;
    uint64_t *to = (uint64_t *)sum;
    const uint64_t *from = (const uint64_t *)one;
    for (size_t i = 0; i < sizeof *sum / sizeof *to; i++)
        to[i] += from[i];
    sum->round_us_max = longest;
}

void netpoll_runtime_stats_read(const struct netpoll_runtime *runtime, struct netpoll_stats *out)
{
    *out = (struct netpoll_stats){0};
    for (uint32_t i = 0; i < runtime->poller_count; i++) {
        struct netpoll_stats one;
        read_poller(&runtime->pollers[i], &one);
        add(out, &one);
    }
    out->log_suppressed = np_log_suppressed(runtime);
}

int netpoll_runtime_poller_stats_read(const struct netpoll_runtime *runtime, uint32_t index,
                                      struct netpoll_stats *out)
{
    if (index >= runtime->poller_count)
        return -EINVAL;
    read_poller(&runtime->pollers[index], out);
    return 0;
}
