#include "words.h"

#include <stdlib.h>
#include <string.h>

char *exact(size_t n)
{
    char *memory = malloc(n > 0 ? n : 1);
    if (memory == NULL)
        abort();
    return memory;
}

size_t below(struct random *random, size_t n)
{
    random->state = random->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (size_t)((random->state >> 33) % n);
}

size_t random_text(struct random *random, const char *const *pieces, size_t count, size_t n,
                   char *out)
{
    size_t len = 0;
    for (size_t left = below(random, n + 1); left > 0; left--) {
        const char *piece = pieces[below(random, count)];
        memcpy(out + len, piece, strlen(piece));
        len += strlen(piece);
    }
    return len;
}

bool is_text(struct nhttp_text text, const char *want)
{
    return text.len == strlen(want) && (text.len == 0 || memcmp(text.data, want, text.len) == 0);
}
