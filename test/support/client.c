/* Plain sockets with deadlines. */
#include "client.h"

#include "check.h"
#include "event.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

union address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
};

static socklen_t parse_unix(const char *path, union address *out)
{
    size_t n = strlen(path);
    CHECK(n > 0 && n < sizeof out->un.sun_path);
    out->un.sun_family = AF_UNIX;
    memcpy(out->un.sun_path, path, n);
    if (path[0] == '@')
        out->un.sun_path[0] = '\0';
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
}

static socklen_t parse(const char *text, union address *out)
{
    char host[64];
    const char *colon = strrchr(text, ':');
    memset(out, 0, sizeof *out);
    if (strncmp(text, "unix:", 5) == 0)
        return parse_unix(text + 5, out);
    CHECK(colon != NULL && (size_t)(colon - text) < sizeof host);
    in_port_t port = htons((in_port_t)strtoul(colon + 1, NULL, 10));
    bool is_6 = text[0] == '[';
    snprintf(host, sizeof host, "%.*s", (int)(colon - text) - 2 * is_6, text + is_6);
    if (is_6) {
        out->in6.sin6_family = AF_INET6;
        out->in6.sin6_port = port;
        CHECK(inet_pton(AF_INET6, host, &out->in6.sin6_addr) == 1);
        return sizeof out->in6;
    }
    out->in.sin_family = AF_INET;
    out->in.sin_port = port;
    CHECK(inet_pton(AF_INET, host, &out->in.sin_addr) == 1);
    return sizeof out->in;
}

static int open_socket(int family)
{
    struct timeval limit = {.tv_sec = DEADLINE_MS / 1000};
    int one = 1;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) == 0);
    if (family != AF_UNIX)
        CHECK(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0);
    return fd;
}

/* A connect that a signal interrupts goes on by itself; another call tells how it ended. */
static int finish_connect(int fd, const union address *address, socklen_t n)
{
    const int64_t give_up_at = now_ms() + DEADLINE_MS;
    while (connect(fd, &address->any, n) != 0) {
        if (errno == EISCONN)
            return 0;
        if (errno != EINTR && errno != EALREADY && errno != EAGAIN)
            return -errno;
        CHECK(now_ms() < give_up_at);
        sched_yield();
    }
    return 0;
}

static int dial(const char *text, int receive_bytes)
{
    union address address;
    socklen_t n = parse(text, &address);
    int fd = open_socket(address.any.sa_family);
    if (receive_bytes > 0)
        CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes) == 0);
    int status = finish_connect(fd, &address, n);
    if (status == 0)
        return fd;
    close(fd);
    return status;
}

int client_try_dial(const char *address)
{
    return dial(address, 0);
}

int client_dial(const char *address)
{
    int fd = dial(address, 0);
    CHECK(fd >= 0);
    return fd;
}

int client_dial_narrow(const char *address, int receive_bytes)
{
    int fd = dial(address, receive_bytes);
    CHECK(fd >= 0);
    return fd;
}

size_t client_try_send(int fd, const void *data, size_t n)
{
    size_t done = 0;
    while (done < n) {
        ssize_t sent = send(fd, (const char *)data + done, n - done, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        CHECK(sent >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK));
        if (sent < 0)
            break;
        done += (size_t)sent;
    }
    return done;
}

void client_send(int fd, const void *data, size_t n)
{
    CHECK(client_try_send(fd, data, n) == n);
}

size_t client_send_until_it_stands(int fd, const void *data, size_t n)
{
    size_t done = 0;
    for (int64_t last = now_ms(); done < n && now_ms() - last < 500;) {
        ssize_t sent = send(fd, (const char *)data + done, n - done, MSG_DONTWAIT | MSG_NOSIGNAL);
        CHECK(sent > 0 || errno == EAGAIN || errno == EINTR);
        if (sent > 0) {
            done += (size_t)sent;
            last = now_ms();
        }
    }
    return done;
}

/* Bytes, 0 at the end, or -errno; a deadline that passes fails the test. */
static ssize_t receive(int fd, void *into, size_t n)
{
    for (;;) {
        ssize_t got = recv(fd, into, n, 0);
        if (got >= 0)
            return got;
        CHECK(errno != EAGAIN && errno != EWOULDBLOCK);
        if (errno != EINTR)
            return -errno;
    }
}

/* Up to n bytes; what stopped it before: 0 at the end, or -errno. */
static size_t receive_all(int fd, void *into, size_t n, ssize_t *stopped_by)
{
    size_t done = 0;
    *stopped_by = 0;
    while (done < n) {
        ssize_t got = receive(fd, (char *)into + done, n - done);
        *stopped_by = got;
        if (got <= 0)
            break;
        done += (size_t)got;
    }
    return done;
}

size_t client_receive(int fd, void *into, size_t n)
{
    ssize_t stopped_by;
    size_t done = receive_all(fd, into, n, &stopped_by);
    CHECK(stopped_by >= 0);
    return done;
}

size_t client_try_receive(int fd, void *into, size_t n)
{
    ssize_t stopped_by;
    return receive_all(fd, into, n, &stopped_by);
}

bool client_sees_end(int fd)
{
    char byte;
    return receive(fd, &byte, 1) == 0;
}

static ssize_t drain(int fd, size_t *bytes)
{
    char sink[16384];
    ssize_t got;
    while ((got = receive(fd, sink, sizeof sink)) > 0)
        *bytes += (size_t)got;
    return got;
}

bool client_sees_reset(int fd)
{
    size_t bytes = 0;
    return (fd < 0 ? fd : drain(fd, &bytes)) == -ECONNRESET;
}

size_t client_drain(int fd)
{
    size_t bytes = 0;
    (void)drain(fd, &bytes);
    return bytes;
}

void client_end_sending(int fd)
{
    CHECK(shutdown(fd, SHUT_WR) == 0);
}

void client_close(int fd)
{
    CHECK(close(fd) == 0);
}

void client_reset(int fd)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    CHECK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now) == 0);
    CHECK(close(fd) == 0);
}
