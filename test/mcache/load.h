/* Load that tests put on mcache, and what they read of the process afterwards. One thread. */
#ifndef TEST_MCACHE_LOAD_H
#define TEST_MCACHE_LOAD_H

#include <mcache/mcache.h>

#include <stddef.h>
#include <stdint.h>

/* Allocates count blocks, each with the address of the one before in it. The caller owns them. */
void *alloc_chain(size_t size, size_t count);

/* Gives back such a chain. */
void free_chain(void *chain);

struct mcache_stats stats_now(void);

/* Memory of the process that is in RAM, as the kernel counts it. */
size_t resident_bytes(void);

int64_t now_ms(void);

/* Sets the options; 0: the default. */
void configure(size_t retain_limit, unsigned decay_ms);

/*
 * Calls mcache_tick() every millisecond, as a timer would, until nothing is left to do. Fails the
 * test after limit_ms.
 */
void tick_to_the_end(int64_t limit_ms);

/* Lets so much time go by. */
void pass_ms(int64_t ms);

#endif
