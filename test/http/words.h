/* What the tests of texts share. */
#ifndef TEST_HTTP_WORDS_H
#define TEST_HTTP_WORDS_H

#include <nhttp/text.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Memory of exactly n bytes, which a sanitizer watches the end of. Freed by free(). */
char *exact(size_t n);

/* The same numbers every time. */
struct random {
    uint64_t state;
};

size_t below(struct random *random, size_t n);

/* A text of 0 to n of these pieces. */
size_t random_text(struct random *random, const char *const *pieces, size_t count, size_t n,
                   char *out);

bool is_text(struct nhttp_text text, const char *want);

#endif
