/* What happens once a boundary has contained a panic. Any thread, not under a pool's lock. */
#include "report.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "backtrace.h"
#include "fork.h"
#include "panic_internal.h"
#include "pool.h"
#include "text.h"

/* A function to tell; one of the two kinds. */
struct listener {
    gopool_panic_fn *handler;
    void *handler_arg;
    gopool_panic_hook_fn *hook;
    const struct gopool_panic *panic;
};

static _Atomic(gopool_panic_hook_fn *) panic_hook;
static struct gp_report_limit limit;

/* The thread is inside of the hook. Stays set when the hook ends the thread. */
static _Thread_local bool in_hook;

static void write_line(struct gp_text *text, const char *where, const struct gopool_panic *panic)
{
    gp_text_add(text, "gopool: ");
    if (where != NULL)
        gp_text_add(text, "%s: ", where);
    gp_text_add(text, "%s", panic->message);
    /* A fault's place is one of its frames, which follow. */
    if (panic->signal == 0)
        gp_text_add(text, " (%s, %s:%d)", panic->function, panic->file, panic->line);
    if (panic->nested != 0)
        gp_text_add(text, ", %u more in deferred calls", panic->nested);
    if (panic->task_fn != NULL) {
        gp_text_add(text, ", task ");
        gp_backtrace_write_function(text, panic->task_fn);
        gp_text_add(text, "(%p)", panic->task_arg);
    }
    gp_text_add(text, "\n");
}

void gp_report_last_words(const char *where, const struct gopool_panic *panic)
{
    struct gp_text text;

    gp_text_begin(&text, STDERR_FILENO);
    write_line(&text, where, panic);
    gp_text_end(&text);
}

void gopool_panic_print(const struct gopool_panic *panic, int fd)
{
    struct gp_text text;

    gp_text_begin(&text, fd);
    write_line(&text, panic->pool, panic);
    gp_backtrace_write(&text, panic->frames, panic->frame_count);
    gp_text_end(&text);
}

size_t gopool_panic_text(const struct gopool_panic *panic, char *out, size_t size)
{
    char place[GOPOOL_PANIC_TEXT_BYTES] = "?";
    int length;

    if (panic->signal == 0)
        length = snprintf(out, size, "%s (%s:%d)", panic->message, panic->file, panic->line);
    else {
        const void *frame = gp_backtrace_blame(panic->frames, panic->frame_count);
        if (frame != NULL)
            (void)gp_backtrace_print_frame(place, sizeof place, frame);
        length = snprintf(out, size, "%s (%s)", panic->message, place);
    }
    return length > 0 ? (size_t)length : 0;
}

bool gp_report_admit(struct gp_report_limit *of, uint32_t second, uint32_t *hidden)
{
    /* Relaxed, as everything here: the words are counts, nothing else is published by them. */
    uint64_t window = atomic_load_explicit(&of->window, memory_order_relaxed);
    uint64_t next;

    do {
        uint32_t ahead = second - (uint32_t)(window >> 32);
        bool is_new = ahead != 0 && ahead < UINT32_MAX / 2;

        if (!is_new && (uint32_t)window >= GP_REPORTS_PER_SECOND) {
            atomic_fetch_add_explicit(&of->hidden, 1, memory_order_relaxed);
            return false;
        }
        next = is_new ? (uint64_t)second << 32 | 1 : window + 1;
    } while (!atomic_compare_exchange_weak_explicit(&of->window, &window, next,
                                                    memory_order_relaxed, memory_order_relaxed));
    *hidden = atomic_exchange_explicit(&of->hidden, 0, memory_order_relaxed);
    return true;
}

/* Prints a panic that nobody else is told of, unless there are too many of them. */
static void print(const char *where, const struct gopool_panic *panic)
{
    struct timespec now;
    struct gp_text text;
    uint32_t hidden;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    if (!gp_report_admit(&limit, (uint32_t)now.tv_sec, &hidden))
        return;
    gp_text_begin(&text, STDERR_FILENO);
    if (hidden != 0)
        gp_text_add(&text, "gopool: %u panics not shown\n", hidden);
    write_line(&text, where, panic);
    gp_backtrace_write(&text, panic->frames, panic->frame_count);
    gp_text_end(&text);
}

static NETPOLL_DISPATCH void call_listener(void *arg)
{
    const struct listener *listener = arg;

    if (listener->hook != NULL)
        listener->hook(listener->panic);
    else
        listener->handler(listener->panic, listener->handler_arg);
}

void gopool_set_panic_hook(gopool_panic_hook_fn *hook)
{
    /* Release: pairs with the load in gp_report_to_hook(), for what the hook relies on. */
    atomic_store_explicit(&panic_hook, hook, memory_order_release);
}

void gp_report_to_hook(const struct gopool_panic *panic)
{
    /* Acquire: pairs with the store in gopool_set_panic_hook(). */
    struct listener listener = {.hook = atomic_load_explicit(&panic_hook, memory_order_acquire),
                                .panic = panic};
    struct gopool_panic second;

    if (listener.hook == NULL || in_hook)
        return;
    in_hook = true;
    int status = gp_panic_try_task(call_listener, &listener, &second);
    in_hook = false;
    if (status != 0)
        print("panic in the panic hook", &second);
}

void gp_report_of_handler(const char *where, const struct gopool_panic *panic)
{
    gp_report_to_hook(panic);
    print(where, panic);
}

void gp_report(struct gopool *pool, struct gopool_panic *panic)
{
    struct listener listener = {.panic = panic};
    struct gopool_panic second;

    panic->pool = pool->config.name;
    gp_report_to_hook(panic);
    if (!gp_fork_is_foreign(pool)) {
        pthread_mutex_lock(&pool->lock);
        listener.handler = pool->panic_listener.fn;
        listener.handler_arg = pool->panic_listener.arg;
        pthread_mutex_unlock(&pool->lock);
    }
    if (listener.handler == NULL) {
        print(panic->pool, panic);
    } else if (gp_panic_try_task(call_listener, &listener, &second) != 0) {
        gp_report_of_handler("panic in the panic handler", &second);
    }
}
