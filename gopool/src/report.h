/* Who is told of a panic, and what is printed about it. */
#ifndef GP_REPORT_H
#define GP_REPORT_H

#include <gopool/gopool.h>

#include <stdbool.h>

/* Most panics a second that are printed because nobody else is told of them. */
#define GP_REPORTS_PER_SECOND 10

/* All zero is the beginning. Any thread. */
struct gp_report_limit {
    _Atomic uint64_t window; /* a second in the upper half, the reports of it in the lower */
    _Atomic uint32_t hidden; /* that have not been shown since the last one that was */
};

/*
 * Whether one more may be printed in this second of a clock that never goes back far. If so,
 * *hidden is how many before it were not.
 */
bool gp_report_admit(struct gp_report_limit *limit, uint32_t second, uint32_t *hidden);

/*
 * Fills in the panic's pool and tells the hook and whoever the pool's options name, on the calling
 * thread. A panic of theirs goes no further. Not under the lock.
 */
void gp_report(struct gopool *pool, struct gopool_panic *panic);

/* Tells of a panic of a handler: the hook, and a line on stderr. */
void gp_report_of_handler(const char *where, const struct gopool_panic *panic);

/* Tells the process's hook, unless the thread is inside of it. A panic of its goes no further. */
void gp_report_to_hook(const struct gopool_panic *panic);

/* Writes one line about a panic that ends the process to stderr. */
void gp_report_last_words(const char *where, const struct gopool_panic *panic);

#endif
