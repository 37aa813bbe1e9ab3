/**
 * Blocks: counted memory that windows of buffers show.
 *
 * A receiver fills a block and hands ranges of it to buffers with linkbuffer_adopt(); each range
 * holds a count of its own. While linkbuffer_block_is_shared() says false, the whole block is the
 * owner's again and may be filled anew.
 *
 * Threads: any thread, on different counts at the same time.
 */
#ifndef LINKBUFFER_BLOCK_H
#define LINKBUFFER_BLOCK_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LINKBUFFER_API        __attribute__((visibility("default")))
#define LINKBUFFER_MUST_CHECK __attribute__((warn_unused_result))

struct linkbuffer_block;

/** Gives memory back that was lent with linkbuffer_write_ref(). */
typedef void linkbuffer_release_fn(void *arg);

/** Bytes a block needs beside its payload: a payload of a size class less this fills the class. */
#define LINKBUFFER_BLOCK_OVERHEAD ((size_t)64)

/**
 * Creates a block with one count.
 *
 * @param capacity  bytes wanted; the block may have more
 * @return the block; NULL with errno ENOMEM
 *
 * Memory: the caller owns the count and drops it with linkbuffer_block_release().
 */
LINKBUFFER_API LINKBUFFER_MUST_CHECK struct linkbuffer_block *
linkbuffer_block_create(size_t capacity);

/**
 * Adds a count.
 *
 * Memory: dropped with linkbuffer_block_release().
 */
LINKBUFFER_API void linkbuffer_block_retain(struct linkbuffer_block *block);

/** Drops a count; the last one frees the block. NULL does nothing. */
LINKBUFFER_API void linkbuffer_block_release(struct linkbuffer_block *block);

/** The payload; aligned to 16 bytes. Memory: borrowed while a count is held. */
LINKBUFFER_API LINKBUFFER_MUST_CHECK void *linkbuffer_block_data(struct linkbuffer_block *block);

/** Bytes of payload. */
LINKBUFFER_API LINKBUFFER_MUST_CHECK size_t
linkbuffer_block_capacity(const struct linkbuffer_block *block);

/**
 * Tells whether anybody else holds a count.
 *
 * When the caller holds the only one, false stays true until the caller shares it again, and
 * what the others did with the block has happened before.
 */
LINKBUFFER_API LINKBUFFER_MUST_CHECK bool
linkbuffer_block_is_shared(const struct linkbuffer_block *block);

#ifdef __cplusplus
}
#endif

#endif
