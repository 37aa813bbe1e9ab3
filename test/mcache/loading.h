/* mcache where it is not linked in the usual way. */
#ifndef TEST_MCACHE_LOADING_H
#define TEST_MCACHE_LOADING_H

#include <mcache/mcache.h>

#include <stdbool.h>
#include <stddef.h>

/* Its calls, wherever they come from. */
struct calls {
    void *(*alloc)(size_t size);
    void *(*zeroed)(size_t count, size_t size);
    void *(*aligned)(size_t alignment, size_t size);
    void *(*resize)(void *block, size_t size);
    void (*give_back)(void *block);
    size_t (*capacity)(const void *block);
    size_t (*trim)(void);
    size_t (*tick)(void);
    int (*configure)(const struct mcache_options *options);
    void (*stats_read)(struct mcache_stats *out);
};

/* Uses all of them on several threads. Says on stderr what was wrong; false then. */
bool calls_work(const struct calls *calls);

/* The part of one thread: blocks of every class. */
bool calls_work_here(const struct calls *calls);

#endif
