/* Linked with -Wl,--wrap=... for what is defined here. */
#include "fake_socket.h"

#include "owner.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

static const char *bytes = "";
static int end = 1;
static size_t reads;
static int error;
static size_t asked;
static uint64_t clock_ms = 1000;

ssize_t __wrap_np_socket_receive(int fd, const struct iovec *iov);
int __wrap_np_socket_take_error(int fd);
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

int __wrap_np_socket_take_error(int fd)
{
    (void)fd;
    asked++;
    return error;
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

void fake_socket_set_error(int value)
{
    error = value;
}

size_t fake_socket_asked(void)
{
    return asked;
}

void fake_clock_pass(unsigned ms)
{
    for (unsigned i = 0; i < ms; i++) {
        clock_ms++;
        __wrap_np_poller_woke(&poller);
        np_wheel_advance(&poller.wheel, clock_ms, UINT32_MAX);
    }
}
