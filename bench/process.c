/* Processes under measurement, by fork(2) and /proc. */
#define _GNU_SOURCE /* NOLINT(readability-identifier-naming): the C library's name for it */
#include "process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGS_MAX      16
#define STATUS_NO_RUN 127 /* as a shell says it */

int process_pick_cpus(unsigned cpus[2])
{
    cpu_set_t allowed;
    int found = 0;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return -errno;
    for (unsigned cpu = 0; cpu < CPU_SETSIZE && found < 2; cpu++) {
        if (CPU_ISSET(cpu, &allowed))
            cpus[found++] = cpu;
    }
    return found == 2 ? 0 : -ENODEV;
}

static int pin(const struct process_cpus *cpus)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    for (size_t i = 0; i < cpus->count; i++)
        CPU_SET(cpus->ids[i], &set);
    return sched_setaffinity(0, sizeof set, &set) == 0 ? 0 : -errno;
}

int process_pin(unsigned cpu)
{
    return pin(&(struct process_cpus){.ids = &cpu, .count = 1});
}

/* Path of a file given relative to the folder of the own executable. */
static int find_sibling(const char *relative, char *out, size_t size)
{
    char own[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", own, sizeof own - 1);
    if (n < 0)
        return -errno;
    own[n] = '\0';
    *strrchr(own, '/') = '\0';
    int written = snprintf(out, size, "%s/%s", own, relative);
    return written > 0 && (size_t)written < size ? 0 : -ENAMETOOLONG;
}

static _Noreturn void become(const char *path, const char *const *args,
                             const struct process_cpus *cpus, int out)
{
    const char *argv[ARGS_MAX + 2] = {path};
    for (int i = 0; i < ARGS_MAX && args[i] != NULL; i++)
        argv[i + 1] = args[i];
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if ((cpus == NULL || pin(cpus) == 0) && dup2(out, STDOUT_FILENO) >= 0)
        execv(path, (char *const *)argv);
    fprintf(stderr, "bench: cannot start %s: %s\n", path, strerror(errno));
    _exit(STATUS_NO_RUN);
}

/* Starts a program, where this one runs unless CPUs are given; *out is where its output can be
 * read. */
static int spawn(const char *program, const char *const *args, const struct process_cpus *cpus,
                 pid_t *pid, int *out)
{
    char path[PATH_MAX];
    int pipe_ends[2];
    int status = find_sibling(program, path, sizeof path);
    if (status != 0)
        return status;
    if (pipe2(pipe_ends, O_CLOEXEC) != 0)
        return -errno;
    *pid = fork();
    if (*pid == 0)
        become(path, args, cpus, pipe_ends[1]);
    int error = errno;
    close(pipe_ends[1]);
    if (*pid < 0) {
        close(pipe_ends[0]);
        return -error;
    }
    *out = pipe_ends[0];
    return 0;
}

/* The first line that arrives, without its end; closes the descriptor. */
static int read_line(int fd, char *out, size_t size)
{
    FILE *stream = fdopen(fd, "r");
    if (stream == NULL) {
        close(fd);
        return -ENOMEM;
    }
    bool is_read = fgets(out, (int)size, stream) != NULL;
    fclose(stream);
    if (!is_read)
        return -ECHILD;
    out[strcspn(out, "\n")] = '\0';
    return 0;
}

/* The address in the first line that a server prints. */
static int read_address(int fd, char *out, size_t size)
{
    static const char prefix[] = "listening on ";
    char line[PROCESS_ADDRESS_BYTES + 128];
    int status = read_line(fd, line, sizeof line);
    if (status != 0)
        return status;
    if (strncmp(line, prefix, sizeof prefix - 1) != 0)
        return -ECHILD;
    const char *address = line + sizeof prefix - 1;
    int written = snprintf(out, size, "%.*s", (int)strcspn(address, " "), address);
    return written > 0 && (size_t)written < size ? 0 : -ECHILD;
}

static int wait_for_end(pid_t pid, int *how)
{
    while (waitpid(pid, how, 0) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    return 0;
}

int process_start(const char *program, const char *const *args, const struct process_cpus *cpus,
                  struct process *out)
{
    int how;
    int fd = -1;
    int status = spawn(program, args, cpus, &out->pid, &fd);
    if (status != 0)
        return status;
    status = read_address(fd, out->address, sizeof out->address);
    if (status == 0)
        return 0;
    kill(out->pid, SIGTERM);
    return wait_for_end(out->pid, &how) == 0 && WIFEXITED(how) && WEXITSTATUS(how) == 1 ? -ENOTSUP
                                                                                        : status;
}

int process_run(const char *program, const char *const *args, char *line, size_t size)
{
    pid_t pid = -1;
    int how;
    int fd = -1;
    int status = spawn(program, args, NULL, &pid, &fd);
    if (status != 0)
        return status;
    status = read_line(fd, line, size);
    int ended = wait_for_end(pid, &how);
    if (ended != 0)
        return ended;
    return WIFEXITED(how) && WEXITSTATUS(how) == 0 ? status : -ECHILD;
}

static int add_schedstat(int folder, const char *thread, struct process_usage *sum)
{
    char path[64];
    char text[64];
    snprintf(path, sizeof path, "%.20s/schedstat", thread);
    int fd = openat(folder, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno; /* the thread has ended */
    ssize_t n = read(fd, text, sizeof text - 1);
    int error = errno;
    close(fd);
    if (n < 0)
        return error == ESRCH ? 0 : -error;
    text[n] = '\0';
    /* Time that it ran, time that it waited for a CPU, times that it ran. */
    char *rest;
    sum->cpu_ns += strtoull(text, &rest, 10);
    (void)strtoull(rest, &rest, 10);
    sum->switches += strtoull(rest, NULL, 10);
    return 0;
}

int process_usage_read(const struct process *process, struct process_usage *out)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", (int)process->pid);
    DIR *folder = opendir(path);
    if (folder == NULL)
        return -errno;
    *out = (struct process_usage){0};
    int status = 0;
    const struct dirent *entry;
    while (status == 0 && (entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] != '.')
            status = add_schedstat(dirfd(folder), entry->d_name, out);
    }
    closedir(folder);
    return status;
}

int process_stop(const struct process *process)
{
    int how;
    kill(process->pid, SIGTERM);
    int status = wait_for_end(process->pid, &how);
    if (status != 0)
        return status;
    bool is_clean = WIFEXITED(how) && WEXITSTATUS(how) == 0;
    return is_clean || (WIFSIGNALED(how) && WTERMSIG(how) == SIGTERM) ? 0 : -ECHILD;
}
