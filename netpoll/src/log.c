/* Formats one line and hands it to the hook, or to stderr, as far as level and limit go. Any
 * thread. */
#include "log.h"

#include "clock.h"
#include "runtime.h"

#include <gopool/panic.h>
#include <netpoll/error.h>

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define LINE_BYTES 512
/* How long suppressed lines are gathered before they are told in one. */
#define NOTICE_MS 1000

static const char *const level_words[NP_LOG_LEVELS] = {"", "error", "warning", "info", "debug"};

struct log_call {
    const struct np_log *log;
    enum netpoll_log_level level;
    const char *line;
};

static void print(enum netpoll_log_level level, const char *line)
{
    fprintf(stderr, "netpoll: %s: %s\n", level_words[level], line);
}

static NETPOLL_DISPATCH void call_hook(void *arg)
{
    const struct log_call *call = arg;
    call->log->fn(call->level, call->line, call->log->arg);
}

static void put(const struct np_log *log, enum netpoll_log_level level, const char *line)
{
    struct log_call call = {.log = log, .level = level, .line = line};
    struct gopool_panic panic;
    if (log->fn == NULL) {
        print(level, line);
    } else if (gopool_try_task(call_hook, &call, &panic) != 0) {
        /* Pollers and turns log: neither may end by it, and the line is not lost. */
        char text[GOPOOL_PANIC_TEXT_BYTES];
        (void)gopool_panic_text(&panic, text, sizeof text);
        print(level, line);
        fprintf(stderr, "netpoll: error: panic in the log function: %s\n", text);
    }
}

