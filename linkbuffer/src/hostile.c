/* What the hostile build does instead. Either side, see hostile.h. */
#include "hostile.h"

#include "linkbuffer.h"

#include <errno.h>
#include <string.h>

static size_t piece_of(size_t n)
{
    return n < LB_HOSTILE_PIECE ? n : LB_HOSTILE_PIECE;
}

/* Blocks of pieces for n bytes, linked; NULL: no memory. */
static struct lb_node *create_pieces(size_t n)
{
    struct lb_node *first = NULL;
    for (; n > 0; n -= piece_of(n)) {
        struct lb_node *node = lb_block_node(piece_of(n));
        if (node == NULL) {
            lb_node_destroy_all(first);
            return NULL;
        }
        node->next = first;
        first = node;
    }
    return first;
}

int lb_hostile_write(struct linkbuffer *lb, const void *data, size_t n)
{
    const uint8_t *from = data;
    struct lb_node *node = create_pieces(n);
    if (node == NULL && n > 0)
        return -ENOMEM;
    while (node != NULL) {
        struct lb_node *next = node->next;
        size_t step = node->block->capacity < n ? node->block->capacity : n;
        memcpy(node->data, from, step);
        node->next = NULL;
        lb_writer_start_block(&lb->writer, node, step);
        from += step;
        n -= step;
        node = next;
    }
    return 0;
}

int lb_hostile_peek(struct linkbuffer *lb, size_t n, const void **out)
{
    struct lb_reader *reader = &lb->reader;
    lb_reader_pull(lb);
    if (reader->len < n)
        return -EAGAIN;
    struct lb_node *copy = lb_block_node(n);
    if (copy == NULL)
        return -ENOMEM;
    if (lb_reader_copy_out(reader, copy->data, n) < n) {
        lb_node_destroy(copy);
        return -EIO;
    }
    reader->bytes_copied += n;
    *out = copy->data;
    lb_reader_retire(reader, copy);
    return 0;
}
