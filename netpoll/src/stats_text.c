/* The figures of a runtime as text, for people and for Prometheus. Any thread. */
#include "runtime.h"
#include "stats.h"

#include <linkbuffer/linkbuffer.h>
#include <mcache/mcache.h>
#include <netpoll/stats.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The longest line: a reason (NP_REASON_BYTES) in which everything is escaped, and its frame. */
#define LINE_BYTES 512
/* Where the values begin, for people. */
#define NAME_WIDTH 32

enum kind {
    COUNTER,
    GAUGE
};

/* Where the text goes: to memory as far as it reaches, or to a buffer. */
struct sink {
    char *out;
    size_t size;
    struct linkbuffer *into; /* NULL: to out */
    size_t len;              /* of the whole text */
    int status;
};

__attribute__((format(printf, 2, 3))) static void put(struct sink *sink, const char *format, ...)
{
    char line[LINE_BYTES];
    va_list args;
    va_start(args, format);
    size_t n = (size_t)vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (sink->into != NULL) {
        if (sink->status == 0)
            sink->status = linkbuffer_write(sink->into, line, n);
    } else if (sink->len < sink->size) {
        size_t room = sink->size - sink->len - 1;
        memcpy(sink->out + sink->len, line, n < room ? n : room);
        sink->out[sink->len + (n < room ? n : room)] = '\0';
    }
    sink->len += n;
}

/* Neighbours in struct netpoll_stats that differ in the value of one label, or a single figure. */
struct family {
    const char *name;
    enum kind kind;
    bool is_us; /* microseconds, told in seconds */
    const char *help;
    size_t offset; /* of the first one */
    size_t count;
    const char *label;
    const char *(*word)(size_t index); /* value of the label */
};

static const char *reason_word(size_t index)
{
    return np_close_reason_word((enum netpoll_close_reason)index);
}

static const char *pause_word(size_t index)
{
    static const char *const words[] = {"input", "output", "user", "accept"};
    return words[index];
}

static const char *timeout_word(size_t index)
{
    static const char *const words[] = {"read",  "write", "idle", "request",
                                        "close", "dial",  "wait"};
    return words[index];
}

/* How many figures lie from one field to another one, both included. */
#define SPAN(first, last)                                                           \
    (offsetof(struct netpoll_stats, last) - offsetof(struct netpoll_stats, first) + \
     sizeof(uint64_t)) /                                                            \
        sizeof(uint64_t)

_Static_assert(SPAN(input_pauses, accept_pauses) == 4, "a word for each pause");
_Static_assert(SPAN(read_timeouts, wait_timeouts) == 7, "a word for each timeout");

#define ONE(field) .offset = offsetof(struct netpoll_stats, field), .count = 1

static const struct family families[] = {
    {"connections", GAUGE, .help = "Connections that are open.", ONE(connections)},
    {"accepted_total", .help = "Connections taken from listeners.", ONE(accepted)},
    {"accept_fails_total", .help = "Accept errors.", ONE(accept_fails)},
    {"accept_drops_total", .help = "Accepted connections dropped for want of memory.",
     ONE(accept_drops)},
    {"refused_total", .help = "Accepted connections refused by on_prepare or by a limit.",
     ONE(refused)},
    {"dialed_total", .help = "Connections made by dialers.", ONE(dialed)},
    {"dial_fails_total", .help = "Dials that made no connection.", ONE(dial_fails)},
    {"closed_total", .help = "Connections that ended, by reason.",
     .offset = offsetof(struct netpoll_stats, closed), .count = NETPOLL_CLOSE_REASON_COUNT,
     .label = "reason", .word = reason_word},
    {"requests_total", .help = "Calls of on_request.", ONE(requests)},
    {"panics_total", .help = "Callbacks of connections that panicked.", ONE(panics)},
    {"received_bytes_total", .help = "Bytes that came in.", ONE(bytes_in)},
    {"sent_bytes_total", .help = "Bytes that the kernel took.", ONE(bytes_out)},
    {"receives_total", .help = "Times that bytes came in.", ONE(receives)},
    {"sends_total", .help = "Times that the kernel took bytes.", ONE(sends)},
    {"copied_bytes_total", .help = "Bytes that came in and were copied out of their block.",
     ONE(bytes_copied)},
    {"pin_limits_total", .help = "Receives copied because the limit of pinned bytes was reached.",
     ONE(pin_limits)},
    {"refused_flushes_total", .help = "Flushes refused because too much was queued.",
     ONE(flushes_refused)},
    {"pauses_total", .help = "Times that receiving stopped, by what stopped it.",
     .offset = offsetof(struct netpoll_stats, input_pauses),
     .count = SPAN(input_pauses, accept_pauses), .label = "kind", .word = pause_word},
    {"timeouts_total", .help = "Time limits that have passed, by kind.",
     .offset = offsetof(struct netpoll_stats, read_timeouts),
     .count = SPAN(read_timeouts, wait_timeouts), .label = "kind", .word = timeout_word},
    {"wakeups_total", .help = "Times that the poller came back from the kernel.", ONE(wakeups)},
    {"posts_woke_total", .help = "Times that a thread woke the poller by a system call.",
     ONE(posts_woke)},
    {"round_seconds_total", .is_us = true,
     .help = "Time from the end of each wait to the end of its round.", ONE(round_us_sum)},
    {"round_seconds_max", GAUGE, .is_us = true, .help = "Longest round of the poller.",
     ONE(round_us_max)},
    {"exhausted_buffers_total", .help = "Times that no block was left to receive into.",
     ONE(buffers_exhausted)},
};

