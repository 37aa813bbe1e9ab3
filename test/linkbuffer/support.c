/* Linked with -Wl,--wrap=...: every allocation and every transfer of the library passes here. */
#include "support.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <mcache/mcache.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static size_t allocs;
static size_t fail_at;

void *__real_mcache_alloc(size_t size);
void *__wrap_mcache_alloc(size_t size);

void *__wrap_mcache_alloc(size_t size)
{
    allocs++;
    if (fail_at > 0 && --fail_at == 0)
        return NULL;
    return __real_mcache_alloc(size);
}

static int interrupts;

void interrupt_calls(int n)
{
    interrupts = n;
}

static bool is_interrupted(void)
{
    if (interrupts == 0)
        return false;
    interrupts--;
    errno = EINTR;
    return true;
}

ssize_t __real_read(int fd, void *into, size_t n);
ssize_t __wrap_read(int fd, void *into, size_t n);
ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __real_writev(int fd, const struct iovec *iov, int count);
ssize_t __wrap_writev(int fd, const struct iovec *iov, int count);

ssize_t __wrap_read(int fd, void *into, size_t n)
{
    return is_interrupted() ? -1 : __real_read(fd, into, n);
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    return is_interrupted() ? -1 : __real_sendmsg(fd, message, flags);
}

ssize_t __wrap_writev(int fd, const struct iovec *iov, int count)
{
    return is_interrupted() ? -1 : __real_writev(fd, iov, count);
}

size_t live_bytes(void)
{
    static struct mcache_stats stats;
    mcache_stats_read(&stats);
    return stats.live_bytes + stats.system_bytes;
}

size_t alloc_count(void)
{
    return allocs;
}

void alloc_fail_at(size_t nth)
{
    fail_at = nth;
}

bool alloc_failed(void)
{
    bool failed = fail_at == 0;
    fail_at = 0;
    return failed;
}

struct linkbuffer *make_buffer(void)
{
    struct linkbuffer *lb;
    cr_assert_eq(linkbuffer_create(&lb), 0);
    return lb;
}

void put(struct linkbuffer *lb, size_t n, size_t position)
{
    void *into;
    cr_assert_eq(linkbuffer_reserve(lb, n, &into), 0);
    pattern_fill(into, n, position);
    cr_assert_eq(linkbuffer_flush(lb), n);
}

void put_pieces(struct linkbuffer *lb, size_t piece, size_t count, size_t position)
{
    for (size_t i = 0; i < count; i++)
        put(lb, piece, position + i * piece);
}

void put_rest_of_block(struct linkbuffer *lb, size_t n, size_t position)
{
    size_t size = (size_t)64 * 1024 - LINKBUFFER_BLOCK_OVERHEAD;
    struct linkbuffer_block *block = linkbuffer_block_create(size);
    cr_assert_not_null(block);
    uint8_t *data = (uint8_t *)linkbuffer_block_data(block) + size / 2;
    pattern_fill(data, n, position);
    cr_assert_eq(linkbuffer_adopt(lb, block, data, n), 0);
    linkbuffer_block_release(block);
    cr_assert_eq(linkbuffer_flush(lb), n);
}

void send_pattern(int fd, size_t n, size_t position)
{
    uint8_t bytes[4096];
    while (n > 0) {
        size_t step = n < sizeof bytes ? n : sizeof bytes;
        pattern_fill(bytes, step, position);
        cr_assert_eq(write(fd, bytes, step), (ssize_t)step);
        position += step;
        n -= step;
    }
}

struct linkbuffer_stats figures(struct linkbuffer *lb)
{
    struct linkbuffer_stats stats;
    linkbuffer_stats_read(lb, &stats);
    return stats;
}

bool holds_unread(struct linkbuffer *lb, size_t n, size_t position)
{
    enum {
        MAX = 4096
    };
    static struct iovec iov[MAX];
    int count = linkbuffer_iov(lb, iov, MAX);
    size_t seen = 0;
    for (int i = 0; i < count; i++) {
        if (!pattern_holds(iov[i].iov_base, iov[i].iov_len, position + seen))
            return false;
        seen += iov[i].iov_len;
    }
    return seen == n && linkbuffer_len(lb) == n;
}

void count_call(void *arg)
{
    (*(int *)arg)++;
}
