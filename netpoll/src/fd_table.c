/* Slots and generations of a poller's descriptors. Poller thread. */
#include "fd_table.h"

#include <mcache/mcache.h>

#include <errno.h>
#include <string.h>

#define GENERATION_MASK ((UINT32_C(1) << NP_FD_GENERATION_BITS) - 1)
#define FIRST_COUNT     64U

static int grow(struct np_fd_table *table)
{
    uint32_t count = table->count == 0 ? FIRST_COUNT : 2 * table->count;
    struct np_fd_entry *entries = mcache_alloc(count * sizeof *entries);
    if (entries == NULL)
        return -ENOMEM;
    if (table->count > 0)
        memcpy(entries, table->entries, table->count * sizeof *entries);
    for (uint32_t slot = table->count; slot < count; slot++)
        entries[slot] = (struct np_fd_entry){.next_free = slot + 1};
    mcache_free(table->entries);
    table->entries = entries;
    table->first_free = table->count;
    table->count = count;
    return 0;
}

int np_fd_table_add(struct np_fd_table *table, struct np_fd *fd)
{
    if (table->first_free == table->count && grow(table) != 0)
        return -ENOMEM;
    fd->slot = table->first_free;
    struct np_fd_entry *entry = &table->entries[fd->slot];
    table->first_free = entry->next_free;
    entry->fd = fd;
    return 0;
}

void np_fd_table_remove(struct np_fd_table *table, struct np_fd *fd)
{
    struct np_fd_entry *entry = &table->entries[fd->slot];
    entry->fd = NULL;
    entry->generation = (entry->generation + 1) & GENERATION_MASK;
    entry->next_free = table->first_free;
    table->first_free = fd->slot;
}

uint64_t np_fd_table_key(const struct np_fd_table *table, const struct np_fd *fd)
{
    return (uint64_t)table->entries[fd->slot].generation << 32 | fd->slot;
}

struct np_fd *np_fd_table_find(const struct np_fd_table *table, uint64_t key)
{
    uint32_t slot = (uint32_t)key;
    uint32_t generation = (uint32_t)(key >> 32) & GENERATION_MASK;
    if (slot >= table->count || table->entries[slot].generation != generation)
        return NULL;
    return table->entries[slot].fd;
}

void np_fd_table_fini(struct np_fd_table *table)
{
    mcache_free(table->entries);
    *table = (struct np_fd_table){0};
}
