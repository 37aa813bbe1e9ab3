#include "child.h"

#include <criterion/criterion.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void be_child(void (*fn)(void), const int ends[2])
{
    struct rlimit no_core = {0, 0};

    (void)setrlimit(RLIMIT_CORE, &no_core);
    (void)dup2(ends[1], STDERR_FILENO);
    (void)close(ends[0]);
    (void)close(ends[1]);
    fn();
    _exit(0);
}

int child_run(void (*fn)(void), char *text, size_t size)
{
    int ends[2];
    int status;
    pid_t pid;
    size_t length = 0;
    ssize_t n;
    char rest[256];

    cr_assert_eq(pipe(ends), 0);
    pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0) {
        be_child(fn, ends);
    }
    (void)close(ends[1]);
    while ((n = read(ends[0], text + length, size - 1 - length)) > 0) {
        length += (size_t)n;
    }
    text[length] = '\0';
    while (n >= 0 && read(ends[0], rest, sizeof(rest)) > 0) {
        /* A child that cannot write would not end. */
    }
    (void)close(ends[0]);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return status;
}
