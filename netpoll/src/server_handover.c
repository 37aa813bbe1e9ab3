/* Listeners on their way to another process, over a unix socket: one record for each, with its
 * descriptor, and an answer when the other process listens on all. Blocking; not a poller. */
#include "clock.h"
#include "listener.h"
#include "runtime.h"
#include "server.h"

#include <mcache/mcache.h>
#include <netpoll/error.h>
#include <netpoll/restart.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAGIC "nplist1"
/* Most sockets that are believed. */
#define SOCKETS_MAX 65536U

/* Both processes are on one machine: its own order of bytes. */
struct record {
    char magic[sizeof MAGIC];
    uint32_t count; /* of all records */
    uint32_t index;
    uint32_t keeps;
    uint32_t is_first;
    char path[sizeof((struct np_listen_socket *)NULL)->path];
};

struct answer {
    char magic[sizeof MAGIC];
    int32_t status;
};

/* The other process, and how long it has. */
struct peer {
    int fd;
    bool has_deadline;
    struct timespec deadline;
};

static int init_peer(struct peer *peer, int fd, int64_t timeout_ms)
{
    *peer = (struct peer){.fd = fd, .has_deadline = timeout_ms != NETPOLL_TIMEOUT_NONE};
    if (timeout_ms < NETPOLL_TIMEOUT_NONE || timeout_ms > NETPOLL_TIMEOUT_MS_MAX)
        return -EINVAL;
    peer->deadline = np_clock_in(timeout_ms);
    /* poll(2) would wait for nothing. */
    return fcntl(fd, F_GETFD) < 0 ? -errno : 0;
}

/* 0, -ETIMEDOUT or -errno. */
static int wait_for(const struct peer *peer, short events)
{
    struct pollfd pollfd = {.fd = peer->fd, .events = events};
    for (;;) {
        int64_t left_ms = peer->has_deadline ? np_clock_ms_until(&peer->deadline) : -1;
        int n = poll(&pollfd, 1, (int)left_ms);
        if (n > 0)
            return 0;
        if (n == 0)
            return -ETIMEDOUT;
        if (errno != EINTR)
            return -errno;
    }
}

/* Room for one descriptor beside the bytes; aligned as the kernel has it. */
union control {
    struct cmsghdr head;
    char bytes[CMSG_SPACE(sizeof(int))];
};

/* Puts the descriptor, if there is one, beside the first byte. */
static int send_all(const struct peer *peer, const void *data, size_t n, int passed)
{
    union control control = {{0}};
    const char *from = data;
    while (n > 0) {
        struct iovec iov = {.iov_base = (void *)from, .iov_len = n};
        struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
        if (passed >= 0) {
            message.msg_control = &control;
            message.msg_controllen = sizeof control;
            control.head = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof passed),
                                            .cmsg_level = SOL_SOCKET,
                                            .cmsg_type = SCM_RIGHTS};
            memcpy(CMSG_DATA(&control.head), &passed, sizeof passed);
        }
        int status = wait_for(peer, POLLOUT);
        if (status != 0)
            return status;
        ssize_t sent = sendmsg(peer->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN && errno != EINTR)
            return errno == ECONNRESET ? -EPIPE : -errno;
        if (sent > 0) {
            passed = -1;
            from += sent;
            n -= (size_t)sent;
        }
    }
    return 0;
}

/* What came beside the bytes; one descriptor is kept, for more there is no room. */
static void take_passed(struct msghdr *message, int *passed)
{
    for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head != NULL;
         head = CMSG_NXTHDR(message, head)) {
        int fd = -1;
        if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS ||
            head->cmsg_len < CMSG_LEN(sizeof fd))
            continue;
        memcpy(&fd, CMSG_DATA(head), sizeof fd);
        if (*passed >= 0)
            close(fd);
        else
            *passed = fd;
    }
}

/* Fails with -EPIPE at the end. *passed: -1, or what the caller is to close also on failure. */
static int receive_all(const struct peer *peer, void *into, size_t n, int *passed)
{
    union control control;
    char *to = into;
    *passed = -1;
    while (n > 0) {
        struct iovec iov = {.iov_base = to, .iov_len = n};
        struct msghdr message = {.msg_iov = &iov,
                                 .msg_iovlen = 1,
                                 .msg_control = &control,
                                 .msg_controllen = sizeof control};
        int status = wait_for(peer, POLLIN);
        if (status != 0)
            return status;
        ssize_t got = recvmsg(peer->fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno == ECONNRESET))
            return -EPIPE;
        if (got < 0 && errno != EAGAIN && errno != EINTR)
            return -errno;
        if (got > 0) {
            take_passed(&message, passed);
            to += got;
            n -= (size_t)got;
        }
    }
    return 0;
}

/* The sockets of a server, outside its mutex. */
struct handed {
    struct record record;
    int fd;
};

static void close_handed(struct handed *handed, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        close(handed[i].fd);
    mcache_free(handed);
}

static struct record make_record(const struct np_listener *listener, uint32_t index, uint32_t count)
{
    struct record record = {.magic = MAGIC,
                            .count = count,
                            .index = index,
                            .keeps = listener->socket.keeps,
                            .is_first = listener->socket.is_first};
    memcpy(record.path, listener->socket.path, sizeof record.path);
    return record;
}

