#include <nhttp/syntax.h>

#include "characters.h"
#include "scan.h"

bool nhttp_is_token(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!nh_is((uint8_t)text[i], NH_TOKEN))
            return false;
    }
    return n > 0;
}

bool nhttp_is_value(const char *text, size_t n)
{
    return nh_scanner()->value((const uint8_t *)text, 0, n) == n;
}
