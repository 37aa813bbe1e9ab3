/* One line to the runtime's log. Any thread. */
#ifndef NP_LOG_H
#define NP_LOG_H

#include <netpoll/runtime.h>

void np_log(const struct netpoll_runtime *runtime, enum netpoll_log_level level, const char *format,
            ...) __attribute__((format(printf, 3, 4)));
/* The same at level ERROR, with the word for a negative errno value behind it. */
void np_log_error(const struct netpoll_runtime *runtime, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