/* Under the mutex. */
static int copy_listeners(const struct netpoll_server *server, struct handed **out, uint32_t *count)
{
    if (server->stopping)
        return -ESHUTDOWN;
    if (server->socket_count == 0)
        return -ENOENT;
    struct handed *handed = mcache_alloc(server->socket_count * sizeof *handed);
    if (handed == NULL)
        return -ENOMEM;
    *count = 0;
    for (const struct np_listener *listener = server->listeners; listener != NULL;
         listener = listener->next) {
        struct handed *one = &handed[*count];
        one->record = make_record(listener, *count, server->socket_count);
        one->fd = fcntl(listener->fd.fd, F_DUPFD_CLOEXEC, 0);
        if (one->fd < 0) {
            int status = -errno;
            close_handed(handed, *count);
            return status;
        }
        ++*count;
    }
    *out = handed;
    return 0;
}

static int await_answer(const struct peer *peer)
{
    struct answer answer;
    int passed;
    int status = receive_all(peer, &answer, sizeof answer, &passed);
    if (passed >= 0)
        close(passed);
    if (status != 0)
        return status;
    if (memcmp(answer.magic, MAGIC, sizeof MAGIC) != 0 || answer.status > 0)
        return -EPROTO;
    return answer.status;
}

int netpoll_server_hand_over(struct netpoll_server *server, int unix_fd, int64_t timeout_ms)
{
    struct peer peer;
    struct handed *handed = NULL;
    uint32_t count = 0;
    int status = np_server_check_caller(server);
    if (status == 0)
        status = init_peer(&peer, unix_fd, timeout_ms);
    if (status != 0)
        return status;
    pthread_mutex_lock(&server->group.mutex);
    status = copy_listeners(server, &handed, &count);
    pthread_mutex_unlock(&server->group.mutex);
    if (handed == NULL)
        return status;
    for (uint32_t i = 0; i < count && status == 0; i++)
        status = send_all(&peer, &handed[i].record, sizeof handed[i].record, handed[i].fd);
    /* What the other process cannot take, it says before it has read all. */
    if (status == 0 || status == -EPIPE)
        status = await_answer(&peer);
    close_handed(handed, count);
    return status == 0 ? netpoll_server_set_shared(server, true) : status;
}

/* A record as it must be, of sockets as they must be. */
static int check_record(const struct record *record, uint32_t index, uint32_t count, int fd,
                        struct np_listen_socket *out)
{
    if (memcmp(record->magic, MAGIC, sizeof MAGIC) != 0 || record->index != index || fd < 0 ||
        record->count == 0 || record->count > SOCKETS_MAX ||
        (index > 0 && record->count != count) || (index == 0 && record->is_first == 0) ||
        memchr(record->path, '\0', sizeof record->path) == NULL || np_listen_check(fd, out) != 0)
        return -EPROTO;
    out->is_taken = true;
    out->is_first = record->is_first != 0;
    out->keeps = record->keeps != 0;
    memcpy(out->path, record->path, sizeof out->path);
    return 0;
}

static int receive_socket(const struct peer *peer, uint32_t index, uint32_t *count,
                          struct np_listen_socket *out)
{
    struct record record;
    int fd;
    int status = receive_all(peer, &record, sizeof record, &fd);
    if (status == 0)
        status = check_record(&record, index, *count, fd, out);
    if (status == 0)
        status = np_listen_prepare(fd);
    if (status != 0) {
        if (fd >= 0)
            close(fd);
        return status;
    }
    *count = record.count;
    return 0;
}

static int add_taken(struct netpoll_server *server, struct np_listen_socket *socket)
{
    /* How the other process balanced is not how this one does. */
    socket->keeps = socket->keeps && server->options.balancing == NETPOLL_BALANCING_PER_POLLER;
    pthread_mutex_lock(&server->group.mutex);
    int status = np_server_add_socket(server, socket);
    pthread_mutex_unlock(&server->group.mutex);
    return status;
}

/* The sockets that were added after the first so many are ours from here on, or go, on failure. */
static void settle(struct netpoll_server *server, uint32_t before, int status)
{
    pthread_mutex_lock(&server->group.mutex);
    if (status != 0)
        np_server_drop_sockets(server, before);
    /* Those that a shutdown is ending are left to it, and the other process goes on with them. */
    struct np_listener *listener = status == 0 ? server->listeners : NULL;
    for (uint32_t i = 0; listener != NULL; i++, listener = listener->next) {
        if (i >= before)
            listener->socket.is_shared = false;
    }
    pthread_mutex_unlock(&server->group.mutex);
}

/* Under the mutex of changes. Sockets or -errno. */
static int take_over(struct netpoll_server *server, const struct peer *peer)
{
    struct answer answer = {.magic = MAGIC};
    struct np_listen_socket socket;
    uint32_t before = server->socket_count;
    uint32_t count = 1;
    for (uint32_t i = 0; i < count && answer.status == 0; i++) {
        answer.status = receive_socket(peer, i, &count, &socket);
        if (answer.status == 0)
            answer.status = add_taken(server, &socket);
    }
    settle(server, before, answer.status);
    /* If it has gone it listens no more, and what it gave is here. */
    (void)!send_all(peer, &answer, sizeof answer, -1);
    return answer.status == 0 ? (int)count : answer.status;
}

int netpoll_server_take_over(struct netpoll_server *server, int unix_fd, int64_t timeout_ms)
{
    struct peer peer;
    int status = np_server_check_caller(server);
    if (status == 0)
        status = init_peer(&peer, unix_fd, timeout_ms);
    if (status != 0)
        return status;
    pthread_mutex_lock(&server->listening);
    uint32_t before = server->listener_count;
    status = take_over(server, &peer);
    pthread_mutex_unlock(&server->listening);
    if (status > 0)
        np_server_log_listeners(server, before);
    return status;
}
