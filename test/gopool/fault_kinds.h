/* Tasks that fault, each in a way of its own. */
#ifndef TEST_GOPOOL_FAULT_KINDS_H
#define TEST_GOPOOL_FAULT_KINDS_H

#include <pthread.h>
#include <stdbool.h>

struct fault_kind {
    const char *name;
    void (*fault)(void *arg);
    int signal; /* of the panic, or that the process dies by */
    bool is_deadly;
};

/* The last one has no name. */
extern const struct fault_kind fault_kinds[];

/* What the task does that has no unwind tables. */
void fault_without_tables(void *arg);

/* Calls the function back, with a frame of its own in between. */
typedef void fault_module_call_fn(void (*fn)(void *arg), void *arg);

/* A frame on the way to the fault, so that a panic has something to cut off. */
void fault_behind_frames(void (*fault)(void *arg), void *arg);

/* Reads through a null pointer. */
void fault_null_read(void *arg);

/* Reads at *(void **)arg. */
void fault_read_at(void *arg);

#endif
