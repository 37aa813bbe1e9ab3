/* mcache in a program without shared libraries. */
#include "loading.h"

int main(void)
{
    static const struct calls calls = {
        mcache_alloc,    mcache_calloc, mcache_aligned_alloc, mcache_realloc,   mcache_free,
        mcache_capacity, mcache_trim,   mcache_tick,          mcache_configure, mcache_stats_read};

    return calls_work(&calls) ? 0 : 1;
}
