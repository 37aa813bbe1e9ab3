/* Bytes in: written here, published by flush as one chain. Writer side. */
#include "hostile.h"
#include "linkbuffer.h"
#include "validate.h"

#include <errno.h>
#include <string.h>

/* Largest block that is allocated ahead of what was asked for. */
#define LB_BLOCK_AHEAD_MAX ((size_t)64 * 1024 - LINKBUFFER_BLOCK_OVERHEAD)
/* Largest first block that is allocated ahead: what odd large flushes may cost the next one. */
#define LB_CHUNK_MAX ((size_t)4096 - LINKBUFFER_BLOCK_OVERHEAD)
/* Size classes less the overhead are multiples of it, so that rounding up costs nothing. */
#define LB_CHUNK_UNIT ((size_t)64)

_Static_assert(LB_BLOCK_AHEAD_MAX <= UINT16_MAX, "lb_writer counts ahead in 16 bits");
_Static_assert(LB_CHUNK_MAX / LB_CHUNK_UNIT <= UINT8_MAX, "lb_writer counts chunks in 8 bits");

static inline size_t at_most(size_t n, size_t limit)
{
    return n < limit ? n : limit;
}

static inline void count_copied(struct lb_writer *writer, size_t n)
{
    writer->copied = (uint16_t)at_most(writer->copied + n, LB_BLOCK_AHEAD_MAX);
}

static inline void link_chain(struct lb_writer *writer, struct lb_chain chain)
{
    struct lb_node *last = writer->last;
    if (last == NULL) {
        writer->first = chain.first;
    } else if (last->len > 0) {
        last->next = chain.first;
    } else {
        /* The held place: nothing will go on behind it any more. */
        lb_node_destroy(last);
        writer->first = chain.first;
        writer->is_held = false;
    }
    writer->last = chain.last;
    writer->len += chain.len;
    writer->room = 0;
    if (chain.has_file)
        writer->has_file = 1;
}

static inline void link_node(struct lb_writer *writer, struct lb_node *node)
{
    link_chain(writer, (struct lb_chain){.first = node, .last = node, .len = node->len});
}

static inline void start_block(struct lb_writer *writer, struct lb_node *node, size_t n)
{
    node->len = n;
    link_node(writer, node);
    writer->room = (uint16_t)at_most(node->block->capacity - n, UINT16_MAX);
    count_copied(writer, n);
}

void lb_writer_start_block(struct lb_writer *writer, struct lb_node *node, size_t n)
{
    start_block(writer, node, n);
}

static inline uint8_t *extend(struct lb_writer *writer, size_t n)
{
    struct lb_node *last = writer->last;
    uint8_t *end = last->data + last->len;
    last->len += n;
    writer->len += n;
    writer->room = (uint16_t)(writer->room - n);
    count_copied(writer, n);
    return end;
}

uint8_t *lb_writer_extend(struct lb_writer *writer, size_t n)
{
    return extend(writer, n);
}

size_t lb_writer_demand(const struct linkbuffer *lb)
{
    /* Relaxed: a hint about memory, stored by linkbuffer_need(); flushed is this side's own. */
    size_t demand = atomic_load_explicit(&lb->demand, memory_order_relaxed);
    size_t end = atomic_load_explicit(&lb->flushed, memory_order_relaxed) + lb->writer.len;
    return demand - end <= SIZE_MAX / 2 ? demand - end : 0;
}

/*
 * Flushes tend to repeat their size, and blocks within one flush grow with what it has copied.
 * What it shows by reference says nothing about the next copy.
 */
static inline size_t block_size(const struct lb_writer *writer, size_t n)
{
    size_t chunk = writer->chunk * LB_CHUNK_UNIT;
    size_t ahead = writer->copied > chunk ? writer->copied : chunk;
    return n > ahead || LB_IS_HOSTILE ? n : ahead;
}

int linkbuffer_reserve(struct linkbuffer *lb, size_t n, void **out)
{
    LB_WRITER_CALL(lb);
    struct lb_writer *writer = &lb->writer;
    if (n == 0) {
        *out = NULL;
    } else if (n <= writer->room) {
        *out = extend(writer, n);
    } else {
        struct lb_node *node = lb_block_node(block_size(writer, n));
        if (node == NULL)
            return -ENOMEM;
        start_block(writer, node, n);
        *out = node->data;
    }
    return 0;
}

