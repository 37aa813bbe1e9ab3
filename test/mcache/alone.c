/* mcache needs nothing else of the toolkit: this links with it and with nothing more. */
#include <mcache/mcache.h>

#include <stdio.h>
#include <string.h>

int main(void)
{
    char *text = mcache_alloc_capacity(6, 100);
    struct mcache_stats stats;

    if (text == NULL || mcache_capacity(text) != 128) {
        return 1;
    }
    memcpy(text, "alone", 6);
    (void)puts(text);
    mcache_free(text);
    mcache_stats_read(&stats);
    return stats.live_bytes == 0 && mcache_trim() != 0 ? 0 : 1;
}
