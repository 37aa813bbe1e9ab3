/* Both ways to replace a server without a connection refused or lost; see docs/restart.md. */
#define _GNU_SOURCE /* NOLINT(readability-identifier-naming): the C library's name for it */
#include "restart.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HANDOVER_MS 5000
#define SOCKETS_MAX 1024
#define RETRY_NS    100000000L
/* The first descriptor that is passed: sd_listen_fds(3). */
#define PASSED_FIRST 3
#define PID_DIGITS   10
/* Whom the new process tells that it serves; only its parent is believed. */
#define REPLACES "SERVER_REPLACES"

/* One way: a new process asks. */

static int open_unix(const char *path, struct sockaddr_un *out)
{
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof out->sun_path)
        return -ENAMETOOLONG;
    memcpy(out->sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd < 0 ? -errno : fd;
}

/* Sockets; 0 when nobody waits at path. */
static int take_over(struct netpoll_server *server, const char *path)
{
    struct sockaddr_un address;
    int fd = open_unix(path, &address);
    if (fd < 0)
        return fd;
    int status = 0;
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
        status = netpoll_server_take_over(server, fd, HANDOVER_MS);
    else if (errno != ENOENT && errno != ECONNREFUSED)
        status = -errno;
    close(fd);
    return status;
}

int restart_take(struct netpoll_server *server, const char *path)
{
    int activated = netpoll_server_listen_activated(server);
    if (activated < 0 || path == NULL)
        return activated;
    int taken = take_over(server, path);
    return taken < 0 ? taken : activated + taken;
}

/* Whoever gets the listeners gets our clients. */
static bool is_trusted(int fd)
{
    struct ucred peer;
    socklen_t n = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 && peer.uid == geteuid();
}

static void *wait_for_successor(void *arg)
{
    struct restart *restart = arg;
    while (!restart->handed_over) {
        int fd = accept4(restart->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0 && errno == EINVAL)
            return NULL; /* restart_end() has shut it down */
        if (fd < 0) {
            /* Without descriptors, for example: that passes. */
            (void)nanosleep(&(struct timespec){.tv_nsec = RETRY_NS}, NULL);
            continue;
        }
        int status =
            is_trusted(fd) ? netpoll_server_hand_over(restart->server, fd, HANDOVER_MS) : -EPERM;
        close(fd);
        if (status != 0)
            fprintf(stderr, "a handover failed: %s\n", netpoll_strerror(status));
        restart->handed_over = status == 0;
    }
    kill(getpid(), SIGTERM);
    return NULL;
}

/* Under another name first: whoever looks for path finds the old process or the new one. */
static int listen_at(const char *path)
{
    struct sockaddr_un address;
    char name[sizeof address.sun_path + 1];
    int n = snprintf(name, sizeof name, "%s.%d", path, (int)getpid());
    int fd = n < (int)sizeof name ? open_unix(name, &address) : -ENAMETOOLONG;
    if (fd < 0)
        return fd;
    (void)unlink(name);
    if (bind(fd, (const struct sockaddr *)&address, sizeof address) == 0) {
        if (chmod(name, S_IRUSR | S_IWUSR) == 0 && listen(fd, 1) == 0 && rename(name, path) == 0)
            return fd;
        (void)unlink(name);
    }
    int status = -errno;
    close(fd);
    return status;
}

int restart_begin(struct restart *restart, struct netpoll_server *server, const char *path)
{
    restart->server = server;
    restart->path = path;
    if (path == NULL)
        return 0;
    restart->listener = listen_at(path);
    if (restart->listener < 0)
        return restart->listener;
    int error = pthread_create(&restart->thread, NULL, wait_for_successor, restart);
    if (error != 0) {
        close(restart->listener);
        return -error;
    }
    restart->waits = true;
    return 0;
}

void restart_end(struct restart *restart)
{
    if (!restart->waits)
        return;
    shutdown(restart->listener, SHUT_RDWR);
    pthread_join(restart->thread, NULL);
    close(restart->listener);
    if (!restart->handed_over)
        (void)unlink(restart->path);
    restart->waits = false;
}

/* The other: this process starts the new one. */

