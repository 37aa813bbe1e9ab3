/* What the servers have in common: where they listen, what they count, how they end. */
#include "../netpoll/rig.h"
#include "../support/pattern.h"
#include "program.h"

#include <criterion/parameterized.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

TestSuite(server, .timeout = 60);

static const char *const servers[] = {ECHO_SERVER, RPC_SERVER};
#define SERVER_COUNT (sizeof servers / sizeof servers[0])

static bool has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Four zeros are themselves to echo_server and a frame of no bytes to rpc_server. */
static void expect_answer(int fd)
{
    const char none[4] = {0};
    char answer[4] = {1};
    client_send(fd, none, sizeof none);
    cr_assert_eq(client_receive(fd, answer, sizeof answer), sizeof answer);
    cr_assert_arr_eq(answer, none, sizeof none);
}

static void expect_served(const char *address)
{
    int fd = client_dial(address);
    expect_answer(fd);
    client_close(fd);
}

Test(server, says_where_it_listens)
{
    char first[SERVER_ADDRESS_BYTES];
    own_unix_address(first);
    for (size_t i = 0; i < SERVER_COUNT; i++) {
        struct server server = {
            .program = {.path = servers[i],
                        .arguments = {"--backend", backend_word(), "--pollers=1", "--handler",
                                      "inline", "--listen", first, "--listen=[::1]:0"}}};
        char second[SERVER_ADDRESS_BYTES];
        char words[80];
        snprintf(words, sizeof words, " (backend=%s, pollers=1, handler=inline)", backend_word());
        program_start(&server.program);
        expect_ready_line(&server.program, words, server.address);
        expect_ready_line(&server.program, words, second);
        cr_assert_str_eq(server.address, first);
        cr_assert(has_prefix(second, "[::1]:") && strtol(second + 6, NULL, 10) > 0, "%s", second);
        expect_served(server.address);
        expect_served(second);
        server_stop(&server);
    }
}

Test(server, needs_no_flags)
{
    cpu_set_t allowed;
    char words[80];
    cr_assert_eq(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    snprintf(words, sizeof words, " (backend=%s, pollers=%d, handler=pool)", backend_word(),
             CPU_COUNT(&allowed));
    for (size_t i = 0; i < SERVER_COUNT; i++) {
        struct server server = {
            .program = {.path = servers[i], .backend_variable = backend_word()}};
        program_start(&server.program);
        expect_ready_line(&server.program, words, server.address);
        cr_assert(has_prefix(server.address, "127.0.0.1:") &&
                      strtol(server.address + 10, NULL, 10) > 0,
                  "%s", server.address);
        expect_served(server.address);
        server_stop(&server);
    }
}

Test(server, chooses_epoll_when_io_uring_is_refused)
{
    struct server server = {.program = {.path = ECHO_SERVER,
                                        .arguments = {"--pollers", "1"},
                                        .refused_call = SYS_io_uring_setup}};
    program_start(&server.program);
    expect_ready_line(&server.program, " (backend=epoll, pollers=1, handler=pool)", server.address);
    const char *line = output_line(&server.program.err);
    cr_assert(line != NULL && strstr(line, "using epoll") != NULL, "%s", line);
    expect_served(server.address);
    server_stop(&server);
}

static void expect_end_by(int signal, const char *path, enum netpoll_handler handler)
{
    struct server server;
    server_start(&server, path, handler);
    int idle = client_dial(server.address);
    expect_answer(idle);
    program_signal(&server.program, signal);
    cr_assert(client_sees_end(idle));
    client_close(idle);
    int status = program_end(&server.program);
    cr_assert_eq(status, 0, "signal %d: status %d", signal, status);
    cr_assert_str_empty(output_rest(&server.program.err));
    cr_assert_str_empty(output_rest(&server.program.out));
}

TEST_BOTH_MODES(server, signals_end_it_with_status_0)
{
    for (size_t i = 0; i < SERVER_COUNT; i++) {
        expect_end_by(SIGTERM, servers[i], *mode);
        expect_end_by(SIGINT, servers[i], *mode);
    }
}

Test(server, ends_with_nobody_connected)
{
    for (size_t i = 0; i < SERVER_COUNT; i++) {
        struct server server;
        server_start(&server, servers[i], NETPOLL_HANDLER_POOL);
        server_stop(&server);
    }
}

/* The server has closed first, so that its port is in TIME_WAIT. */
Test(server, starts_again_on_the_same_port)
{
    struct server server;
    server_start(&server, ECHO_SERVER, NETPOLL_HANDLER_POOL);
    char address[SERVER_ADDRESS_BYTES];
    memcpy(address, server.address, sizeof address);
    int idle = client_dial(address);
    expect_answer(idle);
    server_stop(&server);
    client_close(idle);
    server_start_on(&server, ECHO_SERVER, address);
    cr_assert_str_eq(server.address, address);
    expect_served(address);
    server_stop(&server);
}

/* The socket buffers of a unix socket hold far less than what is sent. */
Test(server, says_what_it_closed_by_force)
{
    const size_t bytes = (size_t)1 << 20;
    char address[SERVER_ADDRESS_BYTES];
    struct server server;
    char *data = malloc(bytes);
    cr_assert_not_null(data);
    pattern_fill(1, 0, data, bytes);
    own_unix_address(address);
    server_start_on(&server, ECHO_SERVER, address);
    int deaf = client_dial(server.address);
    client_send(deaf, data, bytes);
    program_signal(&server.program, SIGTERM);
    cr_assert_eq(program_end(&server.program), 0);
    cr_assert_str_eq(output_rest(&server.program.err),
                     "echo_server: connections that had to be closed by force after 5 s: 1\n");
    client_close(deaf);
    free(data);
}

/* What stands in the line after "NAME=". */
static uint64_t figure(const char *line, const char *name)
{
    const char *found = strstr(line, name);
    cr_assert(found != NULL && found[strlen(name)] == '=', "no %s: %s", name, line);
    return strtoull(found + strlen(name) + 1, NULL, 10);
}

/* The first line that is printed after a request; one before it is possible. */
static const char *figures_of_a_request(struct output *output)
{
    const char *line;
    do {
        line = output_line(output);
        cr_assert_not_null(line);
    } while (figure(line, "bytes_out") == 0);
    return line;
}

Test(server, prints_its_figures)
{
    struct server server = {
        .program = {.path = RPC_SERVER,
                    .arguments = {"--backend", backend_word(), "--pollers", "1", "--stats", "1"}}};
    char words[80];
    char expected[160];
    snprintf(words, sizeof words, " (backend=%s, pollers=1, handler=pool)", backend_word());
    program_start(&server.program);
    expect_ready_line(&server.program, words, server.address);
    int fd = client_dial(server.address);
    expect_answer(fd);
    const char *line = figures_of_a_request(&server.program.err);
    uint64_t requests = figure(line, "requests");
    uint64_t wakeups = figure(line, "wakeups");
    snprintf(expected, sizeof expected,
             "stats connections=1 requests=%" PRIu64 " bytes_in=4 bytes_out=4 wakeups=%" PRIu64,
             requests, wakeups);
    cr_assert_str_eq(line, expected);
    cr_assert(requests > 0 && wakeups > 0, "%s", line);
    client_close(fd);
    program_signal(&server.program, SIGTERM);
    cr_assert_eq(program_end(&server.program), 0);
}
