/* The closed loop. Sockets are non-blocking; a connection waits for room to send only while its
 * message is not out. */
#define _GNU_SOURCE /* NOLINT(readability-identifier-naming): the C library's name for it */
#include "load.h"

#include "connect.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX       256
#define STALL_TIMEOUT_MS 5000

struct conn {
    int fd;
    bool is_waiting_for_room;
    bool is_marked; /* the message under way */
    size_t sent;
    size_t received;
    uint64_t started_ns;
    uint64_t stamp; /* of the message under way: which connection, which message */
    char *message;
    char *answer; /* room for one message */
};

struct load {
    struct load_options options;
    int epoll;
    uint64_t random;
    struct conn *conns;
};

/* One call of load_run(). */
struct run {
    struct load *load;
    struct load_result *result;
    uint64_t requests; /* limits; UINT64_MAX: none */
    uint64_t deadline_ns;
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int set_interest(struct load *load, struct conn *conn, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = conn};
    return epoll_ctl(load->epoll, operation, conn->fd, &event) == 0 ? 0 : -errno;
}

static int open_conn(struct load *load, struct conn *conn)
{
    conn->message = malloc(load->options.size);
    conn->answer = malloc(load->options.size);
    if (conn->message == NULL || conn->answer == NULL)
        return -ENOMEM;
    memcpy(conn->message, load->options.message, load->options.size);
    conn->stamp = (uint64_t)(conn - load->conns) << 32;
    conn->fd = connect_to(load->options.address);
    if (conn->fd < 0)
        return conn->fd;
    if (fcntl(conn->fd, F_SETFL, O_NONBLOCK) != 0)
        return -errno;
    return set_interest(load, conn, EPOLL_CTL_ADD, EPOLLIN);
}

static int open_all(struct load *load)
{
    load->conns = calloc(load->options.connections, sizeof *load->conns);
    if (load->conns == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < load->options.connections; i++)
        load->conns[i].fd = -1;
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (load->epoll < 0)
        return -errno;
    int status = 0;
    for (uint32_t i = 0; i < load->options.connections && status == 0; i++)
        status = open_conn(load, &load->conns[i]);
    return status;
}

int load_open(const struct load_options *options, struct load **out)
{
    *out = NULL;
    if (options->marked_permille > 0 && options->mark_offset >= options->size)
        return -EINVAL;
    struct load *load = malloc(sizeof *load);
    if (load == NULL)
        return -ENOMEM;
    *load = (struct load){.options = *options, .epoll = -1, .random = 1};
    int status = open_all(load);
    if (status != 0) {
        load_close(load);
        return status;
    }
    *out = load;
    return 0;
}

void load_close(struct load *load)
{
    if (load == NULL)
        return;
    for (uint32_t i = 0; load->conns != NULL && i < load->options.connections; i++) {
        if (load->conns[i].fd >= 0)
            close(load->conns[i].fd);
        free(load->conns[i].message);
        free(load->conns[i].answer);
    }
    free(load->conns);
    if (load->epoll >= 0)
        close(load->epoll);
    free(load);
}

static int wait_for_room(struct load *load, struct conn *conn, bool wanted)
{
    if (conn->is_waiting_for_room == wanted)
        return 0;
    conn->is_waiting_for_room = wanted;
    return set_interest(load, conn, EPOLL_CTL_MOD, wanted ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static int go_on_sending(struct load *load, struct conn *conn)
{
    while (conn->sent < load->options.size) {
        ssize_t n = send(conn->fd, conn->message + conn->sent, load->options.size - conn->sent,
                         MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            return wait_for_room(load, conn, true);
        if (n < 0)
            return -errno;
        conn->sent += (size_t)n;
    }
    return wait_for_room(load, conn, false);
}

static void stamp(const struct load_options *options, struct conn *conn)
{
    if (options->stamp_offset >= options->size)
        return;
    size_t room = options->size - options->stamp_offset;
    size_t n = room < sizeof conn->stamp ? room : sizeof conn->stamp;
    conn->stamp++;
    memcpy(conn->message + options->stamp_offset, &conn->stamp, n);
}

/* The next number of Marsaglia's xorshift64. */
static uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void mark(struct load *load, struct conn *conn)
{
    if (load->options.marked_permille == 0)
        return;
    conn->is_marked = random_next(&load->random) % 1000 < load->options.marked_permille;
    conn->message[load->options.mark_offset] = (char)conn->is_marked;
}

static int start_request(struct run *run, struct conn *conn, uint64_t now)
{
    if (run->result->sent == run->requests || now >= run->deadline_ns)
        return 0;
    run->result->sent++;
    stamp(&run->load->options, conn);
    mark(run->load, conn);
    conn->sent = 0;
    conn->received = 0;
    conn->started_ns = now;
    return go_on_sending(run->load, conn);
}

static int finish_request(struct run *run, struct conn *conn)
{
    size_t size = run->load->options.size;
    if (conn->sent < size || memcmp(conn->answer, conn->message, size) != 0)
        return -EBADMSG;
    uint64_t now = now_ns();
    latency_add(conn->is_marked ? &run->result->marked : &run->result->latency,
                now - conn->started_ns);
    run->result->done++;
    return start_request(run, conn, now);
}

static int receive(struct run *run, struct conn *conn)
{
    size_t size = run->load->options.size;
    /* With the answer complete there is no room: a byte more is refused as a wrong answer. */
    if (conn->received == size)
        return -EBADMSG;
    ssize_t n = recv(conn->fd, conn->answer + conn->received, size - conn->received, 0);
    if (n < 0)
        return errno == EAGAIN ? 0 : -errno;
    if (n == 0)
        return -ECONNRESET;
    conn->received += (size_t)n;
    return conn->received == size ? finish_request(run, conn) : 0;
}

static int serve(struct run *run, const struct epoll_event *event)
{
    struct conn *conn = event->data.ptr;
    int status = 0;
    if ((event->events & EPOLLOUT) != 0)
        status = go_on_sending(run->load, conn);
    if (status == 0 && (event->events & ~(uint32_t)EPOLLOUT) != 0)
        status = receive(run, conn);
    return status;
}

static int start_all(struct run *run)
{
    int status = 0;
    for (uint32_t i = 0; i < run->load->options.connections && status == 0; i++)
        status = start_request(run, &run->load->conns[i], now_ns());
    return status;
}

static int loop(struct run *run)
{
    struct epoll_event events[EVENTS_MAX];
    int status = start_all(run);
    while (status == 0 && run->result->done < run->result->sent) {
        int n = epoll_wait(run->load->epoll, events, EVENTS_MAX, STALL_TIMEOUT_MS);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n == 0 ? -ETIMEDOUT : -errno;
        for (int i = 0; i < n && status == 0; i++)
            status = serve(run, &events[i]);
    }
    return status;
}

int load_run(struct load *load, struct load_limit limit, struct load_result *out)
{
    uint64_t start = now_ns();
    *out = (struct load_result){0};
    struct run run = {
        .load = load,
        .result = out,
        .requests = limit.requests != 0 ? limit.requests : UINT64_MAX,
        .deadline_ns =
            limit.seconds != 0 ? start + (uint64_t)limit.seconds * 1000000000 : UINT64_MAX,
    };
    int status = loop(&run);
    out->seconds = (double)(now_ns() - start) / 1e9;
    return status;
}
