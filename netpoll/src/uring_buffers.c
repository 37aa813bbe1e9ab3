/* The ring of receive blocks. */
#include "uring_buffers.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define BUFFER_GROUP 0

static size_t ring_bytes(const struct np_uring_buffers *buffers)
{
    return buffers->count * sizeof(struct io_uring_buf);
}

/* The kernel sees the entry when the tail moves; the store of the tail has release order. */
static void add(struct np_uring_buffers *buffers, uint16_t id)
{
    struct linkbuffer_block *block = buffers->blocks[id];
    io_uring_buf_ring_add(buffers->entries, linkbuffer_block_data(block),
                          (unsigned)linkbuffer_block_capacity(block), id,
                          io_uring_buf_ring_mask(buffers->count), 0);
    io_uring_buf_ring_advance(buffers->entries, 1);
}

static void fill(struct np_uring_buffers *buffers, uint16_t id)
{
    buffers->blocks[id] = linkbuffer_block_create(buffers->block_bytes);
    if (buffers->blocks[id] == NULL)
        buffers->missing++;
    else
        add(buffers, id);
}

static int map(struct np_uring_buffers *buffers)
{
    /* Pages of its own: the kernel pins them, and fork(2) must not copy them under it. */
    void *memory =
        mmap(NULL, ring_bytes(buffers), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return -errno;
    (void)madvise(memory, ring_bytes(buffers), MADV_DONTFORK);
    buffers->entries = memory;
    io_uring_buf_ring_init(buffers->entries);
    return 0;
}

int np_uring_buffers_open(struct np_uring_buffers *buffers, struct io_uring *ring, uint16_t count,
                          size_t block_bytes)
{
    *buffers = (struct np_uring_buffers){.ring = ring, .count = count, .block_bytes = block_bytes};
    int status = map(buffers);
    if (status != 0)
        return status;
    struct io_uring_buf_reg registration = {
        .ring_addr = (uintptr_t)buffers->entries,
        .ring_entries = count,
        .bgid = BUFFER_GROUP,
    };
    status = io_uring_register_buf_ring(ring, &registration, 0);
    if (status != 0) {
        munmap(buffers->entries, ring_bytes(buffers));
        buffers->entries = NULL;
        return status;
    }
    for (uint16_t id = 0; id < count; id++)
        fill(buffers, id);
    if (buffers->missing > 0) {
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
    for (uint16_t id = 0; id < buffers->count; id++)
        linkbuffer_block_release(buffers->blocks[id]);
    munmap(buffers->entries, ring_bytes(buffers));
    buffers->entries = NULL;
}

void np_uring_buffers_give_back(struct np_uring_buffers *buffers, uint16_t id)
{
    if (!linkbuffer_block_is_shared(buffers->blocks[id])) {
        add(buffers, id);
        return;
    }
    linkbuffer_block_release(buffers->blocks[id]);
    fill(buffers, id);
}

void np_uring_buffers_refill(struct np_uring_buffers *buffers)
{
    for (uint16_t id = 0; buffers->missing > 0 && id < buffers->count; id++) {
        if (buffers->blocks[id] != NULL)
            continue;
        buffers->missing--;
        fill(buffers, id);
        if (buffers->blocks[id] == NULL)
            return;
    }
}

bool np_uring_buffers_is_exhausted(const struct np_uring_buffers *buffers)
{
    return buffers->missing == buffers->count;
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
