/**
 * Bytes between a buffer and the outside: descriptors, sources, receivers. For those who use a
 * buffer without the reactor, and for whoever receives into one.
 *
 * Memory follows what has come, never what was announced: neither a demand nor a max makes
 * anything larger than about the bytes that have really been received, or 4 KiB.
 *
 * Threads: as in linkbuffer.h; each call names its side.
 */
#ifndef LINKBUFFER_IO_H
#define LINKBUFFER_IO_H

#include <linkbuffer/linkbuffer.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * States how many bytes the reader wants to have readable in one piece.
 *
 * The demand is met when so many bytes behind the present read position have been flushed; it
 * replaces the one before. It allocates nothing. While it is unmet, linkbuffer_reserve_input()
 * puts what comes behind what came before, and linkbuffer_settle() leaves that place alone. A
 * message that fits the first block is then shown without a copy, a larger one with one copy of
 * each byte.
 *
 * @param n  bytes; 0, or what is readable already: no demand
 *
 * Thread: reader.
 * Memory: while the demand is unmet the writer side may hold a block of its own, also when nothing
 *         is unread; it drops it in the next linkbuffer_flush() or linkbuffer_reserve_input()
 *         after the demand has ended.
 */
LINKBUFFER_API void linkbuffer_need(struct linkbuffer *lb, size_t n);

/**
 * Appends space for a receiver to read into.
 *
 * As linkbuffer_reserve(), except that the library chooses the size: room behind what came before
 * while a demand is unmet, a new block that doubles with what has come when that is full; without
 * a demand 4 KiB to 64 KiB as recent flushes have filled it. Of the n bytes take back what did not
 * come, linkbuffer_commit(lb, linkbuffer_reserved_len(lb) - n + came), and flush. Little that came
 * holds the whole block until linkbuffer_settle(); linkbuffer_fill_fd() copies it by itself.
 *
 * @param max  bytes the receiver takes at most; 0 gives NULL and 0
 * @param out  where to write; untouched on failure
 * @param n    bytes there, 1 to max; untouched on failure
 * @return 0; -ENOMEM
 *
 * Thread: writer.
 * Memory: lends the bytes until flush or commit.
 */
LINKBUFFER_API LINKBUFFER_MUST_CHECK int linkbuffer_reserve_input(struct linkbuffer *lb, size_t max,
                                                                  void **out, size_t *n);

/**
 * Reads once from a descriptor, read(2), and flushes: what came, and what was written before.
 *
 * What uses less than a quarter of its block is copied into a block of its size, so ten unread
 * bytes hold 128. Interrupted reads are repeated. On failure and at the end nothing is flushed.
 *
 * @param fd   borrowed
 * @param max  bytes to read at most
 * @return bytes, at least 1; 0 at the end; -EINVAL when max is 0; -ENOMEM; -EAGAIN and other
 *         errors of read(2)
 *
 * Thread: writer. Blocks as long as read(2) does.
 */
LINKBUFFER_API LINKBUFFER_MUST_CHECK ssize_t linkbuffer_fill_fd(struct linkbuffer *lb, int fd,
                                                                size_t max);

/**
 * Writes readable bytes to a descriptor, in one gathered write, and consumes those it took.
 *
 * On sockets without SIGPIPE; on other descriptors as writev(2), which raises it when a pipe has
 * no reader. Interrupted writes are repeated. A range of a file is sent by a call of its own, as by
 * linkbuffer_send_file() in file.h. What was taken keeps its memory until
 * linkbuffer_release().
 *
 * @param fd   borrowed
 * @param max  bytes to write at most
 * @return bytes taken, which may be fewer than there are; 0 when nothing is readable or max is 0;
 *         -EAGAIN, -EPIPE and other errors of sendmsg(2) and writev(2), and nothing is consumed;
 *         -EIO when a file has become shorter
 *
 * Thread: reader. Blocks as long as the write does.
 */
LINKBUFFER_API LINKBUFFER_MUST_CHECK ssize_t linkbuffer_drain_fd(struct linkbuffer *lb, int fd,
                                                                 size_t max);

/**
 * Gives bytes to linkbuffer_pull().
 *
 * @param arg   as given to linkbuffer_pull()
 * @param into  borrowed: where to put them
 * @param n     bytes there is room for, at least 1
 * @return bytes put there, 1 to n; 0 at the end; a negative errno value
 */
typedef ssize_t linkbuffer_source_fn(void *arg, void *into, size_t n);

/**
 * Calls a source until n bytes are readable; not at all when they are already.
 *
 * What was written before is flushed with the first bytes that come. More than n may be read.
 *
 * @param n       bytes wanted; states them as by linkbuffer_need(), which the end of the source
 *                takes back
 * @param source  called on this thread; must not use lb
 * @param arg     borrowed until the call returns
 * @return readable bytes, fewer than n only when the source is at its end; the source's error;
 *         -EOVERFLOW when it says to have put more than there was room for; -ENOMEM. After an
 *         error what came before it is readable
 *
 * Thread: reader and writer at once: nobody else may be in a call of either side.
 */
LINKBUFFER_API LINKBUFFER_MUST_CHECK ssize_t linkbuffer_pull(struct linkbuffer *lb, size_t n,
                                                             linkbuffer_source_fn *source,
                                                             void *arg);

#ifdef __cplusplus
}
#endif

#endif
