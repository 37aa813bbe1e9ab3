/* Cookies that come. */
#include <nhttp/cookie.h>

#include "octets.h"

#include <errno.h>

void nhttp_cookies_begin(struct nhttp_cookies *cookies, struct nhttp_text field, size_t limit)
{
    *cookies = (struct nhttp_cookies){
        .left = field,
        .limit = limit > 0 ? limit : NHTTP_COOKIES_DEFAULT,
    };
}

int nhttp_cookies_next(struct nhttp_cookies *cookies, struct nhttp_cookie *out)
{
    while (cookies->left.len > 0) {
        struct nhttp_text rest = cookies->left;
        struct nhttp_text value = hs_take_until(&rest, ';');
        size_t bytes = value.len;
        struct nhttp_text name = hs_take_until(&value, '=');
        bool has_value = name.len < bytes;
        name = hs_trim(name);
        if (has_value && name.len > 0 && cookies->limit == 0)
            return -E2BIG;
        cookies->left = rest;
        if (!has_value || name.len == 0)
            continue;
        cookies->limit--;
        *out = (struct nhttp_cookie){.name = name, .value = hs_trim(value)};
        return 0;
    }
    return -ENOENT;
}

int nhttp_cookies_find(struct nhttp_text field, struct nhttp_text name, size_t limit,
                       struct nhttp_text *value)
{
    struct nhttp_cookies cookies;
    struct nhttp_cookie cookie;
    int status;
    nhttp_cookies_begin(&cookies, field, limit);
    while ((status = nhttp_cookies_next(&cookies, &cookie)) == 0) {
        if (nhttp_text_equals(cookie.name, name)) {
            *value = cookie.value;
            return 0;
        }
    }
    return status;
}