/* What the child needs is made before fork(2): after it, in a process with threads, little may be
 * called, see signal-safety(7). */
struct start {
    char **argv;
    char **environment;
    char pid[sizeof "LISTEN_PID=" + PID_DIGITS];
    char count[32];
    char replaces[64];
    int fds[SOCKETS_MAX];
    int fd_count;
};

static bool is_ours(const char *variable)
{
    static const char *const ours[] = {
        "LISTEN_PID=", "LISTEN_FDS=", "LISTEN_FDNAMES=", REPLACES "="};
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
        if (strncmp(variable, ours[i], strlen(ours[i])) == 0)
            return true;
    }
    return false;
}

static int make_environment(struct start *start)
{
    size_t count = 0;
    size_t used = 0;
    while (environ[count] != NULL)
        count++;
    start->environment = malloc((count + 4) * sizeof *start->environment);
    if (start->environment == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        if (!is_ours(environ[i]))
            start->environment[used++] = environ[i];
    }
    snprintf(start->count, sizeof start->count, "LISTEN_FDS=%d", start->fd_count);
    snprintf(start->replaces, sizeof start->replaces, REPLACES "=%d", (int)getpid());
    start->environment[used++] = start->count;
    start->environment[used++] = start->replaces;
    start->environment[used++] = start->pid;
    start->environment[used] = NULL;
    return 0;
}

/* snprintf(3) is not among what may be called in the child. */
static void write_pid(char *out, pid_t pid)
{
    char digits[PID_DIGITS];
    size_t n = 0;
    for (; n == 0 || pid > 0; pid /= 10)
        digits[n++] = (char)('0' + pid % 10);
    memcpy(out, "LISTEN_PID=", sizeof "LISTEN_PID=");
    out += sizeof "LISTEN_PID=" - 1;
    while (n > 0)
        *out++ = digits[--n];
    *out = '\0';
}

static void run_successor(struct start *start)
{
    int above = PASSED_FIRST + start->fd_count;
    write_pid(start->pid, getpid());
    /* Out of the way first: one may have another's number. */
    for (int i = 0; i < start->fd_count; i++) {
        start->fds[i] = fcntl(start->fds[i], F_DUPFD_CLOEXEC, above);
        if (start->fds[i] < 0)
            _exit(1);
    }
    for (int i = 0; i < start->fd_count; i++) {
        if (dup2(start->fds[i], PASSED_FIRST + i) < 0)
            _exit(1);
    }
    execvpe(start->argv[0], start->argv, start->environment);
    _exit(1);
}

static int fork_successor(struct restart *restart, struct start *start)
{
    /* From here on who waits is not lost, whoever ends first. */
    int status = netpoll_server_set_shared(restart->server, true);
    if (status != 0)
        return status;
    pid_t child = fork();
    if (child == 0)
        run_successor(start);
    if (child < 0) {
        status = -errno;
        (void)!netpoll_server_set_shared(restart->server, false);
        return status;
    }
    restart->successor = child;
    return 0;
}

int restart_start_successor(struct restart *restart, char **argv)
{
    static struct start start;
    if (restart->successor != 0)
        return 0;
    start.argv = argv;
    start.fd_count = netpoll_server_dup_listeners(restart->server, start.fds, SOCKETS_MAX);
    if (start.fd_count < 0)
        return start.fd_count;
    int status = make_environment(&start);
    if (status == 0)
        status = fork_successor(restart, &start);
    for (int i = 0; i < start.fd_count; i++)
        close(start.fds[i]);
    free(start.environment);
    return status;
}

void restart_reap(struct restart *restart)
{
    pid_t child;
    while ((child = waitpid(-1, NULL, WNOHANG)) > 0) {
        if (child != restart->successor)
            continue;
        fprintf(stderr, "the new process has ended; this one goes on\n");
        restart->successor = 0;
        (void)!netpoll_server_set_shared(restart->server, false);
    }
}

void restart_tell_predecessor(void)
{
    const char *text = getenv(REPLACES);
    if (text != NULL && strtol(text, NULL, 10) == (long)getppid())
        kill(getppid(), SIGTERM);
}
