/* Figures of a server, in numbers and as text. Any thread. */
#include "server.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

unsigned hs_shard(void)
{
    static _Atomic unsigned next;
    static _Thread_local unsigned own; /* plus one; 0: none yet */
    if (own == 0)
        own = 1 + atomic_fetch_add_explicit(&next, 1, memory_order_relaxed) % HS_COUNTER_SHARDS;
    return own - 1;
}

static uint64_t sum(const struct nhttp_server *server, unsigned counter)
{
    uint64_t all = 0;
    for (unsigned i = 0; i < HS_COUNTER_SHARDS; i++)
        all += atomic_load_explicit(&server->counters[i].values[counter], memory_order_relaxed);
    return all;
}

void nhttp_server_stats_read(struct nhttp_server *server, struct nhttp_server_stats *out)
{
    /* First: a connection is never counted as closed before it is as opened. */
    uint64_t closed = sum(server, HS_COUNT_CLOSED);
    *out = (struct nhttp_server_stats){
        .connections = sum(server, HS_COUNT_OPENED) - closed,
        .requests = sum(server, HS_COUNT_REQUESTS),
        .answers = sum(server, HS_COUNT_ANSWERS),
        .panics = sum(server, HS_COUNT_PANICS),
        .cancelled = sum(server, HS_COUNT_CANCELLED),
        .header_timeouts = sum(server, HS_COUNT_HEADER_TIMEOUTS),
        .body_timeouts = sum(server, HS_COUNT_BODY_TIMEOUTS),
        .body_rate_limits = sum(server, HS_COUNT_BODY_RATE_LIMITS),
        .idle_timeouts = sum(server, HS_COUNT_IDLE_TIMEOUTS),
        .handler_timeouts = sum(server, HS_COUNT_HANDLER_TIMEOUTS),
        .queue_timeouts = sum(server, HS_COUNT_QUEUE_TIMEOUTS),
        .queue_full = sum(server, HS_COUNT_QUEUE_FULL),
        .watchdog = sum(server, HS_COUNT_WATCHDOG),
        .request_limits = sum(server, HS_COUNT_REQUEST_LIMITS),
        .age_limits = sum(server, HS_COUNT_AGE_LIMITS),
        .address_limits = sum(server, HS_COUNT_ADDRESS_LIMITS),
        .body_pauses = sum(server, HS_COUNT_BODY_PAUSES),
        .drain_limits = sum(server, HS_COUNT_DRAIN_LIMITS),
        .linger_timeouts = sum(server, HS_COUNT_LINGER_TIMEOUTS),
    };
    for (unsigned i = 0; i < NHTTP_REFUSALS; i++)
        out->refused[i] = sum(server, HS_COUNT_REFUSED + i);
}

struct text {
    char *out;
    size_t size;
    size_t len;
};

__attribute__((format(printf, 2, 3))) static void say(struct text *text, const char *format, ...)
{
    bool has_room = text->len < text->size;
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(has_room ? text->out + text->len : NULL,
                      has_room ? text->size - text->len : 0, format, arguments);
    va_end(arguments);
    if (n > 0)
        text->len += (size_t)n;
}

static void say_counter(struct text *text, const char *name, const char *help, uint64_t value)
{
    say(text,
        "# HELP nhttp_%s_total %s\n# TYPE nhttp_%s_total counter\nnhttp_%s_total %" PRIu64 "\n",
        name, help, name, name, value);
}

static void say_refusals(struct text *text, const struct nhttp_server_stats *stats)
{
    say(text, "# HELP nhttp_refused_total Requests refused by the server itself, by status\n"
              "# TYPE nhttp_refused_total counter\n");
    for (unsigned i = 0; i < NHTTP_REFUSALS; i++) {
        if (stats->refused[i] > 0)
            say(text, "nhttp_refused_total{status=\"%u\"} %" PRIu64 "\n", 400 + i,
                stats->refused[i]);
    }
}

size_t nhttp_server_stats_text(struct nhttp_server *server, char *out, size_t size)
{
    struct nhttp_server_stats stats;
    struct text text = {.out = out, .size = size};
    nhttp_server_stats_read(server, &stats);
    if (size > 0)
        out[0] = '\0';
    say(&text,
        "# HELP nhttp_connections Connections\n# TYPE nhttp_connections gauge\n"
        "nhttp_connections %" PRIu64 "\n",
        stats.connections);
    const struct {
        const char *name;
        const char *help;
        uint64_t value;
    } all[] = {
        {"requests", "Requests whose head was taken", stats.requests},
        {"answers", "Answers of handlers", stats.answers},
        {"panics", "Handlers that panicked", stats.panics},
        {"cancelled", "Requests whose client had gone before the answer", stats.cancelled},
        {"header_timeouts", "Heads that did not come in time", stats.header_timeouts},
        {"body_timeouts", "Bodies that stopped coming", stats.body_timeouts},
        {"body_rate_limits", "Bodies that came too slowly", stats.body_rate_limits},
        {"idle_timeouts", "Idle connections that were closed", stats.idle_timeouts},
        {"handler_timeouts", "Handlers that were overruled", stats.handler_timeouts},
        {"queue_timeouts", "Requests that waited too long for a worker", stats.queue_timeouts},
        {"queue_full", "Requests for which the pool had no room", stats.queue_full},
        {"watchdog", "Handlers that were logged as slow", stats.watchdog},
        {"request_limits", "Connections that had their number of requests", stats.request_limits},
        {"age_limits", "Connections that were old", stats.age_limits},
        {"address_limits", "Connections refused for their address", stats.address_limits},
        {"body_pauses", "Bodies that waited for their handlers, times", stats.body_pauses},
        {"drain_limits", "Connections that ended for a body that nobody took", stats.drain_limits},
        {"linger_timeouts", "Clients that went on sending behind a last answer",
         stats.linger_timeouts},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        say_counter(&text, all[i].name, all[i].help, all[i].value);
    say_refusals(&text, &stats);
    return text.len;
}
