/* Talks to echo_server: one text there and back, then a timed run. Plain sockets, so that it checks
 * the server with nothing of the toolkit. */
#define _GNU_SOURCE /* NOLINT(readability-identifier-naming): the C library's name for it */
#include "connect.h"
#include "flags.h"
#include "load.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define ANSWER_TIMEOUT_S 5

#define STATUS_FAILED 1
#define STATUS_USAGE  2

struct settings {
    const char *address;
    const char *text;
    uint32_t seconds;
    uint32_t connections;
    uint32_t size;
};

static void read_flags(int argc, char **argv, struct settings *out)
{
    const struct flag flags[] = {
        {.name = "--connect",
         .value = "ADDR",
         .help = "HOST:PORT, [::1]:PORT, unix:PATH or unix:@NAME (required)",
         .parse = flag_text,
         .into = &out->address},
        {.name = "--text",
         .value = "TEXT",
         .help = "what to send first (hello, netpoll)",
         .parse = flag_text,
         .into = &out->text},
        {.name = "--seconds",
         .value = "N",
         .help = "length of the timed run; 0: none (2)",
         .parse = flag_number,
         .into = &out->seconds,
         .max = 86400},
        {.name = "--connections",
         .value = "N",
         .help = "connections of the timed run (16)",
         .parse = flag_number,
         .into = &out->connections,
         .min = 1,
         .max = 65536},
        {.name = "--size",
         .value = "BYTES",
         .help = "size of a message of the timed run (1024)",
         .parse = flag_number,
         .into = &out->size,
         .min = 1,
         .max = 1 << 30},
    };
    const struct flag_set set = {.program = "echo_client",
                                 .summary = "Sends a text to echo_server, then measures it.",
                                 .flags = flags,
                                 .count = sizeof flags / sizeof flags[0]};
    flags_parse(&set, argc, argv);
    if (out->address == NULL) {
        fprintf(stderr, "echo_client: --connect is required; --help lists all flags\n");
        exit(STATUS_USAGE);
    }
}

/* 0 or -errno. */
static int send_all(int fd, const char *data, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, data, n, MSG_NOSIGNAL);
        if (sent < 0)
            return -errno;
        data += sent;
        n -= (size_t)sent;
    }
    return 0;
}

/* Bytes received: fewer than n only when the server closed the connection. Or -errno. */
static ssize_t receive_all(int fd, char *into, size_t n)
{
    size_t received = 0;
    while (received < n) {
        ssize_t got = recv(fd, into + received, n - received, 0);
        if (got < 0)
            return errno == EAGAIN ? -ETIMEDOUT : -errno;
        if (got == 0)
            break;
        received += (size_t)got;
    }
    return (ssize_t)received;
}

static int complain(const char *what, const char *address, int error)
{
    fprintf(stderr, "echo_client: %s %s: %s\n", what, address, strerror(-error));
    return STATUS_FAILED;
}

static int exchange_text(const struct settings *settings, int fd, char *answer)
{
    size_t n = strlen(settings->text);
    const struct timeval timeout = {.tv_sec = ANSWER_TIMEOUT_S};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    int status = send_all(fd, settings->text, n);
    if (status != 0)
        return complain("cannot send to", settings->address, status);
    printf("sent:     %s\n", settings->text);
    ssize_t received = receive_all(fd, answer, n);
    if (received < 0)
        return complain("no answer from", settings->address, (int)received);
    printf("received: %.*s\n", (int)received, answer);
    if ((size_t)received == n && memcmp(answer, settings->text, n) == 0)
        return 0;
    fprintf(stderr, "echo_client: what came back is not what was sent\n");
    return STATUS_FAILED;
}

static int try_text(const struct settings *settings)
{
    int fd = connect_to(settings->address);
    if (fd == -EINVAL) {
        fprintf(stderr,
                "echo_client: --connect must be HOST:PORT, [::1]:PORT, unix:PATH or unix:@NAME, "
                "not \"%s\"\n",
                settings->address);
        return STATUS_USAGE;
    }
    if (fd == -ENXIO) {
        fprintf(stderr, "echo_client: the host of %s is not known\n", settings->address);
        return STATUS_FAILED;
    }
    if (fd < 0)
        return complain("cannot connect to", settings->address, fd);
    char *answer = malloc(strlen(settings->text) + 1);
    int status = answer != NULL
                     ? exchange_text(settings, fd, answer)
                     : complain("no memory for an answer of", settings->address, -ENOMEM);
    free(answer);
    close(fd);
    return status;
}

static int run_load(const struct settings *settings, const char *message)
{
    const struct load_options options = {.address = settings->address,
                                         .connections = settings->connections,
                                         .message = message,
                                         .size = settings->size};
    struct load *load;
    int status = load_open(&options, &load);
    if (status != 0)
        return complain("cannot connect to", settings->address, status);
    static struct load_result result;
    status = load_run(load, (struct load_limit){.seconds = settings->seconds}, &result);
    load_close(load);
    if (status != 0)
        return complain("wrong or no answer from", settings->address, status);
    printf("%" PRIu64 " messages of %u bytes over %u connections in %.1f s: %.0f/s, "
           "p50 %.1f us, p99 %.1f us\n",
           result.done, settings->size, settings->connections, result.seconds,
           (double)result.done / result.seconds,
           (double)latency_quantile(&result.latency, 0.50) / 1e3,
           (double)latency_quantile(&result.latency, 0.99) / 1e3);
    return 0;
}

static int measure(const struct settings *settings)
{
    char *message = malloc(settings->size);
    if (message == NULL)
        return complain("no memory for messages to", settings->address, -ENOMEM);
    for (uint32_t i = 0; i < settings->size; i++)
        message[i] = (char)('!' + i % 94);
    int status = run_load(settings, message);
    free(message);
    return status;
}

int main(int argc, char **argv)
{
    struct settings settings = {
        .text = "hello, netpoll", .seconds = 2, .connections = 16, .size = 1024};
    read_flags(argc, argv, &settings);
    int status = try_text(&settings);
    if (status == 0 && settings.seconds > 0)
        status = measure(&settings);
    return status;
}
