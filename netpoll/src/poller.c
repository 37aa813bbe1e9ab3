/* One poller thread: wait, dispatch, run what others posted, fire timers, feed the pool. */
#include "poller.h"

#include "clock.h"
#include "log.h"
#include "runtime.h"
#include "thread.h"
#include "user_timer.h"

#include <mcache/mcache.h>

#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

/* Input blocks fill a 64 KiB size class: few large blocks cost least, see docs/performance.md. */
#define HOT_BLOCK_BYTES ((size_t)64 * 1024 - LINKBUFFER_BLOCK_OVERHEAD)
/* Below this a new block is cheaper than another short read. */
#define HOT_ROOM_MIN ((size_t)16 * 1024)
/* Input is placed on cache lines of its own. */
#define HOT_ALIGN ((size_t)64)
/* How long a full pool or failing wait is given before the next try. */
#define RETRY_NS INT64_C(1000000)
/* What timers take of a round: a crowd of them must not keep the descriptors waiting. */
#define TIMER_SHARE 4096U
/* How often free memory is looked after while there is any. */
#define MEMORY_TICK_MS 100

#define NS_PER_MS 1000000

static _Thread_local struct np_poller *current;

struct np_poller *np_poller_current(void)
{
    return current;
}

bool np_poller_is_current(const struct np_poller *poller)
{
    return current == poller;
}

void np_poller_woke(struct np_poller *poller)
{
    poller->woke_ns = np_clock_ns();
}

uint64_t np_poller_now_ms(const struct np_poller *poller)
{
    return poller->woke_ns / NS_PER_MS;
}

void np_poller_count_request(struct np_poller *poller)
{
    if (np_poller_is_current(poller))
        np_count(&poller->counters.requests, 1);
    else
        np_count_shared(&poller->shared.requests, 1);
}

void np_poller_count_sent(struct np_poller *poller, size_t n)
{
    if (np_poller_is_current(poller)) {
        np_count(&poller->counters.bytes_out, n);
        np_count(&poller->counters.sends, 1);
    } else {
        np_count_shared(&poller->shared.bytes_out, n);
        np_count_shared(&poller->shared.sends, 1);
    }
}

static void push_inbox(struct np_poller *poller, struct np_work *work)
{
    /* Relaxed: it is linked to, not followed. The push pairs with the exchange in run_work() and,
     * being seq_cst, with the load in about_to_sleep(). */
    struct np_work *head = atomic_load_explicit(&poller->inbox, memory_order_relaxed);
    do {
        work->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&poller->inbox, &head, work,
                                                    memory_order_seq_cst, memory_order_relaxed));
}

