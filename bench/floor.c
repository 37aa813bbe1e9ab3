/* The floor that figures are ratios of: bytes back by one thread with epoll(7), no frames, no
 * buffers, no library; or a constant answer for every head of HTTP. Less than this a server cannot
 * do with these system calls. */
#define _GNU_SOURCE /* NOLINT(readability-identifier-naming): the C library's name for it */
#include "flags.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_MAX 512
#define BACKLOG    4096

static char bytes[65536];

/* As long as what the example answers. */
static const char answer[] = "HTTP/1.1 200 OK\r\nDate: Mon, 23 Nov 2026 00:00:00 GMT\r\n"
                             "Content-Type: text/plain; charset=utf-8\r\n"
                             "Content-Length: 13\r\n\r\nHello, World!";
#define ANSWER_BYTES (sizeof answer - 1)
static char answers[sizeof bytes / 4 * ANSWER_BYTES];

static _Noreturn void fail(const char *what)
{
    perror(what);
    exit(1);
}

static int open_listener(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0)
        fail("floor: socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(fd, (struct sockaddr *)&address, n) != 0 || listen(fd, BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &n) != 0)
        fail("floor: listen");
    printf("listening on 127.0.0.1:%u (floor)\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static void watch(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        fail("floor: epoll_ctl");
}

static void accept_all(int epoll, int listener)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        watch(epoll, fd);
    }
    if (errno != EAGAIN)
        fail("floor: accept");
}

static void echo(int fd)
{
    ssize_t n = recv(fd, bytes, sizeof bytes, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN)) {
        close(fd);
        return;
    }
    /* It has nowhere to keep what the socket does not take: a closed loop of messages that fit the
     * socket's buffer never gets there. */
    if (n > 0 && send(fd, bytes, (size_t)n, MSG_NOSIGNAL) != n)
        fail("floor: send took only a part");
}

/* A head that is not whole in what was received is lost: the load sends them at once. */
static void answer_heads(int fd)
{
    ssize_t n = recv(fd, bytes, sizeof bytes, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN)) {
        close(fd);
        return;
    }
    size_t len = 0;
    const char *at = bytes;
    while (n > 0 && (at = memmem(at, (size_t)(bytes + n - at), "\r\n\r\n", 4)) != NULL) {
        memcpy(answers + len, answer, ANSWER_BYTES);
        len += ANSWER_BYTES;
        at += 4;
    }
    if (len > 0 && send(fd, answers, len, MSG_NOSIGNAL) != (ssize_t)len)
        fail("floor: send took only a part");
}

int main(int argc, char **argv)
{
    uint32_t port = 0;
    bool is_http = false;
    const struct flag flags[] = {{.name = "--port",
                                  .value = "N",
                                  .help = "on 127.0.0.1; 0: a free one (0)",
                                  .parse = flag_number,
                                  .into = &port,
                                  .max = UINT16_MAX},
                                 {.name = "--http",
                                  .help = "a constant answer for every head, instead of the bytes",
                                  .parse = flag_switch,
                                  .into = &is_http}};
    const struct flag_set set = {.program = "floor",
                                 .summary = "Sends bytes back as cheaply as epoll allows.",
                                 .flags = flags,
                                 .count = sizeof flags / sizeof flags[0]};
    flags_parse(&set, argc, argv);
    int listener = open_listener((uint16_t)port);
    int epoll = epoll_create1(0);
    if (epoll < 0)
        fail("floor: epoll_create1");
    watch(epoll, listener);
    for (;;) {
        struct epoll_event events[EVENTS_MAX];
        int n = epoll_wait(epoll, events, EVENTS_MAX, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == listener)
                accept_all(epoll, listener);
            else if (is_http)
                answer_heads(events[i].data.fd);
            else
                echo(events[i].data.fd);
        }
    }
}
