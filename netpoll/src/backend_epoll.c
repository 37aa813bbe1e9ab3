/* The epoll answer: edges say where to read and write, the system calls are made here. Input goes
 * to conn_input.c, output comes from conn_output.c. Poller thread. */
#include "backend.h"

#include "fd.h"
#include "poller.h"
#include "socket.h"

#include <mcache/mcache.h>

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define EVENTS_MAX 256
/* What one descriptor may write, read or accept before the others get their turn. */
#define WRITE_BUDGET  ((size_t)1024 * 1024)
#define READ_BUDGET   ((size_t)256 * 1024)
#define ACCEPT_BUDGET 64
#define IOV_COUNT     64

struct epoll_state {
    int epoll_fd;
    struct np_fd *ready; /* more to read than its budget allowed, or wanted again; first in first */
    struct np_fd **ready_end;
    size_t ready_count;
    struct np_fd *removed; /* closed() is due at the end of the round */
    struct epoll_event events[EVENTS_MAX];
};

static int epoll_probe(char *reason, size_t size)
{
    (void)reason;
    (void)size;
    return 0;
}

static int epoll_open(struct np_poller *poller)
{
    struct epoll_state *state = mcache_alloc(sizeof *state);
    if (state == NULL)
        return -ENOMEM;
    state->ready = NULL;
    state->ready_end = &state->ready;
    state->ready_count = 0;
    state->removed = NULL;
    state->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (state->epoll_fd < 0) {
        int status = -errno;
        mcache_free(state);
        return status;
    }
    poller->backend_state = state;
    return 0;
}

static void epoll_close(struct np_poller *poller)
{
    struct epoll_state *state = poller->backend_state;
    close(state->epoll_fd);
    mcache_free(state);
}

/* A unix socket wakes its writer at every read of the peer, so it asks for that only when full. */
static uint32_t events_of(const struct np_fd *fd)
{
    if (fd->kind == NP_FD_WATCH)
        return fd->poll_events | (uint32_t)EPOLLONESHOT;
    if (fd->kind != NP_FD_STREAM)
        return EPOLLIN | EPOLLET;
    if ((fd->flags & NP_FD_UNIX) != 0 && (fd->flags & NP_FD_OUTPUT_WANTED) == 0)
        return EPOLLIN | EPOLLRDHUP | EPOLLET;
    return EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLET;
}

static int control(struct np_poller *poller, struct np_fd *fd, int operation)
{
    struct epoll_state *state = poller->backend_state;
    struct epoll_event event = {.events = events_of(fd),
                                .data.u64 = np_fd_table_key(&poller->fds, fd)};
    return epoll_ctl(state->epoll_fd, operation, fd->fd, &event) == 0 ? 0 : -errno;
}

static int epoll_add(struct np_poller *poller, struct np_fd *fd)
{
    int status = np_fd_table_add(&poller->fds, fd);
    if (status != 0)
        return status;
    status = control(poller, fd, EPOLL_CTL_ADD);
    if (status != 0) {
        np_fd_table_remove(&poller->fds, fd);
        return status;
    }
    fd->flags |= NP_FD_WATCHED;
    return 0;
}

static void list_ready(struct epoll_state *state, struct np_fd *fd)
{
    if ((fd->flags & (NP_FD_LISTED | NP_FD_REMOVED)) != 0)
        return;
    fd->flags |= NP_FD_LISTED;
    fd->next = NULL;
    *state->ready_end = fd;
    state->ready_end = &fd->next;
    state->ready_count++;
}

static void unlist_ready(struct epoll_state *state, struct np_fd *fd)
{
    if ((fd->flags & NP_FD_LISTED) == 0)
        return;
    struct np_fd **link = &state->ready;
    while (*link != fd)
        link = &(*link)->next;
    *link = fd->next;
    if (state->ready_end == &fd->next)
        state->ready_end = link;
    state->ready_count--;
    fd->flags &= (uint16_t)~NP_FD_LISTED;
}

static void epoll_remove(struct np_poller *poller, struct np_fd *fd)
{
    struct epoll_state *state = poller->backend_state;
    unlist_ready(state, fd);
    if ((fd->flags & NP_FD_WATCHED) != 0) {
        (void)control(poller, fd, EPOLL_CTL_DEL);
        np_fd_table_remove(&poller->fds, fd);
    }
    fd->flags = NP_FD_REMOVED;
    fd->next = state->removed;
    state->removed = fd;
}