size_t linkbuffer_reserved_len(const struct linkbuffer *lb)
{
    LB_WRITER_CALL(lb);
    return lb->writer.len;
}

void lb_writer_cut(struct lb_writer *writer, size_t n)
{
    struct lb_node **link = &writer->first;
    struct lb_node *last = NULL;
    size_t left = n;
    if (n == writer->len)
        return;
    /* A held place stays, empty if need be. */
    while (left > 0 || (last == NULL && writer->is_held)) {
        last = *link;
        last->len = at_most(left, last->len);
        left -= last->len;
        link = &last->next;
    }
    lb_node_destroy_all(*link);
    *link = NULL;
    writer->last = last;
    writer->len = n;
    writer->copied = (uint16_t)at_most(n, writer->copied);
    size_t room = 0;
    if (last != NULL) /* behind a held place nobody shows anything, in front of it others do */
        room = writer->is_held && last == writer->first ? lb_node_rest(last) : lb_node_room(last);
    writer->room = (uint16_t)at_most(room, UINT16_MAX);
}

int linkbuffer_commit(struct linkbuffer *lb, size_t n)
{
    LB_WRITER_CALL(lb);
    if (n > lb->writer.len)
        return -EINVAL;
    lb_writer_cut(&lb->writer, n);
    return 0;
}

/* Into a new block; n > 0. */
static inline int write_block(struct lb_writer *writer, const void *data, size_t n)
{
    struct lb_node *node = lb_block_node(block_size(writer, n));
    if (node == NULL)
        return -ENOMEM;
    memcpy(node->data, data, n);
    start_block(writer, node, n);
    return 0;
}

/* Behind the last window as far as there is room, the rest into a new block. */
static __attribute__((noinline)) int write_split(struct lb_writer *writer, const void *data,
                                                 size_t n)
{
    size_t head = writer->room;
    struct lb_node *node = lb_block_node(block_size(writer, n - head));
    if (node == NULL)
        return -ENOMEM;
    memcpy(extend(writer, head), data, head);
    memcpy(node->data, (const uint8_t *)data + head, n - head);
    start_block(writer, node, n - head);
    return 0;
}

int linkbuffer_write(struct linkbuffer *lb, const void *data, size_t n)
{
    LB_WRITER_CALL(lb);
    struct lb_writer *writer = &lb->writer;
    if (LB_IS_HOSTILE)
        return lb_hostile_write(lb, data, n);
    if (n <= writer->room) {
        if (n > 0)
            memcpy(extend(writer, n), data, n);
        return 0;
    }
    return writer->room == 0 ? write_block(writer, data, n) : write_split(writer, data, n);
}

int linkbuffer_write_byte(struct linkbuffer *lb, uint8_t byte)
{
    LB_WRITER_CALL(lb);
    struct lb_writer *writer = &lb->writer;
    if (writer->room == 0)
        return write_block(writer, &byte, 1);
    *extend(writer, 1) = byte;
    return 0;
}

int linkbuffer_write_ref(struct linkbuffer *lb, const void *data, size_t n,
                         linkbuffer_release_fn *release, void *arg)
{
    LB_WRITER_CALL(lb);
    if (n == 0) {
        if (release != NULL)
            release(arg);
        return 0;
    }
    if (n > PTRDIFF_MAX)
        return -EINVAL;
    struct lb_node *node = lb_block_user_node(data, n, release, arg);
    if (node == NULL)
        return -ENOMEM;
    link_node(&lb->writer, node);
    return 0;
}

/* What offset and n say is within what a file can have. */
static bool is_range(const struct linkbuffer_file *file)
{
    return file->fd >= 0 && file->offset >= 0 && file->n <= (size_t)(INT64_MAX - file->offset);
}

int linkbuffer_write_file(struct linkbuffer *lb, const struct linkbuffer_file *file)
{
    LB_WRITER_CALL(lb);
    if (!is_range(file))
        return -EINVAL;
    if (file->n == 0) {
        if (file->release != NULL)
            file->release(file->arg);
        return 0;
    }
    struct lb_node *node = lb_block_file_node(file);
    if (node == NULL)
        return -ENOMEM;
    link_node(&lb->writer, node);
    lb->writer.has_file = 1;
    return 0;
}

