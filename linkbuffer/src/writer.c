/* Bytes in: written here, published by flush as one chain. Writer side. */
#include "linkbuffer.h"

#include <errno.h>
#include <string.h>

/* Largest block that is allocated ahead of what was asked for. */
#define LB_BLOCK_AHEAD_MAX ((size_t)64 * 1024 - LINKBUFFER_BLOCK_OVERHEAD)
/* Largest first block that is allocated ahead: what odd large flushes may cost the next one. */
#define LB_CHUNK_MAX ((size_t)4096 - LINKBUFFER_BLOCK_OVERHEAD)

_Static_assert(LB_BLOCK_AHEAD_MAX <= UINT16_MAX, "lb_writer counts ahead in 16 bits");

static uint16_t at_most(size_t n, size_t limit)
{
    return (uint16_t)(n < limit ? n : limit);
}

static void link_node(struct lb_writer *writer, struct lb_node *node, size_t room)
{
    if (writer->last != NULL)
        writer->last->next = node;
    else
        writer->first = node;
    writer->last = node;
    writer->len += node->len;
    writer->room = room;
}

/*
 * Flushes tend to repeat their size, and blocks within one flush grow with what it has copied.
 * What it shows by reference says nothing about the next copy.
 */
static size_t block_size(const struct lb_writer *writer, size_t n)
{
    size_t ahead = writer->copied > writer->chunk ? writer->copied : writer->chunk;
    return n > ahead ? n : ahead;
}

/* The caller has made sure that the room is there. */
static uint8_t *extend(struct lb_writer *writer, size_t n)
{
    struct lb_node *last = writer->last;
    uint8_t *end = last->data + last->len;
    last->len += n;
    writer->len += n;
    writer->room -= n;
    writer->copied = at_most(writer->copied + n, LB_BLOCK_AHEAD_MAX);
    return end;
}

int linkbuffer_reserve(struct linkbuffer *lb, size_t n, void **out)
{
    struct lb_writer *writer = &lb->writer;
    if (n == 0) {
        *out = NULL;
        return 0;
    }
    if (writer->room < n) {
        struct lb_node *node = lb_block_node(block_size(writer, n));
        if (node == NULL)
            return -ENOMEM;
        link_node(writer, node, node->block->capacity);
    }
    *out = extend(writer, n);
    return 0;
}

size_t linkbuffer_reserved_len(const struct linkbuffer *lb)
{
    return lb->writer.len;
}

int linkbuffer_commit(struct linkbuffer *lb, size_t n)
{
    struct lb_writer *writer = &lb->writer;
    if (n > writer->len)
        return -EINVAL;
    if (n == writer->len)
        return 0;
    struct lb_node **link = &writer->first;
    struct lb_node *last = NULL;
    size_t left = n;
    while (left > 0) {
        last = *link;
        if (left < last->len)
            last->len = left;
        left -= last->len;
        link = &last->next;
    }
    lb_node_destroy_all(*link);
    *link = NULL;
    writer->last = last;
    writer->len = n;
    writer->copied = at_most(n, writer->copied);
    writer->room = last == NULL ? 0 : lb_node_room(last);
    return 0;
}

int linkbuffer_write(struct linkbuffer *lb, const void *data, size_t n)
{
    struct lb_writer *writer = &lb->writer;
    const uint8_t *from = data;
    size_t head = n < writer->room ? n : writer->room;
    struct lb_node *node = NULL;
    if (head < n) {
        node = lb_block_node(block_size(writer, n - head));
        if (node == NULL)
            return -ENOMEM;
    }
    if (head > 0)
        memcpy(extend(writer, head), from, head);
    if (node != NULL) {
        link_node(writer, node, node->block->capacity);
        memcpy(extend(writer, n - head), from + head, n - head);
    }
    return 0;
}

int linkbuffer_write_ref(struct linkbuffer *lb, const void *data, size_t n,
                         linkbuffer_release_fn *release, void *arg)
{
    if (n == 0) {
        if (release != NULL)
            release(arg);
        return 0;
    }
    struct lb_node *node = lb_block_user_node(data, n, release, arg);
    if (node == NULL)
        return -ENOMEM;
    link_node(&lb->writer, node, 0);
    return 0;
}

int linkbuffer_adopt(struct linkbuffer *lb, struct linkbuffer_block *block, const void *data,
                     size_t n)
{
    if (n == 0)
        return 0;
    /* Nothing writes into a range that is adopted, only behind it once the block is unshared. */
    struct lb_node *node = lb_node_create(block, (uint8_t *)(uintptr_t)data, n);
    if (node == NULL)
        return -ENOMEM;
    link_node(&lb->writer, node, 0);
    return 0;
}

int linkbuffer_append(struct linkbuffer *lb, struct linkbuffer *from)
{
    struct lb_writer *writer = &lb->writer;
    struct lb_chain chain;
    if (lb == from)
        return -EINVAL;
    int status = lb_reader_detach(from, &chain);
    if (status != 0 || chain.first == NULL)
        return status;
    if (writer->last != NULL)
        writer->last->next = chain.first;
    else
        writer->first = chain.first;
    writer->last = chain.last;
    writer->len += chain.len;
    writer->room = 0;
    return 0;
}

/* Puts the chain on top of those the reader has not taken yet. */
static void publish(struct linkbuffer *lb, struct lb_node *chain)
{
    struct lb_node *last = chain->chain_last;
    /* Relaxed: this side stored it; it is not followed, only linked to. */
    struct lb_node *older = atomic_load_explicit(&lb->mailbox, memory_order_relaxed);
    last->next = older;
    /* Release, here and below: pairs with the exchange in lb_reader_pull(). */
    if (older != NULL &&
        atomic_compare_exchange_strong_explicit(&lb->mailbox, &older, chain, memory_order_release,
                                                memory_order_relaxed))
        return;
    last->next = NULL;
    atomic_store_explicit(&lb->mailbox, chain, memory_order_release);
}

size_t linkbuffer_flush(struct linkbuffer *lb)
{
    struct lb_writer *writer = &lb->writer;
    struct lb_node *chain = writer->first;
    size_t n = writer->len;
    if (n == 0)
        return 0;
    chain->chain_last = writer->last;
    chain->chain_len = n;

    uint16_t chunk = writer->chunk;
    uint16_t last_chunk = writer->last_chunk;
    if (writer->copied > 0) {
        /* The smaller of the last two: one odd large flush costs the next one nothing. */
        last_chunk = at_most(writer->copied, LB_CHUNK_MAX);
        chunk = at_most(last_chunk, writer->last_chunk);
    }
    *writer = (struct lb_writer){.chunk = chunk, .last_chunk = last_chunk};

    size_t flushed = atomic_load_explicit(&lb->flushed, memory_order_relaxed) + n;
    /* Before the mailbox, so that consumed never overtakes it; pairs with linkbuffer_unread(). */
    atomic_store_explicit(&lb->flushed, flushed, memory_order_release);
    publish(lb, chain);
    return n;
}
