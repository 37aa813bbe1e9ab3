/**
 * linkbuffer: a byte queue made of linked windows on counted blocks.
 *
 * Invariants
 * - Positions: released <= read <= flushed <= written. Bytes in [read, flushed) are readable;
 *   bytes in [flushed, written) belong to the writer until linkbuffer_flush().
 * - A block is counted memory; a window is a range of one block. Only blocks carry counts, so a
 *   slice of any size keeps exactly the blocks it shows.
 * - A pointer handed out by next, peek or until stays valid, and its bytes unchanged, until
 *   linkbuffer_release() of the same buffer, whatever else is called in between.
 * - Contiguous data is never copied. What had to be copied is counted in bytes_copied.
 * - A buffer without readable, unflushed or unreleased bytes owns no block, unless the reader has
 *   stated a demand that is not met: see linkbuffer_need() in io.h.
 *
 * What may be done with memory between calls: the reader may read what next, peek and until gave
 * it, until release. The writer may write what reserve gave it, until flush or commit. Nothing
 * else may be touched.
 *
 * Threads: a buffer has a reader side and a writer side. One thread at a time may be in the calls
 * of a side; a reader and a writer may be at work at the same time without a lock. Calls name
 * their side. Different buffers are independent, also when they share blocks.
 * Errors: 0 or a negative errno value; counts are never negative unless they are errors. A call
 * that fails has changed nothing.
 */
#ifndef LINKBUFFER_LINKBUFFER_H
#define LINKBUFFER_LINKBUFFER_H

#include <linkbuffer/block.h>
#include <linkbuffer/integer.h>

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct iovec;
struct linkbuffer;

/**
 * Creates an empty buffer.
 *
 * @param out  the buffer, NULL on failure
 * @return 0; -ENOMEM
 *
 * Memory: the caller owns the buffer and frees it with linkbuffer_destroy().
 */
LINKBUFFER_API LINKBUFFER_MUST_CHECK int linkbuffer_create(struct linkbuffer **out);

/**
 * Frees a buffer and drops its count on every block it shows.
 *
 * @param lb  NULL does nothing
 *
 * Thread: nobody else may be in a call of either side.
 */
LINKBUFFER_API void linkbuffer_destroy(struct linkbuffer *lb);

/* Reader side */

/** Readable bytes. Thread: reader. */
LINKBUFFER_API LINKBUFFER_MUST_CHECK size_t linkbuffer_len(struct linkbuffer *lb);

/**
 * Consumes n bytes and shows them in one piece.
 *
 * @param n    bytes; 0 gives NULL
 * @param out  the bytes; untouched on failure
 * @return 0; -EAGAIN when fewer than n are readable; -ENOMEM when a copy was needed
 *
 * Thread: reader.
 * Memory: lends the bytes until linkbuffer_release().
 */
LINKBUFFER_API LINKBUFFER_MUST_CHECK int linkbuffer_next(struct linkbuffer *lb, size_t n,
                                                         const void **out);

/**
 * Shows n bytes in one piece without consuming them. Otherwise as linkbuffer_next().
 *
 * Repeated peeks across windows share one copy, which grows by doubling.
 */
LINKBUFFER_API LINKBUFFER_MUST_CHECK int linkbuffer_peek(struct linkbuffer *lb, size_t n,
                                                         const void **out);

/**
 * Consumes n bytes without showing them.
 *
 * @return 0; -EAGAIN when fewer than n are readable
 *
 * Thread: reader.
 */
LINKBUFFER_API LINKBUFFER_MUST_CHECK int linkbuffer_skip(struct linkbuffer *lb, size_t n);

/**
 * Looks for the first delimiter and consumes nothing.
 *
 * Bytes searched in vain are not searched again, as by linkbuffer_until().
 *
 * @return bytes before it; -EAGAIN when there is none
 *
 * Thread: reader.
 */
LINKBUFFER_API LINKBUFFER_MUST_CHECK ssize_t linkbuffer_find(struct linkbuffer *lb,
                                                             uint8_t delimiter);

/**
 * Consumes everything up to and including the first delimiter and shows it in one piece.
 *
 * Bytes searched in vain are not searched again by the next call for the same delimiter. Where they
 * lie in many small windows these are copied together. A reader of lines bounds them itself, by
 * linkbuffer_len().
 *
 * @param delimiter  byte to look for
 * @param out        the bytes, delimiter included; untouched on failure
 * @param n          how many; untouched on failure
 * @return 0; -EAGAIN when there is no delimiter; -ENOMEM when a copy was needed
 *
 * Thread: reader.
 * Memory: lends the bytes until linkbuffer_release().
 */
