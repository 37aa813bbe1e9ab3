/*
 * The blocks that the kernel receives into: a ring of buffers registered with the kernel, each
 * entry a block. A block whose bytes were kept by a connection leaves the ring for good and its
 * entry gets a fresh one; a block that nobody kept goes back as it is, still hot.
 *
 * One thread, that of the ring.
 */
#ifndef NP_URING_BUFFERS_H
#define NP_URING_BUFFERS_H

#include <liburing.h>
#include <linkbuffer/block.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NP_URING_BUFFERS_MAX 64U

struct np_uring_buffers {
    struct io_uring *ring;
    struct io_uring_buf_ring *entries; /* NULL: not open */
    size_t block_bytes;
    uint16_t count;
    uint16_t missing; /* entries without a block: no memory for one */
    struct linkbuffer_block *blocks[NP_URING_BUFFERS_MAX]; /* by buffer id; NULL: missing */
};

/* Registers count blocks, a power of two. 0 or -errno. */
int np_uring_buffers_open(struct np_uring_buffers *buffers, struct io_uring *ring, uint16_t count,
                          size_t block_bytes);
/* No receive is in flight. Does nothing when it is not open. */
void np_uring_buffers_close(struct np_uring_buffers *buffers);
/* The kernel is done with this entry, and so is the poller. */
void np_uring_buffers_give_back(struct np_uring_buffers *buffers, uint16_t id);
/* Tries to fill the entries that are missing. */
void np_uring_buffers_refill(struct np_uring_buffers *buffers);

/* The kernel has no block to receive into, and will not have one before a refill. */
bool np_uring_buffers_is_exhausted(const struct np_uring_buffers *buffers);

/* A receive that takes its memory from the ring of buffers; multishot: it stays armed. */
void np_uring_prep_receive(struct io_uring_sqe *sqe, int fd, bool multishot);

#endif
