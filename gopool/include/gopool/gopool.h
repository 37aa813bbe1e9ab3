/**
 * gopool: a pool of worker threads whose tasks cannot take the process down by a panic.
 *
 * Invariants
 * - Every task that was accepted runs exactly once; workers take tasks in the order of submission,
 *   one at a time, and several at a time where all of them are marked GOPOOL_TASK_NONBLOCKING.
 * - At most `cap` workers are at work at a time, not counting those in a task that has said that
 *   it blocks. Four per CPU are started as soon as tasks wait, further ones when the oldest task
 *   has waited for 1 ms. Idle workers park on a LIFO stack, the warmest on top, and end when they
 *   have been idle for `idle_timeout_ms`.
 * - A panic ends its task, never its worker: deferred calls run last-in first-out, each exactly
 *   once, then the pool's panic handler is told.
 *
 * Threads: every call may be made on any thread at any time, unless it says otherwise. None is
 * async-signal-safe, none is a cancellation point. Workers have all asynchronous signals blocked,
 * cannot be cancelled, ask for SCHED_BATCH and have stacks of the process's default size; threads
 * and programs that a task starts inherit the first and the third (see
 * posix_spawnattr_setsigmask(3) and posix_spawnattr_setschedpolicy(3)).
 *
 * Errors: 0 or a negative errno value.
 *
 * fork(2): the parent's pools have no threads in the child. A call on one of them returns -EPERM
 * there, one that cannot fail does nothing; the child may create pools of its own. A task that
 * forks must not return in the child: that ends the child with a line on stderr.
 */
#ifndef GOPOOL_GOPOOL_H
#define GOPOOL_GOPOOL_H

#include <gopool/panic.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct gopool;

/** What a task runs. */
typedef void gopool_fn(void *arg);

/**
 * Called on the worker after a task has panicked and its deferred calls have run.
 *
 * A panic inside the handler is contained and printed.
 *
 * @param panic  borrowed until the call returns; task_fn and task_arg say which task it was
 * @param arg    as set with the handler
 */
typedef void gopool_panic_fn(const struct gopool_panic *panic, void *arg);

/** A task that has been running for long, as the pool's watchdog has seen it. */
struct gopool_stuck {
    const char *pool;     /**< name of the pool */
    uint32_t worker;      /**< number of the worker; its thread's name ends in it, modulo 10,000 */
    uint32_t running_ms;  /**< since it was first seen: up to a quarter of options.stuck_after_ms
                               less than the truth */
    gopool_fn *task_fn;   /**< as submitted */
    void *task_arg;       /**< as submitted; the task goes on and may free it at any time */
    void *const *frames;  /**< where the task is, as gopool_panic.frames */
    uint32_t frame_count; /**< 0 where the task's thread did not answer, see
                               options.stuck_after_ms */
};

/**
 * Called on a thread of the pool's own, once for each task that has run for too long.
 *
 * A panic inside the handler is contained and logged. The thread is inside of the pool, see
 * gopool_is_worker().
 *
 * @param stuck  borrowed until the call returns
 * @param arg    options.stuck_handler_arg
 */
typedef void gopool_stuck_fn(const struct gopool_stuck *stuck, void *arg);

/** Largest gopool_options.cap and gopool_options.max_blocked; a negative number is above it. */
#define GOPOOL_CAP_MAX 1000000

/** Workers for each CPU allowed that are started as soon as tasks wait, if the cap allows them. */
#define GOPOOL_EAGER_WORKERS_PER_CPU 4

/** Default of gopool_options.queue_limit. */
#define GOPOOL_QUEUE_LIMIT_DEFAULT 65536

/**
 * What a submit does while as many tasks wait as may.
 *
 * GOPOOL_WHEN_FULL_CALLER_RUNS: the tasks overtake those that wait. They run as on any thread of
 * the user's: with its signals, no worker (gopool_block_begin() gives -EPERM), not seen by the
 * watchdog; one that calls pthread_exit(3) ends the submitter's thread, the others of its batch
 * still run. Tasks that submit tasks that way, one in the other, get -EAGAIN at the sixteenth.
 */
