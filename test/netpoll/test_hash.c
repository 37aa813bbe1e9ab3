/* The table against an array of everything that may be in it. */
#include "../support/pattern.h"
#include "rig.h"

#include "hash.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define COUNT 2000

struct thing {
    struct np_hash_node node;
    bool is_in;
};

static bool is_found(const struct np_hash *table, const struct thing *thing)
{
    struct np_hash_node *node = np_hash_first(table, thing->node.hash);
    while (node != NULL && node != &thing->node)
        node = np_hash_next(node);
    return node != NULL;
}

Test(hash, finds_what_is_in_it_and_nothing_else)
{
    static struct thing things[COUNT];
    struct np_hash table = {0};
    uint64_t seed = 3;
    size_t in = 0;
    size_t before = live_bytes();
    cr_assert_null(np_hash_first(&table, 1));
    /* Many share a hash. */
    for (size_t i = 0; i < COUNT; i++)
        things[i].node.hash = random_below(&seed, 2) == 0 ? random_next(&seed) : i % 7;
    for (size_t i = 0; i < (size_t)20 * COUNT; i++) {
        struct thing *thing = &things[random_below(&seed, COUNT)];
        cr_assert_eq(is_found(&table, thing), thing->is_in);
        if (thing->is_in)
            np_hash_remove(&table, &thing->node);
        else
            cr_assert_eq(np_hash_add(&table, &thing->node), 0);
        in = thing->is_in ? in - 1 : in + 1;
        thing->is_in = !thing->is_in;
        cr_assert_eq(table.count, in);
    }
    for (size_t i = 0; i < COUNT; i++)
        cr_assert_eq(is_found(&table, &things[i]), things[i].is_in);
    cr_assert_geq(table.slot_count, in / 2);
    np_hash_fini(&table);
    cr_assert_eq(live_bytes(), before);
}

Test(hash, texts_and_pointers_are_spread)
{
    enum {
        SLOTS = 256
    };
    unsigned texts[SLOTS] = {0};
    unsigned pointers[SLOTS] = {0};
    static char objects[SLOTS * 8][192];
    for (unsigned i = 0; i < SLOTS * 8; i++) {
        char text[32];
        int n = snprintf(text, sizeof text, "10.0.%u.%u:80", i / 256, i % 256);
        texts[np_hash_bytes(text, (size_t)n) % SLOTS]++;
        pointers[np_hash_pointer(objects[i]) % SLOTS]++;
    }
    for (unsigned i = 0; i < SLOTS; i++) {
        cr_assert_leq(texts[i], 32);
        cr_assert_leq(pointers[i], 32);
    }
}
