/* The floor that figures are ratios of: bytes back by one thread with epoll(7), no frames, no
 * buffers, no library. Less than this a server cannot do with these system calls. */
#define _GNU_SOURCE /* NOLINT(readability-identifier-naming): the C library's name for it */
#include "flags.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_MAX 512
#define BACKLOG    4096

static char bytes[65536];

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

int main(int argc, char **argv)
{
    uint32_t port = 0;
    const struct flag flags[] = {{.name = "--port",
                                  .value = "N",
                                  .help = "on 127.0.0.1; 0: a free one (0)",
                                  .parse = flag_number,
                                  .into = &port,
                                  .max = UINT16_MAX}};
    const struct flag_set set = {.program = "floor",
                                 .summary = "Sends bytes back as cheaply as epoll allows.",
                                 .flags = flags,
                                 .count = 1};
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
            else
                echo(events[i].data.fd);
        }
    }
}