static void wake(struct np_poller *poller)
{
    uint64_t one = 1;
    np_count_shared(&poller->shared.posts_woke, 1);
    /* The counter cannot overflow and a blocked write cannot happen: one is pending at most. */
    while (write(poller->wake_fd.fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

void np_poller_post(struct np_poller *poller, struct np_work *work)
{
    if (np_poller_is_current(poller)) {
        work->next = NULL;
        *poller->ready_end = work;
        poller->ready_end = &work->next;
        return;
    }
    /* Relaxed: the push that follows publishes it. */
    atomic_fetch_add_explicit(&poller->posting, 1, memory_order_relaxed);
    push_inbox(poller, work);
    /* Pairs with the store and the load in about_to_sleep(). */
    if (!atomic_exchange_explicit(&poller->awake, true, memory_order_seq_cst))
        wake(poller);
    /* Release: pairs with the load in close_poller(); the last touch of the poller. */
    atomic_fetch_sub_explicit(&poller->posting, 1, memory_order_release);
}

void np_poller_submit(struct np_poller *poller, struct gopool_task *task)
{
    task->next = NULL;
    *poller->tasks_end = task;
    poller->tasks_end = &task->next;
}

int np_poller_lend_hot(struct np_poller *poller, struct iovec *iov)
{
    struct np_hot_block *hot = &poller->hot;
    if (hot->block != NULL && !linkbuffer_block_is_shared(hot->block))
        hot->used = 0;
    if (hot->block == NULL || linkbuffer_block_capacity(hot->block) < hot->used + HOT_ROOM_MIN) {
        struct linkbuffer_block *fresh = linkbuffer_block_create(HOT_BLOCK_BYTES);
        if (fresh == NULL)
            return -ENOMEM;
        linkbuffer_block_release(hot->block);
        *hot = (struct np_hot_block){.block = fresh};
    }
    iov->iov_base = (char *)linkbuffer_block_data(hot->block) + hot->used;
    iov->iov_len = linkbuffer_block_capacity(hot->block) - hot->used;
    return 0;
}

void np_poller_use_hot(struct np_poller *poller, size_t n)
{
    poller->hot.used += (n + HOT_ALIGN - 1) & ~(HOT_ALIGN - 1);
}

static void run_list(struct np_work *work)
{
    while (work != NULL) {
        struct np_work *next = work->next;
        work->fn(work);
        work = next;
    }
}

static struct np_work *reverse(struct np_work *work)
{
    struct np_work *reversed = NULL;
    while (work != NULL) {
        struct np_work *next = work->next;
        work->next = reversed;
        reversed = work;
        work = next;
    }
    return reversed;
}

static void run_work(struct np_poller *poller)
{
    /* Relaxed: only a hint. The exchange pairs with the push. */
    if (atomic_load_explicit(&poller->inbox, memory_order_relaxed) != NULL)
        run_list(reverse(atomic_exchange_explicit(&poller->inbox, NULL, memory_order_acquire)));
    struct np_work *ready = poller->ready;
    poller->ready = NULL;
    poller->ready_end = &poller->ready;
    run_list(ready);
}

static void submit_tasks(struct np_poller *poller)
{
    /* A refusal leaves the list as it is, for the next round. */
    if (poller->tasks != NULL &&
        gopool_submit_batch(netpoll_runtime_pool(poller->runtime), poller->tasks) == 0) {
        poller->tasks = NULL;
        poller->tasks_end = &poller->tasks;
    }
}

/* True when nothing has to be done before the kernel has news. */
static bool about_to_sleep(struct np_poller *poller)
{
    if (poller->ready != NULL)
        return false;
    /* Pairs with np_poller_post(). */
    atomic_store_explicit(&poller->awake, false, memory_order_seq_cst);
    if (atomic_load_explicit(&poller->inbox, memory_order_seq_cst) == NULL)
        return true;
    atomic_store_explicit(&poller->awake, true, memory_order_relaxed);
    return false;
}

static int64_t sleep_ns(struct np_poller *poller, uint64_t now_ns)
{
    if (!about_to_sleep(poller))
        return 0;
    if (poller->tasks != NULL)
        return RETRY_NS;
    uint64_t next = np_wheel_next(&poller->wheel);
    if (next == UINT64_MAX)
        return -1;
    return next <= now_ns / NS_PER_MS ? 0 : (int64_t)(next * NS_PER_MS - now_ns);
}

static void arm_memory_timer(struct np_poller *poller)
{
    np_wheel_add(&poller->wheel, &poller->memory_timer, np_poller_now_ms(poller) + MEMORY_TICK_MS);
}

static void memory_tick(struct np_timer *timer)
{
    struct np_poller *poller =
        (struct np_poller *)(void *)((char *)timer - offsetof(struct np_poller, memory_timer));
    if (mcache_tick() != 0)
        arm_memory_timer(poller);
}

/* The clock at the end of the round that began when the kernel returned. */
static uint64_t end_round(struct np_poller *poller)
{
    uint64_t now_ns = np_clock_ns();
    np_count(&poller->counters.round_ns_sum, now_ns - poller->woke_ns);
    np_count_max(&poller->counters.round_ns_max, now_ns - poller->woke_ns);
    return now_ns;
}

static void loop(struct np_poller *poller)
{
    uint64_t now_ns = poller->woke_ns;
    while (!poller->stopping) {
        /* Nothing was retained when the timer ended; whatever wakes the poller may change that. */
        bool nothing_retained = !np_timer_is_armed(&poller->memory_timer);
        int status = poller->backend->wait(poller, sleep_ns(poller, now_ns));
        /* Relaxed: whoever posts from here on sees true or false; false costs one wake-up. */
        atomic_store_explicit(&poller->awake, true, memory_order_relaxed);
        if (status < 0)
            np_log_error(poller->runtime, status, "poller %u: wait", poller->index);
        np_count(&poller->counters.wakeups, 1);
        poller->timer_share =
            np_wheel_advance(&poller->wheel, np_poller_now_ms(poller), TIMER_SHARE);
        run_work(poller);
        submit_tasks(poller);
        if (nothing_retained)
            arm_memory_timer(poller);
        now_ns = end_round(poller);
    }
    np_wheel_remove(&poller->wheel, &poller->memory_timer);
}

static void wake_input(struct np_fd *fd, int64_t events)
{
    uint64_t count;
    (void)events;
    /* Nothing to read is as good as something: the poller is awake. */
    while (read(fd->fd, &count, sizeof count) < 0 && errno == EINTR)
        ;
}

static void wake_closed(struct np_fd *fd)
{
    close(fd->fd);
    fd->fd = -1;
}

static const struct np_fd_ops wake_ops = {.input_done = wake_input, .closed = wake_closed};

static int open_wake_fd(struct np_poller *poller)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return -errno;
    poller->wake_fd =
        (struct np_fd){.fd = fd, .kind = NP_FD_POLL, .ops = &wake_ops, .poller = poller};
    return 0;
}

static int open_poller(struct np_poller *poller)
{
    int status = poller->backend->open(poller);
    if (status != 0)
        return status;
    status = poller->backend->add(poller, &poller->wake_fd);
    if (status == 0)
        status = poller->backend->set_input(poller, &poller->wake_fd, true);
    if (status != 0) {
        poller->backend->close(poller);
        np_fd_table_fini(&poller->fds);
    }
    return status;
}

static void close_poller(struct np_poller *poller)
{
    /* A few instructions and a write(2) at most; pairs with the release in np_poller_post(). */
    while (atomic_load_explicit(&poller->posting, memory_order_acquire) != 0)
        sched_yield();
    /* What was posted about timers after the last round. */
    run_work(poller);
    np_user_timers_drop(&poller->wheel);
    poller->backend->remove(poller, &poller->wake_fd);
    while (poller->wake_fd.fd >= 0)
        (void)poller->backend->wait(poller, RETRY_NS);
    poller->backend->close(poller);
    linkbuffer_block_release(poller->hot.block);
    np_fd_table_fini(&poller->fds);
}

static void *poller_main(void *arg)
{
    struct np_start *start = arg;
    struct np_poller *poller = start->poller;
    current = poller;
    np_thread_setup("poller", poller->index, poller->runtime->batch_scheduling);
    int status = open_poller(poller);
    np_start_report(start, status);
    if (status != 0)
        return NULL;
    np_poller_woke(poller);
    np_wheel_init(&poller->wheel, np_poller_now_ms(poller));
    loop(poller);
    /* From here on no code of users runs on any of them that could post to another one. */
    pthread_barrier_wait(poller->all_stopped);
    close_poller(poller);
    return NULL;
}

int np_poller_start(struct np_poller *poller, struct netpoll_runtime *runtime,
                    const struct np_backend *backend, uint32_t index)
{
    *poller = (struct np_poller){
        .runtime = runtime, .backend = backend, .index = index, .memory_timer.fn = memory_tick};
    poller->demote_idle_ms = runtime->demote_idle_ms;
    poller->tasks_end = &poller->tasks;
    poller->ready_end = &poller->ready;
    atomic_init(&poller->awake, true);
    int status = open_wake_fd(poller);
    if (status != 0)
        return status;
    struct np_start start = {.poller = poller};
    status = np_start_thread(&start, &poller->thread, poller_main);
    if (status != 0)
        close(poller->wake_fd.fd);
    return status;
}

static void stop_poller(struct np_work *work)
{
    struct np_poller *poller =
        (struct np_poller *)(void *)((char *)work - offsetof(struct np_poller, stop_work));
    poller->stopping = true;
}

void np_poller_stop(struct np_poller *poller, pthread_barrier_t *all_stopped)
{
    poller->stop_work.fn = stop_poller;
    poller->all_stopped = all_stopped;
    np_poller_post(poller, &poller->stop_work);
}

void np_poller_join(struct np_poller *poller)
{
    pthread_join(poller->thread, NULL);
}
