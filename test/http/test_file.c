/* Bodies that are a file's. */
#include "web.h"

#include "../support/pattern.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <gopool/panic.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES ((size_t)3 << 20)
#define LARGE      ((size_t)64 << 20)

struct shelf {
    char name[32];
    size_t n;
    struct event requests;
    struct event releases;
};

#define SHELF_INIT(bytes)                                                                          \
    {                                                                                              \
        .name = "/tmp/nhttp-XXXXXX", .n = (bytes), .requests = EVENT_INIT, .releases = EVENT_INIT, \
    }

/* A file of pattern 1. */
static void make_file(struct shelf *shelf)
{
    enum {
        PIECE = 1 << 20
    };
    char *piece = malloc(PIECE);
    int fd = mkstemp(shelf->name);
    CHECK(fd >= 0 && piece != NULL);
    for (size_t at = 0; at < shelf->n; at += PIECE) {
        pattern_fill(1, at, piece, PIECE);
        CHECK(write(fd, piece, PIECE) == PIECE);
    }
    free(piece);
    close(fd);
}

static int open_file(const struct shelf *shelf)
{
    int fd = open(shelf->name, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    return fd;
}

static void note_release(void *arg)
{
    event_add(&((struct shelf *)arg)->releases);
}

static void start(struct web *web, struct shelf *shelf)
{
    make_file(shelf);
    web->options.arg = shelf;
    web_start(web);
}

static void finish(struct web *web, const struct shelf *shelf)
{
    unlink(shelf->name);
    /* Looks for descriptors that nobody has closed. */
    web_finish_when_idle(web);
}

/* "/": all of it; "/part": 1000 bytes between two texts; "/shared": by a descriptor that stays. */
static void give_file(struct nhttp_request *request, void *arg)
{
    struct shelf *shelf = arg;
    if (path_is(request, "/text")) {
        say(request, "text");
    } else if (path_is(request, "/part")) {
        say(request, "before ");
        CHECK(nhttp_response_file(request, open_file(shelf), 12345, 1000) == 0);
        say(request, " behind");
    } else if (path_is(request, "/empty")) {
        CHECK(nhttp_response_file(request, open_file(shelf), (off_t)shelf->n, 0) == 0);
    } else if (path_is(request, "/instead")) {
        CHECK(nhttp_response_file(request, open_file(shelf), 0, shelf->n) == 0);
        CHECK(nhttp_response_error(request, 403, "no") == 0);
    } else if (path_is(request, "/panic")) {
        CHECK(nhttp_response_file(request, open_file(shelf), 0, shelf->n) == 0);
        event_add(&shelf->requests);
        gopool_panic("on purpose");
    } else {
        CHECK(nhttp_response_file(request, open_file(shelf), 0, shelf->n) == 0);
    }
    event_add(&shelf->requests);
}

static void expect_pattern(int fd, size_t offset, size_t n)
{
    char *data = malloc(n);
    CHECK(data != NULL);
    CHECK(client_receive(fd, data, n) == n);
    CHECK(pattern_matches(1, offset, data, n));
    free(data);
}

static void expect_file(int fd, const char *request)
{
    struct answer answer;
    if (request != NULL)
        ask(fd, request);
    receive_answer(fd, &answer, false);
    cr_assert_eq(answer.status, 200);
    cr_assert_str_eq(answer_field(&answer, "Content-Length"), "3145728");
    cr_assert_eq(answer.body_bytes, FILE_BYTES);
    cr_assert(pattern_matches(1, 0, answer.body, FILE_BYTES));
    answer_free(&answer);
}

static void expect_part(int fd)
{
    struct answer answer;
    receive_answer(fd, &answer, false);
    cr_assert_eq(answer.body_bytes, 1014);
    cr_assert_eq(memcmp(answer.body, "before ", 7), 0);
    cr_assert(pattern_matches(1, 12345, answer.body + 7, 1000));
    cr_assert_eq(memcmp(answer.body + 1007, " behind", 7), 0);
    answer_free(&answer);
}

TEST_BOTH_MODES(http_file, is_a_body_of_known_length)
{
    struct shelf shelf = SHELF_INIT(FILE_BYTES);
    struct web web = {.options = {.handler = give_file, .executor = *mode}};
    struct answer answer;
    start(&web, &shelf);
    int fd = web_dial(&web);
    for (unsigned i = 0; i < 5; i++) {
        expect_file(fd, GET("/"));
        ask(fd, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
        receive_answer(fd, &answer, true);
        cr_assert_str_eq(answer_field(&answer, "Content-Length"), "3145728");
        answer_free(&answer);
        ask(fd, GET("/part"));
        expect_part(fd);
        expect_answer(fd, GET("/empty"), 200, "");
        expect_answer(fd, GET("/instead"), 403, "no");
    }
    /* To its last byte, although the connection ends behind it. */
    expect_file(fd, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    cr_assert(client_sees_end(fd));
    client_close(fd);
    finish(&web, &shelf);
}

TEST_BOTH_MODES(http_file, keeps_its_place_among_pipelined_answers)
{
    struct shelf shelf = SHELF_INIT(FILE_BYTES);
    struct web web = {.options = {.handler = give_file, .executor = *mode}};
    start(&web, &shelf);
    int fd = client_dial_narrow(web.rig.address, 4096);
    for (unsigned i = 0; i < 3; i++) {
        ask(fd, GET("/text") GET("/part") GET("/") GET("/text") GET("/") GET("/part") GET("/text"));
        expect_answer(fd, NULL, 200, "text");
        expect_part(fd);
        expect_file(fd, NULL);
        expect_answer(fd, NULL, 200, "text");
        expect_file(fd, NULL);
        expect_part(fd);
        expect_answer(fd, NULL, 200, "text");
    }
    client_close(fd);
    finish(&web, &shelf);
}

/* "/length" and others: memory and a file in turn, flushed now and then. */
static void pour_file(struct nhttp_request *request, void *arg)
{
    struct shelf *shelf = arg;
    bool has_length = path_is(request, "/length");
    struct linkbuffer_file file = {
        .fd = open_file(shelf), .n = 50000, .release = note_release, .arg = shelf};
    CHECK(nhttp_response_begin(request, has_length ? 100014 : NHTTP_LENGTH_UNKNOWN) == 0);
    say(request, "before ");
    CHECK(nhttp_response_write_file(request, &file) == 0);
    CHECK(nhttp_response_flush(request) >= 0);
    CHECK(nhttp_response_file(request, open_file(shelf), 50000, 50000) == 0);
    if (has_length)
        CHECK(nhttp_response_write_file(request, &file) == -EMSGSIZE);
    say(request, " behind");
    /* The other counts hold the file open until they are gone. */
    event_wait(&shelf->releases, event_count(&shelf->requests) + 1);
    close(file.fd);
    event_add(&shelf->requests);
}

static void expect_poured(int fd, const char *request)
{
    char data[16];
    char end[] = "\r\n\r\n";
    unsigned met = 0;
    bool is_chunked = strstr(request, "/chunked") != NULL;
    ask(fd, request);
    while (met < 4) {
        cr_assert_eq(client_receive(fd, data, 1), 1);
        met = data[0] == end[met] ? met + 1 : data[0] == '\r';
    }
    if (strncmp(request, "HEAD", 4) == 0)
        return;
    if (is_chunked) {
        cr_assert_eq(client_receive(fd, data, 3), 3);
        cr_assert_eq(client_receive(fd, data, 7), 7);
        cr_assert_eq(client_receive(fd, data, 8), 8);
        cr_assert_eq(memcmp(data, "\r\nc350\r\n", 8), 0);
    } else {
        cr_assert_eq(client_receive(fd, data, 7), 7);
    }
    expect_pattern(fd, 0, 50000);
    if (is_chunked) {
        cr_assert_eq(client_receive(fd, data, 8), 8);
        cr_assert_eq(memcmp(data, "\r\nc350\r\n", 8), 0);
    }
    expect_pattern(fd, 50000, 50000);
    size_t n = is_chunked ? 19 : 7;
    char rest[20];
    cr_assert_eq(client_receive(fd, rest, n), n);
    cr_assert_eq(memcmp(rest, is_chunked ? "\r\n7\r\n behind\r\n0\r\n\r\n" : " behind", n), 0);
}

Test(http_file, is_a_piece_of_a_body_that_has_begun)
{
    struct shelf shelf = SHELF_INIT((size_t)1 << 20);
    struct web web = {.options = {.handler = pour_file}};
    start(&web, &shelf);
    int fd = web_dial(&web);
    expect_poured(fd, GET("/length"));
    expect_poured(fd, GET("/chunked"));
    expect_poured(fd, "HEAD /length HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_poured(fd, "HEAD /chunked HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_poured(fd, GET("/length"));
    client_close(fd);
    finish(&web, &shelf);
    cr_assert_eq(event_count(&shelf.releases), 5);
}

static void refuse_all(struct nhttp_request *request, void *arg)
{
    struct shelf *shelf = arg;
    int ends[2];
    int fd = open_file(shelf);
    int write_only = open(shelf->name, O_WRONLY | O_CLOEXEC);
    int folder = open("/tmp", O_RDONLY | O_CLOEXEC);
    CHECK(pipe(ends) == 0 && write_only >= 0 && folder >= 0);
    CHECK(nhttp_response_file(request, -1, 0, 1) == -EINVAL);
    CHECK(nhttp_response_file(request, 1000000, 0, 1) == -EINVAL);
    CHECK(nhttp_response_file(request, ends[0], 0, 1) == -EINVAL);
    CHECK(nhttp_response_file(request, write_only, 0, 1) == -EINVAL);
    CHECK(nhttp_response_file(request, folder, 0, 1) == -EINVAL);
    CHECK(nhttp_response_file(request, fd, -1, 1) == -EINVAL);
    CHECK(nhttp_response_file(request, fd, 1, shelf->n) == -ERANGE);
    CHECK(nhttp_response_file(request, fd, (off_t)shelf->n + 1, 0) == -ERANGE);
    CHECK(nhttp_response_file(request, fd, 1, SIZE_MAX) == -ERANGE);
    /* All of them are the caller's still. */
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0 && close(fd) == 0 && close(folder) == 0);
    CHECK(close(write_only) == 0);
    say(request, "refused");
}

TEST_BOTH_MODES(http_file, what_is_none_is_refused_at_once)
{
    struct shelf shelf = SHELF_INIT((size_t)1 << 20);
    struct web web = {.options = {.handler = refuse_all, .executor = *mode}};
    start(&web, &shelf);
    int fd = web_dial(&web);
    expect_answer(fd, GET("/"), 200, "refused");
    client_close(fd);
    finish(&web, &shelf);
}

/* With SIGPIPE as a process has it at first. */
TEST_BOTH_MODES(http_file, a_client_that_resets_costs_nothing)
{
    struct shelf shelf = SHELF_INIT(LARGE);
    struct web web = {.options = {.handler = give_file, .executor = *mode}};
    char some[5000];
    signal(SIGPIPE, SIG_DFL);
    start(&web, &shelf);
    for (unsigned i = 0; i < 10; i++) {
        int fd = client_dial_narrow(web.rig.address, 4096);
        ask(fd, GET("/") GET("/"));
        cr_assert_eq(client_receive(fd, some, sizeof some), sizeof some);
        /* A reset behind the end of what it sends is told by EPIPE, which brings the signal. */
        if (i % 2 == 1)
            client_end_sending(fd);
        client_reset(fd);
    }
    finish(&web, &shelf);
}

TEST_BOTH_MODES(http_file, that_becomes_shorter_does_not_look_complete)
{
    struct shelf shelf = SHELF_INIT(LARGE);
    struct web web = {.options = {.handler = give_file, .executor = *mode},
                      .rig = {.expected_logs = 1}};
    start(&web, &shelf);
    int fd = client_dial_narrow(web.rig.address, 4096);
    ask(fd, GET("/"));
    event_wait(&shelf.requests, 1);
    cr_assert_eq(truncate(shelf.name, (off_t)LARGE / 2), 0);
    cr_assert(client_sees_reset(fd));
    client_close(fd);
    finish(&web, &shelf);
}

TEST_BOTH_MODES(http_file, of_a_handler_that_panics_is_closed)
{
    struct shelf shelf = SHELF_INIT(FILE_BYTES);
    struct web web = {.options = {.handler = give_file, .executor = *mode},
                      .rig = {.expected_logs = 20}};
    start(&web, &shelf);
    int fd = web_dial(&web);
    for (unsigned i = 0; i < 20; i++)
        expect_answer(fd, GET("/panic"), 500, "Internal Server Error");
    expect_file(fd, GET("/"));
    client_close(fd);
    finish(&web, &shelf);
}
