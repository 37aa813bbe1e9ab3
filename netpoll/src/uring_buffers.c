/* The ring of receive blocks. */
#include "uring_buffers.h"

#include <mcache/mcache.h>

#include <errno.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define BUFFER_GROUP 0

static size_t ring_bytes(const struct np_uring_buffers *buffers)
{
    return buffers->slots * sizeof(struct io_uring_buf);
}

/* The kernel sees the entry when the tail moves; the store of the tail has release order. */
static void add(struct np_uring_buffers *buffers, uint16_t id)
{
    struct linkbuffer_block *block = buffers->blocks[id];
    io_uring_buf_ring_add(buffers->entries, linkbuffer_block_data(block),
                          (unsigned)linkbuffer_block_capacity(block), id,
                          io_uring_buf_ring_mask(buffers->slots), 0);
    io_uring_buf_ring_advance(buffers->entries, 1);
}

static void drop(struct np_uring_buffers *buffers, uint16_t id)
{
    linkbuffer_block_release(buffers->blocks[id]);
    buffers->blocks[id] = NULL;
    buffers->filled--;
    buffers->free_ids[buffers->slots - buffers->filled - 1] = id;
}

static bool add_fresh(struct np_uring_buffers *buffers)
{
    struct linkbuffer_block *block = linkbuffer_block_create(buffers->block_bytes);
    if (block == NULL)
        return false;
    uint16_t id = buffers->free_ids[buffers->slots - buffers->filled - 1];
    buffers->filled++;
    buffers->blocks[id] = block;
    add(buffers, id);
    return true;
}

static int map(struct np_uring_buffers *buffers)
{
    size_t blocks_bytes = buffers->slots * sizeof(struct linkbuffer_block *);
    buffers->blocks = mcache_alloc(blocks_bytes + buffers->slots * sizeof *buffers->free_ids);
    if (buffers->blocks == NULL)
        return -ENOMEM;
    buffers->free_ids = (uint16_t *)(void *)(buffers->blocks + buffers->slots);
    /* Pages of its own: the kernel pins them, and fork(2) must not copy them under it. */
    void *memory =
        mmap(NULL, ring_bytes(buffers), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        int status = -errno;
        mcache_free(buffers->blocks);
        return status;
    }
    (void)madvise(memory, ring_bytes(buffers), MADV_DONTFORK);
    buffers->entries = memory;
    io_uring_buf_ring_init(buffers->entries);
    return 0;
}

static void unmap(struct np_uring_buffers *buffers)
{
    munmap(buffers->entries, ring_bytes(buffers));
    mcache_free(buffers->blocks);
    buffers->entries = NULL;
}

int np_uring_buffers_open(struct np_uring_buffers *buffers, struct io_uring *ring, uint16_t slots,
                          uint16_t least, size_t block_bytes)
{
    *buffers = (struct np_uring_buffers){
        .ring = ring, .slots = slots, .least = least, .target = least, .block_bytes = block_bytes};
    int status = map(buffers);
    if (status != 0)
        return status;
    struct io_uring_buf_reg registration = {
        .ring_addr = (uintptr_t)buffers->entries,
        .ring_entries = slots,
        .bgid = BUFFER_GROUP,
    };
    status = io_uring_register_buf_ring(ring, &registration, 0);
    if (status != 0) {
        unmap(buffers);
        return status;
    }
    for (uint16_t i = 0; i < slots; i++) {
        buffers->blocks[i] = NULL;
        buffers->free_ids[i] = (uint16_t)(slots - 1 - i);
    }
    np_uring_buffers_refill(buffers);
    if (buffers->filled < least) {
        np_uring_buffers_close(buffers);
        return -ENOMEM;
    }
    return 0;
}

void np_uring_buffers_close(struct np_uring_buffers *buffers)
{
    if (buffers->entries == NULL)
        return;
    /* The ring goes right after this; what it does not unregister ends with it. */
    (void)io_uring_unregister_buf_ring(buffers->ring, BUFFER_GROUP);
    for (uint16_t id = 0; id < buffers->slots; id++)
        linkbuffer_block_release(buffers->blocks[id]);
    unmap(buffers);
}

struct linkbuffer_block *np_uring_buffers_block(const struct np_uring_buffers *buffers, uint16_t id)
{
    return buffers->blocks[id];
}

void np_uring_buffers_give_back(struct np_uring_buffers *buffers, uint16_t id)
{
    buffers->taken++;
    if (!linkbuffer_block_is_shared(buffers->blocks[id])) {
        add(buffers, id);
        return;
    }
    drop(buffers, id);
    (void)add_fresh(buffers);
}

void np_uring_buffers_refill(struct np_uring_buffers *buffers)
{
    if (buffers->taken > buffers->peak)
        buffers->peak = buffers->taken;
    buffers->taken = 0;
    while (buffers->filled < buffers->target && add_fresh(buffers))
        ;
    if (buffers->filled < buffers->target)
        buffers->target = buffers->filled > buffers->least ? buffers->filled : buffers->least;
}

bool np_uring_buffers_is_full(const struct np_uring_buffers *buffers)
{
    return buffers->filled >= buffers->target;
}

void np_uring_buffers_grow(struct np_uring_buffers *buffers)
{
    /* What failed to come was not there to be taken. */
    buffers->peak = buffers->slots;
    if (buffers->target <= buffers->slots / 2)
        buffers->target = (uint16_t)(2 * buffers->target);
    else
        buffers->target = buffers->slots;
}

/* The kernel takes from the head, and while the poller is not inside it, it takes nothing: the
 * latest entries can be withdrawn. */
static void withdraw(struct np_uring_buffers *buffers)
{
    uint16_t mask = (uint16_t)io_uring_buf_ring_mask(buffers->slots);
    uint16_t tail = buffers->entries->tail;
    while (buffers->filled > buffers->target)
        drop(buffers, buffers->entries->bufs[--tail & mask].bid);
    /* Release: pairs with the kernel's load, as in io_uring_buf_ring_advance(). */
    io_uring_smp_store_release(&buffers->entries->tail, tail);
}

void np_uring_buffers_shrink(struct np_uring_buffers *buffers)
{
    if (buffers->peak <= buffers->target / 2 && buffers->target > buffers->least) {
        uint16_t half = buffers->target / 2;
        buffers->target = half > buffers->least ? half : buffers->least;
        withdraw(buffers);
    }
    buffers->peak = 0;
}

bool np_uring_buffers_has_grown(const struct np_uring_buffers *buffers)
{
    return buffers->target > buffers->least;
}

void np_uring_prep_receive(struct io_uring_sqe *sqe, int fd, bool multishot)
{
    io_uring_prep_recv(sqe, fd, NULL, 0, 0);
    /* Poll first: with an empty ring a receive on an idle socket would fail at once, again and
     * again; this way it fails only when there are bytes. */
    sqe->ioprio = IORING_RECVSEND_POLL_FIRST;
    if (multishot)
        sqe->ioprio |= IORING_RECV_MULTISHOT;
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = BUFFER_GROUP;
}
