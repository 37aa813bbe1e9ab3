/* What the programs say and end with when they cannot start. */
#include "program.h"

#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

TestSuite(command_line, .timeout = 60);

#define USAGE  2
#define FAILED 1

static const char *const servers[] = {ECHO_SERVER, RPC_SERVER};
#define SERVER_COUNT (sizeof servers / sizeof servers[0])

struct mistake {
    const char *arguments[4];
    const char *named; /* in the complaint */
};

/* The complaint begins with the program's name and names what is wrong. */
static void expect_complaint(struct program *program, int status, const char *named)
{
    const char *line = expect_refusal(program, status);
    const char *name = program_name(program);
    cr_assert_eq(strncmp(line, name, strlen(name)), 0, "%s", line);
    cr_assert_not_null(strstr(line, named), "nothing of %s: %s", named, line);
}

static void expect_usage(const char *path, const struct mistake *mistakes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct program program = {.path = path};
        memcpy(program.arguments, mistakes[i].arguments, sizeof mistakes[i].arguments);
        expect_complaint(&program, USAGE, mistakes[i].named);
    }
}

Test(command_line, mistakes_of_a_server_are_status_2)
{
    static const struct mistake mistakes[] = {
        {{"--bogus"}, "\"--bogus\""},
        {{"--bogus", "1"}, "\"--bogus\""},
        {{"--listening=127.0.0.1:0"}, "--listening"},
        {{"127.0.0.1:0"}, "\"127.0.0.1:0\""},
        {{"--listen"}, "--listen needs a value"},
        {{"--stats", "1", "--backend"}, "--backend needs a value"},
        {{"--backend", "kqueue"}, "\"kqueue\""},
        {{"--handler", "thread"}, "\"thread\""},
        {{"--pollers", "0"}, "--pollers"},
        {{"--pollers", "257"}, "--pollers"},
        {{"--pollers", "two"}, "\"two\""},
        {{"--workers", "-1"}, "\"-1\""},
        {{"--workers", "99999999999999999999"}, "--workers"},
        {{"--stats", ""}, "--stats"},
        {{"--stats=1s"}, "\"1s\""},
        {{"--backend=epoll", "--listen", "nonsense"}, "\"nonsense\""},
        {{"--backend=epoll", "--listen", "127.0.0.1:70000"}, "\"127.0.0.1:70000\""},
        {{"--backend=epoll", "--listen", "::1:80"}, "\"::1:80\""},
    };
    for (size_t i = 0; i < SERVER_COUNT; i++)
        expect_usage(servers[i], mistakes, sizeof mistakes / sizeof mistakes[0]);
}

Test(command_line, mistakes_of_the_client_are_status_2)
{
    static const struct mistake mistakes[] = {
        {{NULL}, "--connect"},
        {{"--bogus"}, "\"--bogus\""},
        {{"--connect"}, "--connect needs a value"},
        {{"--connect", "nonsense"}, "\"nonsense\""},
        {{"--connect=127.0.0.1:1", "--size", "0"}, "--size"},
        {{"--connect=127.0.0.1:1", "--connections", "many"}, "\"many\""},
        {{"--connect=127.0.0.1:1", "--seconds"}, "--seconds needs a value"},
    };
    expect_usage(ECHO_CLIENT, mistakes, sizeof mistakes / sizeof mistakes[0]);
}

static void expect_help(const char *path, const char *const *flags, size_t count)
{
    struct program program = {.path = path, .arguments = {"--help"}};
    char usage[80];
    program_start(&program);
    cr_assert_eq(program_end(&program), 0);
    cr_assert_str_empty(output_rest(&program.err));
    const char *text = output_rest(&program.out);
    snprintf(usage, sizeof usage, "usage: %s ", program_name(&program));
    cr_assert_eq(strncmp(text, usage, strlen(usage)), 0, "%s", text);
    for (size_t i = 0; i < count; i++)
        cr_assert_not_null(strstr(text, flags[i]), "no %s in: %s", flags[i], text);
}

Test(command_line, help_lists_the_flags)
{
    static const char *const of_server[] = {"--listen ADDR",  "--backend",   "--pollers N",
                                            "--handler",      "--workers N", "--stats SECONDS",
                                            "--restart PATH", "--help"};
    static const char *const of_client[] = {"--connect ADDR",  "--text",       "--seconds N",
                                            "--connections N", "--size BYTES", "--help"};
    for (size_t i = 0; i < SERVER_COUNT; i++)
        expect_help(servers[i], of_server, sizeof of_server / sizeof of_server[0]);
    expect_help(ECHO_CLIENT, of_client, sizeof of_client / sizeof of_client[0]);
}

/* No listener is announced unless all of them listen. */
static void expect_no_listening(const char *path, const char *address, const char *why)
{
    struct program program = {.path = path,
                              .arguments = {"--backend", backend_word(), "--listen", "127.0.0.1:0",
                                            "--listen", address, "--listen", "127.0.0.1:0"}};
    expect_complaint(&program, FAILED, address);
    cr_assert_not_null(strstr(program.err.text, why), "%s", program.err.text);
}

Test(command_line, a_taken_address_is_status_1)
{
    char unix_address[SERVER_ADDRESS_BYTES];
    const char *const addresses[] = {"127.0.0.1:0", "[::1]:0", unix_address};
    own_unix_address(unix_address);
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        struct server holder;
        server_start_on(&holder, ECHO_SERVER, addresses[i]);
        for (size_t j = 0; j < SERVER_COUNT; j++)
            expect_no_listening(servers[j], holder.address, "Address already in use");
        server_stop(&holder);
    }
}

Test(command_line, an_address_of_others_is_status_1)
{
    for (size_t i = 0; i < SERVER_COUNT; i++)
        expect_no_listening(servers[i], "192.0.2.1:0", "Cannot assign requested address");
}

Test(command_line, a_refused_backend_is_status_1)
{
    for (size_t i = 0; i < SERVER_COUNT; i++) {
        struct program program = {.path = servers[i],
                                  .arguments = {"--backend", "io_uring"},
                                  .refused_call = SYS_io_uring_setup};
        const char *line = expect_refusal(&program, FAILED);
        cr_assert_not_null(strstr(line, "io_uring was asked for"), "%s", line);
    }
}

Test(command_line, an_unknown_backend_in_the_environment_is_status_1)
{
    for (size_t i = 0; i < SERVER_COUNT; i++) {
        struct program program = {.path = servers[i], .backend_variable = "bogus"};
        const char *line = expect_refusal(&program, FAILED);
        cr_assert_not_null(strstr(line, "NETPOLL_BACKEND is \"bogus\""), "%s", line);
    }
}
