/*
 * The two sides of a buffer and the mailbox between them.
 *
 * What the writer flushes goes through the mailbox as a whole chain and is the reader's from
 * there: no node is ever touched by both sides, so the reader may free every node it has
 * consumed, the last one too.
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
    struct lb_node *settled; /* up to here linkbuffer_settle() has looked; NULL: nowhere */
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
    uint32_t chunk;      /* bytes to allocate for the first block of the next flush */
    uint32_t last_chunk; /* bytes of the last flush, up to LB_CHUNK_MAX */
};

struct linkbuffer {
    struct lb_reader reader;
    struct lb_writer writer;
    /*
     * The writer stores a chain with release, the reader takes it by an exchange with acquire.
     * Only the writer makes it non-NULL, so a writer that sees NULL may store without looking
     * again; one that sees a chain takes it back by exchange to append to it.
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
