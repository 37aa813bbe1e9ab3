/* Lists of tokens. */
#include <nhttp/list.h>

#include "octets.h"

/* Bytes up to the next comma that is not quoted, or to the end. */
static size_t element_bytes(struct nhttp_text list)
{
    bool is_quoted = false;
    for (size_t at = 0; at < list.len; at++) {
        char byte = list.data[at];
        if (byte == '"')
            is_quoted = !is_quoted;
        else if (byte == '\\' && is_quoted)
            at++;
        else if (byte == ',' && !is_quoted)
            return at;
    }
    return list.len;
}

bool nhttp_list_next(struct nhttp_text *list, struct nhttp_text *element)
{
    while (list->len > 0) {
        struct nhttp_text found = hs_trim(hs_take(list, element_bytes(*list)));
        if (list->len > 0)
            (void)hs_take(list, 1);
        if (found.len > 0) {
            *element = found;
            return true;
        }
    }
    return false;
}

bool nhttp_list_has(struct nhttp_text list, struct nhttp_text token)
{
    struct nhttp_text element;
    while (nhttp_list_next(&list, &element)) {
        if (nhttp_text_equals_nocase(element, token))
            return true;
    }
    return false;
}
