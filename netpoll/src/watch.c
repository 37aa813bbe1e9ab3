/* Descriptors of other kinds on a poller. Calls of users come by work items; the rest is the
 * poller's. */
#include <netpoll/watch.h>

#include "fd.h"
#include "log.h"
#include "poller.h"
#include "runtime.h"

#include <gopool/panic.h>
#include <mcache/mcache.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <semaphore.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS_SETTABLE ((uint32_t)(NETPOLL_WATCH_READABLE | NETPOLL_WATCH_WRITABLE))
/* Told whatever was asked for. */
#define EVENTS_FINAL ((uint32_t)(NETPOLL_WATCH_HANGUP | NETPOLL_WATCH_ERROR))

enum watch_bits {
    WATCH_POSTED = 1 << 8,  /* the work item is on the way; the lower bits are the events */
    WATCH_CLOSING = 1 << 9, /* set once, by the user */
};

struct netpoll_watch {
    struct np_fd fd; /* first: the backend's view */
    struct np_work work;
    /* What is wanted, and whether the poller is told. Release by who changes it, with what it
     * wrote before; acquire by the poller. */
    _Atomic uint32_t word;
    bool is_open;       /* poller: the backend has it */
    bool is_final_told; /* poller: a hang-up or an error */
    netpoll_watch_fn *fn;
    void *arg;
    netpoll_watch_closed_fn *closed; /* set before CLOSING */
    void *closed_arg;
};

static uint8_t poll_events(uint32_t events)
{
    uint32_t bits = 0;
    if ((events & NETPOLL_WATCH_READABLE) != 0)
        bits |= POLLIN;
    if ((events & NETPOLL_WATCH_WRITABLE) != 0)
        bits |= POLLOUT;
    return (uint8_t)bits;
}

static uint32_t told_events(int64_t result)
{
    uint32_t events = 0;
    if (result < 0)
        return NETPOLL_WATCH_ERROR;
    if ((result & POLLIN) != 0)
        events |= NETPOLL_WATCH_READABLE;
    if ((result & POLLOUT) != 0)
        events |= NETPOLL_WATCH_WRITABLE;
    if ((result & POLLHUP) != 0)
        events |= NETPOLL_WATCH_HANGUP;
    if ((result & (POLLERR | POLLNVAL)) != 0)
        events |= NETPOLL_WATCH_ERROR;
    return events;
}

struct watch_call {
    struct netpoll_watch *watch;
    uint32_t events;
};

static NETPOLL_DISPATCH void call_fn(void *arg)
{
    struct watch_call *call = arg;
    call->watch->fn(call->watch, call->events, call->watch->arg);
}

/* Calls fn. True: it is to be told what comes next. */
static bool tell(struct netpoll_watch *watch, uint32_t events)
{
    struct watch_call call = {.watch = watch, .events = events};
    struct gopool_panic panic;
    if ((events & EVENTS_FINAL) != 0)
        watch->is_final_told = true;
    if (gopool_try_task(call_fn, &call, &panic) == 0)
        return (events & EVENTS_SETTABLE) != 0;
    np_log_panic(watch->fd.poller->runtime, &panic, "panic in a watch");
    return false;
}

static void tell_failure(struct netpoll_watch *watch, int status)
{
    np_log_error(watch->fd.poller->runtime, status, "a descriptor cannot be watched");
    (void)tell(watch, NETPOLL_WATCH_ERROR);
}

/* Asks the backend for what is wanted; a hang-up that has been told would come at once, again. */
static void ask(struct netpoll_watch *watch, uint32_t word)
{
    struct np_poller *poller = watch->fd.poller;
    bool is_wanted = (word & EVENTS_SETTABLE) != 0 || !watch->is_final_told;
    watch->fd.poll_events = poll_events(word);
    int status = poller->backend->set_input(poller, &watch->fd, is_wanted);
    if (status != 0)
        tell_failure(watch, status);
}

static void watch_input(struct np_fd *fd, int64_t result)
{
    struct netpoll_watch *watch = (struct netpoll_watch *)fd;
    /* Acquire: pairs with the user's changes. */
    uint32_t word = atomic_load_explicit(&watch->word, memory_order_acquire);
    /* What was asked for may be something else by now. */
    uint32_t events = told_events(result) & ((word & EVENTS_SETTABLE) | EVENTS_FINAL);
    (void)fd->poller->backend->set_input(fd->poller, fd, false);
    if ((word & WATCH_CLOSING) != 0 || (events != 0 && !tell(watch, events)))
        return;
    /* Told again if it is still so; a change or the end that is on the way does what is due. */
    word = atomic_load_explicit(&watch->word, memory_order_acquire);
    if ((word & WATCH_POSTED) == 0)
        ask(watch, word);
}

struct closed_call {
    netpoll_watch_closed_fn *fn;
    void *arg;
};

static NETPOLL_DISPATCH void call_closed(void *arg)
{
    const struct closed_call *call = arg;
    call->fn(call->arg);
}

