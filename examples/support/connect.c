/* Connects by address text. */
#define _GNU_SOURCE /* NOLINT(readability-identifier-naming): the C library's name for it */
#include "connect.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define UNIX_PREFIX "unix:"

/* A connected socket, or -errno. */
static int open_socket(const struct sockaddr *address, socklen_t n)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, address, n) == 0)
        return fd;
    int error = errno;
    close(fd);
    return -error;
}

static int connect_unix(const char *path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof un.sun_path)
        return -EINVAL;
    memcpy(un.sun_path, path, n + 1);
    if (path[0] == '@')
        un.sun_path[0] = '\0'; /* abstract: the length counts, not a NUL; unix(7) */
    else
        n++;
    return open_socket((struct sockaddr *)&un,
                       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
}

static int connect_tcp(const char *host, const char *port)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found;
    int status = getaddrinfo(host, port, &hints, &found);
    if (status != 0)
        return status == EAI_SERVICE ? -EINVAL : -ENXIO;
    int fd = -ENXIO;
    for (struct addrinfo *one = found; one != NULL && fd < 0; one = one->ai_next)
        fd = open_socket(one->ai_addr, one->ai_addrlen);
    freeaddrinfo(found);
    if (fd >= 0)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    return fd;
}

int connect_to(const char *address)
{
    char host[NI_MAXHOST];
    if (strncmp(address, UNIX_PREFIX, sizeof UNIX_PREFIX - 1) == 0)
        return connect_unix(address + sizeof UNIX_PREFIX - 1);
    const char *colon = strrchr(address, ':');
    size_t n = colon != NULL ? (size_t)(colon - address) : 0;
    if (n >= 2 && address[0] == '[' && colon[-1] == ']') {
        address++;
        n -= 2;
    }
    if (n == 0 || n >= sizeof host || colon[1] == '\0')
        return -EINVAL;
    memcpy(host, address, n);
    host[n] = '\0';
    return connect_tcp(host, colon + 1);
}
