/* Addresses to text and back. */
#include "address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#define UNIX_PREFIX "unix:"
#define IP4_PREFIX  "tcp4:"
#define IP6_PREFIX  "tcp6:"
_Static_assert(sizeof IP4_PREFIX == sizeof IP6_PREFIX, "skipped as one");

static int parse_unix(const char *path, struct np_address *out)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&out->storage;
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof un->sun_path || strcmp(path, "@") == 0)
        return -EINVAL;
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, n);
    if (path[0] == '@')
        un->sun_path[0] = '\0'; /* abstract: the length counts, not a NUL; unix(7) */
    else
        n++;
    out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    return 0;
}

static int parse_port(const char *text, in_port_t *out)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 5 || text[digits] != '\0')
        return -EINVAL;
    unsigned long port = strtoul(text, NULL, 10);
    if (port > UINT16_MAX)
        return -EINVAL;
    *out = htons((uint16_t)port);
    return 0;
}

/* "%2" at the end of a host: the interface, RFC 4007 section 11. */
static int parse_scope(const char *text, uint32_t *out)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 10 || text[digits] != '\0')
        return -EINVAL;
    unsigned long long scope = strtoull(text, NULL, 10);
    if (scope == 0 || scope > UINT32_MAX)
        return -EINVAL;
    *out = (uint32_t)scope;
    return 0;
}

static int parse_ip6(char *host, in_port_t port, struct np_address *out)
{
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&out->storage;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = port;
    out->len = sizeof *in6;
    char *scope = strchr(host, '%');
    if (scope != NULL) {
        *scope = '\0';
        if (parse_scope(scope + 1, &in6->sin6_scope_id) != 0)
            return -EINVAL;
    }
    if (inet_pton(AF_INET6, host, &in6->sin6_addr) != 1)
        return -EINVAL;
    /* Elsewhere the kernel would not look at it. */
    return scope != NULL && !IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr) ? -EINVAL : 0;
}

static int parse_ip4(const char *host, in_port_t port, struct np_address *out)
{
    struct sockaddr_in *in = (struct sockaddr_in *)&out->storage;
    in->sin_family = AF_INET;
    in->sin_port = port;
    out->len = sizeof *in;
    return inet_pton(AF_INET, host, &in->sin_addr) == 1 ? 0 : -EINVAL;
}

/* The families that a prefix allows. */
enum family {
    FAMILY_ANY,
    FAMILY_IP4,
    FAMILY_IP6,
};

static enum family parse_prefix(const char **text)
{
    enum family family = FAMILY_ANY;
    if (strncmp(*text, IP4_PREFIX, sizeof IP4_PREFIX - 1) == 0)
        family = FAMILY_IP4;
    else if (strncmp(*text, IP6_PREFIX, sizeof IP6_PREFIX - 1) == 0)
        family = FAMILY_IP6;
    if (family != FAMILY_ANY)
        *text += sizeof IP4_PREFIX - 1;
    return family;
}

/* A host of no family of its own. */
static int parse_word(const char *host, in_port_t port, enum family family, struct np_address *out)
{
    bool is_every = host[0] == '\0';
    char ip6[] = "::1";
    if (is_every)
        ip6[2] = '\0';
    /* Every address: a socket for both families unless the prefix says which, see ipv6(7). */
    if (family == FAMILY_IP6 || (family == FAMILY_ANY && is_every))
        return parse_ip6(ip6, port, out);
    return parse_ip4(is_every ? "0.0.0.0" : "127.0.0.1", port, out);
}

int np_address_parse(const char *text, struct np_address *out)
{
    char host[INET6_ADDRSTRLEN + sizeof "%4294967295"];
    in_port_t port;
    *out = (struct np_address){0};
    if (text == NULL)
        return -EINVAL;
    if (strncmp(text, UNIX_PREFIX, sizeof UNIX_PREFIX - 1) == 0)
        return parse_unix(text + sizeof UNIX_PREFIX - 1, out);
    enum family family = parse_prefix(&text);
    const char *colon = strrchr(text, ':');
    if (colon == NULL || parse_port(colon + 1, &port) != 0)
        return -EINVAL;
    size_t n = (size_t)(colon - text);
    bool is_bracketed = n >= 2 && text[0] == '[' && text[n - 1] == ']';
    if (is_bracketed) {
        text++;
        n -= 2;
    }
    if (n >= sizeof host)
        return -EINVAL;
    memcpy(host, text, n);
    host[n] = '\0';
    out->ip6_only = family == FAMILY_IP6;
    if (is_bracketed)
        return family != FAMILY_IP4 ? parse_ip6(host, port, out) : -EINVAL;
    if (n == 0 || strcmp(host, "localhost") == 0)
        return parse_word(host, port, family, out);
    return family != FAMILY_IP6 ? parse_ip4(host, port, out) : -EINVAL;
}