static void watch_closed(struct np_fd *fd)
{
    struct netpoll_watch *watch = (struct netpoll_watch *)fd;
    struct netpoll_runtime *runtime = fd->poller->runtime;
    struct closed_call call = {.fn = watch->closed, .arg = watch->closed_arg};
    struct gopool_panic panic;
    mcache_free(watch);
    /* Release: pairs with netpoll_runtime_destroy(), which a thread that is told may call; it waits
     * for this one. */
    atomic_fetch_sub_explicit(&runtime->group_count, 1, memory_order_release);
    if (call.fn != NULL && gopool_try_task(call_closed, &call, &panic) != 0)
        np_log_panic(runtime, &panic, "panic at the end of a watch");
}

static const struct np_fd_ops watch_ops = {.input_done = watch_input, .closed = watch_closed};

static int open_here(struct netpoll_watch *watch)
{
    if (watch->is_open)
        return 0;
    int status = watch->fd.poller->backend->add(watch->fd.poller, &watch->fd);
    watch->is_open = status == 0;
    return status;
}

static void take_work(struct np_work *work)
{
    struct netpoll_watch *watch =
        (struct netpoll_watch *)(void *)((char *)work - offsetof(struct netpoll_watch, work));
    struct np_poller *poller = watch->fd.poller;
    /* Acquire: what the user wrote before; from here on a change posts anew. */
    uint32_t word =
        atomic_fetch_and_explicit(&watch->word, ~(uint32_t)WATCH_POSTED, memory_order_acq_rel);
    if ((word & WATCH_CLOSING) != 0) {
        poller->backend->remove(poller, &watch->fd);
        return;
    }
    int status = open_here(watch);
    if (status != 0) {
        tell_failure(watch, status);
        return;
    }
    /* Off and on: what was armed for other events is armed anew. */
    (void)poller->backend->set_input(poller, &watch->fd, false);
    ask(watch, word);
}

/* Replaces the events, or adds CLOSING, and tells the poller unless it is told. */
static void change(struct netpoll_watch *watch, uint32_t keep, uint32_t set)
{
    /* Relaxed: the exchange looks again. */
    uint32_t word = atomic_load_explicit(&watch->word, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&watch->word, &word,
                                                  (word & keep) | set | WATCH_POSTED,
                                                  memory_order_acq_rel, memory_order_relaxed))
        ;
    if ((word & WATCH_POSTED) == 0)
        np_poller_post(watch->fd.poller, &watch->work);
}

/* What epoll(7) says about such a descriptor, asked on the caller's thread: 0 or -errno. */
static int check_descriptor(int fd)
{
    struct epoll_event event = {0};
    if (fcntl(fd, F_GETFD) < 0)
        return -errno;
    int probe = epoll_create1(EPOLL_CLOEXEC);
    if (probe < 0)
        return -errno;
    int status = epoll_ctl(probe, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
    close(probe);
    return status;
}

int netpoll_watch_open(struct netpoll_runtime *runtime, int fd, uint32_t events,
                       netpoll_watch_fn *fn, void *arg, struct netpoll_watch **out)
{
    *out = NULL;
    if (fn == NULL || (events & ~EVENTS_SETTABLE) != 0)
        return -EINVAL;
    if (np_runtime_is_foreign(runtime))
        return -EPERM;
    int status = check_descriptor(fd);
    if (status != 0)
        return status;
    struct netpoll_watch *watch = mcache_alloc(sizeof *watch);
    if (watch == NULL)
        return -ENOMEM;
    *watch = (struct netpoll_watch){
        .fd = {.fd = fd,
               .kind = NP_FD_WATCH,
               .ops = &watch_ops,
               .poller = np_runtime_next_poller(runtime)},
        .work.fn = take_work,
        .fn = fn,
        .arg = arg,
    };
    /* Relaxed: counts up only; the caller keeps the runtime from being destroyed meanwhile. */
    atomic_fetch_add_explicit(&runtime->group_count, 1, memory_order_relaxed);
    *out = watch;
    change(watch, 0, events);
    return 0;
}

int netpoll_watch_set(struct netpoll_watch *watch, uint32_t events)
{
    if ((events & ~EVENTS_SETTABLE) != 0)
        return -EINVAL;
    if (np_runtime_is_foreign(watch->fd.poller->runtime))
        return -EPERM;
    change(watch, ~EVENTS_SETTABLE, events);
    return 0;
}

void netpoll_watch_close(struct netpoll_watch *watch, netpoll_watch_closed_fn *closed, void *arg)
{
    if (np_runtime_is_foreign(watch->fd.poller->runtime))
        return;
    watch->closed = closed;
    watch->closed_arg = arg;
    change(watch, ~EVENTS_SETTABLE, WATCH_CLOSING);
}

static void post_semaphore(void *arg)
{
    sem_post(arg);
}

int netpoll_watch_close_wait(struct netpoll_watch *watch)
{
    const struct np_poller *current = np_poller_current();
    sem_t ended;
    if (np_runtime_is_foreign(watch->fd.poller->runtime))
        return -EPERM;
    if (current != NULL && current->runtime == watch->fd.poller->runtime)
        return -EDEADLK;
    sem_init(&ended, 0, 0);
    netpoll_watch_close(watch, post_semaphore, &ended);
    while (sem_wait(&ended) != 0)
        ;
    sem_destroy(&ended);
    return 0;
}
