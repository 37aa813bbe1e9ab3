/*
 * A check that fails the program from any thread. Criterion's own assertions leave the test by a
 * jump and therefore belong to its main thread only.
 */
#ifndef TEST_SUPPORT_CHECK_H
#define TEST_SUPPORT_CHECK_H

#define CHECK(condition) ((condition) ? (void)0 : check_failed(__FILE__, __LINE__, #condition))

/* One line on stderr, then abort(3). */
__attribute__((noreturn)) void check_failed(const char *file, int line, const char *condition);

#endif
