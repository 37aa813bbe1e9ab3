/*
 * What a backend offers. Nothing outside the files that implement it asks which one it is.
 *
 * Every call is made on the poller thread, except probe() and try_output().
 */
#ifndef NP_BACKEND_H
#define NP_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct iovec;
struct np_fd;
struct np_poller;

struct np_backend {
    const char *name;
    /* 0 when this kernel serves the backend, else -errno and the reason in words. Any thread. */
    int (*probe)(char *reason, size_t size);
    int (*open)(struct np_poller *poller);
    /* No descriptor is watched any more. */
    void (*close)(struct np_poller *poller);
    /* Watches a descriptor that does not block; input is not wanted yet. */
    int (*add)(struct np_poller *poller, struct np_fd *fd);
    /* Ends everything that is in flight; fd->ops->closed() follows, never before this returns. */
    void (*remove)(struct np_poller *poller, struct np_fd *fd);
    /* Asks for output until lend_output() gives nothing. is_full: the last attempt has given
     * -EAGAIN. */
    int (*start_output)(struct np_poller *poller, struct np_fd *fd, bool is_full);
    /* What is wanted from now on; says the same as often as it likes. */
    int (*set_input)(struct np_poller *poller, struct np_fd *fd, bool wanted);
    /* One attempt by whoever owns the send turn, on any thread. Bytes or -errno. */
    ssize_t (*try_output)(struct np_fd *fd, const struct iovec *iov, int n);
    /* Waits for news at most timeout_ns (negative: for ever) and tells the owners. */
    int (*wait)(struct np_poller *poller, int64_t timeout_ns);
};

extern const struct np_backend np_backend_epoll;
extern const struct np_backend np_backend_uring;

#endif
