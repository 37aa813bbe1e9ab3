/*
 * A table of things that stand in their owners' objects, by hash. Grows, never shrinks. One thread,
 * or a lock of the owner's.
 */
#ifndef NP_HASH_H
#define NP_HASH_H

#include <stddef.h>
#include <stdint.h>

struct np_hash_node {
    struct np_hash_node *next;
    uint64_t hash;
};

struct np_hash {
    struct np_hash_node **slots; /* NULL: nothing has come yet */
    size_t slot_count;           /* a power of two */
    size_t count;
};

/* node->hash is filled in. 0 or -ENOMEM. */
int np_hash_add(struct np_hash *table, struct np_hash_node *node);
void np_hash_remove(struct np_hash *table, struct np_hash_node *node);
/* The first one of this hash; the others of it, and strangers, follow by np_hash_next(). */
struct np_hash_node *np_hash_first(const struct np_hash *table, uint64_t hash);
/* The next one of the same hash; NULL: none. */
struct np_hash_node *np_hash_next(const struct np_hash_node *node);
/* It is empty, or what is in it is not needed any more. */
void np_hash_fini(struct np_hash *table);

uint64_t np_hash_bytes(const void *data, size_t n);
uint64_t np_hash_pointer(const void *pointer);

#endif
