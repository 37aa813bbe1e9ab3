/* Readable bytes that get a life of their own. Reader side of the original. */
#include "file.h"
#include "linkbuffer.h"
#include "validate.h"

#include <errno.h>

static void put_last(struct lb_reader *to, struct lb_node *node)
{
    if (to->last != NULL)
        to->last->next = node;
    else
        to->first = node;
    to->last = node;
}

/* Puts a further window on the first n bytes of this one at the end of the slice. */
static int share(struct lb_reader *to, const struct lb_node *node, size_t n)
{
    struct lb_node *window = lb_node_share(node, n);
    if (window == NULL)
        return -ENOMEM;
    put_last(to, window);
    to->len += n;
    return 0;
}

/* Moves the windows behind `previous`, NULL: from the first one on, that lie within n bytes. */
static size_t move(struct lb_reader *from, struct lb_node *previous, size_t n, struct lb_reader *to)
{
    struct lb_node **link = previous == NULL ? &from->first : &previous->next;
    struct lb_node *first = *link;
    struct lb_node *last = NULL;
    size_t moved = 0;
    for (struct lb_node *node = first; node != NULL && node->len <= n - moved; node = node->next) {
        moved += node->len;
        last = node;
        if (from->settled == node)
            from->settled = NULL;
    }
    if (last == NULL)
        return 0;
    *link = last->next;
    if (*link == NULL)
        from->last = previous;
    last->next = NULL;
    put_last(to, first);
    to->last = last;
    to->len += moved;
    return moved;
}

/* The node that holds n bytes and more from here on, and what lies in front of it. */
static const struct lb_node *locate(const struct lb_node *node, size_t *n)
{
    while (node != NULL && node->len <= *n) {
        *n -= node->len;
        node = node->next;
    }
    return node;
}

/*
 * Moves the first n readable bytes. A window goes as it is; what both will show, the one that the
 * caller may hold a pointer into and the one that the cut falls into, is counted once more.
 */
static int cut(struct linkbuffer *lb, size_t n, struct lb_reader *to)
{
    struct lb_reader *from = &lb->reader;
    struct lb_node *exposed = from->exposed ? from->first : NULL;
    struct lb_reader tail = {.len = 0};
    if (n == 0)
        return 0;
    if (exposed != NULL && share(to, exposed, n < exposed->len ? n : exposed->len) != 0)
        return -ENOMEM;
    size_t rest = n - to->len;
    const struct lb_node *split = locate(exposed != NULL ? exposed->next : from->first, &rest);
    if (rest > 0 && share(&tail, split, rest) != 0)
        return -ENOMEM; /* what `to` has got goes with it */
    size_t moved = move(from, exposed, n - to->len, to);
    if (rest > 0) {
        put_last(to, tail.first);
        to->len += rest;
    }
    lb_reader_count_consumed(lb, moved);
    lb_reader_consume(lb, n - moved);
    return 0;
}

/* The same where all of it is in the first window, which keeps some. */
static int cut_first(struct linkbuffer *lb, size_t n, struct lb_reader *to)
{
    struct lb_node *first = lb->reader.first;
    struct lb_node *window = lb_node_share(first, n);
    if (window == NULL)
        return -ENOMEM;
    to->first = window;
    to->last = window;
    to->len = n;
    first->data += n;
    first->len -= n;
    lb_reader_count_consumed(lb, n);
    return 0;
}

/* The same where files are among what is readable. */
static int cut_files(struct linkbuffer *lb, size_t n, struct lb_reader *to)
{
    lb_reader_join_file(&lb->reader);
    int status = cut(lb, n, to);
    lb_reader_split(&lb->reader);
    lb_reader_split(to);
    return status;
}

static int cut_any(struct linkbuffer *lb, size_t n, struct lb_reader *to)
{
    if (lb->reader.has_file)
        return cut_files(lb, n, to);
    return n > 0 && n < lb->reader.first->len ? cut_first(lb, n, to) : cut(lb, n, to);
}

int linkbuffer_slice(struct linkbuffer *lb, size_t n, struct linkbuffer **out)
{
    LB_READER_CALL(lb);
    struct linkbuffer *slice;
    *out = NULL;
    if (lb->reader.len < n)
        lb_reader_pull(lb);
    if (lb->reader.len < n)
        return -EAGAIN;
    int status = linkbuffer_create(&slice);
    if (status != 0)
        return status;
    status = cut_any(lb, n, &slice->reader);
    atomic_init(&slice->flushed, slice->reader.len);
    if (status != 0) {
        linkbuffer_destroy(slice);
        return status;
    }
    *out = slice;
    return 0;
}
