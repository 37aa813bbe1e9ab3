/* Formats one line and hands it to the hook, or to stderr. */
#include "log.h"

#include "runtime.h"

#include <netpoll/error.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LINE_BYTES 512

static const char *const level_words[] = {"error", "warning"};

static void put(const struct netpoll_runtime *runtime, enum netpoll_log_level level,
                const char *line)
{
    if (runtime->log != NULL)
        runtime->log(level, line, runtime->log_arg);
    else
        fprintf(stderr, "netpoll: %s: %s\n", level_words[level], line);
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