static int epoll_set_input(struct np_poller *poller, struct np_fd *fd, bool wanted)
{
    if (!wanted) {
        fd->flags &= (uint16_t)~NP_FD_INPUT_WANTED;
        return 0;
    }
    fd->flags |= NP_FD_INPUT_WANTED;
    /* Asked anew, so that what is so already is told. */
    if (fd->kind == NP_FD_WATCH)
        return control(poller, fd, EPOLL_CTL_MOD);
    if ((fd->flags & (NP_FD_READABLE | NP_FD_HUNG_UP)) != 0)
        list_ready(poller->backend_state, fd);
    return 0;
}

/* Whether the owner still wants what this descriptor brings. */
static bool may_go_on(const struct np_fd *fd, unsigned wanted)
{
    return (fd->flags & NP_FD_REMOVED) == 0 && (fd->flags & wanted) != 0;
}

static void write_ready(struct epoll_state *state, struct np_fd *fd)
{
    size_t budget = WRITE_BUDGET;
    struct iovec iov[IOV_COUNT];
    while (may_go_on(fd, NP_FD_OUTPUT_WANTED)) {
        int n = fd->ops->lend_output(fd, iov, IOV_COUNT);
        if (n == 0) {
            fd->flags &= (uint16_t)~NP_FD_OUTPUT_WANTED;
            return;
        }
        ssize_t result =
            n == NP_OUTPUT_FILE ? fd->ops->send_file(fd, budget) : np_socket_send(fd, iov, n);
        if (result == -EAGAIN)
            return;
        if (result < 0)
            fd->flags &= (uint16_t)~NP_FD_OUTPUT_WANTED;
        fd->ops->output_done(fd, result);
        if (result < 0)
            return;
        if ((size_t)result >= budget) {
            fd->flags |= NP_FD_WRITABLE;
            list_ready(state, fd);
            return;
        }
        budget -= (size_t)result;
    }
}

static int epoll_start_output(struct np_poller *poller, struct np_fd *fd, bool is_full)
{
    fd->flags |= NP_FD_OUTPUT_WANTED;
    /* No edge comes for what has not been full. */
    if (!is_full) {
        fd->flags |= NP_FD_WRITABLE;
        list_ready(poller->backend_state, fd);
    }
    /* For a unix socket this asks for OUT; an edge that came before is told again: epoll(7). */
    return (fd->flags & NP_FD_UNIX) != 0 ? control(poller, fd, EPOLL_CTL_MOD) : 0;
}

static void read_ready(struct epoll_state *state, struct np_fd *fd)
{
    size_t budget = READ_BUDGET;
    struct iovec iov;
    while (may_go_on(fd, NP_FD_INPUT_WANTED)) {
        ssize_t result = fd->ops->lend_input(fd, &iov);
        if (result == 0)
            result = np_socket_receive(fd->fd, &iov);
        if (result == -EAGAIN) {
            fd->flags &= (uint16_t)~NP_FD_READABLE;
            return;
        }
        bool is_short = result > 0 && (size_t)result < iov.iov_len;
        /* A short read has emptied the socket, unless the end is still to be read, or it stopped
         * where a unix peer passed descriptors. */
        if (is_short && (fd->flags & (NP_FD_HUNG_UP | NP_FD_UNIX)) == 0)
            fd->flags &= (uint16_t)~NP_FD_READABLE;
        if (result <= 0)
            fd->flags &= (uint16_t) ~(NP_FD_READABLE | NP_FD_HUNG_UP | NP_FD_INPUT_WANTED);
        fd->ops->input_done(fd, result);
        if (result <= 0 || (fd->flags & (NP_FD_READABLE | NP_FD_HUNG_UP)) == 0)
            return;
        if ((size_t)result >= budget) {
            list_ready(state, fd);
            return;
        }
        budget -= (size_t)result;
    }
}

static void accept_ready(struct epoll_state *state, struct np_fd *fd)
{
    for (int i = 0; i < ACCEPT_BUDGET; i++) {
        if (!may_go_on(fd, NP_FD_INPUT_WANTED))
            return;
        int result = np_socket_accept(fd->fd);
        if (result == -EAGAIN) {
            fd->flags &= (uint16_t)~NP_FD_READABLE;
            return;
        }
        fd->ops->input_done(fd, result);
    }
    list_ready(state, fd);
}

