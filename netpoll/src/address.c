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

static int parse_ip6(const char *host, in_port_t port, struct np_address *out)
{
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&out->storage;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = port;
    out->len = sizeof *in6;
    return inet_pton(AF_INET6, host, &in6->sin6_addr) == 1 ? 0 : -EINVAL;
}

static int parse_ip4(const char *host, in_port_t port, struct np_address *out)
{
    struct sockaddr_in *in = (struct sockaddr_in *)&out->storage;
    in->sin_family = AF_INET;
    in->sin_port = port;
    out->len = sizeof *in;
    if (strcmp(host, "localhost") == 0)
        host = "127.0.0.1";
    return inet_pton(AF_INET, host, &in->sin_addr) == 1 ? 0 : -EINVAL;
}

int np_address_parse(const char *text, struct np_address *out)
{
    char host[INET6_ADDRSTRLEN + 1];
    in_port_t port;
    *out = (struct np_address){0};
    if (strncmp(text, UNIX_PREFIX, sizeof UNIX_PREFIX - 1) == 0)
        return parse_unix(text + sizeof UNIX_PREFIX - 1, out);
    const char *colon = strrchr(text, ':');
    if (colon == NULL || parse_port(colon + 1, &port) != 0)
        return -EINVAL;
    size_t n = (size_t)(colon - text);
    bool bracketed = n >= 2 && text[0] == '[' && text[n - 1] == ']';
    if (bracketed) {
        text++;
        n -= 2;
    }
    if (n >= sizeof host)
        return -EINVAL;
    memcpy(host, text, n);
    host[n] = '\0';
    if (bracketed)
        return parse_ip6(host, port, out);
    /* Every address: a socket for both families, see ipv6(7). */
    return n == 0 ? parse_ip6("::", port, out) : parse_ip4(host, port, out);
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

int np_address_format(const struct np_address *address, char *out, size_t size)
{
    char host[INET6_ADDRSTRLEN];
    const char *form = "%s:%u";
    in_port_t port;
    if (address->storage.ss_family == AF_UNIX)
        return format_unix(address, out, size);
    if (address->storage.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&address->storage;
        inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
        port = in6->sin6_port;
        form = "[%s]:%u";
    } else {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&address->storage;
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
        port = in->sin_port;
    }
    int written = snprintf(out, size, form, host, (unsigned)ntohs(port));
    return written >= 0 && (size_t)written < size ? 0 : -ENOSPC;
}

int np_address_of_socket(int fd, char *out, size_t size)
{
    struct np_address address = {.len = sizeof address.storage};
    if (getsockname(fd, (struct sockaddr *)&address.storage, &address.len) != 0)
        return -errno;
    return np_address_format(&address, out, size);
}

int np_address_of_peer(int fd, char *out, size_t size)
{
    struct np_address address = {.len = sizeof address.storage};
    if (getpeername(fd, (struct sockaddr *)&address.storage, &address.len) != 0)
        return -errno;
    return np_address_format(&address, out, size);
}
