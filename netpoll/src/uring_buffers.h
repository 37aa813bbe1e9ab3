/*
 * The blocks that the kernel receives into: a ring of buffers registered with the kernel, some of
 * its slots filled with a block each. A block whose bytes were kept by a connection leaves the
 * ring for good and a fresh one takes its place; a block that nobody kept goes back as it is,
 * still hot. How many are filled follows what is used: twice as many when they ran out, half as
 * many when that has not been needed for a while.
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

struct np_uring_buffers {
    struct io_uring *ring;
    struct io_uring_buf_ring *entries; /* NULL: not open */
    struct linkbuffer_block **blocks;  /* by buffer id; NULL: the id is free */
    uint16_t *free_ids;                /* a stack of slots - filled */
    size_t block_bytes;
    uint16_t slots;  /* registered, a power of two */
    uint16_t least;  /* what the target does not fall below */
    uint16_t target; /* blocks that are wanted in the ring */
    uint16_t filled; /* blocks that are there, or on their way back */
    uint16_t taken;  /* by the kernel since the last refill */
    uint16_t peak;   /* most that were taken between two refills since the last review */
};

/* Registers slots, a power of two, and fills the least of them. 0 or -errno. */
int np_uring_buffers_open(struct np_uring_buffers *buffers, struct io_uring *ring, uint16_t slots,
                          uint16_t least, size_t block_bytes);
/* No receive is in flight. Does nothing when it is not open. */
void np_uring_buffers_close(struct np_uring_buffers *buffers);

/* The block that bytes came in, until its id is given back. */
struct linkbuffer_block *np_uring_buffers_block(const struct np_uring_buffers *buffers,
                                                uint16_t id);
/* The kernel is done with this block, and so is the poller. */
void np_uring_buffers_give_back(struct np_uring_buffers *buffers, uint16_t id);
/* Once a round, when all that was taken has been given back: brings as many blocks as are wanted.
 * Where memory refuses, fewer are wanted from then on. */
void np_uring_buffers_refill(struct np_uring_buffers *buffers);

/* Nothing has to be tried again. */
bool np_uring_buffers_is_full(const struct np_uring_buffers *buffers);

/* They ran out: wants twice as many, as far as there are slots. */
void np_uring_buffers_grow(struct np_uring_buffers *buffers);
/* Wants half as many when no more than that were needed since the last call, and frees the others.
 * Every completion has been seen: the kernel has what the ring has. */
void np_uring_buffers_shrink(struct np_uring_buffers *buffers);
/* More are wanted than at the start, so that there may be some to free. */
bool np_uring_buffers_has_grown(const struct np_uring_buffers *buffers);

/* A receive that takes its memory from the ring of buffers; multishot: it stays armed. */
void np_uring_prep_receive(struct io_uring_sqe *sqe, int fd, bool multishot);

#endif
