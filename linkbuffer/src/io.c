/* Bytes moved between a buffer and a descriptor or a source. Each call names its side. */
#include "linkbuffer.h"
#include "validate.h"

#include <linkbuffer/file.h>
#include <linkbuffer/io.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* Pieces that one gathered write takes: 4 KiB of the stack. */
#define LB_DRAIN_IOV 256

/* Space that a receiver is offered, and what to go back to when nothing comes. */
struct offer {
    struct lb_node *before; /* the last written window without it; NULL: none */
    size_t written;
    void *into;
    size_t n;
};

static int begin_offer(struct linkbuffer *lb, size_t max, struct offer *offer)
{
    /* A held place may go at any time, when the reader takes its demand back. */
    offer->before = lb->writer.len == 0 ? NULL : lb->writer.last;
    offer->written = lb->writer.len;
    return linkbuffer_reserve_input(lb, max, &offer->into, &offer->n);
}

/* Little in a new block that nobody waits to be continued goes into a block of its size. */
static void shrink(struct linkbuffer *lb, const struct offer *offer)
{
    struct lb_writer *writer = &lb->writer;
    struct lb_node *node = writer->last;
    if (node == offer->before || writer->is_held ||
        !lb_block_is_underused(node->block, node->len) || lb_writer_demand(lb) > 0)
        return;
    struct lb_node *copy = lb_block_node(node->len);
    if (copy == NULL)
        return;
    memcpy(copy->data, node->data, node->len);
    copy->len = node->len;
    if (offer->before == NULL)
        writer->first = copy;
    else
        offer->before->next = copy;
    writer->last = copy;
    writer->room = 0;
    lb_node_destroy(node);
}

/* Makes what came readable; takes everything back when that is nothing. */
static void end_offer(struct linkbuffer *lb, const struct offer *offer, ssize_t came)
{
    lb_writer_cut(&lb->writer, offer->written + (came > 0 ? (size_t)came : 0));
    if (came > 0) {
        shrink(lb, offer);
        linkbuffer_flush(lb);
    }
}

static ssize_t read_again(int fd, void *into, size_t n)
{
    ssize_t came;
    do {
        came = read(fd, into, n);
    } while (came < 0 && errno == EINTR);
    return came < 0 ? -errno : came;
}

ssize_t linkbuffer_fill_fd(struct linkbuffer *lb, int fd, size_t max)
{
    LB_WRITER_CALL(lb);
    struct offer offer;
    if (max == 0)
        return -EINVAL;
    int status = begin_offer(lb, max, &offer);
    if (status != 0)
        return status;
    ssize_t came = read_again(fd, offer.into, offer.n);
    end_offer(lb, &offer, came);
    return came;
}

static ssize_t send_again(int fd, struct iovec *iov, int count)
{
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = (size_t)count};
    ssize_t sent;
    do {
        sent = sendmsg(fd, &message, MSG_NOSIGNAL);
        if (sent < 0 && errno == ENOTSOCK)
            sent = writev(fd, iov, count);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : sent;
}

/* Makes the pieces n bytes at most; gives how many there are then. */
static int clip(struct iovec *iov, int count, size_t n)
{
    for (int i = 0; i < count; i++) {
        if (iov[i].iov_len >= n) {
            iov[i].iov_len = n;
            return n == 0 ? i : i + 1;
        }
        n -= iov[i].iov_len;
    }
    return count;
}

/* The same of what is a file's. */
static ssize_t drain_file(struct linkbuffer *lb, int fd, size_t max)
{
    struct linkbuffer_file file;
    if (linkbuffer_find_file(lb, &file) != 0)
        return 0;
    ssize_t sent = linkbuffer_send_file(fd, &file, max);
    if (sent > 0)
        lb_reader_consume(lb, (size_t)sent);
    return sent;
}

ssize_t linkbuffer_drain_fd(struct linkbuffer *lb, int fd, size_t max)
{
    LB_READER_CALL(lb);
    struct iovec iov[LB_DRAIN_IOV];
    int count = clip(iov, linkbuffer_iov(lb, iov, LB_DRAIN_IOV), max);
    if (count == 0)
        return lb->reader.has_file && max > 0 ? drain_file(lb, fd, max) : 0;
    ssize_t sent = send_again(fd, iov, count);
    if (sent > 0)
        lb_reader_consume(lb, (size_t)sent);
    return sent;
}

/* One turn of the source: bytes, 0 at its end, or an error. */
static ssize_t pull_once(struct linkbuffer *lb, linkbuffer_source_fn *source, void *arg)
{
    struct offer offer;
    int status = begin_offer(lb, SIZE_MAX, &offer);
    if (status != 0)
        return status;
    ssize_t came = source(arg, offer.into, offer.n);
    if (came > 0 && (size_t)came > offer.n)
        came = -EOVERFLOW;
    end_offer(lb, &offer, came);
    return came;
}

ssize_t linkbuffer_pull(struct linkbuffer *lb, size_t n, linkbuffer_source_fn *source, void *arg)
{
    LB_READER_CALL(lb);
    LB_WRITER_CALL(lb);
    if (linkbuffer_len(lb) < n)
        linkbuffer_need(lb, n);
    while (linkbuffer_len(lb) < n) {
        ssize_t came = pull_once(lb, source, arg);
        if (came < 0)
            return came;
        if (came == 0) {
            linkbuffer_need(lb, 0);
            lb_input_unhold(lb);
            break;
        }
    }
    return (ssize_t)linkbuffer_len(lb);
}
