/* Cookies that are set: RFC 6265, section 4.1, as strictly as it is written. */
#include <nhttp/cookie.h>
#include <nhttp/date.h>
#include <nhttp/syntax.h>

#include "octets.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define DOMAIN_BYTES_MAX 253
/* RFC 6265, section 5.2.1: user agents need not read other years. */
#define EXPIRES_MIN INT64_C(-11644473600) /* 1601-01-01 */
#define EXPIRES_MAX INT64_C(253402300799) /* 9999-12-31 23:59:59 */

/* Visible ASCII without what ends an attribute. */
static bool is_visible(char byte)
{
    return byte > ' ' && byte < 0x7f && byte != ';';
}

static bool is_value(struct nhttp_text value)
{
    if (value.len >= 2 && value.data[0] == '"' && value.data[value.len - 1] == '"')
        value = (struct nhttp_text){value.data + 1, value.len - 2};
    for (size_t i = 0; i < value.len; i++) {
        char byte = value.data[i];
        if (!is_visible(byte) || byte == '"' || byte == ',' || byte == '\\')
            return false;
    }
    return true;
}

static bool is_path(struct nhttp_text path)
{
    /* The cookie would go to other paths than these. */
    if (path.len > NHTTP_COOKIE_PATH_BYTES_MAX)
        return false;
    for (size_t i = 0; i < path.len; i++) {
        if (!is_visible(path.data[i]))
            return false;
    }
    return path.len == 0 || path.data[0] == '/';
}

/* Labels of letters, digits and hyphens, with dots between them. */
static bool is_domain(struct nhttp_text domain)
{
    if (domain.len > DOMAIN_BYTES_MAX)
        return false;
    for (bool is_more = domain.len > 0; is_more;) {
        size_t before = domain.len;
        struct nhttp_text label = hs_take_until(&domain, '.');
        is_more = label.len < before;
        if (label.len == 0 || label.data[0] == '-' || label.data[label.len - 1] == '-')
            return false;
        for (size_t i = 0; i < label.len; i++) {
            if (!hs_is_alphanumeric(label.data[i]) && label.data[i] != '-')
                return false;
        }
    }
    return true;
}

/* Browsers throw it away otherwise. */
static bool is_kept(const struct nhttp_set_cookie *cookie)
{
    bool is_host = hs_begins_with(cookie->name, "__Host-");
    bool needs_secure = is_host || hs_begins_with(cookie->name, "__Secure-") ||
                        cookie->same_site == NHTTP_SAME_SITE_NONE || cookie->partitioned;
    if (needs_secure && !cookie->secure)
        return false;
    if (is_host && (cookie->domain.len > 0 || !nhttp_text_equals(cookie->path, NHTTP_TEXT("/"))))
        return false;
    return cookie->name.len <= NHTTP_COOKIE_BYTES_MAX &&
           cookie->value.len <= NHTTP_COOKIE_BYTES_MAX - cookie->name.len;
}

static bool is_valid(const struct nhttp_set_cookie *cookie)
{
    return nhttp_is_token(cookie->name.data, cookie->name.len) && is_value(cookie->value) &&
           is_path(cookie->path) && is_domain(cookie->domain) &&
           cookie->max_age_s >= NHTTP_COOKIE_EXPIRED && cookie->expires >= EXPIRES_MIN &&
           cookie->expires <= EXPIRES_MAX && (unsigned)cookie->same_site <= NHTTP_SAME_SITE_NONE &&
           is_kept(cookie);
}

/* What has been written, and whether it all had room. */
struct room {
    char *at;
    size_t left;
    bool is_full;
};

static void put(struct room *room, struct nhttp_text text)
{
    if (text.len > room->left)
        room->is_full = true;
    if (room->is_full || text.len == 0)
        return;
    memcpy(room->at, text.data, text.len);
    room->at += text.len;
    room->left -= text.len;
}

static void put_attribute(struct room *room, const char *name, struct nhttp_text value)
{
    put(room, NHTTP_TEXT("; "));
    put(room, nhttp_text_of(name));
    put(room, value);
}

static void put_times(struct room *room, const struct nhttp_set_cookie *cookie)
{
    if (cookie->max_age_s != 0) {
        char digits[24];
        int64_t age = cookie->max_age_s > 0 ? cookie->max_age_s : 0;
        (void)snprintf(digits, sizeof digits, "%" PRId64, age);
        put_attribute(room, "Max-Age=", nhttp_text_of(digits));
    }
    if (cookie->expires != 0) {
        char date[NHTTP_DATE_BYTES];
        nhttp_date_format(cookie->expires, date);
        put_attribute(room, "Expires=", (struct nhttp_text){date, sizeof date});
    }
}

static void put_cookie(struct room *room, const struct nhttp_set_cookie *cookie)
{
    static const char *const same_sites[] = {NULL, "Lax", "Strict", "None"};
    put(room, cookie->name);
    put(room, NHTTP_TEXT("="));
    put(room, cookie->value);
    if (cookie->path.len > 0)
        put_attribute(room, "Path=", cookie->path);
    if (cookie->domain.len > 0)
        put_attribute(room, "Domain=", cookie->domain);
    put_times(room, cookie);
    if (cookie->secure)
        put(room, NHTTP_TEXT("; Secure"));
    if (cookie->http_only)
        put(room, NHTTP_TEXT("; HttpOnly"));
    if (cookie->same_site != NHTTP_SAME_SITE_DEFAULT)
        put_attribute(room, "SameSite=", nhttp_text_of(same_sites[cookie->same_site]));
    if (cookie->partitioned)
        put(room, NHTTP_TEXT("; Partitioned"));
    put(room, (struct nhttp_text){"", 1});
}

ssize_t nhttp_set_cookie_format(const struct nhttp_set_cookie *cookie, char *out, size_t size)
{
    struct room room = {.at = out, .left = size};
    if (!is_valid(cookie)) {
        if (size > 0)
            out[0] = '\0';
        return -EINVAL;
    }
    put_cookie(&room, cookie);
    if (room.is_full) {
        if (size > 0)
            out[0] = '\0';
        return -ENOSPC;
    }
    return room.at - out - 1;
}
