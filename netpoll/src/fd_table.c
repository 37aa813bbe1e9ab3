/* Slots and generations of a poller's descriptors. Poller thread. */
#include "fd_table.h"

#include <mcache/mcache.h>

#include <errno.h>
#include <string.h>

#define GENERATION_MASK ((UINT32_C(1) << NP_FD_GENERATION_BITS) - 1)
#define FIRST_ROOM      16U

static int make_room(struct np_fd_table *table)
{
    uint32_t used = table->count >> NP_FD_CHUNK_BITS;
    if (used < table->room)
        return 0;
    uint32_t room = table->room == 0 ? FIRST_ROOM : 2 * table->room;
    struct np_fd_entry **chunks = mcache_alloc(room * sizeof(struct np_fd_entry *));
    if (chunks == NULL)
        return -ENOMEM;
    if (used > 0)
        memcpy(chunks, table->chunks, used * sizeof(struct np_fd_entry *));
    mcache_free(table->chunks);
    table->chunks = chunks;
    table->room = room;
    return 0;
}

static int grow(struct np_fd_table *table)
{
    int status = make_room(table);
    if (status != 0)
        return status;
    struct np_fd_entry *chunk = mcache_alloc(NP_FD_CHUNK * sizeof *chunk);
    if (chunk == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < NP_FD_CHUNK; i++)
        chunk[i] = (struct np_fd_entry){.next_free = table->count + i + 1};
    table->chunks[table->count >> NP_FD_CHUNK_BITS] = chunk;
    table->first_free = table->count;
    table->count += NP_FD_CHUNK;
    return 0;
}

int np_fd_table_add(struct np_fd_table *table, struct np_fd *fd)
{
    if (table->first_free == table->count && grow(table) != 0)
        return -ENOMEM;
    fd->slot = table->first_free;
    struct np_fd_entry *entry = np_fd_table_entry(table, fd->slot);
    table->first_free = entry->next_free;
    entry->fd = fd;
    return 0;
}

void np_fd_table_remove(struct np_fd_table *table, struct np_fd *fd)
{
    struct np_fd_entry *entry = np_fd_table_entry(table, fd->slot);
    entry->fd = NULL;
    entry->generation = (entry->generation + 1) & GENERATION_MASK;
    entry->next_free = table->first_free;
    table->first_free = fd->slot;
}

uint64_t np_fd_table_key(const struct np_fd_table *table, const struct np_fd *fd)
{
    return (uint64_t)np_fd_table_entry(table, fd->slot)->generation << 32 | fd->slot;
}

struct np_fd *np_fd_table_find(const struct np_fd_table *table, uint64_t key)
{
    uint32_t slot = (uint32_t)key;
    uint32_t generation = (uint32_t)(key >> 32) & GENERATION_MASK;
    if (slot >= table->count)
        return NULL;
    const struct np_fd_entry *entry = np_fd_table_entry(table, slot);
    return entry->generation == generation ? entry->fd : NULL;
}

void np_fd_table_fini(struct np_fd_table *table)
{
    for (uint32_t slot = 0; slot < table->count; slot += NP_FD_CHUNK)
        mcache_free(table->chunks[slot >> NP_FD_CHUNK_BITS]);
    mcache_free(table->chunks);
    *table = (struct np_fd_table){0};
}
