/*
 * The two sides of a buffer and the mailbox between them.
 *
 * What the writer flushes goes into the mailbox as a whole chain and is the reader's from there:
 * no node is ever touched by both sides, so the reader may free every node it has consumed, the
 * last one too.
 */
#ifndef LB_LINKBUFFER_H
#define LB_LINKBUFFER_H

#include "block.h"

#include <linkbuffer/linkbuffer.h>

struct lb_chain {
    struct lb_node *first;
    struct lb_node *last;
    size_t len;
};

struct lb_reader {
    struct lb_node *first; /* readable */
    struct lb_node *last;
    size_t len;
    struct lb_node *done;    /* consumed, kept until release */
    struct lb_node *settled; /* the last one that linkbuffer_settle() has left; NULL: none */
    size_t searched;         /* bytes from the read position known not to hold searched_for */
    size_t bytes_copied;
    uint8_t searched_for;
    bool exposed; /* the caller may hold a pointer into the first node */
};

struct lb_writer {
    struct lb_node *first; /* written, not flushed */
    struct lb_node *last;
    size_t len;
    size_t room;         /* bytes behind the last window that this side may extend it by */
    uint16_t copied;     /* of len, bytes in blocks allocated here, up to LB_BLOCK_AHEAD_MAX */
    uint16_t chunk;      /* bytes to allocate for the first block of the next flush */
    uint16_t last_chunk; /* what the last flush copied, up to LB_CHUNK_MAX */
};

struct linkbuffer {
    struct lb_reader reader;
    struct lb_writer writer;
    /*
     * The chains the reader has not taken yet, newest first: the last node of each is linked to
     * the first of the one before. The writer puts a chain on top with release, the reader takes
     * all of them by an exchange with acquire, so what has been flushed is never out of sight.
     * Only the writer makes it non-NULL, so a writer that sees NULL may store without looking
     * again, and a compare that succeeds means that nothing was taken in between.
     */
    _Atomic(struct lb_node *) mailbox;
    _Atomic size_t flushed;  /* written by the writer only; pairs with linkbuffer_unread() */
    _Atomic size_t consumed; /* written by the reader only; pairs with linkbuffer_unread() */
};

/* Takes what the writer has flushed. */
void lb_reader_pull(struct linkbuffer *lb);
/* Moves the readable chain to *out; pointers into it stay valid until release. 0 or -ENOMEM. */
int lb_reader_detach(struct linkbuffer *lb, struct lb_chain *out);

#endif
