/* Formats one line and hands it to the hook, or to stderr. Any thread. */
#include "log.h"

#include "runtime.h"

#include <gopool/panic.h>
#include <netpoll/error.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LINE_BYTES 512

static const char *const level_words[] = {"error", "warning"};

struct log_call {
    const struct netpoll_runtime *runtime;
    enum netpoll_log_level level;
    const char *line;
};

static void print(enum netpoll_log_level level, const char *line)
{
    fprintf(stderr, "netpoll: %s: %s\n", level_words[level], line);
}

static void call_hook(void *arg)
{
    const struct log_call *call = arg;
    call->runtime->log(call->level, call->line, call->runtime->log_arg);
}

static void put(const struct netpoll_runtime *runtime, enum netpoll_log_level level,
                const char *line)
{
    struct log_call call = {.runtime = runtime, .level = level, .line = line};
    struct gopool_panic panic;
    if (runtime->log == NULL) {
        print(level, line);
    } else if (gopool_try_task(call_hook, &call, &panic) != 0) {
        /* Pollers and turns log: neither may end by it, and the line is not lost. */
        print(level, line);
        fprintf(stderr, "netpoll: error: panic in the log function: %s (%s:%d)\n", panic.message,
                panic.file, panic.line);
    }
}

void np_log(const struct netpoll_runtime *runtime, enum netpoll_log_level level, const char *format,
            ...)
{
    char line[LINE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    put(runtime, level, line);
}

void np_log_error(const struct netpoll_runtime *runtime, int error, const char *format, ...)
{
    char line[LINE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    size_t n = strlen(line);
    snprintf(line + n, sizeof line - n, ": %s", netpoll_strerror(error));
    put(runtime, NETPOLL_LOG_ERROR, line);
}
