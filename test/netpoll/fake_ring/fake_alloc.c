/* Linked with -Wl,--wrap=mcache_alloc: every allocation passes through here. */
#include "fake_alloc.h"

#include <mcache/mcache.h>

#include <errno.h>

static size_t refused_bytes;

void *__real_mcache_alloc(size_t size);
void *__wrap_mcache_alloc(size_t size);

void *__wrap_mcache_alloc(size_t size)
{
    if (refused_bytes > 0 && size >= refused_bytes) {
        errno = ENOMEM;
        return NULL;
    }
    return __real_mcache_alloc(size);
}

void fake_alloc_refuse(size_t bytes)
{
    refused_bytes = bytes;
}

size_t fake_alloc_live_bytes(void)
{
    static struct mcache_stats stats;
    mcache_stats_read(&stats);
    return stats.live_bytes + stats.system_bytes;
}
