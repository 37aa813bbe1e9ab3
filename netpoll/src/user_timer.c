/*
 * Public timers. One word says how a timer stands; the wheel and the time belong to its poller.
 * test/model/timer.pml checks the protocol.
 *
 *   from                        event                 to                    who acts
 *   POSTED                      its work arrives      0                     the poller arms it, or
 *                                                                           runs it: as at its time
 *   0                           its time              RUNNING               the poller calls fn
 *   RUNNING                     fn returns, once      OVER                  the poller lets go of
 * it RUNNING                     fn returns, periodic  0                     the poller arms it
 * anew RUNNING                     cancel, once          RUNNING               nobody: too late 0,
 * or RUNNING and periodic  cancel elsewhere      + CANCELED, POSTED    the caller posts 0, or
 * RUNNING and periodic  cancel on the poller  + CANCELED            it disarms it; if it does not
 * run: OVER POSTED                      cancel                + CANCELED            nobody: its
 * work will CANCELED, POSTED            its time              the same              nobody: its
 * work will RUNNING, CANCELED           fn returns            OVER                  the poller lets
 * go of it RUNNING, CANCELED, POSTED   fn returns            CANCELED, POSTED      nobody: its work
 * will CANCELED, POSTED            its work arrives      OVER                  the poller disarms
 * it and lets go of it 0                           the runtime ends      OVER                  the
 * poller lets go of it
 *
 * AWAITED goes with RUNNING: whoever clears that wakes. CANCELED and OVER are set for good.
 *
 * The poller keeps one count, from the start to OVER. So the work item is on its way at most once,
 * and whoever finds OVER need not ask whether the poller, or the runtime, is still there. Every
 * transition is an acq_rel read-modify-write of the word, so what was written before one is visible
 * after the next.
 */
#include "user_timer.h"

#include "clock.h"
#include "log.h"
#include "runtime.h"

#include <gopool/panic.h>
#include <mcache/mcache.h>
#include <netpoll/error.h>
#include <netpoll/timer.h>

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

enum timer_bits {
    TIMER_POSTED = 1 << 0,   /* its work item is on the way to the poller */
    TIMER_RUNNING = 1 << 1,  /* fn runs; poller */
    TIMER_CANCELED = 1 << 2, /* fn does not start any more */
    TIMER_OVER = 1 << 3,     /* likewise, and nothing of the poller refers to it */
    TIMER_AWAITED = 1 << 4,  /* a thread sleeps on the word */
};

struct netpoll_timer {
    struct np_timer node; /* poller thread */
    struct np_work work;
    struct np_poller *poller;
    netpoll_timer_fn *fn;
    void *arg;
    _Atomic uint32_t word;
    _Atomic uint32_t refs;
    uint64_t expires_ms; /* 0: at once; poller thread, once it is started */
    uint64_t period_ms;  /* 0: runs once */
};

_Static_assert(sizeof(struct netpoll_timer) <= 128, "a million timers take 128 MB");

static bool change(struct netpoll_timer *timer, uint32_t *from, uint32_t to)
{
    return atomic_compare_exchange_weak_explicit(&timer->word, from, to, memory_order_acq_rel,
                                                 memory_order_acquire);
}

static uint32_t read_word(const struct netpoll_timer *timer)
{
    /* Acquire: pairs with change(). */
    return atomic_load_explicit(&timer->word, memory_order_acquire);
}

static void unref(struct netpoll_timer *timer)
{
    /* Release: what this holder did; acquire: what the other did, before the free. */
    if (atomic_fetch_sub_explicit(&timer->refs, 1, memory_order_acq_rel) == 1)
        mcache_free(timer);
}

/* Sets and clears bits, wakes who waits for the end of a run. The word as it was. */
static uint32_t transition(struct netpoll_timer *timer, uint32_t set, uint32_t clear)
{
    uint32_t word = read_word(timer);
    while (!change(timer, &word, (word | set) & ~clear))
        ;
    if ((clear & TIMER_RUNNING) != 0 && (word & TIMER_AWAITED) != 0)
        (void)syscall(SYS_futex, &timer->word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT_MAX, NULL, NULL,
                      0);
    return word;
}