enum gopool_when_full {
    GOPOOL_WHEN_FULL_REJECT,      /**< refuses with -EAGAIN */
    GOPOOL_WHEN_FULL_BLOCK,       /**< waits until fewer wait; -EDEADLK inside of the pool */
    GOPOOL_WHEN_FULL_CALLER_RUNS, /**< runs the tasks on the calling thread before it returns */
};

/** Zero is the default of every field. */
struct gopool_options {
    const char *name;         /**< prefix of the threads' names, at most 10 bytes; NULL: "gopool" */
    uint32_t cap;             /**< most workers at a time; 0: 10 x CPUs allowed + 64 */
    uint32_t idle_timeout_ms; /**< a worker idle for so long ends; 0: 10,000 ms */
    bool disable_batch_scheduling;   /**< false: workers ask for SCHED_BATCH, see sched(7) */
    gopool_panic_fn *panic_handler;  /**< as gopool_set_panic_handler() */
    void *panic_handler_arg;         /**< handed to panic_handler */
    uint32_t queue_limit;            /**< a submit finds the queue full when so many tasks wait; a
                                          batch that does not is accepted whole. 0:
                                          GOPOOL_QUEUE_LIMIT_DEFAULT. Metric: gopool_stats.queued */
    enum gopool_when_full when_full; /**< what it does then */
    uint32_t max_blocked;            /**< most workers that may be blocked and replaced at a time,
                                          see gopool_block_begin(). 0: half of cap, at least 1.
                                          Metric: gopool_stats.blocked_workers */
    uint32_t stuck_after_ms;         /**< a task that has run for so long is told of, once; what
                                          lies between gopool_block_begin() and gopool_block_end()
                                          does not count. 0: no watchdog. To learn where the task
                                          is its thread is sent SIGURG, unless the process has a
                                          handler for it; a system call of it may return EINTR.
                                          Metric: gopool_stats.stuck_count */
    gopool_stuck_fn *stuck_handler;  /**< NULL: a line and a backtrace on stderr */
    void *stuck_handler_arg;         /**< handed to stuck_handler */
    uint32_t reserved[4];            /**< must be zero */
};

/**
 * The task neither blocks nor runs for long.
 *
 * A worker may take up to 64 of such tasks at once, which costs a fraction of taking them one by
 * one; one that blocks all the same holds up those taken with it.
 */
#define GOPOOL_TASK_NONBLOCKING UINT32_C(1)

/**
 * A full queue refuses the task with -EAGAIN, whatever the pool's options.when_full says; of a
 * batch, one such task is enough. For threads that may neither wait nor run others' tasks.
 */
#define GOPOOL_TASK_REJECT_WHEN_FULL UINT32_C(2)

/**
 * A task that lives in the caller's object, so that submitting cannot fail for memory.
 *
 * The fields belong to gopool from gopool_submit() until fn starts; the caller must keep the
 * object alive and unchanged as long. fn may free it or submit it again.
 */
struct gopool_task {
    struct gopool_task *next; /**< gopool's; also links a batch for gopool_submit_batch() */
    gopool_fn *fn;            /**< what to run */
    void *arg;                /**< handed to fn */
    uint32_t flags;           /**< of GOPOOL_TASK_... */
};

/**
 * Creates a pool. No thread is started before the first task.
 *
 * @param options  borrowed; NULL: all defaults
 * @param out      the pool, NULL on failure
 * @return 0; -EINVAL when a reserved field is set, when_full is unknown, the name is too long, or
 *         cap or max_blocked is above GOPOOL_CAP_MAX; -ENOMEM
 *
 * Memory: the caller owns the pool and destroys it with gopool_destroy().
 */
GOPOOL_API GOPOOL_MUST_CHECK int gopool_create(const struct gopool_options *options,
                                               struct gopool **out);

/**
 * Stops the pool: refuses new tasks, runs those already accepted, ends and joins every worker.
 *
 * @return 0; -EDEADLK inside of the pool, see gopool_is_worker(); -EPERM for gopool_default().
 *         Calling it again returns 0 at once or waits for the call in progress.
 *
 * Thread: not one inside of the pool.
 */
