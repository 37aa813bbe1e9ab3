/**
 * Explicit panics: leave a task from any depth, run what was deferred, keep the thread.
 *
 * A panic may be raised inside a task of a gopool and inside gopool_try(), on any thread. Raised
 * anywhere else, it prints one line and ends the process with abort(3): there is nobody to return
 * to. C++ objects between the panic and the boundary are not destroyed; see README.
 *
 * Deferred calls: a frame that owns something registers its release with gopool_defer_push() and
 * runs it by gopool_defer_pop() when it leaves by itself. The struct lives in the caller's frame.
 *
 * gopool_exit_task() leaves a task in the same way without being a panic.
 *
 * pthread_exit(3) in a task ends its worker without running deferred calls; another worker takes
 * over. A frame with pthread_cleanup_push(3) must not be left by a panic.
 *
 * Threads: every call acts on the calling thread. The panic itself allocates nothing.
 */
#ifndef GOPOOL_PANIC_H
#define GOPOOL_PANIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GOPOOL_API        __attribute__((visibility("default")))
#define GOPOOL_MUST_CHECK __attribute__((warn_unused_result))

/** Most bytes of a panic's message, the terminating NUL included; longer ones are cut. */
#define GOPOOL_PANIC_MESSAGE_BYTES 256

/** Most return addresses that a panic keeps. */
#define GOPOOL_PANIC_FRAMES 32

/** Bytes that hold what gopool_panic_text() writes, unless a path is long. */
#define GOPOOL_PANIC_TEXT_BYTES 512

/** What is known about a panic. */
struct gopool_panic {
    char message[GOPOOL_PANIC_MESSAGE_BYTES]; /**< never empty */
    const char *file;                         /**< where it was raised; a string literal. "?" for
                                                   faults, see gopool/fault.h */
    const char *function;                     /**< likewise */
    int line;                                 /**< likewise; 0 for faults */
    uint32_t nested;                          /**< panics raised by deferred calls on the way */
    uint32_t frame_count;                     /**< of frames; 0 where nothing can be known */
    void *frames[GOPOOL_PANIC_FRAMES]; /**< return addresses, that of gopool_panic() first; for
                                            backtrace_symbols_fd(3) */
    int signal;                        /**< of a fault that was recovered from; else 0 */
    int signal_code;                   /**< siginfo_t.si_code of it, see sigaction(2) */
    const void *address;               /**< siginfo_t.si_addr of it; NULL for SIGABRT */
    const char *pool;                  /**< name of the pool whose task it ended; else NULL */
    void (*task_fn)(void *arg);        /**< that task's function, as submitted; else NULL */
    void *task_arg;                    /**< that task's arg, as submitted; else NULL */
};

/* The names of the two macros follow the functions they stand for. */
/* NOLINTBEGIN(readability-identifier-naming) */
/** Raises a panic with a printf(3) message. */
#define gopool_panic(...) gopool_panic_at(__FILE__, __LINE__, __func__, __VA_ARGS__)

/** Raises a panic unless the condition holds. Not compiled out by NDEBUG. */
#define gopool_must(condition) ((condition) ? (void)0 : gopool_panic("must: %s", #condition))
/* NOLINTEND(readability-identifier-naming) */

/** The function behind gopool_panic(). */
GOPOOL_API __attribute__((__noreturn__)) void
gopool_panic_at(const char *file, int line, const char *function, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/**
 * Calls fn(arg) and contains a panic of it. May be nested.
 *
 * @param panic  overwritten when fn panicked; NULL when not wanted
 * @return 0 when fn returned; -ECANCELED when it panicked, after its deferred calls have run
 */
GOPOOL_API GOPOOL_MUST_CHECK int gopool_try(void (*fn)(void *arg), void *arg,
                                            struct gopool_panic *panic);

/**
 * Calls fn(arg) as a task of its own: as gopool_try(), but gopool_exit_task() in fn ends fn and not
 * the task around it. For callers that call what others have written and have to go on after it.
 */
GOPOOL_API GOPOOL_MUST_CHECK int gopool_try_task(void (*fn)(void *arg), void *arg,
                                                 struct gopool_panic *panic);

/**
 * Ends the current task from any depth without a panic; gopool_wait() then gives -ECANCELED.
 *
 * The task, of a pool or of gopool_try_task(), is the innermost one. Its deferred calls run first;
 * no gopool_try() in between contains it. The hook and the panic handler are told only when a
 * deferred call panicked, or makes this call on behalf of a panic. Inside the hook or a panic
 * handler it ends only that call. Outside a task it prints one line and ends the process with
 * abort(3).
 */
GOPOOL_API __attribute__((__noreturn__)) void gopool_exit_task(void);

/** Told of a panic. @param panic  borrowed until the call returns */
typedef void gopool_panic_hook_fn(const struct gopool_panic *panic);

/**
 * Sets the function that is told of every panic of the process that a boundary contains, on the
 * panicking thread, after its deferred calls have run and before gopool_try() returns or the pool's
 * handler is called. For metrics: it replaces nothing else.
 *
 * Panics of deferred calls are told one by one, before the one that they were deferred for. A panic
 * inside the hook is contained and printed; the hook is not told of that one, nor of what
 * gopool_try() contains inside of it, nor of panics that end the process.
 *
 * Calls in progress on other threads may outlast this one.
 *
 * @param hook  NULL: none
 */
GOPOOL_API void gopool_set_panic_hook(gopool_panic_hook_fn *hook);

/**
 * Writes a panic to a descriptor: a line, and a line for each frame, with symbols where the dynamic
 * linker knows them (link with -rdynamic for those of the program itself), and in any case with the
 * object and the offset in it that addr2line(1) takes. One write(2) up to 4096 bytes. Allocates
 * nothing.
 */
GOPOOL_API void gopool_panic_print(const struct gopool_panic *panic, int fd);

/**
 * Writes what a line of a log says of a panic: its message, and where it was raised as
 * "(file.c:17)"; of a fault the innermost frame outside of the C library, as
 * "(serve, ./server+0x11d4)" for addr2line(1).
 *
 * @param out   always ends with a NUL, unless size is 0
 * @param size  bytes of out
 * @return bytes that the whole text has, its NUL not counted, as snprintf(3)
 *
 * Thread: any. Allocates nothing; takes the dynamic linker's lock for a fault.
 */
GOPOOL_API size_t gopool_panic_text(const struct gopool_panic *panic, char *out, size_t size);

/** A call to make when the frame is left by a panic or the end of its task. Fields are gopool's. */
struct gopool_defer {
    struct gopool_defer *previous;
    void (*fn)(void *arg);
    void *arg;
};

/**
 * Registers fn(arg) for the case that a panic or gopool_exit_task() leaves the current frame.
 *
 * Deferred calls run last-in first-out, each exactly once, on the panicking thread, before its
 * frames are gone. One that panics is counted (gopool_panic.nested) and the others still run; a
 * chain of more than eight, each panicking in a call deferred by the one before, ends the process.
 * What fn of gopool_try() or of a task leaves registered when it returns is dropped.
 *
 * @param defer  in the caller's frame; lent until gopool_defer_pop() or the panic
 */
GOPOOL_API void gopool_defer_push(struct gopool_defer *defer, void (*fn)(void *arg), void *arg);

/**
 * Takes the deferred call registered last off again.
 *
 * @param defer  the one registered last on this thread, inside the same boundary; anything else
 *               raises a panic
 * @param run    true: make the call now
 */
GOPOOL_API void gopool_defer_pop(struct gopool_defer *defer, bool run);

#ifdef __cplusplus
}
#endif

#endif