static void input_ready(struct epoll_state *state, struct np_fd *fd)
{
    if (fd->kind == NP_FD_STREAM)
        read_ready(state, fd);
    else if (fd->kind == NP_FD_ACCEPT)
        accept_ready(state, fd);
    else if (may_go_on(fd, NP_FD_INPUT_WANTED)) {
        fd->flags &= (uint16_t)~NP_FD_READABLE;
        fd->ops->input_done(fd, POLLIN);
    }
}

/* The end of a paused connection: unread bytes in the socket are not waited for. */
static void hung_up_while_paused(struct np_fd *fd)
{
    int error = 0;
    socklen_t len = sizeof error;
    fd->flags &= (uint16_t) ~(NP_FD_READABLE | NP_FD_HUNG_UP);
    if (getsockopt(fd->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error == 0)
        error = ECONNRESET;
    fd->ops->input_done(fd, -error);
}

static void dispatch(struct epoll_state *state, struct np_fd *fd, uint32_t events)
{
    if (fd->kind == NP_FD_WATCH) {
        if (may_go_on(fd, NP_FD_INPUT_WANTED))
            fd->ops->input_done(fd, events); /* the bits of poll(2) */
        return;
    }
    /* Urgent data makes a read stop at its mark, so after it too only EAGAIN means empty. */
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI)) != 0)
        fd->flags |= NP_FD_HUNG_UP;
    if ((events & EPOLLIN) != 0)
        fd->flags |= NP_FD_READABLE;
    if ((events & EPOLLOUT) != 0 || (events & (EPOLLHUP | EPOLLERR)) != 0)
        write_ready(state, fd);
    if ((fd->flags & (NP_FD_READABLE | NP_FD_HUNG_UP)) != 0)
        input_ready(state, fd);
    /* Not EPOLLHUP: that comes too when both sides have ended in order, with bytes still to be
     * read. */
    if (fd->kind == NP_FD_STREAM && (events & EPOLLERR) != 0 &&
        (fd->flags & (NP_FD_REMOVED | NP_FD_INPUT_WANTED | NP_FD_HUNG_UP)) == NP_FD_HUNG_UP)
        hung_up_while_paused(fd);
}

/* As many as are listed now; what is listed meanwhile waits for the next round. */
static void run_ready(struct epoll_state *state)
{
    for (size_t left = state->ready_count; left > 0 && state->ready != NULL; left--) {
        struct np_fd *fd = state->ready;
        unlist_ready(state, fd);
        if ((fd->flags & NP_FD_WRITABLE) != 0) {
            fd->flags &= (uint16_t)~NP_FD_WRITABLE;
            write_ready(state, fd);
        }
        if ((fd->flags & (NP_FD_READABLE | NP_FD_HUNG_UP)) != 0)
            input_ready(state, fd);
    }
}

static void run_removed(struct epoll_state *state)
{
    while (state->removed != NULL) {
        struct np_fd *fd = state->removed;
        state->removed = fd->next;
        fd->ops->closed(fd);
    }
}

static int wait_for_events(struct epoll_state *state, int64_t timeout_ns)
{
    /* Rounded up: a timer must not find itself early and wait again. */
    int64_t timeout_ms = timeout_ns < 0 ? -1 : (timeout_ns + 999999) / 1000000;
    if (timeout_ms > INT_MAX)
        timeout_ms = INT_MAX;
    int n = epoll_wait(state->epoll_fd, state->events, EVENTS_MAX, (int)timeout_ms);
    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    return n;
}

static int epoll_backend_wait(struct np_poller *poller, int64_t timeout_ns)
{
    struct epoll_state *state = poller->backend_state;
    if (state->ready != NULL || state->removed != NULL)
        timeout_ns = 0;
    int n = wait_for_events(state, timeout_ns);
    np_poller_woke(poller);
    for (int i = 0; i < n; i++) {
        /* A callback of this round may have removed it: then its key finds nothing. */
        struct np_fd *fd = np_fd_table_find(&poller->fds, state->events[i].data.u64);
        if (fd != NULL)
            dispatch(state, fd, state->events[i].events);
    }
    run_ready(state);
    run_removed(state);
    return n < 0 ? n : 0;
}

const struct np_backend np_backend_epoll = {
    .name = "epoll",
    .probe = epoll_probe,
    .open = epoll_open,
    .close = epoll_close,
    .add = epoll_add,
    .remove = epoll_remove,
    .start_output = epoll_start_output,
    .set_input = epoll_set_input,
    .try_output = np_socket_send,
    .wait = epoll_backend_wait,
};
