#include "refusal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/types.h>

static enum refused_call armed;
static size_t first;
static bool later;
/* The only fields that threads change. Sequentially consistent: nothing here needs to be fast. */
static atomic_size_t seen;
static atomic_size_t refused;
static atomic_size_t mmaps;

/* NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming): names that the linker
 * gives. */
void *__real_mmap(void *where, size_t bytes, int access, int flags, int fd, off_t offset);
int __real_munmap(void *where, size_t bytes);
int __real_madvise(void *where, size_t bytes, int advice);
void *__real_mremap(void *where, size_t old_bytes, size_t bytes, int flags, ...);
void *__wrap_mmap(void *where, size_t bytes, int access, int flags, int fd, off_t offset);
int __wrap_munmap(void *where, size_t bytes);
int __wrap_madvise(void *where, size_t bytes, int advice);
void *__wrap_mremap(void *where, size_t old_bytes, size_t bytes, int flags, ...);

void refusal_start(enum refused_call call, size_t nth, bool and_later)
{
    armed = call;
    first = nth;
    later = and_later;
    atomic_store(&seen, 0);
    atomic_store(&refused, 0);
}

size_t refusal_stop(void)
{
    armed = REFUSED_NONE;
    return atomic_load(&refused);
}

size_t mmap_count(void)
{
    return atomic_load(&mmaps);
}

static bool is_refused(enum refused_call call, int error)
{
    size_t nth;

    if (armed != call) {
        return false;
    }
    nth = atomic_fetch_add(&seen, 1) + 1;
    if (nth != first && (nth < first || !later)) {
        return false;
    }
    atomic_fetch_add(&refused, 1);
    errno = error;
    return true;
}

void *__wrap_mmap(void *where, size_t bytes, int access, int flags, int fd, off_t offset)
{
    atomic_fetch_add(&mmaps, 1);
    return is_refused(REFUSED_MMAP, ENOMEM) ? MAP_FAILED
                                            : __real_mmap(where, bytes, access, flags, fd, offset);
}

int __wrap_munmap(void *where, size_t bytes)
{
    return is_refused(REFUSED_MUNMAP, ENOMEM) ? -1 : __real_munmap(where, bytes);
}

int __wrap_madvise(void *where, size_t bytes, int advice)
{
    return is_refused(REFUSED_MADVISE, EAGAIN) ? -1 : __real_madvise(where, bytes, advice);
}

/* None of its callers here says where to. */
void *__wrap_mremap(void *where, size_t old_bytes, size_t bytes, int flags, ...)
{
    return is_refused(REFUSED_MREMAP, ENOMEM) ? MAP_FAILED
                                              : __real_mremap(where, old_bytes, bytes, flags);
}
/* NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming) */
