/* Files among the output: what is known of them, and how they leave. Who writes; the sender. */
#include "conn.h"

#include <linkbuffer/file.h>

#include <errno.h>
#include <sys/uio.h>

static struct np_conn_extra *extra_of(const struct netpoll_conn *conn)
{
    /* Relaxed: it is there since the first file was written, and has_files has been seen. */
    return atomic_load_explicit(&conn->extra, memory_order_relaxed);
}

static void add_files(struct netpoll_conn *conn, struct np_conn_extra *extra, size_t n)
{
    /* Relaxed, both: the flush orders them for the sender; the sum bounds memory, no more. */
    atomic_fetch_add_explicit(&extra->file_bytes, n, memory_order_relaxed);
    atomic_store_explicit(&conn->output.has_files, true, memory_order_relaxed);
}

static void remove_files(struct netpoll_conn *conn, size_t n)
{
    /* Relaxed: see add_files(). */
    atomic_fetch_sub_explicit(&extra_of(conn)->file_bytes, n, memory_order_relaxed);
}

size_t np_conn_output_held(const struct netpoll_conn *conn)
{
    size_t unread = linkbuffer_unread(conn->output.lb);
    if (!np_conn_has_files(conn))
        return unread;
    /* What netpoll_conn_commit() has taken back is still counted. Relaxed: see add_files(). */
    size_t files = atomic_load_explicit(&extra_of(conn)->file_bytes, memory_order_relaxed);
    return unread > files ? unread - files : 0;
}

void np_conn_note_sent(struct netpoll_conn *conn, struct linkbuffer *lb, size_t n)
{
    struct linkbuffer_file file;
    if (np_conn_has_files(conn) && linkbuffer_find_file(lb, &file) == 0)
        remove_files(conn, n);
}

int np_conn_load_files(struct netpoll_conn *conn, size_t max)
{
    struct linkbuffer *lb = conn->output.lb;
    struct linkbuffer_stats before;
    struct linkbuffer_stats after;
    if (!np_conn_has_files(conn))
        return 0;
    size_t n = linkbuffer_len(lb);
    linkbuffer_stats_read(lb, &before);
    int status = linkbuffer_load(lb, n < max ? n : max);
    linkbuffer_stats_read(lb, &after);
    remove_files(conn, after.bytes_copied - before.bytes_copied);
    if (status != 0)
        np_conn_fail(conn, status, "reading a file");
    return status;
}

/* What the file is to blame for is told. */
static ssize_t send_file(struct netpoll_conn *conn, const struct linkbuffer_file *file, size_t max)
{
    ssize_t result = linkbuffer_send_file(conn->fd.fd, file, max);
    if (result == -EIO)
        np_conn_fail(conn, -EIO, "sending a file");
    return result;
}

static size_t bytes_of(const struct iovec *iov, int n)
{
    size_t bytes = 0;
    for (int i = 0; i < n; i++)
        bytes += iov[i].iov_len;
    return bytes;
}

ssize_t np_conn_try_output(struct netpoll_conn *conn, struct linkbuffer *lb,
                           const struct iovec *iov, int n, size_t *share)
{
    struct linkbuffer_file file;
    ssize_t before = np_conn_has_files(conn) ? linkbuffer_find_file(lb, &file) : -ENOENT;
    if (n > 0 && before > 0 && bytes_of(iov, n) == (size_t)before)
        return np_socket_send_more(&conn->fd, iov, n);
    if (n > 0)
        return conn->fd.poller->backend->try_output(&conn->fd, iov, n);
    if (before != 0)
        return before > 0 ? -EINTR : 0; /* flushed since the caller looked */
    if (*share == 0)
        return -ETIME;
    ssize_t result = send_file(conn, &file, *share);
    if (result > 0)
        *share -= (size_t)result;
    return result;
}

ssize_t np_conn_find_file(struct netpoll_conn *conn, struct linkbuffer *lb)
{
    struct linkbuffer_file file;
    return np_conn_has_files(conn) ? linkbuffer_find_file(lb, &file) : -ENOENT;
}

ssize_t np_conn_output_send_file(struct np_fd *fd, size_t max)
{
    struct netpoll_conn *conn = (struct netpoll_conn *)fd;
    struct linkbuffer_file file;
    if (linkbuffer_find_file(conn->output.lb, &file) != 0)
        return -EAGAIN;
    return send_file(conn, &file, max);
}

int netpoll_conn_write_file(struct netpoll_conn *conn, const struct linkbuffer_file *file)
{
    struct np_conn_extra *extra;
    int status = np_conn_may_write(conn);
    if (status == 0)
        status = np_conn_extra(conn, &extra);
    if (status == 0)
        status = linkbuffer_write_file(conn->output.lb, file);
    if (status == 0)
        add_files(conn, extra, file->n);
    return status;
}

int netpoll_conn_append(struct netpoll_conn *conn, struct linkbuffer *from)
{
    struct np_conn_extra *extra;
    int status = np_conn_may_write(conn);
    size_t files = status == 0 ? linkbuffer_file_len(from) : 0;
    if (files > 0)
        status = np_conn_extra(conn, &extra);
    if (status == 0)
        status = linkbuffer_append(conn->output.lb, from);
    if (status == 0 && files > 0)
        add_files(conn, extra, files);
    return status;
}
