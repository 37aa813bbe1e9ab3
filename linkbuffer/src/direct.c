/* The caller's memory in the midst of what was written. Writer side. */
#include "linkbuffer.h"
#include "validate.h"

#include <errno.h>

/* The window that the cut behind `front` bytes falls into or ends, and how many of its bytes stay
 * in front of it; NULL: the cut is at the very front. */
static struct lb_node *locate(const struct lb_writer *writer, size_t front, size_t *keep)
{
    size_t before_last = writer->len - writer->last->len;
    if (front > before_last) {
        *keep = front - before_last;
        return writer->last;
    }
    struct lb_node *node = NULL;
    struct lb_node *next = writer->first;
    while (front > 0) {
        node = next;
        *keep = front < node->len ? front : node->len;
        front -= *keep;
        next = node->next;
    }
    return node;
}

/* Puts the node behind `before`, or in front of all when that is NULL. */
static void insert(struct lb_writer *writer, struct lb_node *before, struct lb_node *node)
{
    struct lb_node **link = before == NULL ? &writer->first : &before->next;
    node->next = *link;
    *link = node;
    if (writer->last == before)
        writer->last = node;
    writer->len += node->len;
    if (before == NULL)
        writer->is_held = false; /* the place is not the first any more */
}

int linkbuffer_write_direct(struct linkbuffer *lb, size_t remain, const struct linkbuffer_ref *ref)
{
    LB_WRITER_CALL(lb);
    struct lb_writer *writer = &lb->writer;
    if (remain > writer->len)
        return -EINVAL;
    if (remain == 0 || ref->n == 0)
        return linkbuffer_write_ref(lb, ref->data, ref->n, ref->release, ref->arg);
    if (ref->n > PTRDIFF_MAX)
        return -EINVAL;

    size_t keep = 0;
    struct lb_node *before = locate(writer, writer->len - remain, &keep);
    struct lb_node *behind = NULL;
    if (before != NULL && keep < before->len) {
        behind = lb_node_create(before->block, before->data + keep, before->len - keep);
        if (behind == NULL)
            return -ENOMEM;
    }
    struct lb_node *node = lb_block_user_node(ref->data, ref->n, ref->release, ref->arg);
    if (node == NULL) {
        if (behind != NULL)
            lb_node_destroy(behind);
        return -ENOMEM;
    }
    if (behind != NULL) {
        writer->len -= behind->len;
        before->len = keep;
        insert(writer, before, behind);
    }
    insert(writer, before, node);
    return 0;
}
