/* Pointers are volatile, and what is read is kept, so that the compiler leaves the faults in. */
#include "fault_kinds.h"

#include <gopool/fault.h>

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SMALL_ADDRESS 8
#define WILD_BYTES    64

static volatile int kept;
static volatile int zero;
static int *volatile null_pointer;
static void (*volatile null_function)(void);
static const char *volatile small_string = (const char *)SMALL_ADDRESS;

void fault_null_read(void *arg)
{
    (void)arg;
    kept = *null_pointer;
}

void fault_read_at(void *arg)
{
    const volatile int *at = *(const int *volatile *)arg;
    kept = *at;
}

static void write_null(void *arg)
{
    (void)arg;
    *null_pointer = 1;
}

static void call_null(void *arg)
{
    (void)arg;
    null_function();
    kept = 1;
}

static void measure_small(void *arg)
{
    (void)arg;
    kept = (int)strlen(small_string);
}

static void copy_from_null(void *arg)
{
    char copy[WILD_BYTES];
    (void)arg;
    memcpy(copy, small_string, (size_t)zero + sizeof copy);
    kept = copy[0];
}

static void divide_by_zero(void *arg)
{
    (void)arg;
    kept = kept / zero;
}

static void do_what_is_illegal(void *arg)
{
    (void)arg;
    __asm__ volatile("ud2");
}

/* NOLINTNEXTLINE(misc-no-recursion): that is what it is for. */
__attribute__((noinline)) static int descend(int depth)
{
    volatile char frame[WILD_BYTES];
    frame[depth % WILD_BYTES] = (char)depth;
    return depth < 0 ? 0 : descend(depth + 1) + frame[depth % WILD_BYTES];
}

static void overflow_stack(void *arg)
{
    (void)arg;
    kept = descend(1);
}

static void call_abort(void *arg)
{
    (void)arg;
    abort();
}

static void fail_assertion(void *arg)
{
    (void)arg;
    assert(zero != 0);
}

static void print_small(void *arg)
{
    (void)arg;
    kept = printf("%s", small_string);
}

static void free_wild(void *arg)
{
    static char wild[WILD_BYTES];
    char *volatile at = wild + SMALL_ADDRESS;
    (void)arg;
    free(at);
}

static void free_twice(void *arg)
{
    char *volatile block = malloc(WILD_BYTES);
    char *volatile again = block;
    (void)arg;
    free(block);
    free(again);
}

__attribute__((noinline)) static void fill(volatile char *at, int count)
{
    for (int i = 0; i < count; i++)
        at[i] = 1;
}

static void smash_stack(void *arg)
{
    volatile char frame[WILD_BYTES];
    (void)arg;
    fill(frame, zero + WILD_BYTES + SMALL_ADDRESS * 4);
    kept = frame[0];
}

static void fault_in_critical_section(void *arg)
{
    gopool_critical_begin();
    fault_null_read(arg);
    gopool_critical_end();
}

static void wait_for_signal(void *arg)
{
    (void)arg;
    for (;;)
        pause();
}

static void *signal_thread(void *arg)
{
    pthread_kill(*(pthread_t *)arg, SIGSEGV);
    return NULL;
}

static void be_signalled(void *arg)
{
    pthread_t self = pthread_self();
    pthread_t other;
    if (pthread_create(&other, NULL, signal_thread, &self) == 0)
        wait_for_signal(arg);
}

static int compare(const void *left, const void *right)
{
    kept = *null_pointer;
    return *(const int *)left - *(const int *)right;
}

static void sort(void *arg)
{
    int values[] = {3, 1, 2};
    (void)arg;
    qsort(values, sizeof values / sizeof *values, sizeof *values, compare);
    kept = values[0];
}

void fault_behind_frames(void (*fault)(void *arg), void *arg)
{
    volatile char frame[WILD_BYTES];
    frame[0] = 1;
    fault(arg);
    kept = frame[0];
}

const struct fault_kind fault_kinds[] = {
    {"null read", fault_null_read, SIGSEGV, false},
    {"null write", write_null, SIGSEGV, false},
    {"call through null", call_null, SIGSEGV, false},
    {"strlen of a small address", measure_small, SIGSEGV, false},
    {"memcpy from a small address", copy_from_null, SIGSEGV, false},
    {"division by zero", divide_by_zero, SIGFPE, false},
    {"illegal instruction", do_what_is_illegal, SIGILL, false},
    {"stack overflow", overflow_stack, SIGSEGV, false},
    {"abort", call_abort, SIGABRT, false},
    {"failed assertion", fail_assertion, SIGABRT, false},
    {"bad string in printf", print_small, SIGSEGV, true},
    {"free of a wild pointer", free_wild, SIGABRT, true},
    {"double free", free_twice, SIGABRT, true},
    {"stack smash", smash_stack, SIGABRT, true},
    {"fault in a critical section", fault_in_critical_section, SIGSEGV, true},
    {"signal from outside", be_signalled, SIGSEGV, true},
    {"fault in a callback of the C library", sort, SIGSEGV, true},
    {NULL, NULL, 0, false},
};
