/* What a test asks of its own process. */
#ifndef TEST_SUPPORT_PROCESS_H
#define TEST_SUPPORT_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Calls fn for every open descriptor but its own. */
void for_each_descriptor(void (*fn)(int fd, void *arg), void *arg);
size_t descriptor_count(void);
/* From /proc/self/fdinfo. */
bool is_close_on_exec(int fd);
/* The descriptor of this process whose peer is the client's socket; -1: none. */
int peer_descriptor(int client);

/* Calls fn for every thread. */
void for_each_thread(void (*fn)(pid_t thread, void *arg), void *arg);
/* A thread whose name begins like this; -1: none. */
pid_t thread_named(const char *prefix);
/* The name of the calling thread begins like this. */
bool is_thread_named(const char *prefix);

/* Runs fn(arg) in a child and reads what it writes to stderr; status of wait(2). */
int run_in_child(void (*fn)(void *arg), void *arg, char *output, size_t size);

/*
 * From here on the calling thread, and those it starts, get this errno from this system call.
 * Cannot be undone.
 */
void refuse_system_call(long number, int error);

#endif
