/* Memory after a burst: how much of it the system gets back. */
#define _GNU_SOURCE /* NOLINT(readability-identifier-naming): the C library's name for it */
#include "alloc_work.h"
#include "allocator.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define BURST_BYTES ((size_t)1 << 30)
#define BLOCKS_MAX  ((size_t)1 << 19) /* four times what sizes of 7.7 KiB on average need */
#define QUIET_PAIRS 500               /* for 5 s */
#define QUIET_NS    10000000
#define SMALL_BYTES 256

/* Resident pages; without stdio, which allocates. */
static int read_pages(double *out)
{
    char text[128];
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = read(fd, text, sizeof text - 1);
    int error = errno;
    close(fd);
    if (n < 0)
        return -error;
    text[n] = '\0';
    const char *resident = strchr(text, ' ');
    if (resident == NULL)
        return -EBADMSG;
    *out = strtod(resident, NULL);
    return 0;
}

static size_t fill(void **blocks)
{
    uint64_t random = 1;
    size_t count = 0;
    for (size_t bytes = 0; bytes < BURST_BYTES && count < BLOCKS_MAX; count++) {
        size_t size = alloc_work_random_size(&random);
        blocks[count] = alloc_work_must(size);
        memset(blocks[count], 1, size);
        bytes += size;
    }
    return count;
}

static void be_quiet(void)
{
    const struct timespec pause = {.tv_nsec = QUIET_NS};
    for (int i = 0; i < QUIET_PAIRS; i++) {
        nanosleep(&pause, NULL);
        void *block = alloc_work_must(SMALL_BYTES);
        alloc_work_touch(block, SMALL_BYTES);
        allocator_free(block);
    }
}

int alloc_burst(enum alloc_work work, double *percent)
{
    double before = 0;
    double peak = 0;
    double after = 0;
    /* A mapping that is resident already, so that only the allocator's pages are counted. */
    size_t bytes = BLOCKS_MAX * sizeof(void *);
    void **blocks = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (blocks == MAP_FAILED)
        return -errno;
    int status = read_pages(&before);
    if (status == 0) {
        size_t count = fill(blocks);
        status = read_pages(&peak);
        for (size_t i = 0; i < count; i++)
            allocator_free(blocks[i]);
    }
    if (work == ALLOC_BURST_WAIT)
        be_quiet();
    else
        allocator_trim();
    if (status == 0)
        status = read_pages(&after);
    munmap(blocks, bytes);
    if (status == 0)
        *percent = 100 * (peak - after) / (peak - before);
    return status;
}
