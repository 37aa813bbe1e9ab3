/*
 * Windows on files. Their blocks have no payload: data is where the byte would lie if the range
 * began where payload does, so that windows are cut and shared like any others, and never read
 * through.
 *
 * The reader keeps them out of the way of the calls that read through windows: its chain `first`
 * ends in front of the first of them, which `file` points to and the rest is linked to.
 */
#ifndef LB_FILE_H
#define LB_FILE_H

#include "linkbuffer.h"

static inline bool lb_node_is_file(const struct lb_node *node)
{
    return node->block->kind == LB_BLOCK_FILE;
}

/* Cuts the reader's chain, which is whole, in front of the first file. */
void lb_reader_split(struct lb_reader *reader);
/* Makes it whole again: until lb_reader_split(), which has to follow. */
void lb_reader_join_file(struct lb_reader *reader);
/* Reads files until the windows in front of the first one hold n bytes, which are readable; at most
 * `piece` bytes into one window. 0; -EIO; -ENOMEM. */
int lb_reader_load(struct lb_reader *reader, size_t n, size_t piece);
/* Copies n bytes from this window on; how many, fewer when a file could not be read. */
size_t lb_file_copy_out(const struct lb_node *node, void *into, size_t n);
/* Offset of the delimiter at or behind `from`, from this window on; -EAGAIN: none; -EIO. */
ssize_t lb_file_find(const struct lb_node *node, uint8_t delimiter, size_t from);

#endif
