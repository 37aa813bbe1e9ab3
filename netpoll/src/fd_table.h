/*
 * The descriptors that a poller watches, by slot and generation.
 *
 * The kernel is given slot and generation, never a pointer or a descriptor number, so an event of
 * something that has ended finds nothing, also when its slot or its number is in use again.
 */
#ifndef NP_FD_TABLE_H
#define NP_FD_TABLE_H

#include "fd.h"

#include <stddef.h>

#define NP_FD_GENERATION_BITS 24U

struct np_fd_entry {
    struct np_fd *fd; /* NULL: free */
    uint32_t generation;
    uint32_t next_free;
};

#define NP_FD_CHUNK_BITS 8U
#define NP_FD_CHUNK      (UINT32_C(1) << NP_FD_CHUNK_BITS)

/* It grows by chunks, so that an entry never moves and none is touched before it is used. */
struct np_fd_table {
    struct np_fd_entry **chunks;
    uint32_t room;       /* chunks that the array has room for */
    uint32_t count;      /* entries */
    uint32_t first_free; /* count: none is free */
};

static inline struct np_fd_entry *np_fd_table_entry(const struct np_fd_table *table, uint32_t slot)
{
    return &table->chunks[slot >> NP_FD_CHUNK_BITS][slot & (NP_FD_CHUNK - 1)];
}

/* Gives fd a slot. 0 or -ENOMEM. */
int np_fd_table_add(struct np_fd_table *table, struct np_fd *fd);
/* Takes it back; its generation does not come again for 2^24 uses of the slot. */
void np_fd_table_remove(struct np_fd_table *table, struct np_fd *fd);
/* Generation in the upper half, slot in the lower one. */
uint64_t np_fd_table_key(const struct np_fd_table *table, const struct np_fd *fd);
/* NULL: it has ended. */
struct np_fd *np_fd_table_find(const struct np_fd_table *table, uint64_t key);
void np_fd_table_fini(struct np_fd_table *table);

#endif
