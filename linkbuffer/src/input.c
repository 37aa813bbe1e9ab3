/*
 * Space for a receiver, and the place behind what has come: held for a demand across flushes, so
 * that what the reader waits for comes in one piece. Writer side; linkbuffer_need() is the
 * reader's.
 */
#include "hostile.h"
#include "linkbuffer.h"
#include "validate.h"

#include <linkbuffer/io.h>

#include <errno.h>

/* Smallest block to receive into, and how often its size may double. */
#define LB_INPUT_MIN       ((size_t)4096)
#define LB_INPUT_LEVEL_MAX 5U

void linkbuffer_need(struct linkbuffer *lb, size_t n)
{
    LB_READER_CALL(lb);
    if (n > SIZE_MAX / 2)
        n = SIZE_MAX / 2;
    size_t consumed = atomic_load_explicit(&lb->consumed, memory_order_relaxed);
    /* Relaxed: pairs with lb_writer_demand(), a hint. */
    atomic_store_explicit(&lb->demand, consumed + n, memory_order_relaxed);
}

static size_t level_size(unsigned level)
{
    return (LB_INPUT_MIN << (level - 1)) - LINKBUFFER_BLOCK_OVERHEAD;
}

/* Bytes that no reader has consumed, written ones included. */
static size_t unread(const struct linkbuffer *lb)
{
    size_t flushed = atomic_load_explicit(&lb->flushed, memory_order_relaxed);
    /* Relaxed: only a size follows from it; pairs with lb_reader_count_consumed(). */
    return flushed - atomic_load_explicit(&lb->consumed, memory_order_relaxed) + lb->writer.len;
}

/* While a demand is unmet, what has come decides, and never what is claimed to come. */
static size_t input_size(const struct linkbuffer *lb, size_t demand, size_t max)
{
    size_t size = level_size(lb->writer.input_level);
    if (LB_IS_HOSTILE)
        size = LB_HOSTILE_PIECE;
    if (demand == 0 || LB_IS_HOSTILE)
        return size < max ? size : max;
    size_t came = unread(lb);
    if (came > demand)
        came = demand;
    return came > level_size(1) ? came : level_size(1);
}

int linkbuffer_reserve_input(struct linkbuffer *lb, size_t max, void **out, size_t *n)
{
    LB_WRITER_CALL(lb);
    struct lb_writer *writer = &lb->writer;
    size_t demand = lb_writer_demand(lb);
    if (writer->input_level == 0)
        writer->input_level = 1;
    if (demand == 0)
        lb_input_unhold(lb);
    if (max == 0) {
        *out = NULL;
        *n = 0;
        return 0;
    }
    if (writer->room == 0) {
        struct lb_node *node = lb_block_node(input_size(lb, demand, max));
        if (node == NULL)
            return -ENOMEM;
        lb_writer_start_block(writer, node, 0);
    }
    size_t size = writer->room < max ? writer->room : max;
    *out = lb_writer_extend(writer, size);
    *n = size;
    /* What the room could not count: the rest of the block is this side's, too. */
    writer->room = lb_writer_room(writer->last);
    return 0;
}

static void learn(struct lb_writer *writer)
{
    size_t size = level_size(writer->input_level);
    if (writer->copied >= size && writer->input_level < LB_INPUT_LEVEL_MAX)
        writer->input_level++;
    else if (writer->copied < size / 4 && writer->input_level > 1)
        writer->input_level--;
}

struct lb_node *lb_input_flush(struct linkbuffer *lb)
{
    struct lb_writer *writer = &lb->writer;
    struct lb_node *last = writer->last;
    learn(writer);
    if (writer->room == 0 || lb_writer_demand(lb) == 0)
        return NULL;
    /* Without memory for it the next bytes go into another block, that is all. */
    return lb_node_create(last->block, last->data + last->len, 0);
}

void lb_input_unhold(struct linkbuffer *lb)
{
    struct lb_writer *writer = &lb->writer;
    if (!writer->is_held || writer->len > 0 || lb_writer_demand(lb) > 0)
        return;
    lb_node_destroy(writer->first);
    writer->first = NULL;
    writer->last = NULL;
    writer->room = 0;
    writer->is_held = false;
}