int linkbuffer_adopt(struct linkbuffer *lb, struct linkbuffer_block *block, const void *data,
                     size_t n)
{
    LB_WRITER_CALL(lb);
    if (n == 0)
        return 0;
    /* Nothing writes into a range that is adopted, only behind it once the block is unshared. */
    struct lb_node *node = lb_node_create(block, (uint8_t *)(uintptr_t)data, n);
    if (node == NULL)
        return -ENOMEM;
    link_node(&lb->writer, node);
    return 0;
}

int linkbuffer_append(struct linkbuffer *lb, struct linkbuffer *from)
{
    LB_WRITER_CALL(lb);
    struct lb_chain chain;
    if (lb == from)
        return -EINVAL;
    int status = lb_reader_detach(from, &chain);
    if (status == 0 && chain.first != NULL)
        link_chain(&lb->writer, chain);
    return status;
}

/* Puts the chain on top of those the reader has not taken yet. */
static inline void publish(struct linkbuffer *lb, struct lb_node *chain, bool has_file)
{
    struct lb_node *last = chain->chain_last;
    /* Relaxed: this side stored it; it is not followed, only linked to. */
    struct lb_node *older = atomic_load_explicit(&lb->mailbox, memory_order_relaxed);
    /* Relaxed: see the stores of the reader. */
    if (!has_file && older == NULL &&
        atomic_load_explicit(&lb->slot, memory_order_relaxed) == NULL) {
        last->next = NULL;
        /* Release: pairs with the load in lb_reader_pull(). */
        atomic_store_explicit(&lb->slot, chain, memory_order_release);
        return;
    }
    last->next = older;
    /* Release, here and below: pairs with the exchange in lb_reader_empty_mailbox(). */
    if (older != NULL &&
        atomic_compare_exchange_strong_explicit(&lb->mailbox, &older, chain, memory_order_release,
                                                memory_order_relaxed))
        return;
    last->next = NULL;
    atomic_store_explicit(&lb->mailbox, chain, memory_order_release);
}

/* Forgets the chain, and learns from it. */
static inline void begin_anew(struct lb_writer *writer)
{
    writer->first = NULL;
    writer->last = NULL;
    writer->len = 0;
    writer->room = 0;
    writer->is_held = false;
    if (writer->copied > 0) {
        size_t units = (at_most(writer->copied, LB_CHUNK_MAX) + LB_CHUNK_UNIT - 1) / LB_CHUNK_UNIT;
        /* The smaller of the last two: one odd large flush costs the next one nothing. */
        writer->chunk = (uint8_t)at_most(units, writer->last_chunk);
        writer->last_chunk = (uint8_t)units;
        writer->copied = 0;
    }
}

/* Hands what is written, which is not nothing, to the reader. */
static inline size_t hand_over(struct linkbuffer *lb, bool has_file)
{
    struct lb_writer *writer = &lb->writer;
    struct lb_node *chain = writer->first;
    size_t n = writer->len;
    chain->chain_last = writer->last;
    chain->chain_len = has_file ? n | LB_CHAIN_HAS_FILE : n;
    begin_anew(writer);
    size_t flushed = atomic_load_explicit(&lb->flushed, memory_order_relaxed) + n;
    /* Before the mailbox, so that consumed never overtakes it; pairs with linkbuffer_unread(). */
    atomic_store_explicit(&lb->flushed, flushed, memory_order_release);
    publish(lb, chain, has_file);
    return n;
}

/* With files; or of a buffer that is received into: while a demand is unmet, the place behind is
 * held. */
static __attribute__((noinline)) size_t flush_specially(struct linkbuffer *lb)
{
    struct lb_writer *writer = &lb->writer;
    if (writer->len == 0) {
        if (writer->is_held)
            lb_input_unhold(lb);
        return 0;
    }
    struct lb_node *place = writer->input_level != 0 ? lb_input_flush(lb) : NULL;
    bool has_file = writer->has_file;
    writer->has_file = 0;
    size_t n = hand_over(lb, has_file);
    if (place != NULL) {
        writer->first = place;
        writer->last = place;
        writer->room = lb_writer_room(place);
        writer->is_held = true;
    }
    return n;
}

size_t linkbuffer_flush(struct linkbuffer *lb)
{
    LB_WRITER_CALL(lb);
    if (lb->writer.input_level != 0 || lb->writer.has_file)
        return flush_specially(lb);
    return lb->writer.len == 0 ? 0 : hand_over(lb, false);
}
