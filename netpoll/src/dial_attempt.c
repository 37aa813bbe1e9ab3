/* Sockets between connect(2) and what comes of it. */
#include "dial_attempt.h"

#include "dial_socket.h"

#include <mcache/mcache.h>

#include <errno.h>
#include <poll.h>
#include <unistd.h>

static void writable(struct np_fd *fd, int64_t events)
{
    struct np_attempt *attempt = (struct np_attempt *)fd;
    (void)events;
    const struct np_backend *backend = fd->poller->backend;
    int status = np_dial_result(fd->fd);
    if (attempt->is_ending)
        return;
    if (status == -EALREADY) {
        (void)backend->set_input(fd->poller, fd, false);
        status = backend->set_input(fd->poller, fd, true);
        if (status == 0)
            return;
    }
    np_dial_attempt_done(attempt, status);
}

static void closed(struct np_fd *fd)
{
    struct np_attempt *attempt = (struct np_attempt *)fd;
    struct np_attempt **link = &attempt->dial->attempts;
    while (*link != attempt)
        link = &(*link)->next;
    *link = attempt->next;
    if (!attempt->is_winner)
        close(fd->fd);
    np_dial_attempt_gone(attempt);
}

static const struct np_fd_ops attempt_ops = {.input_done = writable, .closed = closed};

int np_attempt_open(struct netpoll_dial *dial, uint32_t index, int fd)
{
    struct np_poller *poller = dial->poller;
    struct np_attempt *attempt = mcache_alloc(sizeof *attempt);
    if (attempt == NULL) {
        close(fd);
        return -ENOMEM;
    }
    *attempt = (struct np_attempt){
        .fd = {.fd = fd,
               .kind = NP_FD_WATCH,
               .poll_events = POLLOUT,
               .ops = &attempt_ops,
               .poller = poller},
        .dial = dial,
        .index = index,
    };
    int status = poller->backend->add(poller, &attempt->fd);
    if (status != 0) {
        mcache_free(attempt);
        close(fd);
        return status;
    }
    attempt->next = dial->attempts;
    dial->attempts = attempt;
    status = poller->backend->set_input(poller, &attempt->fd, true);
    if (status != 0)
        np_attempt_end(attempt);
    return status;
}

void np_attempt_end(struct np_attempt *attempt)
{
    struct np_poller *poller = attempt->fd.poller;
    if (attempt->is_ending)
        return;
    attempt->is_ending = true;
    poller->backend->remove(poller, &attempt->fd);
}
