/* A load of HTTP, lighter than any server. */
#define _GNU_SOURCE /* NOLINT(readability-identifier-naming): the C library's name for it */
#include "http_load.h"

#include "figures.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* As wrk sends it. */
#define REQUEST     "GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n"
#define BODY        "Hello, World!"
#define EVENTS      256
#define SAMPLES_MAX (1U << 20)
#define TIMEOUT_MS  20000

struct connection {
    int fd;
    size_t left; /* bytes of answers that are due */
    uint64_t since_ns;
};

struct http_load {
    struct http_load_options options;
    int epoll;
    size_t answer_bytes;
    char *batch; /* the pipelined requests */
    size_t batch_bytes;
    struct connection *connections;
    double *samples; /* microseconds of batches */
    size_t sample_count;
    uint64_t unsent; /* of this run */
    uint64_t done;
    char into[1 << 18];
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int dial(const char *address, int *out)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    char host[INET_ADDRSTRLEN];
    const char *port = strchr(address, ':');
    if (port == NULL || port - address >= (ptrdiff_t)sizeof host)
        return -EINVAL;
    memcpy(host, address, (size_t)(port - address));
    host[port - address] = '\0';
    if (inet_pton(AF_INET, host, &to.sin_addr) != 1)
        return -EINVAL;
    to.sin_port = htons((uint16_t)strtoul(port + 1, NULL, 10));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_sec = TIMEOUT_MS / 1000},
               sizeof(struct timeval));
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    *out = fd;
    return 0;
}

/* The bytes of one answer, from a connection that is closed afterwards. */
static int learn_answer(struct http_load *load)
{
    int fd = -1;
    size_t have = 0;
    int status = dial(load->options.address, &fd);
    if (status != 0)
        return status;
    if (send(fd, REQUEST, sizeof REQUEST - 1, MSG_NOSIGNAL) < 0)
        status = -errno;
    while (status == 0 && memmem(load->into, have, BODY, sizeof BODY - 1) == NULL) {
        ssize_t n = recv(fd, load->into + have, sizeof load->into - have, 0);
        status = n > 0 ? 0 : n == 0 ? -EPROTO : -errno;
        have += n > 0 ? (size_t)n : 0;
    }
    close(fd);
    static const char expected[] = "HTTP/1.1 200 ";
    if (status == 0 && memcmp(load->into, expected, sizeof expected - 1) != 0)
        status = -EPROTO;
    load->answer_bytes = have;
    return status;
}

static int connect_all(struct http_load *load)
{
    for (uint32_t i = 0; i < load->options.connections; i++) {
        struct connection *connection = &load->connections[i];
        int status = dial(load->options.address, &connection->fd);
        if (status != 0)
            return status;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
        if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, connection->fd, &event) != 0)
            return -errno;
    }
    return 0;
}

static int allocate(struct http_load *load)
{
    const struct http_load_options *options = &load->options;
    load->batch_bytes = (sizeof REQUEST - 1) * options->pipelined;
    load->batch = malloc(load->batch_bytes);
    load->connections = calloc(options->connections, sizeof *load->connections);
    load->samples = malloc(SAMPLES_MAX * sizeof *load->samples);
    if (load->batch == NULL || load->connections == NULL || load->samples == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < options->pipelined; i++)
        memcpy(load->batch + i * (sizeof REQUEST - 1), REQUEST, sizeof REQUEST - 1);
    for (uint32_t i = 0; i < options->connections; i++)
        load->connections[i].fd = -1;
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    return load->epoll >= 0 ? 0 : -errno;
}

int http_load_open(const struct http_load_options *options, struct http_load **out)
{
    struct http_load *load = calloc(1, sizeof *load);
    *out = load;
    if (load == NULL)
        return -ENOMEM;
    load->options = *options;
    load->epoll = -1;
    int status = allocate(load);
    if (status == 0)
        status = learn_answer(load);
    return status != 0 ? status : connect_all(load);
}

void http_load_close(struct http_load *load)
{
    if (load == NULL)
        return;
    for (uint32_t i = 0; load->connections != NULL && i < load->options.connections; i++) {
        if (load->connections[i].fd >= 0)
            close(load->connections[i].fd);
    }
    if (load->epoll >= 0)
        close(load->epoll);
    free(load->samples);
    free(load->connections);
    free(load->batch);
    free(load);
}

/* What is sent fits the socket's buffer. */
static int send_batch(struct http_load *load, struct connection *connection)
{
    uint32_t n = load->options.pipelined;
    if (load->unsent == 0)
        return 0;
    load->unsent -= load->unsent < n ? load->unsent : n;
    connection->left = load->answer_bytes * n;
    connection->since_ns = now_ns();
    ssize_t sent = send(connection->fd, load->batch, load->batch_bytes, MSG_NOSIGNAL);
    if (sent == (ssize_t)load->batch_bytes)
        return 0;
    return sent < 0 ? -errno : -EMSGSIZE;
}

static void note(struct http_load *load, const struct connection *connection)
{
    double us = (double)(now_ns() - connection->since_ns) / 1e3;
    if (load->sample_count < SAMPLES_MAX)
        load->samples[load->sample_count++] = us;
    load->done += load->options.pipelined;
}

static int receive(struct http_load *load, struct connection *connection)
{
    ssize_t n = recv(connection->fd, load->into, sizeof load->into, MSG_DONTWAIT);
    if (n <= 0)
        return n < 0 && errno == EAGAIN ? 0 : n == 0 ? -ECONNRESET : -errno;
    if ((size_t)n > connection->left)
        return -EPROTO;
    connection->left -= (size_t)n;
    if (connection->left > 0)
        return 0;
    /* Answers of another length would not end here. */
    size_t body = sizeof BODY - 1;
    if ((size_t)n < body || memcmp(load->into + n - body, BODY, body) != 0)
        return -EPROTO;
    note(load, connection);
    return send_batch(load, connection);
}

static int turn(struct http_load *load)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(load->epoll, events, EVENTS, TIMEOUT_MS);
    int status = n > 0 ? 0 : n == 0 ? -ETIMEDOUT : -errno;
    for (int i = 0; i < n && status == 0; i++)
        status = receive(load, events[i].data.ptr);
    return status;
}

int http_load_run(struct http_load *load, uint64_t requests, struct http_load_result *out)
{
    uint64_t since = now_ns();
    uint32_t n = load->options.pipelined;
    uint64_t all = (requests + n - 1) / n * n;
    int status = 0;
    load->unsent = all;
    load->done = 0;
    load->sample_count = 0;
    for (uint32_t i = 0; i < load->options.connections && status == 0; i++)
        status = send_batch(load, &load->connections[i]);
    while (status == 0 && load->done < all)
        status = turn(load);
    *out =
        (struct http_load_result){.done = load->done, .seconds = (double)(now_ns() - since) / 1e9};
    if (load->sample_count == 0)
        return status;
    out->p50_us = figures_quantile(load->samples, load->sample_count, 0.50);
    out->p99_us = figures_quantile(load->samples, load->sample_count, 0.99);
    return status;
}