GOPOOL_API GOPOOL_MUST_CHECK int gopool_stop(struct gopool *pool);

/**
 * Stops the pool if that has not been done, and frees it.
 *
 * @param pool  NULL does nothing; not gopool_default()
 *
 * Thread: not one inside of the pool, there the call raises a panic; nobody else may use the pool
 * any more.
 * Memory: the pool is gone when the call returns.
 */
GOPOOL_API void gopool_destroy(struct gopool *pool);

/**
 * Runs fn(arg) on a worker.
 *
 * @return 0; -EINVAL when fn is NULL; -ENOMEM; -ESHUTDOWN after gopool_stop(); -EAGAIN when the
 *         queue is full, or no worker exists and the system has no threads for one and for what
 *         goes with it; -EDEADLK when it would have to wait inside of the pool. On failure fn is
 *         not called.
 *
 * Memory: arg is handed through untouched.
 */
GOPOOL_API GOPOOL_MUST_CHECK int gopool_go(struct gopool *pool, gopool_fn *fn, void *arg);

/**
 * Runs an embedded task on a worker.
 *
 * @param task  fn, arg and flags filled in
 * @return 0; -EINVAL when task->fn is NULL or a flag is unknown; -ESHUTDOWN, -EAGAIN and -EDEADLK
 *         as gopool_go(). On failure the task stays the caller's.
 *
 * Memory: lends the task to gopool until its fn starts.
 */
GOPOOL_API GOPOOL_MUST_CHECK int gopool_submit(struct gopool *pool, struct gopool_task *task);

/**
 * Runs a list of embedded tasks, in order, with one lock and at most one wake-up.
 *
 * @param first  tasks linked by next, the last one's next NULL; NULL does nothing
 * @return as gopool_submit(); on failure none of the tasks was accepted
 *
 * Memory: lends the tasks to gopool until their fn start.
 */
GOPOOL_API GOPOOL_MUST_CHECK int gopool_submit_batch(struct gopool *pool,
                                                     struct gopool_task *first);

/**
 * The end of a function that a worker runs, to wait for. Lives in the caller's object; the fields
 * are gopool's.
 */
struct gopool_future {
    struct gopool_task task;
    struct gopool *pool;
    struct gopool_future *outer;
    gopool_fn *fn;
    void *arg;
    uint32_t state;
};

/**
 * Runs fn(arg) on a worker, to be waited for with gopool_wait().
 *
 * A result is what fn leaves in arg's object; it is there when gopool_wait() has returned 0.
 *
 * @param future overwritten; not one that is still waited for
 * @param flags  as gopool_task.flags
 * @return as gopool_submit(); on failure gopool_wait() gives -ECANCELED
 *
 * Memory: lends the future to gopool until gopool_wait() has returned 0 or -ECANCELED to
 *         everybody who is in it.
 */
GOPOOL_API GOPOOL_MUST_CHECK int gopool_call(struct gopool *pool, struct gopool_future *future,
                                             gopool_fn *fn, void *arg, uint32_t flags);

/**
 * Waits until a call has ended.
 *
 * @param timeout_ms  most milliseconds to wait; 0 only looks, negative waits for ever
 * @return 0 when fn has returned; -ECANCELED when a panic, of which the pool's handler has been
 *         told, gopool_exit_task() or pthread_exit(3) ended it; -ETIMEDOUT; -EDEADLK when it has
 * not ended yet and this is inside of its pool, where waiting could wait for the waiter
 *
 * Thread: any; several threads may wait for one future.
 */
GOPOOL_API GOPOOL_MUST_CHECK int gopool_wait(struct gopool_future *future, int timeout_ms);

/**
 * The pool of the process, with all defaults: made by the first call, it lasts until the process
 * ends, and cannot be stopped. A child of fork(2) has its own.
 *
 * @return the pool; NULL when there is no memory for it
 *
 * Memory: borrowed; not to be destroyed.
 */
GOPOOL_API GOPOOL_MUST_CHECK struct gopool *gopool_default(void);

