/* Bytes of files to descriptors, without a signal. Any thread. */
/* For signals and pread(2). */
#define _DEFAULT_SOURCE /* NOLINT(readability-identifier-naming): the C library's name for it */
#include "linkbuffer.h"

#include <linkbuffer/file.h>

#include <errno.h>
#include <signal.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* What is read at a time where the kernel cannot move it by itself. */
#define LB_SEND_COPY ((size_t)16 * 1024)

/* SIGPIPE while this thread writes without MSG_NOSIGNAL. */
struct guard {
    sigset_t before;
    bool was_pending; /* and blocked: somebody waits for that one */
};

static void begin_guard(struct guard *guard)
{
    sigset_t pipe_signal;
    sigset_t pending;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    (void)pthread_sigmask(SIG_BLOCK, &pipe_signal, &guard->before);
    guard->was_pending = sigismember(&guard->before, SIGPIPE) == 1 && sigpending(&pending) == 0 &&
                         sigismember(&pending, SIGPIPE) == 1;
}

/* The signal of a failed write is the thread's own, so nobody else can have taken it. */
static void end_guard(const struct guard *guard, bool may_be_pending)
{
    const struct timespec at_once = {0};
    sigset_t pipe_signal;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    if (may_be_pending && !guard->was_pending) {
        while (sigtimedwait(&pipe_signal, NULL, &at_once) < 0 && errno == EINTR) {
        }
    }
    (void)pthread_sigmask(SIG_SETMASK, &guard->before, NULL);
}

/* By way of memory: -EIO is the file's fault, anything else is not. */
static ssize_t copy(int to, const struct linkbuffer_file *file, size_t n)
{
    uint8_t bytes[LB_SEND_COPY];
    ssize_t came;
    ssize_t sent;
    if (n > sizeof bytes)
        n = sizeof bytes;
    do {
        came = pread(file->fd, bytes, n, file->offset);
    } while (came < 0 && errno == EINTR);
    if (came <= 0)
        return -EIO;
    do {
        sent = write(to, bytes, (size_t)came);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : sent;
}

static ssize_t send_once(int to, const struct linkbuffer_file *file, size_t n)
{
    off_t offset = file->offset;
    ssize_t sent;
    do {
        sent = sendfile(to, file->fd, &offset, n);
    } while (sent < 0 && errno == EINTR);
    if (sent > 0)
        return sent;
    /* Nothing is left of it; or whose fault it was the copy tells. */
    if (sent == 0)
        return -EIO;
    bool is_plain = errno == EAGAIN || errno == EPIPE || errno == ECONNRESET;
    return is_plain ? -errno : copy(to, file, n);
}

ssize_t linkbuffer_send_file(int to, const struct linkbuffer_file *file, size_t max)
{
    struct guard guard;
    size_t n = file->n < max ? file->n : max;
    begin_guard(&guard);
    ssize_t sent = send_once(to, file, n);
    /* A count that is short may have ended in a failure, too, which only the signal tells. */
    end_guard(&guard, sent == -EPIPE || (sent > 0 && (size_t)sent < n));
    return sent;
}
