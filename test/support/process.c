/* /proc, wait(2) and seccomp(2). */
#include "process.h"

#include "check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

void for_each_descriptor(void (*fn)(int fd, void *arg), void *arg)
{
    DIR *dir = opendir("/proc/self/fd");
    CHECK(dir != NULL);
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        int fd = (int)strtol(entry->d_name, NULL, 10);
        if (entry->d_name[0] != '.' && fd != dirfd(dir))
            fn(fd, arg);
    }
    closedir(dir);
}

static void count_one(int fd, void *arg)
{
    (void)fd;
    ++*(size_t *)arg;
}

size_t descriptor_count(void)
{
    size_t count = 0;
    for_each_descriptor(count_one, &count);
    return count;
}

bool is_close_on_exec(int fd)
{
    char path[64];
    char line[128];
    unsigned long flags = 0;
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    FILE *info = fopen(path, "re");
    CHECK(info != NULL);
    while (fgets(line, sizeof line, info) != NULL) {
        if (strncmp(line, "flags:", 6) == 0)
            flags = strtoul(line + 6, NULL, 8);
    }
    fclose(info);
    return (flags & O_CLOEXEC) != 0;
}

struct search {
    struct sockaddr_storage address;
    socklen_t len;
    int found;
};

static void compare_peer(int fd, void *arg)
{
    struct search *search = arg;
    struct sockaddr_storage peer;
    socklen_t len = sizeof peer;
    if (getpeername(fd, (struct sockaddr *)&peer, &len) == 0 && len == search->len &&
        memcmp(&peer, &search->address, len) == 0)
        search->found = fd;
}

int peer_descriptor(int client)
{
    struct search search = {.len = sizeof search.address, .found = -1};
    CHECK(getsockname(client, (struct sockaddr *)&search.address, &search.len) == 0);
    for_each_descriptor(compare_peer, &search);
    return search.found;
}

void for_each_thread(void (*fn)(pid_t thread, void *arg), void *arg)
{
    DIR *dir = opendir("/proc/self/task");
    CHECK(dir != NULL);
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        if (entry->d_name[0] != '.')
            fn((pid_t)strtol(entry->d_name, NULL, 10), arg);
    }
    closedir(dir);
}

struct name_search {
    const char *prefix;
    pid_t found;
};

static void compare_name(pid_t thread, void *arg)
{
    struct name_search *search = arg;
    char path[64];
    char name[32] = "";
    snprintf(path, sizeof path, "/proc/self/task/%d/comm", (int)thread);
    FILE *comm = fopen(path, "re");
    if (comm == NULL)
        return; /* it has just ended */
    if (fgets(name, sizeof name, comm) != NULL &&
        strncmp(name, search->prefix, strlen(search->prefix)) == 0)
        search->found = thread;
    fclose(comm);
}

pid_t thread_named(const char *prefix)
{
    struct name_search search = {.prefix = prefix, .found = -1};
    for_each_thread(compare_name, &search);
    return search.found;
}

bool is_thread_named(const char *prefix)
{
    char name[32];
    CHECK(pthread_getname_np(pthread_self(), name, sizeof name) == 0);
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

int run_in_child(void (*fn)(void *arg), void *arg, char *output, size_t size)
{
    int fds[2];
    int status;
    size_t length = 0;
    ssize_t got;
    CHECK(pipe2(fds, O_CLOEXEC) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        /* A test framework's own handler would report a crash; here the plain end is wanted. */
        signal(SIGABRT, SIG_DFL);
        dup2(fds[1], STDERR_FILENO);
        fn(arg);
        _exit(0);
    }
    close(fds[1]);
    while (length < size - 1 && (got = read(fds[0], output + length, size - 1 - length)) > 0)
        length += (size_t)got;
    output[length] = '\0';
    close(fds[0]);
    CHECK(waitpid(child, &status, 0) == child);
    return status;
}

void refuse_system_call(long number, int error)
{
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ((unsigned)error & SECCOMP_RET_DATA)),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {.len = sizeof program / sizeof program[0], .filter = program};
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0);
}
