/* Chains of nodes by hash. */
#include "hash.h"

#include <mcache/mcache.h>

#include <errno.h>
#include <string.h>

#define FIRST_SLOTS 16U

static struct np_hash_node **slot_of(const struct np_hash *table, uint64_t hash)
{
    return &table->slots[hash & (table->slot_count - 1)];
}

static void put(struct np_hash *table, struct np_hash_node *node)
{
    struct np_hash_node **slot = slot_of(table, node->hash);
    node->next = *slot;
    *slot = node;
}

static int grow(struct np_hash *table)
{
    size_t slot_count = table->slots == NULL ? FIRST_SLOTS : table->slot_count * 2;
    struct np_hash bigger = {.slots = mcache_alloc(slot_count * sizeof(struct np_hash_node *)),
                             .slot_count = slot_count,
                             .count = table->count};
    if (bigger.slots == NULL)
        return -ENOMEM;
    memset(bigger.slots, 0, slot_count * sizeof(struct np_hash_node *));
    for (size_t i = 0; table->slots != NULL && i < table->slot_count; i++) {
        struct np_hash_node *next;
        for (struct np_hash_node *node = table->slots[i]; node != NULL; node = next) {
            next = node->next;
            put(&bigger, node);
        }
    }
    mcache_free(table->slots);
    *table = bigger;
    return 0;
}

int np_hash_add(struct np_hash *table, struct np_hash_node *node)
{
    /* A table that cannot grow only gets slower. */
    if (table->count >= table->slot_count && grow(table) != 0 && table->slots == NULL)
        return -ENOMEM;
    put(table, node);
    table->count++;
    return 0;
}

void np_hash_remove(struct np_hash *table, struct np_hash_node *node)
{
    struct np_hash_node **link = slot_of(table, node->hash);
    while (*link != node)
        link = &(*link)->next;
    *link = node->next;
    table->count--;
}

static struct np_hash_node *find(struct np_hash_node *node, uint64_t hash)
{
    while (node != NULL && node->hash != hash)
        node = node->next;
    return node;
}

struct np_hash_node *np_hash_first(const struct np_hash *table, uint64_t hash)
{
    return table->slots == NULL ? NULL : find(*slot_of(table, hash), hash);
}

struct np_hash_node *np_hash_next(const struct np_hash_node *node)
{
    return find(node->next, node->hash);
}

void np_hash_fini(struct np_hash *table)
{
    mcache_free(table->slots);
    *table = (struct np_hash){0};
}

uint64_t np_hash_bytes(const void *data, size_t n)
{
    /* FNV-1a, 64 bits. */
    const unsigned char *bytes = data;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    return hash ^ hash >> 32;
}

uint64_t np_hash_pointer(const void *pointer)
{
    /* The golden ratio spreads what alignment leaves out; the upper bits are the good ones. */
    uint64_t hash = (uint64_t)(uintptr_t)pointer * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 32;
}