/* Nothing of the poller refers to it any more. */
static void finish(struct netpoll_timer *timer)
{
    transition(timer, TIMER_OVER, TIMER_RUNNING);
    unref(timer);
}

static NETPOLL_DISPATCH void call_fn(void *arg)
{
    struct netpoll_timer *timer = arg;
    timer->fn(timer, timer->arg);
}

static void run(struct netpoll_timer *timer)
{
    struct gopool_panic panic;
    if (gopool_try_task(call_fn, timer, &panic) != 0)
        np_log_panic(timer->poller->runtime, &panic, "panic in a timer");
}

/* The first time of its phase that is to come. */
static uint64_t next_time(const struct netpoll_timer *timer, uint64_t now)
{
    uint64_t next = timer->expires_ms + timer->period_ms;
    if (next <= now)
        next += (now - next) / timer->period_ms * timer->period_ms + timer->period_ms;
    return next;
}

/* True: fn may start. */
static bool begin_run(struct netpoll_timer *timer)
{
    uint32_t word = read_word(timer);
    do {
        if ((word & TIMER_CANCELED) != 0)
            return false;
    } while (!change(timer, &word, word | TIMER_RUNNING));
    return true;
}

static void arm(struct netpoll_timer *timer)
{
    np_wheel_add(&timer->poller->wheel, &timer->node, timer->expires_ms);
}

static void expire(struct np_timer *node)
{
    struct netpoll_timer *timer = (struct netpoll_timer *)node;
    /* Cancelled elsewhere: the work that says so is on its way. */
    if (!begin_run(timer))
        return;
    run(timer);
    if (timer->period_ms == 0) {
        finish(timer);
        return;
    }
    uint32_t word = transition(timer, 0, TIMER_RUNNING);
    if ((word & TIMER_CANCELED) == 0) {
        timer->expires_ms = next_time(timer, np_poller_now_ms(timer->poller));
        arm(timer);
    } else if ((word & TIMER_POSTED) == 0) {
        finish(timer);
    }
}

/* Without a wait for the next tick; what is too much for this round, or comes at the end of the
 * poller, goes the usual way. */
static bool may_expire_now(const struct netpoll_timer *timer)
{
    struct np_poller *poller = timer->poller;
    if (poller->stopping || poller->timer_share == 0 ||
        timer->expires_ms > np_poller_now_ms(poller))
        return false;
    poller->timer_share--;
    return true;
}

/* Started, or cancelled, elsewhere; or started to run at once. */
static void take_work(struct np_work *work)
{
    struct netpoll_timer *timer =
        (struct netpoll_timer *)(void *)((char *)work - offsetof(struct netpoll_timer, work));
    uint32_t word = transition(timer, 0, TIMER_POSTED);
    if ((word & TIMER_CANCELED) != 0) {
        np_wheel_remove(&timer->poller->wheel, &timer->node);
        finish(timer);
    } else if (may_expire_now(timer)) {
        expire(&timer->node);
    } else {
        arm(timer);
    }
}

static int start(struct netpoll_runtime *runtime, const struct netpoll_timer *form, int64_t in_ms,
                 struct netpoll_timer **out)
{
    *out = NULL;
    if (form->fn == NULL || in_ms < 0 || in_ms > NETPOLL_TIMEOUT_MS_MAX)
        return -EINVAL;
    if (np_runtime_is_foreign(runtime))
        return -EPERM;
    struct netpoll_timer *timer = mcache_alloc(sizeof *timer);
    if (timer == NULL)
        return -ENOMEM;
    *timer = *form;
    timer->node.fn = expire;
    timer->work.fn = take_work;
    timer->poller = np_runtime_next_poller(runtime);
    /* The clock's own fraction of a millisecond has passed: one more, so as not to be early. */
    timer->expires_ms = in_ms == 0 ? 0 : np_clock_ms() + (uint64_t)in_ms + 1;
    bool is_posted = in_ms == 0 || !np_poller_is_current(timer->poller);
    atomic_init(&timer->word, is_posted ? (uint32_t)TIMER_POSTED : 0U);
    atomic_init(&timer->refs, 2);
    *out = timer;
    if (is_posted)
        np_poller_post(timer->poller, &timer->work);
    else
        arm(timer);
    return 0;
}

