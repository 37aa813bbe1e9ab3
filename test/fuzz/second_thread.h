/*
 * A second thread that does one thing at a time while its caller waits, so that a run is the same
 * every time.
 */
#ifndef TEST_FUZZ_SECOND_THREAD_H
#define TEST_FUZZ_SECOND_THREAD_H

/* Runs fn(arg) on the second thread, which is started if there is none. */
void second_thread_run(void (*fn)(void *arg), void *arg);

/* Ends the second thread if there is one. */
void second_thread_end(void);

#endif
