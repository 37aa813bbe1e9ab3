/**
 * Ranges of files among the bytes of a buffer, which are sent without being read.
 *
 * A range takes its place in the queue like any other bytes and holds no memory. skip, slice and
 * append move it as it is, linkbuffer_iov() ends in front of it, linkbuffer_settle() leaves
 * everything as it lies while there is one. Whoever wants to see its bytes has them read:
 * next, peek, until, find, read and the integers do so with pread(2), 4 KiB at a time or what they
 * need. When the file cannot be read, or has become shorter, they give -EIO and consume nothing;
 * linkbuffer_read() gives what lies in front of it.
 *
 * Files are read when their bytes are wanted: what the file holds then is what comes.
 *
 * Threads: as in linkbuffer.h; each call names its side.
 */
#ifndef LINKBUFFER_FILE_H
#define LINKBUFFER_FILE_H

#include <linkbuffer/linkbuffer.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A range of a file. */
struct linkbuffer_file {
    int fd; /**< open for reading; its position is neither used nor moved */
    off_t offset;
    size_t n;
    linkbuffer_release_fn *release; /**< NULL: nobody wants to know */
    void *arg;
};

/**
 * Appends bytes of a file without reading them.
 *
 * @param file  borrowed; its release is called exactly once, with arg, on the thread that drops the
 *              last count on the range, however its bytes end: from then on the descriptor may be
 *              closed, by it for example. It must not block, panic, or call this library
 * @return 0; -EINVAL for a negative descriptor or offset, or a range that no file can have;
 *         -ENOMEM. release will not be called after a failure. file->n == 0: 0, and release has
 *         been called
 *
 * Thread: writer.
 * Memory: borrows file->fd until release is called.
 */
LINKBUFFER_API LINKBUFFER_MUST_CHECK int linkbuffer_write_file(struct linkbuffer *lb,
                                                               const struct linkbuffer_file *file);

/**
 * Looks for the first readable bytes that are a file's.
 *
 * @param out  descriptor and range, release NULL; untouched on failure
 * @return bytes that lie in front of them, 0: none; -ENOENT when no readable byte is a file's
 *
 * Thread: reader. Walks over the windows in front of it.
 * Memory: lends the descriptor until the bytes are consumed and released.
 */
LINKBUFFER_API LINKBUFFER_MUST_CHECK ssize_t linkbuffer_find_file(struct linkbuffer *lb,
                                                                  struct linkbuffer_file *out);

/** Readable bytes that are a file's, and so hold no memory. Thread: reader. */
LINKBUFFER_API LINKBUFFER_MUST_CHECK size_t linkbuffer_file_len(struct linkbuffer *lb);

/**
 * Reads the files among the first n readable bytes into memory, so that linkbuffer_iov() shows
 * them. A little more may be read.
 *
 * @return 0; -EAGAIN when fewer than n are readable; -EIO; -ENOMEM. What was read before an error
 *         stays so
 *
 * Thread: reader.
 */
LINKBUFFER_API LINKBUFFER_MUST_CHECK int linkbuffer_load(struct linkbuffer *lb, size_t n);

/**
 * Sends from a file to a descriptor, once, by sendfile(2) where the two can do that.
 *
 * No SIGPIPE reaches the process, whatever it does with that signal: the thread blocks it
 * meanwhile.
 *
 * @param to    borrowed
 * @param file  borrowed, as linkbuffer_find_file() gives it; not empty
 * @param max   bytes to send at most, at least 1
 * @return bytes sent, at least 1; -EIO when the file cannot be read or ends in front of the range;
 *         -EAGAIN, -EPIPE, -ECONNRESET and other errors of sendfile(2)
 *
 * Thread: any thread. Blocks as long as the write and the disk do.
 */
LINKBUFFER_API LINKBUFFER_MUST_CHECK ssize_t
linkbuffer_send_file(int to, const struct linkbuffer_file *file, size_t max);

#ifdef __cplusplus
}
#endif

#endif
