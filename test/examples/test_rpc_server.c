/* rpc_server: frames of every size, however they arrive. */
#include "../netpoll/rig.h"
#include "../support/pattern.h"
#include "program.h"

#include <arpa/inet.h>
#include <criterion/parameterized.h>
#include <stdlib.h>
#include <string.h>

TestSuite(rpc_server, .timeout = 60);

#define HEAD_BYTES  sizeof(uint32_t)
#define PAYLOAD_MAX ((size_t)16 << 20)

struct frame {
    size_t bytes; /* with the head */
    char *data;   /* owned */
};

static struct frame make_frame(uint64_t seed, size_t payload)
{
    struct frame frame = {.bytes = HEAD_BYTES + payload, .data = malloc(HEAD_BYTES + payload)};
    uint32_t head = htonl((uint32_t)payload);
    CHECK(frame.data != NULL);
    memcpy(frame.data, &head, HEAD_BYTES);
    pattern_fill(seed, 0, frame.data + HEAD_BYTES, payload);
    return frame;
}

/* Exactly what was sent comes next. */
static void expect_frame(int fd, const struct frame *frame)
{
    char *answer = malloc(frame->bytes);
    cr_assert_not_null(answer);
    cr_assert_eq(client_receive(fd, answer, frame->bytes), frame->bytes);
    cr_assert_eq(memcmp(answer, frame->data, frame->bytes), 0);
    free(answer);
}

/* Nothing but the answers has been sent, and the server ends well. */
static void finish(struct server *server, int fd)
{
    client_end_sending(fd);
    cr_assert(client_sees_end(fd));
    client_close(fd);
    server_stop(server);
}

TEST_BOTH_MODES(rpc_server, answers_frames_of_every_size)
{
    static const size_t sizes[] = {0, 1, 1000, 0, 70000, PAYLOAD_MAX, 3};
    struct server server;
    server_start(&server, RPC_SERVER, *mode);
    int fd = client_dial(server.address);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct frame frame = make_frame(i, sizes[i]);
        client_send(fd, frame.data, frame.bytes);
        expect_frame(fd, &frame);
        free(frame.data);
    }
    finish(&server, fd);
}

TEST_BOTH_MODES(rpc_server, answers_a_frame_that_comes_byte_by_byte)
{
    struct server server;
    struct frame frame = make_frame(1, 300);
    server_start(&server, RPC_SERVER, *mode);
    int fd = client_dial(server.address);
    for (size_t i = 0; i < frame.bytes; i++)
        client_send(fd, frame.data + i, 1);
    expect_frame(fd, &frame);
    free(frame.data);
    finish(&server, fd);
}

/* The last frame of the first piece is cut within its head. */
TEST_BOTH_MODES(rpc_server, answers_frames_that_come_together_in_order)
{
    enum {
        FRAMES = 200,
        CUT = 7003
    };
    struct server server;
    struct frame frames[FRAMES];
    size_t bytes = 0;
    char *stream = malloc((size_t)FRAMES * (HEAD_BYTES + FRAMES));
    cr_assert_not_null(stream);
    for (size_t i = 0; i < FRAMES; i++) {
        frames[i] = make_frame(i, i);
        memcpy(stream + bytes, frames[i].data, frames[i].bytes);
        bytes += frames[i].bytes;
    }
    server_start(&server, RPC_SERVER, *mode);
    int fd = client_dial(server.address);
    client_send(fd, stream, CUT);
    client_send(fd, stream + CUT, bytes - CUT);
    for (size_t i = 0; i < FRAMES; i++) {
        expect_frame(fd, &frames[i]);
        free(frames[i].data);
    }
    free(stream);
    finish(&server, fd);
}

struct delivery {
    int fd;
    const struct frame *frame;
};

static void *deliver(void *arg)
{
    const struct delivery *delivery = arg;
    (void)client_try_send(delivery->fd, delivery->frame->data, delivery->frame->bytes);
    return NULL;
}

TEST_BOTH_MODES(rpc_server, refuses_a_frame_above_the_limit_in_words)
{
    static const char text[] = "error: frame of 16777217 bytes is above 16777216";
    struct server server;
    struct frame frame = make_frame(1, PAYLOAD_MAX + 1);
    char answer[HEAD_BYTES + sizeof text] = {0};
    uint32_t head = 0;
    pthread_t sender;
    server_start(&server, RPC_SERVER, *mode);
    int fd = client_dial(server.address);
    struct delivery delivery = {.fd = fd, .frame = &frame};
    cr_assert_eq(pthread_create(&sender, NULL, deliver, &delivery), 0);
    size_t got = client_receive(fd, answer, HEAD_BYTES + strlen(text));
    cr_assert_eq(got, HEAD_BYTES + strlen(text), "%zu bytes", got);
    memcpy(&head, answer, HEAD_BYTES);
    cr_assert_eq(ntohl(head), strlen(text));
    cr_assert_str_eq(answer + HEAD_BYTES, text);
    cr_assert(client_sees_end(fd));
    cr_assert_eq(pthread_join(sender, NULL), 0);
    client_close(fd);
    free(frame.data);
    server_stop(&server);
}

Test(rpc_server, an_unfinished_frame_is_not_answered)
{
    struct server server;
    struct frame frame = make_frame(1, 5000);
    server_start(&server, RPC_SERVER, NETPOLL_HANDLER_POOL);
    int fd = client_dial(server.address);
    client_send(fd, frame.data, frame.bytes - 1);
    free(frame.data);
    finish(&server, fd);
}