LINKBUFFER_API LINKBUFFER_MUST_CHECK int linkbuffer_until(struct linkbuffer *lb, uint8_t delimiter,
                                                          const void **out, size_t *n);

/**
 * Consumes up to n bytes into the caller's memory.
 *
 * @return bytes copied, min(n, linkbuffer_len())
 *
 * Thread: reader.
 * Memory: borrows into.
 */
LINKBUFFER_API size_t linkbuffer_read(struct linkbuffer *lb, void *into, size_t n);

/**
 * Consumes one byte.
 *
 * @return 0; -EAGAIN when nothing is readable
 *
 * Thread: reader.
 */
LINKBUFFER_API LINKBUFFER_MUST_CHECK int linkbuffer_read_byte(struct linkbuffer *lb, uint8_t *out);

/**
 * Consumes n bytes into a buffer of their own, without a copy.
 *
 * @param n    bytes; 0 gives an empty buffer
 * @param out  a buffer with n readable bytes, NULL on failure
 * @return 0; -EAGAIN when fewer than n are readable; -ENOMEM
 *
 * Thread: reader. The new buffer may be used on any thread.
 * Memory: the caller owns the new buffer and frees it with linkbuffer_destroy(), before or after
 *         this one.
 */
LINKBUFFER_API LINKBUFFER_MUST_CHECK int linkbuffer_slice(struct linkbuffer *lb, size_t n,
                                                          struct linkbuffer **out);

/**
 * Ends the life of every pointer that next, peek and until have handed out.
 *
 * Drops this buffer's count on the blocks of consumed bytes.
 *
 * Thread: reader.
 */
LINKBUFFER_API void linkbuffer_release(struct linkbuffer *lb);

/**
 * Shows the first readable bytes as they lie, without consuming them.
 *
 * @param iov  filled; entries are never empty
 * @param max  entries there is room for
 * @return entries filled; 0 when nothing is readable or max <= 0
 *
 * Thread: reader.
 * Memory: lends the bytes until release once they are consumed, or moved by next, peek or until
 *         across windows; settle, append and slice end the loan at once.
 */
LINKBUFFER_API LINKBUFFER_MUST_CHECK int linkbuffer_iov(struct linkbuffer *lb, struct iovec *iov,
                                                        int max);

/**
 * Makes unread bytes cheap to keep: copies small pieces out of blocks they use little of.
 *
 * A piece is copied when it uses less than a quarter of its block and either nobody else shows
 * the block or the piece is at most copy_limit bytes. It goes behind its predecessor where that
 * one's block has room, and so does every other piece of at most copy_limit bytes. Pieces of the
 * caller's memory (linkbuffer_write_ref()) and of blocks under 512 bytes get no block of their
 * own. A piece that was left where it is is looked at again when it has become the first one.
 * Memory that cannot be had leaves the piece where it is.
 *
 * @param copy_limit  bytes; 0: only blocks that nobody else shows
 *
 * Thread: reader; only when no pointer from peek is in use: it ends their life like
 *         linkbuffer_release(), which it calls.
 */
LINKBUFFER_API void linkbuffer_settle(struct linkbuffer *lb, size_t copy_limit);

/* Writer side */

/**
 * Appends n bytes that lie in one piece and lets the caller fill them.
 *
 * They count as written at once and become readable by linkbuffer_flush(); take back what was
 * not needed with linkbuffer_commit().
 *
 * @param n    bytes; 0 gives NULL
 * @param out  where to write; untouched on failure
 * @return 0; -ENOMEM
 *
 * Thread: writer.
 * Memory: lends the bytes until flush or commit.
 */
LINKBUFFER_API LINKBUFFER_MUST_CHECK int linkbuffer_reserve(struct linkbuffer *lb, size_t n,
                                                            void **out);

/** Bytes written since the last flush. Thread: writer. */
LINKBUFFER_API LINKBUFFER_MUST_CHECK size_t linkbuffer_reserved_len(const struct linkbuffer *lb);

/**
 * Keeps the first n bytes written since the last flush and takes the rest back.
 *
 * @return 0; -EINVAL when n is above linkbuffer_reserved_len()
 *
 * Thread: writer.
 * Memory: drops the counts on blocks that were taken back.
 */
LINKBUFFER_API LINKBUFFER_MUST_CHECK int linkbuffer_commit(struct linkbuffer *lb, size_t n);

/**
 * Appends a copy of n bytes.
 *
 * @param data  borrowed; may be NULL when n is 0
 * @return 0; -ENOMEM
 *
 * Thread: writer.
 */
