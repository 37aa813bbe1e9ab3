/* Children behind two pipes. */
#include "program.h"

#include "../netpoll/rig.h"
#include "../support/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define STATUS_SIGNALLED 256

const char *program_name(const struct program *program)
{
    return strrchr(program->path, '/') + 1;
}

/* In the child. */
_Noreturn static void become(const struct program *program, int out, int err)
{
    const char *arguments[ARGUMENTS_MAX + 2] = {program->path};
    memcpy(arguments + 1, program->arguments, sizeof program->arguments);
    CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
    CHECK(dup2(out, STDOUT_FILENO) >= 0 && dup2(err, STDERR_FILENO) >= 0);
    if (program->refused_call != 0)
        refuse_system_call(program->refused_call, EPERM);
    execv(program->path, (char *const *)arguments);
    check_failed(__FILE__, __LINE__, program->path);
}

void program_start(struct program *program)
{
    int out[2];
    int err[2];
    CHECK(pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0);
    if (program->backend_variable != NULL)
        CHECK(setenv("NETPOLL_BACKEND", program->backend_variable, 1) == 0);
    else
        CHECK(unsetenv("NETPOLL_BACKEND") == 0);
    program->pid = fork();
    CHECK(program->pid >= 0);
    if (program->pid == 0)
        become(program, out[1], err[1]);
    close(out[1]);
    close(err[1]);
    program->out = (struct output){.fd = out[0]};
    program->err = (struct output){.fd = err[0]};
}

void program_signal(const struct program *program, int signal)
{
    CHECK(kill(program->pid, signal) == 0);
}

/* False at the end of the stream. */
static bool read_more(struct output *output)
{
    struct pollfd readable = {.fd = output->fd, .events = POLLIN};
    int ready;
    do
        ready = poll(&readable, 1, DEADLINE_MS);
    while (ready < 0 && errno == EINTR);
    CHECK(ready == 1);
    CHECK(output->length < sizeof output->text - 1);
    ssize_t got =
        read(output->fd, output->text + output->length, sizeof output->text - 1 - output->length);
    CHECK(got >= 0);
    output->length += (size_t)got;
    output->text[output->length] = '\0';
    return got > 0;
}

const char *output_line(struct output *output)
{
    char *newline;
    while ((newline = strchr(output->text + output->taken, '\n')) == NULL) {
        if (!read_more(output))
            return NULL;
    }
    const char *line = output->text + output->taken;
    *newline = '\0';
    output->taken = (size_t)(newline + 1 - output->text);
    return line;
}

const char *output_rest(struct output *output)
{
    const char *rest = output->text + output->taken;
    output->taken = output->length;
    return rest;
}

/* The streams end when the process does: it has no children. */
int program_end(struct program *program)
{
    int status;
    while (read_more(&program->out))
        continue;
    while (read_more(&program->err))
        continue;
    close(program->out.fd);
    close(program->err.fd);
    CHECK(waitpid(program->pid, &status, 0) == program->pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : STATUS_SIGNALLED + WTERMSIG(status);
}

const char *expect_refusal(struct program *program, int status)
{
    program_start(program);
    int ended_with = program_end(program);
    const char *text = output_rest(&program->err);
    size_t length = strlen(text);
    cr_assert_eq(ended_with, status, "%s: status %d: %s", program_name(program), ended_with, text);
    cr_assert_str_empty(output_rest(&program->out), "%s wrote to stdout", program_name(program));
    cr_assert_gt(length, 1, "%s says nothing", program_name(program));
    cr_assert_eq(strchr(text, '\n'), text + length - 1, "not one line: %s", text);
    return text;
}

void own_unix_address(char address[SERVER_ADDRESS_BYTES])
{
    snprintf(address, SERVER_ADDRESS_BYTES, "unix:@netpoll-test-%d", (int)getpid());
}

const char *backend_word(void)
{
    return backend_under_test() == NETPOLL_BACKEND_IO_URING ? "io_uring" : "epoll";
}

void expect_ready_line(struct program *program, const char *words, char *address)
{
    static const char prefix[] = "listening on ";
    const char *line = output_line(&program->out);
    if (line == NULL)
        cr_assert_fail("status %d: %s", program_end(program), output_rest(&program->err));
    cr_assert_eq(strncmp(line, prefix, strlen(prefix)), 0, "%s", line);
    const char *start = line + strlen(prefix);
    size_t length = strcspn(start, " ");
    cr_assert_lt(length, SERVER_ADDRESS_BYTES, "%s", line);
    memcpy(address, start, length);
    address[length] = '\0';
    cr_assert_str_eq(start + length, words, "%s", line);
}

static void start(struct server *server, const char *handler, const char *address)
{
    const char *const arguments[ARGUMENTS_MAX] = {
        "--backend", backend_word(), "--pollers", "2", "--handler", handler, "--listen", address};
    char words[80];
    memcpy(server->program.arguments, arguments, sizeof arguments);
    snprintf(words, sizeof words, " (backend=%s, pollers=2, handler=%s)", backend_word(), handler);
    program_start(&server->program);
    expect_ready_line(&server->program, words, server->address);
}

void server_start(struct server *server, const char *path, enum netpoll_handler handler)
{
    *server = (struct server){.program.path = path};
    start(server, handler == NETPOLL_HANDLER_INLINE ? "inline" : "pool", "127.0.0.1:0");
}

void server_start_on(struct server *server, const char *path, const char *address)
{
    *server = (struct server){.program.path = path};
    start(server, "pool", address);
}

void server_stop(struct server *server)
{
    program_signal(&server->program, SIGTERM);
    int status = program_end(&server->program);
    cr_assert_eq(status, 0, "status %d: %s", status, output_rest(&server->program.err));
    cr_assert_str_empty(output_rest(&server->program.err));
    cr_assert_str_empty(output_rest(&server->program.out));
}