/**
 * Makes a pool known to the process by its name (gopool_options.name) until it is destroyed.
 *
 * @return 0; -EEXIST when another one is known by that name, or this one already
 *
 * Memory: borrows the pool.
 */
GOPOOL_API GOPOOL_MUST_CHECK int gopool_register(struct gopool *pool);

/**
 * Finds a registered pool.
 *
 * @return the pool; NULL when none has that name
 *
 * Memory: borrowed; whoever destroys it makes sure that nobody uses what this has returned.
 */
GOPOOL_API GOPOOL_MUST_CHECK struct gopool *gopool_find(const char *name);

/**
 * Changes how many workers there may be.
 *
 * Above the new cap idle workers end at once, others with the task they are in.
 *
 * @param cap  as gopool_options.cap
 * @return 0; -EINVAL above GOPOOL_CAP_MAX
 */
GOPOOL_API GOPOOL_MUST_CHECK int gopool_set_cap(struct gopool *pool, uint32_t cap);

/**
 * Changes who is told of panics that end tasks of the pool, from the next one on.
 *
 * @param handler  NULL: a line and a backtrace on stderr, at most ten a second in the process
 * @param arg      handed to the handler
 */
GOPOOL_API void gopool_set_panic_handler(struct gopool *pool, gopool_panic_fn *handler, void *arg);

/**
 * Says that the task is going to block, so that its worker does not count towards the cap until
 * gopool_block_end(). Another worker takes its place if tasks wait.
 *
 * May be nested; a task that ends inside is at its gopool_block_end(). Where a gopool_try() in
 * between may contain a panic, defer gopool_block_end().
 *
 * @return 0; -EAGAIN when gopool_options.max_blocked workers are blocked: the worker goes on
 *         counting, and there is no end to declare; -EPERM outside a task of a worker
 *
 * Thread: a worker.
 */
GOPOOL_API GOPOOL_MUST_CHECK int gopool_block_begin(void);

/**
 * Says that the task does not block any more.
 *
 * While more workers than the cap allows are at work, those that come to the end of a task wait.
 * Without a gopool_block_begin() before it, it raises a panic.
 *
 * Thread: the one that called gopool_block_begin().
 */
GOPOOL_API void gopool_block_end(void);

/**
 * Waits until the pool has nothing to do: no task waits, none runs.
 *
 * @param timeout_ms  most milliseconds to wait; 0 only looks, negative waits for ever
 * @return 0; -ETIMEDOUT; -EDEADLK inside of this pool
 */
GOPOOL_API GOPOOL_MUST_CHECK int gopool_drain(struct gopool *pool, int timeout_ms);

/**
 * Tells whether the calling thread is inside of this pool: one of its own threads, or one that runs
 * tasks of it because the queue was full. Calls that would wait for the pool return -EDEADLK there.
 */
GOPOOL_API GOPOOL_MUST_CHECK bool gopool_is_worker(const struct gopool *pool);

/** Figures of a pool. Taken under the pool's lock, so they fit together. */
struct gopool_stats {
    uint32_t workers;         /**< threads that exist or are being started */
    uint32_t idle_workers;    /**< of those, parked */
    uint32_t blocked_workers; /**< of those, between gopool_block_begin() and gopool_block_end() */
    uint32_t cap;             /**< most workers, as set last */
    uint64_t submitted_count; /**< tasks accepted since the start */
    uint64_t finished_count;  /**< tasks that have ended, by a panic or not */
    uint64_t panic_count;     /**< tasks that ended by a panic */
    size_t queued;            /**< tasks waiting for a worker */
    uint64_t full_count;      /**< submits that found the queue full */
    uint64_t stuck_count;     /**< tasks that have run for longer than options.stuck_after_ms */
    uint64_t fault_count;     /**< faults recovered from on its workers, see gopool/fault.h; one
                                   that had any ends with its task */
};

/** Reads the figures of a pool. */
GOPOOL_API void gopool_stats_read(struct gopool *pool, struct gopool_stats *out);

#ifdef __cplusplus
}
#endif

#endif
