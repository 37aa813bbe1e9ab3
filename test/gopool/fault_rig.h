/* Cases of which each is a child of its own, for many of them are to die. */
#ifndef TEST_GOPOOL_FAULT_RIG_H
#define TEST_GOPOOL_FAULT_RIG_H

#include <gopool/fault.h>
#include <gopool/gopool.h>

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#define DEADLINE_MS 20000

/* In a child, whose status tells. */
#define MUST(condition)                                                                     \
    do {                                                                                    \
        if (!(condition)) {                                                                 \
            dprintf(STDOUT_FILENO, "  does not hold: %s, line %d\n", #condition, __LINE__); \
            _exit(1);                                                                       \
        }                                                                                   \
    } while (0)

/* What the pools' panic handler was told last, and how often. */
extern struct gopool_panic last;
extern unsigned panics;

void enable(const struct gopool_fault_options *options);
/* Its panics are told to `last`. */
struct gopool *make_pool(uint32_t cap);
/* The result of gopool_wait(). */
int run(struct gopool *pool, gopool_fn *fn, void *arg);
/* The same, with the default options and a pool of its own. */
int fault_in_task(gopool_fn *fn, void *arg);

struct rule {
    const char *name;
    void (*fn)(void);
    int signal; /* that it dies by; 0: it does not */
};

/* Status of wait(2) of a child that calls fn, and may leave a core file of so many bytes. */
int status_of(void (*fn)(void), rlim_t core_bytes);
/* Prints a line for each. False: one did not end as told. */
bool check_rules(const struct rule *rules, size_t count);
/* Status for main() where faults cannot be recovered from; 0: they can. */
int skip_status(void);

#endif