#define FAMILY_COUNT (sizeof families / sizeof families[0])

static uint64_t value_of(const struct netpoll_stats *stats, const struct family *family,
                         size_t index)
{
    uint64_t value;
    memcpy(&value, (const char *)stats + family->offset + index * sizeof value, sizeof value);
    return value;
}

struct value {
    char text[32];
};

static struct value format_value(uint64_t value, bool is_us)
{
    struct value out;
    if (is_us)
        snprintf(out.text, sizeof out.text, "%llu.%06llu", (unsigned long long)value / 1000000,
                 (unsigned long long)value % 1000000);
    else
        snprintf(out.text, sizeof out.text, "%llu", (unsigned long long)value);
    return out;
}

/* A figure of the runtime or of the process. */
struct single {
    const char *name;
    enum kind kind;
    const char *help;
    uint64_t value;
};

static void tell_singles(struct sink *sink, const struct single *singles, size_t count,
                         void (*tell)(struct sink *sink, const struct single *single))
{
    for (size_t i = 0; i < count; i++)
        tell(sink, &singles[i]);
}

static void tell_pool(struct sink *sink, const struct netpoll_runtime *runtime,
                      void (*tell)(struct sink *sink, const struct single *single))
{
    struct gopool_stats pool;
    gopool_stats_read(runtime->pool, &pool);
    const struct single singles[] = {
        {"pool_workers", GAUGE, "Threads of the pool.", pool.workers},
        {"pool_idle_workers", GAUGE, "Of those, parked.", pool.idle_workers},
        {"pool_blocked_workers", GAUGE, "Of those, blocked and replaced.", pool.blocked_workers},
        {"pool_workers_cap", GAUGE, "Most threads of the pool.", pool.cap},
        {"pool_queued", GAUGE, "Tasks that wait for a worker.", pool.queued},
        {"pool_submitted_total", COUNTER, "Tasks accepted.", pool.submitted_count},
        {"pool_finished_total", COUNTER, "Tasks that have ended.", pool.finished_count},
        {"pool_panics_total", COUNTER, "Tasks that ended by a panic.", pool.panic_count},
        {"pool_full_total", COUNTER, "Submits that found the queue full.", pool.full_count},
        {"pool_stuck_total", COUNTER, "Tasks that the watchdog has told of.", pool.stuck_count},
    };
    tell_singles(sink, singles, sizeof singles / sizeof singles[0], tell);
}

static void tell_memory(struct sink *sink,
                        void (*tell)(struct sink *sink, const struct single *single))
{
    struct mcache_stats memory;
    mcache_stats_read(&memory);
    const struct single singles[] = {
        {"memory_live_bytes", GAUGE, "Memory of mcache in use.",
         memory.live_bytes + memory.system_bytes},
        {"memory_retained_bytes", GAUGE, "Free memory kept for the next use.",
         memory.retained_bytes},
        {"memory_segment_bytes", GAUGE, "Address space held for blocks.", memory.segment_bytes},
        {"memory_returned_bytes_total", COUNTER, "Free memory given back to the system.",
         memory.returned_bytes},
        {"memory_bad_frees_total", COUNTER, "Pointers given to mcache_free() that were ignored.",
         memory.bad_free_count},
    };
    tell_singles(sink, singles, sizeof singles / sizeof singles[0], tell);
}

static void tell_log(struct sink *sink, const struct netpoll_runtime *runtime,
                     void (*tell)(struct sink *sink, const struct single *single))
{
    tell(sink, &(struct single){"suppressed_log_lines_total", COUNTER,
                                "Lines that the limit of the log kept back.",
                                np_log_suppressed(runtime)});
}

/* For people: "_total" says nothing. */
static int name_length(const char *name)
{
    static const char suffix[] = "_total";
    size_t n = strlen(name);
    size_t without = n - (sizeof suffix - 1);
    return (int)(n > sizeof suffix && strcmp(name + without, suffix) == 0 ? without : n);
}