LINKBUFFER_API LINKBUFFER_MUST_CHECK int linkbuffer_write(struct linkbuffer *lb, const void *data,
                                                          size_t n);

/** Appends one byte: linkbuffer_write() of it. Thread: writer. */
LINKBUFFER_API LINKBUFFER_MUST_CHECK int linkbuffer_write_byte(struct linkbuffer *lb, uint8_t byte);

/**
 * Appends the caller's memory itself.
 *
 * @param data     n bytes that must not change until release is called
 * @param release  called exactly once, with arg, on the thread that drops the last count, however
 *                 the bytes end. It must not block, panic, or call this library. NULL: nothing
 * @return 0; -ENOMEM, or -EINVAL when n is above PTRDIFF_MAX: release will not be called. n == 0:
 *         0, and release has been called
 *
 * Thread: writer.
 * Memory: takes data.
 */
LINKBUFFER_API LINKBUFFER_MUST_CHECK int linkbuffer_write_ref(struct linkbuffer *lb,
                                                              const void *data, size_t n,
                                                              linkbuffer_release_fn *release,
                                                              void *arg);

/** The caller's memory, as linkbuffer_write_ref() takes it. */
struct linkbuffer_ref {
    const void *data; /**< n bytes that must not change until release is called */
    size_t n;
    linkbuffer_release_fn *release; /**< NULL: nobody wants to know */
    void *arg;
};

/**
 * Inserts the caller's memory itself in front of the last bytes written since the last flush.
 *
 * For a length or a body between parts that were reserved together. Nothing moves: pointers that
 * linkbuffer_reserve() gave stay valid, on both sides of the cut. The inserted bytes count as
 * written, for linkbuffer_commit() and for further insertions too.
 *
 * @param remain  bytes that come behind the inserted ones, at most linkbuffer_reserved_len()
 * @param ref     borrowed; its release is called as that of linkbuffer_write_ref()
 * @return 0; -EINVAL when remain is too large; -ENOMEM. release will not be called after a failure.
 *         ref->n == 0: 0, and release has been called
 *
 * Thread: writer.
 * Memory: takes ref->data.
 */
LINKBUFFER_API LINKBUFFER_MUST_CHECK int
linkbuffer_write_direct(struct linkbuffer *lb, size_t remain, const struct linkbuffer_ref *ref);

/**
 * Appends a range of a block, without a copy.
 *
 * @param data  where the range begins, inside the block's memory
 * @param n     its bytes; must not change any more. 0 does nothing
 * @return 0; -ENOMEM
 *
 * Thread: writer.
 * Memory: retains the block; the caller keeps its own count.
 */
LINKBUFFER_API LINKBUFFER_MUST_CHECK int
linkbuffer_adopt(struct linkbuffer *lb, struct linkbuffer_block *block, const void *data, size_t n);

/**
 * Moves every readable byte of another buffer to the end of this one, in constant time.
 *
 * They become readable here at the next flush. The source stays usable; pointers that it handed
 * out stay valid until its release.
 *
 * @param from  not lb itself
 * @return 0; -EINVAL when from is lb; -ENOMEM, both buffers as before
 *
 * Thread: writer of lb and reader of from.
 */
LINKBUFFER_API LINKBUFFER_MUST_CHECK int linkbuffer_append(struct linkbuffer *lb,
                                                           struct linkbuffer *from);

/**
 * Makes everything written readable.
 *
 * @return bytes that became readable
 *
 * Thread: writer.
 */
LINKBUFFER_API size_t linkbuffer_flush(struct linkbuffer *lb);

/* Both sides */

/**
 * Flushed bytes that have not been consumed, as a side that is not the reader sees them.
 *
 * Thread: any thread. The figure was true at one moment of the call; a side at work may have
 *         changed it when it arrives.
 */
LINKBUFFER_API LINKBUFFER_MUST_CHECK size_t linkbuffer_unread(const struct linkbuffer *lb);

/** Figures of one buffer. */
struct linkbuffer_stats {
    size_t blocks;       /**< windows on blocks: readable or waiting for release */
    size_t bytes_held;   /**< capacity of those windows' blocks, without the
                              LINKBUFFER_BLOCK_OVERHEAD of each; one shown twice counts twice */
    size_t bytes_copied; /**< bytes that next, peek, until and settle had to copy, ever */
};

/** Reads the figures of a buffer. Thread: reader. */
LINKBUFFER_API void linkbuffer_stats_read(struct linkbuffer *lb, struct linkbuffer_stats *out);

#ifdef __cplusplus
}
#endif

#endif
