/* The list of cases. */
#include "alloc_case.h"

#include <string.h>

#define KIB(n) ((size_t)(n)*1024)

/* Depths from 1 MiB on are smaller, so that no case needs more than 300 MiB. */
const struct alloc_case alloc_cases[ALLOC_CASE_COUNT] = {
    {"pair_64", ALLOC_PAIR, 64, 1},
    {"pair_256", ALLOC_PAIR, 256, 1},
    {"pair_1024", ALLOC_PAIR, KIB(1), 1},
    {"pair_4096", ALLOC_PAIR, KIB(4), 1},
    {"pair_8192", ALLOC_PAIR, KIB(8), 1},
    {"pair_65536", ALLOC_PAIR, KIB(64), 1},
    {"pair_1048576", ALLOC_PAIR, KIB(1024), 1},
    {"pair_1153434", ALLOC_PAIR, KIB(1024) * 11 / 10, 1},
    {"pair_4194304", ALLOC_PAIR, KIB(4096), 1},
    {"pair_16777216", ALLOC_PAIR, KIB(16384), 1},
    {"pages_1153434", ALLOC_PAGES, KIB(1024) * 11 / 10, 1},
    {"pages_4194304", ALLOC_PAGES, KIB(4096), 1},
    {"pages_16777216", ALLOC_PAGES, KIB(16384), 1},
    {"batch4096_64", ALLOC_BATCH, 64, 4096},
    {"batch4096_256", ALLOC_BATCH, 256, 4096},
    {"batch4096_1024", ALLOC_BATCH, KIB(1), 4096},
    {"batch4096_4096", ALLOC_BATCH, KIB(4), 4096},
    {"batch4096_8192", ALLOC_BATCH, KIB(8), 4096},
    {"batch4096_65536", ALLOC_BATCH, KIB(64), 4096},
    {"batch256_1048576", ALLOC_BATCH, KIB(1024), 256},
    {"batch64_1153434", ALLOC_BATCH, KIB(1024) * 11 / 10, 64},
    {"mix", ALLOC_MIX, 0, 1024},
    {"cross_64", ALLOC_CROSS, 64, 256},
    {"cross_256", ALLOC_CROSS, 256, 256},
    {"cross_1024", ALLOC_CROSS, KIB(1), 256},
    {"cross_4096", ALLOC_CROSS, KIB(4), 256},
    {"cross_8192", ALLOC_CROSS, KIB(8), 256},
    {"cross_65536", ALLOC_CROSS, KIB(64), 256},
    {"cross_1048576", ALLOC_CROSS, KIB(1024), 16},
    {"cross_1153434", ALLOC_CROSS, KIB(1024) * 11 / 10, 16},
    {"burst_back_5s", ALLOC_BURST_WAIT, 0, 0},
    {"burst_back_trim", ALLOC_BURST_TRIM, 0, 0},
};

const struct alloc_case *alloc_case_find(const char *name)
{
    for (size_t i = 0; i < ALLOC_CASE_COUNT; i++) {
        if (strcmp(alloc_cases[i].name, name) == 0)
            return &alloc_cases[i];
    }
    return NULL;
}

bool alloc_case_is_memory(const struct alloc_case *which)
{
    return which->work == ALLOC_BURST_WAIT || which->work == ALLOC_BURST_TRIM;
}