int netpoll_timer_after(struct netpoll_runtime *runtime, int64_t after_ms, netpoll_timer_fn *fn,
                        void *arg, struct netpoll_timer **out)
{
    return start(runtime, &(struct netpoll_timer){.fn = fn, .arg = arg}, after_ms, out);
}

int netpoll_timer_every(struct netpoll_runtime *runtime, int64_t period_ms, netpoll_timer_fn *fn,
                        void *arg, struct netpoll_timer **out)
{
    if (period_ms == 0)
        period_ms = -1; /* out of range */
    struct netpoll_timer form = {.fn = fn, .arg = arg, .period_ms = (uint64_t)period_ms};
    return start(runtime, &form, period_ms, out);
}

/* On its poller, where nothing of it is on the way: it goes at once, unless it runs. */
static void cancel_here(struct netpoll_timer *timer, uint32_t before)
{
    np_wheel_remove(&timer->poller->wheel, &timer->node);
    if ((before & TIMER_RUNNING) == 0)
        finish(timer);
}

/* 0 or -EPERM. The runtime of a timer that is over may be gone: it is not asked. */
static int check_process(const struct netpoll_timer *timer, uint32_t word)
{
    bool is_over = (word & TIMER_OVER) != 0;
    return !is_over && np_runtime_is_foreign(timer->poller->runtime) ? -EPERM : 0;
}

int netpoll_timer_cancel(struct netpoll_timer *timer)
{
    uint32_t word = read_word(timer);
    if (check_process(timer, word) != 0)
        return -EPERM;
    bool is_here;
    uint32_t to;
    do {
        bool runs_last = (word & TIMER_RUNNING) != 0 && timer->period_ms == 0;
        if ((word & (TIMER_CANCELED | TIMER_OVER)) != 0 || runs_last)
            return 0;
        is_here = np_poller_is_current(timer->poller);
        to = word | TIMER_CANCELED | (is_here ? 0U : (uint32_t)TIMER_POSTED);
    } while (!change(timer, &word, to));
    if ((word & TIMER_POSTED) != 0)
        return 1;
    if (is_here)
        cancel_here(timer, word);
    else
        np_poller_post(timer->poller, &timer->work);
    return 1;
}

int netpoll_timer_cancel_wait(struct netpoll_timer *timer)
{
    const struct np_poller *current = np_poller_current();
    uint32_t word = read_word(timer);
    if (check_process(timer, word) != 0)
        return -EPERM;
    if (current != NULL && (word & TIMER_OVER) == 0 && current->runtime == timer->poller->runtime)
        return -EDEADLK;
    int taken = netpoll_timer_cancel(timer);
    while (((word = read_word(timer)) & TIMER_RUNNING) != 0) {
        if ((word & TIMER_AWAITED) == 0 && !change(timer, &word, word | TIMER_AWAITED))
            continue;
        (void)syscall(SYS_futex, &timer->word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG,
                      word | TIMER_AWAITED, NULL, NULL, 0);
    }
    return taken;
}

void netpoll_timer_release(struct netpoll_timer *timer)
{
    if (timer != NULL)
        unref(timer);
}

void np_user_timers_drop(struct np_wheel *wheel)
{
    for (unsigned level = 0; level < NP_WHEEL_LEVELS; level++) {
        for (unsigned slot = 0; slot < NP_WHEEL_SLOTS; slot++) {
            struct np_timer *next;
            for (struct np_timer *node = wheel->slots[level][slot]; node != NULL; node = next) {
                next = node->next;
                if (node->fn != expire)
                    continue;
                np_wheel_remove(wheel, node);
                finish((struct netpoll_timer *)node);
            }
        }
    }
}