static int format_unix(const struct np_address *address, char *out, size_t size)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&address->storage;
    size_t n = address->len - offsetof(struct sockaddr_un, sun_path);
    if (address->len <= offsetof(struct sockaddr_un, sun_path))
        n = 0;
    bool is_abstract = n > 0 && un->sun_path[0] == '\0';
    const char *name = is_abstract ? un->sun_path + 1 : un->sun_path;
    n = is_abstract ? n - 1 : strnlen(un->sun_path, n);
    int written = snprintf(out, size, UNIX_PREFIX "%s%.*s", is_abstract ? "@" : "", (int)n, name);
    return written >= 0 && (size_t)written < size ? 0 : -ENOSPC;
}

static int format_ip6(const struct sockaddr_in6 *in6, char *out, size_t size)
{
    char host[INET6_ADDRSTRLEN];
    char scope[sizeof "%4294967295"] = "";
    inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
    if (in6->sin6_scope_id != 0)
        snprintf(scope, sizeof scope, "%%%u", (unsigned)in6->sin6_scope_id);
    return snprintf(out, size, "[%s%s]:%u", host, scope, (unsigned)ntohs(in6->sin6_port));
}

static int format_ip4(const struct sockaddr_in *in, char *out, size_t size)
{
    char host[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
    return snprintf(out, size, "%s:%u", host, (unsigned)ntohs(in->sin_port));
}

int np_address_format(const struct np_address *address, char *out, size_t size)
{
    if (address->storage.ss_family == AF_UNIX)
        return format_unix(address, out, size);
    int written = address->storage.ss_family == AF_INET6
                      ? format_ip6((const struct sockaddr_in6 *)&address->storage, out, size)
                      : format_ip4((const struct sockaddr_in *)&address->storage, out, size);
    return written >= 0 && (size_t)written < size ? 0 : -ENOSPC;
}

static bool is_equal_ip6(const struct sockaddr_in6 *a, const struct sockaddr_in6 *b)
{
    return a->sin6_port == b->sin6_port && a->sin6_scope_id == b->sin6_scope_id &&
           memcmp(&a->sin6_addr, &b->sin6_addr, sizeof a->sin6_addr) == 0;
}

static bool is_equal_ip4(const struct sockaddr_in *a, const struct sockaddr_in *b)
{
    return a->sin_port == b->sin_port && a->sin_addr.s_addr == b->sin_addr.s_addr;
}

bool np_address_is_equal(const struct np_address *a, const struct np_address *b)
{
    if (a->storage.ss_family != b->storage.ss_family)
        return false;
    if (a->storage.ss_family == AF_INET6)
        return is_equal_ip6((const struct sockaddr_in6 *)&a->storage,
                            (const struct sockaddr_in6 *)&b->storage);
    if (a->storage.ss_family == AF_INET)
        return is_equal_ip4((const struct sockaddr_in *)&a->storage,
                            (const struct sockaddr_in *)&b->storage);
    /* A path may or may not come with its NUL, and the kernel tells a longer length; the rest of
     * the storage is zero. */
    return memcmp(&a->storage, &b->storage, sizeof a->storage) == 0;
}

int np_address_read(int fd, struct np_address *out)
{
    *out = (struct np_address){.len = sizeof out->storage};
    return getsockname(fd, (struct sockaddr *)&out->storage, &out->len) == 0 ? 0 : -errno;
}

int np_address_of_socket(int fd, char *out, size_t size)
{
    struct np_address address;
    int status = np_address_read(fd, &address);
    return status == 0 ? np_address_format(&address, out, size) : status;
}

int np_address_of_peer(int fd, char *out, size_t size)
{
    struct np_address address = {.len = sizeof address.storage};
    if (getpeername(fd, (struct sockaddr *)&address.storage, &address.len) != 0)
        return -errno;
    return np_address_format(&address, out, size);
}
