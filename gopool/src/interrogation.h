/* Asking another thread of the process where it is, by a signal. */
#ifndef GP_INTERROGATION_H
#define GP_INTERROGATION_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* The signal: ignored by default, so that one which comes late harms nobody. */
#define GP_INTERROGATION_SIGNAL SIGURG

/* Installs the signal's handler unless somebody has one. Any thread. */
void gp_interrogation_prepare(void);

/* Whether the process's handler is ours, and not one that somebody has installed since. */
bool gp_interrogation_works(void);

/* Forgets who was asked. In a child of fork(2), where nobody else runs. */
void gp_interrogation_clear(void);

/*
 * One interrogation at a time in the process: between begin and end the caller makes sure that the
 * thread exists while it sends, and may let it go on while it waits.
 */
void gp_interrogation_begin(void);
/* Returns false when the handler is not ours; then there is nothing to wait for. */
bool gp_interrogation_send(pthread_t thread);
/* Waits for the answer, not for long. Returns how many frames it is; 0 without one. */
uint32_t gp_interrogation_wait(void **frames, uint32_t max);
void gp_interrogation_end(void);

#endif