static bool take_token(const struct np_log *log, struct np_log_limit *limit)
{
    if (log->interval_ns == 0)
        return true;
    uint64_t now_ns = np_clock_ns();
    /* Relaxed: the word stands for itself. */
    uint64_t arrival = atomic_load_explicit(&limit->arrival_ns, memory_order_relaxed);
    uint64_t next;
    do {
        next = (arrival > now_ns ? arrival : now_ns) + log->interval_ns;
        if (next - now_ns > log->burst_ns)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&limit->arrival_ns, &arrival, next,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

/* By the owner of the notice. Lines that were suppressed up to now. */
static uint64_t tell_suppressed(struct np_log *log)
{
    uint64_t sum = 0;
    for (int level = NETPOLL_LOG_ERROR; level < NP_LOG_LEVELS; level++) {
        struct np_log_limit *limit = &log->limits[level];
        char line[LINE_BYTES];
        uint64_t suppressed = atomic_load_explicit(&limit->suppressed, memory_order_relaxed);
        sum += suppressed;
        if (suppressed == limit->told)
            continue;
        snprintf(line, sizeof line, "%llu lines suppressed",
                 (unsigned long long)(suppressed - limit->told));
        limit->told = suppressed;
        put(log, (enum netpoll_log_level)level, line);
    }
    return sum;
}

uint64_t np_log_suppressed(const struct netpoll_runtime *runtime)
{
    uint64_t sum = 0;
    /* Relaxed: a figure. */
    for (int level = NETPOLL_LOG_ERROR; level < NP_LOG_LEVELS; level++)
        sum += atomic_load_explicit(&runtime->log.limits[level].suppressed, memory_order_relaxed);
    return sum;
}

/* True: the notice is the caller's, who has it told. Acquire and release: pairs with every other
 * exchange of the word, so that its owner sees what the one before has told. */
static bool claim_notice(struct np_log *log)
{
    return !atomic_exchange_explicit(&log->notice_due, true, memory_order_acq_rel);
}

static void arm_notice(struct np_log *log)
{
    struct np_poller *here = np_poller_current();
    np_wheel_add(&here->wheel, &log->notice_timer, np_poller_now_ms(here) + NOTICE_MS);
}

static void notice_work(struct np_work *work)
{
    arm_notice((struct np_log *)((char *)work - offsetof(struct np_log, notice_work)));
}

static void notice_tick(struct np_timer *timer)
{
    struct np_log *log = (struct np_log *)((char *)timer - offsetof(struct np_log, notice_timer));
    struct netpoll_runtime *runtime = np_poller_current()->runtime;
    uint64_t told = tell_suppressed(log);
    /* Pairs with claim_notice() in suppress(): who came before this left the notice to us, and its
     * line is seen below; who comes after it has the next one told. */
    atomic_exchange_explicit(&log->notice_due, false, memory_order_acq_rel);
    if (np_log_suppressed(runtime) != told && claim_notice(log))
        arm_notice(log);
}

static void suppress(struct netpoll_runtime *runtime, struct np_log_limit *limit)
{
    struct np_log *log = &runtime->log;
    struct np_poller *poller = np_poller_current();
    /* Relaxed: a figure; the claim publishes it to the owner of the notice. */
    atomic_fetch_add_explicit(&limit->suppressed, 1, memory_order_relaxed);
    bool is_here = poller != NULL && poller->runtime == runtime;
    /* While pollers start and end nobody else has them: np_log_settle() tells. */
    if ((!is_here && !log->pollers_run) || !claim_notice(log))
        return;
    np_poller_post(is_here ? poller : &runtime->pollers[0], &log->notice_work);
}

void np_log_settle(struct netpoll_runtime *runtime)
{
    struct np_log *log = &runtime->log;
    (void)tell_suppressed(log);
    log->pollers_run = false;
    log->notice_timer.link = NULL; /* the wheel it may be in has stopped for good */
    atomic_init(&log->notice_due, false);
}

static bool is_level(enum netpoll_log_level level)
{
    return level >= NETPOLL_LOG_DEFAULT && level <= NETPOLL_LOG_DEBUG;
}

static void set_level(struct np_log *log, enum netpoll_log_level level)
{
    int it = level == NETPOLL_LOG_DEFAULT ? NETPOLL_LOG_WARNING : (int)level;
    /* Relaxed: pairs with np_log_is_on(); it says how much is told and orders nothing. */
    atomic_store_explicit(&log->level, it, memory_order_relaxed);
}

int np_log_init(struct np_log *log, const struct netpoll_runtime_options *options)
{
    uint64_t rate = options->log_rate != 0 ? options->log_rate : NETPOLL_LOG_RATE_DEFAULT;
    uint64_t burst = options->log_burst != 0 ? options->log_burst : NETPOLL_LOG_BURST_DEFAULT;
    if (!is_level(options->log_level))
        return -EINVAL;
    if (rate > NETPOLL_LOG_RATE_MAX && rate != NETPOLL_LOG_RATE_NONE)
        return -EINVAL;
    *log = (struct np_log){
        .fn = options->log,
        .arg = options->log_arg,
        .interval_ns = UINT64_C(1000000000) / rate, /* 0 for NETPOLL_LOG_RATE_NONE */
        .notice_work.fn = notice_work,
        .notice_timer.fn = notice_tick,
    };
    log->burst_ns = burst * log->interval_ns;
    set_level(log, options->log_level);
    return 0;
}

int netpoll_runtime_set_log_level(struct netpoll_runtime *runtime, enum netpoll_log_level level)
{
    if (!is_level(level))
        return -EINVAL;
    set_level(&runtime->log, level);
    return 0;
}

/* Whether a line of this level is to be told now; if only the limit keeps it back it is counted. */
static bool is_let_through(struct netpoll_runtime *runtime, enum netpoll_log_level level)
{
    if (!np_log_is_on(runtime, level))
        return false;
    struct np_log_limit *limit = &runtime->log.limits[level];
    if (take_token(&runtime->log, limit))
        return true;
    suppress(runtime, limit);
    return false;
}

static void tell(struct netpoll_runtime *runtime, enum netpoll_log_level level, const char *format,
                 va_list args)
{
    char line[LINE_BYTES];
    if (!is_let_through(runtime, level))
        return;
    vsnprintf(line, sizeof line, format, args);
    put(&runtime->log, level, line);
}

void np_log(struct netpoll_runtime *runtime, enum netpoll_log_level level, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    tell(runtime, level, format, args);
    va_end(args);
}

void netpoll_runtime_log(struct netpoll_runtime *runtime, enum netpoll_log_level level,
                         const char *format, ...)
{
    va_list args;
    va_start(args, format);
    tell(runtime, is_level(level) && level != NETPOLL_LOG_DEFAULT ? level : NETPOLL_LOG_WARNING,
         format, args);
    va_end(args);
}

static __attribute__((format(printf, 3, 0))) void
put_with_cause(struct netpoll_runtime *runtime, const char *cause, const char *format, va_list args)
{
    char line[LINE_BYTES];
    vsnprintf(line, sizeof line, format, args);
    size_t n = strlen(line);
    /* A line that is too long is cut off. */
    if (snprintf(line + n, sizeof line - n, ": %s", cause) < 0)
        line[n] = '\0';
    put(&runtime->log, NETPOLL_LOG_ERROR, line);
}

void np_log_error(struct netpoll_runtime *runtime, int error, const char *format, ...)
{
    va_list args;
    if (!is_let_through(runtime, NETPOLL_LOG_ERROR))
        return;
    va_start(args, format);
    put_with_cause(runtime, netpoll_strerror(error), format, args);
    va_end(args);
}

void np_log_panic(struct netpoll_runtime *runtime, const struct gopool_panic *panic,
                  const char *format, ...)
{
    char cause[GOPOOL_PANIC_TEXT_BYTES];
    va_list args;
    if (!is_let_through(runtime, NETPOLL_LOG_ERROR))
        return;
    (void)gopool_panic_text(panic, cause, sizeof cause);
    va_start(args, format);
    put_with_cause(runtime, cause, format, args);
    va_end(args);
}
