/* Who a field is. */
#include "characters.h"
#include "head.h"

#include <string.h>

struct known {
    const char *name;
    enum nhttp_field_id id;
};

/* By length; those of one length stand together. */
static const struct known known[] = {
    {"te", NHTTP_FIELD_TE},
    {"date", NHTTP_FIELD_DATE},
    {"host", NHTTP_FIELD_HOST},
    {"range", NHTTP_FIELD_RANGE},
    {"cookie", NHTTP_FIELD_COOKIE},
    {"expect", NHTTP_FIELD_EXPECT},
    {"server", NHTTP_FIELD_SERVER},
    {"referer", NHTTP_FIELD_REFERER},
    {"trailer", NHTTP_FIELD_TRAILER},
    {"upgrade", NHTTP_FIELD_UPGRADE},
    {"location", NHTTP_FIELD_LOCATION},
    {"connection", NHTTP_FIELD_CONNECTION},
    {"keep-alive", NHTTP_FIELD_KEEP_ALIVE},
    {"set-cookie", NHTTP_FIELD_SET_COOKIE},
    {"user-agent", NHTTP_FIELD_USER_AGENT},
    {"content-type", NHTTP_FIELD_CONTENT_TYPE},
    {"authorization", NHTTP_FIELD_AUTHORIZATION},
    {"content-range", NHTTP_FIELD_CONTENT_RANGE},
    {"if-none-match", NHTTP_FIELD_IF_NONE_MATCH},
    {"content-length", NHTTP_FIELD_CONTENT_LENGTH},
    {"accept-encoding", NHTTP_FIELD_ACCEPT_ENCODING},
    {"content-encoding", NHTTP_FIELD_CONTENT_ENCODING},
    {"if-modified-since", NHTTP_FIELD_IF_MODIFIED_SINCE},
    {"transfer-encoding", NHTTP_FIELD_TRANSFER_ENCODING},
};

#define KNOWN_COUNT  (sizeof known / sizeof known[0])
#define NAME_MAX_LEN 17U

/* The first of each length; the next entry's is where they end. */
static const uint8_t first_of_length[NAME_MAX_LEN + 2] = {
    [0] = 0,
    [1] = 0,
    [2] = 0,
    [3] = 1,
    [4] = 1,
    [5] = 3,
    [6] = 4,
    [7] = 7,
    [8] = 10,
    [9] = 11,
    [10] = 11,
    [11] = 15,
    [12] = 15,
    [13] = 16,
    [14] = 19,
    [15] = 20,
    [16] = 21,
    [17] = 22,
    [18] = KNOWN_COUNT,
};

/* The name is a token: of its bytes only letters become letters, and the hyphen itself, by that
 * bit.
 */
static bool is_known(const uint8_t *name, size_t n, const char *word)
{
    size_t i = 0;
    while (i < n && (name[i] | 0x20) == (uint8_t)word[i])
        i++;
    return i == n;
}

enum nhttp_field_id nh_field_id(const uint8_t *name, size_t n)
{
    if (n > NAME_MAX_LEN)
        return NHTTP_FIELD_OTHER;
    for (size_t i = first_of_length[n]; i < first_of_length[n + 1]; i++) {
        if (is_known(name, n, known[i].name))
            return known[i].id;
    }
    return NHTTP_FIELD_OTHER;
}

static bool begins_with(const uint8_t *name, size_t n, const char *prefix)
{
    size_t len = strlen(prefix);
    return n >= len && nh_equals(name, len, prefix);
}

/* Those without an id that route, modify the request, control caches or authenticate. */
static bool is_for_heads(const uint8_t *name, size_t n)
{
    static const char *const words[] = {"cache-control", "forwarded",        "max-forwards",
                                        "pragma",        "www-authenticate", "x-real-ip"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (nh_equals(name, n, words[i]))
            return true;
    }
    return begins_with(name, n, "if-") || begins_with(name, n, "proxy-") ||
           begins_with(name, n, "x-forwarded");
}

bool nh_may_trail(const struct nhttp_field *field, const uint8_t *data)
{
    switch (field->id) {
    case NHTTP_FIELD_OTHER:
        return !is_for_heads(nh_at(data, field->name), field->name.len);
    case NHTTP_FIELD_DATE:
    case NHTTP_FIELD_REFERER:
    case NHTTP_FIELD_SERVER:
    case NHTTP_FIELD_USER_AGENT:
        return true;
    default:
        return false;
    }
}