static void put_line(struct sink *sink, const char *name, const char *word, const char *value)
{
    char full[64];
    snprintf(full, sizeof full, "%.*s%s%s", name_length(name), name, word != NULL ? "_" : "",
             word != NULL ? word : "");
    put(sink, "%-*s %s\n", NAME_WIDTH, full, value);
}

static void tell_line(struct sink *sink, const struct single *single)
{
    put_line(sink, single->name, NULL, format_value(single->value, false).text);
}

int netpoll_stats_text(const struct netpoll_runtime *runtime, char *out, size_t size)
{
    struct sink sink = {.out = out, .size = size};
    struct netpoll_stats stats;
    if (np_runtime_is_foreign(runtime))
        return -EPERM;
    netpoll_runtime_stats_read(runtime, &stats);
    put_line(&sink, "backend", NULL, runtime->backend->name);
    put_line(&sink, "pollers", NULL, format_value(runtime->poller_count, false).text);
    for (size_t i = 0; i < FAMILY_COUNT; i++) {
        const struct family *family = &families[i];
        for (size_t k = 0; k < family->count; k++)
            put_line(&sink, family->name, family->label != NULL ? family->word(k) : NULL,
                     format_value(value_of(&stats, family, k), family->is_us).text);
    }
    tell_log(&sink, runtime, tell_line);
    tell_pool(&sink, runtime, tell_line);
    tell_memory(&sink, tell_line);
    return (int)sink.len;
}

static void put_head(struct sink *sink, const char *name, enum kind kind, const char *help)
{
    put(sink, "# HELP netpoll_%s %s\n", name, help);
    put(sink, "# TYPE netpoll_%s %s\n", name, kind == COUNTER ? "counter" : "gauge");
}

static void tell_metric(struct sink *sink, const struct single *single)
{
    put_head(sink, single->name, single->kind, single->help);
    put(sink, "netpoll_%s %llu\n", single->name, (unsigned long long)single->value);
}

static void put_family(struct sink *sink, const struct family *family,
                       const struct netpoll_stats *pollers, uint32_t poller_count)
{
    put_head(sink, family->name, family->kind, family->help);
    for (uint32_t i = 0; i < poller_count; i++) {
        for (size_t k = 0; k < family->count; k++) {
            char label[64] = "";
            if (family->label != NULL)
                snprintf(label, sizeof label, ",%s=\"%s\"", family->label, family->word(k));
            put(sink, "netpoll_%s{poller=\"%u\"%s} %s\n", family->name, i, label,
                format_value(value_of(&pollers[i], family, k), family->is_us).text);
        }
    }
}

/* As the value of a label is written; out has room for twice the text. */
static void escape(const char *text, char *out)
{
    for (; *text != '\0'; text++) {
        char c = *text;
        if (c == '\\' || c == '"' || c == '\n')
            *out++ = '\\';
        if (c == '\n')
            c = 'n';
        *out++ = c;
    }
    *out = '\0';
}

static void put_backend(struct sink *sink, const struct netpoll_runtime *runtime)
{
    char reason[2 * NP_REASON_BYTES];
    escape(runtime->reason, reason);
    put_head(sink, "backend_info", GAUGE, "How the kernel is asked, and why.");
    put(sink, "netpoll_backend_info{backend=\"%s\",reason=\"%s\"} 1\n", runtime->backend->name,
        reason);
}

static int put_all(struct sink *sink, const struct netpoll_runtime *runtime)
{
    if (np_runtime_is_foreign(runtime))
        return -EPERM;
    /* Read first: what one poller tells in several families is of one time. */
    struct netpoll_stats *pollers = mcache_alloc(runtime->poller_count * sizeof *pollers);
    if (pollers == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < runtime->poller_count; i++)
        (void)!netpoll_runtime_poller_stats_read(runtime, i, &pollers[i]);
    put_backend(sink, runtime);
    for (size_t i = 0; i < FAMILY_COUNT; i++)
        put_family(sink, &families[i], pollers, runtime->poller_count);
    mcache_free(pollers);
    tell_log(sink, runtime, tell_metric);
    tell_pool(sink, runtime, tell_metric);
    tell_memory(sink, tell_metric);
    return sink->status != 0 ? sink->status : (int)sink->len;
}

int netpoll_stats_prometheus(const struct netpoll_runtime *runtime, char *out, size_t size)
{
    struct sink sink = {.out = out, .size = size};
    return put_all(&sink, runtime);
}

int netpoll_stats_write_prometheus(const struct netpoll_runtime *runtime, struct linkbuffer *into)
{
    struct sink sink = {.into = into};
    size_t before = linkbuffer_reserved_len(into);
    int status = put_all(&sink, runtime);
    /* Cannot fail: so many bytes were there before. */
    if (status < 0)
        (void)!linkbuffer_commit(into, before);
    return status;
}
