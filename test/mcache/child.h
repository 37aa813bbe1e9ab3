/* Runs a function in a child process and keeps what it says on stderr. */
#ifndef CHILD_H
#define CHILD_H

#include <stddef.h>

/*
 * Forks, calls fn there and ends the child with status 0 when fn returns. Returns the wait status;
 * text gets the start of the child's stderr, ended with 0.
 */
int child_run(void (*fn)(void), char *text, size_t size);

#endif
