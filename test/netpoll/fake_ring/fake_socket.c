/* Linked with -Wl,--wrap=np_socket_receive,--wrap=np_poller_woke. */
#include "fake_socket.h"

#include "owner.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

static const char *bytes = "";
static int end = 1;
static size_t reads;
static uint64_t clock_ms = 1000;

ssize_t __wrap_np_socket_receive(int fd, const struct iovec *iov);
void __wrap_np_poller_woke(struct np_poller *woken);

ssize_t __wrap_np_socket_receive(int fd, const struct iovec *iov)
{
    size_t n = strlen(bytes);
    (void)fd;
    reads++;
    if (n == 0)
        return end == 1 ? -EAGAIN : end;
    if (n > iov->iov_len)
        n = iov->iov_len;
    memcpy(iov->iov_base, bytes, n);
    bytes += n;
    return (ssize_t)n;
}

void __wrap_np_poller_woke(struct np_poller *woken)
{
    woken->woke_ns = clock_ms * 1000000;
}

void fake_socket_fill(const char *text)
{
    bytes = text;
}

void fake_socket_end(int result)
{
    end = result;
}

size_t fake_socket_reads(void)
{
    return reads;
}

void fake_clock_pass(unsigned ms)
{
    for (unsigned i = 0; i < ms; i++) {
        clock_ms++;
        __wrap_np_poller_woke(&poller);
        np_wheel_advance(&poller.wheel, clock_ms, UINT32_MAX);
    }
}
