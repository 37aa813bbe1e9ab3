/* echo_server and echo_client. */
#include "../netpoll/rig.h"
#include "../support/pattern.h"
#include "program.h"

#include <criterion/parameterized.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(echo, .timeout = 60);

#define STREAM_BYTES ((size_t)32 << 20)
#define PIECE_BYTES  ((size_t)100003)

static void *send_stream(void *arg)
{
    const int *fd = arg;
    char *piece = malloc(PIECE_BYTES);
    CHECK(piece != NULL);
    for (size_t sent = 0; sent < STREAM_BYTES;) {
        size_t n = STREAM_BYTES - sent < PIECE_BYTES ? STREAM_BYTES - sent : PIECE_BYTES;
        pattern_fill(1, sent, piece, n);
        client_send(*fd, piece, n);
        sent += n;
    }
    free(piece);
    client_end_sending(*fd);
    return NULL;
}

TEST_BOTH_MODES(echo, all_bytes_come_back_after_a_half_close)
{
    struct server server;
    pthread_t sender;
    char *answer = malloc(STREAM_BYTES);
    cr_assert_not_null(answer);
    server_start(&server, ECHO_SERVER, *mode);
    int fd = client_dial(server.address);
    cr_assert_eq(pthread_create(&sender, NULL, send_stream, &fd), 0);
    cr_assert_eq(client_receive(fd, answer, STREAM_BYTES), STREAM_BYTES);
    cr_assert(pattern_matches(1, 0, answer, STREAM_BYTES));
    cr_assert(client_sees_end(fd));
    cr_assert_eq(pthread_join(sender, NULL), 0);
    client_close(fd);
    server_stop(&server);
    free(answer);
}

static void expect_text_and_run(const char *address)
{
    struct program client = {.path = ECHO_CLIENT,
                             .arguments = {"--connect", address, "--seconds", "1", "--size", "700",
                                           "--connections", "3"}};
    program_start(&client);
    int status = program_end(&client);
    cr_assert_eq(status, 0, "status %d: %s", status, client.err.text);
    cr_assert_str_empty(output_rest(&client.err));
    cr_assert_str_eq(output_line(&client.out), "sent:     hello, netpoll");
    cr_assert_str_eq(output_line(&client.out), "received: hello, netpoll");
    const char *line = output_line(&client.out);
    cr_assert_not_null(line);
    cr_assert_gt(strtol(line, NULL, 10), 0, "%s", line);
    cr_assert_not_null(strstr(line, " messages of 700 bytes over 3 connections in "), "%s", line);
    cr_assert_str_empty(output_rest(&client.out));
}

TEST_BOTH_MODES(echo, client_talks_to_the_server)
{
    struct server server;
    server_start(&server, ECHO_SERVER, *mode);
    expect_text_and_run(server.address);
    server_stop(&server);
}

Test(echo, client_sends_the_text_it_is_given)
{
    char unix_address[SERVER_ADDRESS_BYTES];
    const char *const addresses[] = {"[::1]:0", unix_address};
    own_unix_address(unix_address);
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        struct server server;
        server_start_on(&server, ECHO_SERVER, addresses[i]);
        struct program client = {
            .path = ECHO_CLIENT,
            .arguments = {"--connect", server.address, "--text=other words", "--seconds", "0"}};
        program_start(&client);
        cr_assert_eq(program_end(&client), 0, "%s", client.err.text);
        cr_assert_str_eq(output_rest(&client.out),
                         "sent:     other words\nreceived: other words\n");
        server_stop(&server);
    }
}

Test(echo, client_fails_when_nobody_listens)
{
    struct server server;
    server_start(&server, ECHO_SERVER, NETPOLL_HANDLER_POOL);
    server_stop(&server);
    struct program client = {.path = ECHO_CLIENT, .arguments = {"--connect", server.address}};
    char line[200];
    snprintf(line, sizeof line, "echo_client: cannot connect to %s: Connection refused\n",
             server.address);
    cr_assert_str_eq(expect_refusal(&client, 1), line);
}

Test(echo, client_fails_when_there_is_no_such_host)
{
    struct program client = {.path = ECHO_CLIENT, .arguments = {"--connect", "not a host:7000"}};
    cr_assert_str_eq(expect_refusal(&client, 1),
                     "echo_client: the host of not a host:7000 is not known\n");
}

/* rpc_server takes the text for a frame and refuses it. */
Test(echo, client_fails_when_something_else_comes_back)
{
    struct server server;
    server_start(&server, RPC_SERVER, NETPOLL_HANDLER_POOL);
    struct program client = {.path = ECHO_CLIENT, .arguments = {"--connect", server.address}};
    program_start(&client);
    cr_assert_eq(program_end(&client), 1);
    cr_assert_str_eq(output_rest(&client.err),
                     "echo_client: what came back is not what was sent\n");
    server_stop(&server);
}
