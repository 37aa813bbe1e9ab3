/* Comparing texts. */
#include <nhttp/text.h>

#include "octets.h"

#include <string.h>

struct nhttp_text nhttp_text_of(const char *string)
{
    return (struct nhttp_text){.data = string, .len = string != NULL ? strlen(string) : 0};
}

bool nhttp_text_equals(struct nhttp_text a, struct nhttp_text b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

bool nhttp_text_equals_nocase(struct nhttp_text a, struct nhttp_text b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (hs_lower(a.data[i]) != hs_lower(b.data[i]))
            return false;
    }
    return true;
}
