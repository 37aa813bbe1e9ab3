/**
 * A closed loop of load: every connection sends a message, waits until the same bytes have come
 * back, and sends the next. One thread, epoll(7), nothing of the toolkit.
 *
 * Threads: one at a time per load. Errors: 0 or a negative errno value.
 */
#ifndef EXAMPLES_LOAD_H
#define EXAMPLES_LOAD_H

#include "latency.h"

#include <stddef.h>
#include <stdint.h>

struct load;

/** What to load. */
struct load_options {
    const char *address;  /**< as connect_to() takes it */
    uint32_t connections; /**< at least 1 */
    const void *message;  /**< the pattern of every message; borrowed until load_open() returns */
    size_t size;          /**< its bytes, at least 1 */
    size_t stamp_offset;  /**< the 8 bytes from here on are made different in every message, as far
                               as there are any, so that an answer to another one is noticed */
    size_t mark_offset;   /**< the byte here is 1 in marked messages and 0 in others */
    uint32_t marked_permille; /**< messages of a thousand that are marked, at random; 0: none, and
                                   the byte is left as it is */
};

/** When a run ends: at the first that is reached. Answers under way are waited for. */
struct load_limit {
    uint64_t requests; /**< 0: no limit */
    uint32_t seconds;  /**< 0: no limit */
};

/** What a run has seen. */
struct load_result {
    uint64_t sent;          /**< messages started */
    uint64_t done;          /**< of those, answered with the same bytes */
    double seconds;         /**< from the first to the last */
    struct latency latency; /**< of messages that are not marked */
    struct latency marked;  /**< of those that are */
};

/**
 * Connects.
 *
 * @param out  the load, NULL on failure
 * @return 0; -EINVAL when messages are to be marked beyond their end; -ENOMEM; as connect_to()
 *
 * Memory: the caller owns the load and ends it with load_close().
 */
int load_open(const struct load_options *options, struct load **out);

/**
 * Loads until the limit. A warm-up is a run of its own.
 *
 * @param out  filled in any case
 * @return 0; -EBADMSG for an answer that differs from the message; -ECONNRESET when the server
 *         closed a connection; -ETIMEDOUT when nothing moved for 5 seconds. After a failure only
 *         load_close() may be called.
 */
int load_run(struct load *load, struct load_limit limit, struct load_result *out);

/** Disconnects. NULL does nothing. */
void load_close(struct load *load);

#endif
