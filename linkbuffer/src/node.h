/*
 * A window on a block, linked into a chain.
 */
#ifndef LB_NODE_H
#define LB_NODE_H

#include <stddef.h>
#include <stdint.h>

struct linkbuffer_block;

struct lb_node {
    struct lb_node *next;
    struct linkbuffer_block *block; /* this window's count is held here */
    uint8_t *data;
    size_t len;
    /* Of the first node of a chain in the mailbox, else unused. */
    struct lb_node *chain_last;
    size_t chain_len;
};

#endif
