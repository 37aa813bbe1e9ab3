/*
 * What a handler says, in any order of calls, parses back: what was accepted is in the answer, in
 * order, and nothing else is. A server and a client of one process, a connection between them that
 * lives as long as the answers let it.
 */
#include "answer.h"
#include "input.h"

#include <netpoll/error.h>
#include <netpoll/netpoll.h>
#include <nhttp/response.h>
#include <nhttp/server.h>
#include <nhttp/syntax.h>

#include <arpa/inet.h>
#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINES_MAX 64
#define BODY_MAX  (1 << 16)
#define TEXT_MAX  16

struct line {
    char name[TEXT_MAX];
    char value[TEXT_MAX];
};

struct lines {
    struct line all[LINES_MAX];
    size_t count;
};

/* What the accepted calls amount to. */
struct model {
    int status;
    struct lines fields;
    struct lines trailers;
    struct lines hints[4]; /* as they stood */
    size_t hint_count;
    char body[BODY_MAX];
    size_t body_bytes;
    bool has_begun;
    int64_t announced;
    bool closes;
};

/* One request. */
struct script {
    struct fuzz_input in;
    bool is_head, is_old, keeps_alive;
    struct model model;
    sem_t done;
};

static struct script script;
static struct answer_socket client = {.fd = -1};
static char address[NETPOLL_ADDRESS_BYTES];

/* Zero bytes end it; most are what they should be. */
static void choose_text(struct fuzz_input *in, char *out)
{
    static const char *const usual[] = {"X-A",  "x-a",        "X-B",   "Content-Type",
                                        "Date", "Server",     "",      "v",
                                        "v, w", "Connection", "close", "Content-Length"};
    uint8_t choice = fuzz_byte(in);
    size_t n = choice & 7;
    if (choice < 192) {
        strcpy(out, usual[choice % (sizeof usual / sizeof usual[0])]);
        return;
    }
    for (size_t i = 0; i < n; i++)
        out[i] = (char)fuzz_byte(in);
    out[n] = '\0';
}

static void remove_lines(struct lines *lines, const char *name)
{
    size_t to = 0;
    for (size_t i = 0; i < lines->count; i++) {
        if (strcasecmp(lines->all[i].name, name) != 0)
            lines->all[to++] = lines->all[i];
    }
    lines->count = to;
}

static void add_line(struct lines *lines, const char *name, const char *value)
{
    struct line *line = &lines->all[lines->count++];
    strcpy(line->name, name);
    strcpy(line->value, value);
}

/* What the server has to say by itself is not said by others. */
static bool is_servers(const char *name)
{
    return strcasecmp(name, "Content-Length") == 0 || strcasecmp(name, "Transfer-Encoding") == 0 ||
           strcasecmp(name, "Keep-Alive") == 0;
}

static void put_field(struct nhttp_request *request, struct fuzz_input *in, bool replaces)
{
    struct model *model = &script.model;
    char name[TEXT_MAX];
    char value[TEXT_MAX];
    choose_text(in, name);
    choose_text(in, value);
    if (model->fields.count == LINES_MAX)
        return;
    int status = replaces ? nhttp_response_set_field(request, name, value)
                          : nhttp_response_add_field(request, name, value);
    if (status != 0)
        return;
    FUZZ_CHECK(!model->has_begun && !is_servers(name));
    FUZZ_CHECK(nhttp_is_token(name, strlen(name)) && nhttp_is_value(value, strlen(value)));
    if (strcasecmp(name, "Connection") == 0) {
        FUZZ_CHECK(strcasecmp(value, "close") == 0);
        model->closes = true;
        return;
    }
    if (replaces)
        remove_lines(&model->fields, name);
    add_line(&model->fields, name, value);
}

static void write_body(struct nhttp_request *request, struct fuzz_input *in, bool by_reference)
{
    static char data[BODY_MAX];
    struct model *model = &script.model;
    size_t n = fuzz_u16(in) % 9000;
    if (model->body_bytes + n > BODY_MAX)
        return;
    for (size_t i = 0; i < n; i++)
        data[model->body_bytes + i] = (char)fuzz_content(n, i);
    const char *from = data + model->body_bytes;
    int status = by_reference ? nhttp_response_write_ref(request, from, n, NULL, NULL)
                              : nhttp_response_write(request, from, n);
    bool is_too_much = model->has_begun && model->announced != NHTTP_LENGTH_UNKNOWN &&
                       model->body_bytes + n > (uint64_t)model->announced;
    FUZZ_CHECK(status == (is_too_much ? -EMSGSIZE : 0));
    if (status != 0)
        return;
    memcpy(model->body + model->body_bytes, from, n);
    model->body_bytes += n;
}

static void begin_body(struct nhttp_request *request, struct fuzz_input *in)
{
    struct model *model = &script.model;
    uint8_t choice = fuzz_byte(in);
    int64_t length = choice % 3 == 0 ? NHTTP_LENGTH_UNKNOWN : (int64_t)fuzz_u16(in);
    bool is_short = length != NHTTP_LENGTH_UNKNOWN && (size_t)length < model->body_bytes;
    int status = nhttp_response_begin(request, length);
    FUZZ_CHECK(status == (model->has_begun ? -EBUSY : is_short ? -EINVAL : 0));
    if (status != 0)
        return;
    model->has_begun = true;
    model->announced = length;
}

static void make_error(struct nhttp_request *request, struct fuzz_input *in)
{
    struct model *model = &script.model;
    int wanted = 100 + fuzz_byte(in) * 2;
    if (nhttp_response_error(request, wanted, "made") != 0)
        return;
    FUZZ_CHECK(!model->has_begun && wanted >= 200 && wanted <= 599);
    model->status = wanted;
    model->fields.count = 0;
    memcpy(model->body, "made", 4);
    model->body_bytes = 4;
    if (wanted == 503 || wanted == 429)
        add_line(&model->fields, "Retry-After", "1");
    else if (wanted == 405)
        model->status = 0; /* Allow is long, and known to other tests */
}

static void redirect(struct nhttp_request *request, struct fuzz_input *in)
{
    struct model *model = &script.model;
    char value[TEXT_MAX];
    choose_text(in, value);
    if (model->fields.count == LINES_MAX || nhttp_response_redirect(request, 302, value) != 0)
        return;
    FUZZ_CHECK(!model->has_begun);
    model->status = 302;
    model->body_bytes = 0;
    remove_lines(&model->fields, "Location");
    add_line(&model->fields, "Location", value);
}

static void remove_field(struct nhttp_request *request, struct fuzz_input *in)
{
    struct lines *fields = &script.model.fields;
    char name[TEXT_MAX];
    size_t before = fields->count;
    choose_text(in, name);
    int status = nhttp_response_remove_field(request, name);
    if (status == 0)
        remove_lines(fields, name);
    FUZZ_CHECK((status == 0) == (fields->count < before));
}

static void add_trailer(struct nhttp_request *request, struct fuzz_input *in)
{
    struct model *model = &script.model;
    char name[TEXT_MAX];
    char value[TEXT_MAX];
    choose_text(in, name);
    choose_text(in, value);
    if (model->trailers.count < LINES_MAX && nhttp_response_add_trailer(request, name, value) == 0)
        add_line(&model->trailers, name, value);
}

static void hint(struct nhttp_request *request)
{
    struct model *model = &script.model;
    if (model->hint_count == sizeof model->hints / sizeof model->hints[0])
        return;
    int status = nhttp_response_early_hints(request);
    FUZZ_CHECK(status == (model->has_begun ? -EBUSY : 0));
    if (status == 0 && !script.is_old)
        model->hints[model->hint_count++] = model->fields;
}

static void set_status(struct nhttp_request *request, struct fuzz_input *in)
{
    int wanted = 90 + (int)fuzz_u16(in) % 560;
    if (nhttp_response_set_status(request, wanted) != 0)
        return;
    FUZZ_CHECK(!script.model.has_begun && wanted >= 200 && wanted <= 599);
    script.model.status = wanted;
}

static void step(struct nhttp_request *request, struct fuzz_input *in)
{
    struct model *model = &script.model;
    switch (fuzz_byte(in) % 13) {
    case 0:
        set_status(request, in);
        break;
    case 1:
    case 2:
        put_field(request, in, true);
        break;
    case 3:
        put_field(request, in, false);
        break;
    case 4:
        remove_field(request, in);
        break;
    case 5:
        write_body(request, in, false);
        break;
    case 6:
        write_body(request, in, true);
        break;
    case 7:
        begin_body(request, in);
        break;
    case 8:
        make_error(request, in);
        break;
    case 9:
        redirect(request, in);
        break;
    case 10:
        add_trailer(request, in);
        break;
    case 11:
        hint(request);
        break;
    default:
        if (nhttp_response_reset_body(request) == 0)
            model->body_bytes = 0;
        FUZZ_CHECK(nhttp_response_flush(request) == (model->has_begun ? 0 : -EINVAL));
        break;
    }
}

static void handle(struct nhttp_request *request, void *arg)
{
    (void)arg;
    script.model.status = 200;
    for (unsigned i = 0; i < 64 && script.in.left > 0; i++)
        step(request, &script.in);
    sem_post(&script.done);
}

static void start_server(void)
{
    static const struct nhttp_server_options options = {.handler = handle,
                                                        .executor = NETPOLL_HANDLER_INLINE,
                                                        .name = "fuzzed",
                                                        .max_requests = UINT32_MAX};
    static const struct netpoll_runtime_options runtime_options = {
        .pollers = 1, .backend = NETPOLL_BACKEND_EPOLL};
    struct netpoll_runtime *runtime;
    struct nhttp_server *server;
    FUZZ_CHECK(sem_init(&script.done, 0, 0) == 0);
    FUZZ_CHECK(netpoll_runtime_create(&runtime_options, &runtime) == 0);
    FUZZ_CHECK(nhttp_server_create(runtime, &options, &server) == 0);
    FUZZ_CHECK(nhttp_server_listen(server, "127.0.0.1:0") == 0);
    FUZZ_CHECK(netpoll_server_address(nhttp_server_netpoll(server), 0, address, sizeof address) ==
               0);
}

static void dial(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    to.sin_port = htons((uint16_t)strtoul(strrchr(address, ':') + 1, NULL, 10));
    client.fd = socket(AF_INET, SOCK_STREAM, 0);
    const struct timeval limit = {.tv_sec = 20};
    FUZZ_CHECK(setsockopt(client.fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
    FUZZ_CHECK(connect(client.fd, (struct sockaddr *)&to, sizeof to) == 0);
}

static bool is_text(const char *bytes, struct nhttp_span span, const char *text)
{
    size_t n = strlen(text);
    while (n > 0 && (text[n - 1] == ' ' || text[n - 1] == '\t'))
        n--;
    while (n > 0 && (*text == ' ' || *text == '\t')) {
        text++;
        n--;
    }
    return span.len == n && memcmp(bytes + span.offset, text, n) == 0;
}

/* The last lines of a head are these; what stands before is the server's, each at most once. */
static void expect_lines(const struct nhttp_head *head, const char *bytes,
                         const struct lines *lines)
{
    static const char *const own[] = {
        "Date", "Server", "Content-Type", "Content-Length", "Transfer-Encoding", "Connection"};
    FUZZ_CHECK(head->field_count >= lines->count);
    size_t before = head->field_count - lines->count;
    for (size_t i = 0; i < lines->count; i++) {
        FUZZ_CHECK(is_text(bytes, head->fields[before + i].name, lines->all[i].name));
        FUZZ_CHECK(is_text(bytes, head->fields[before + i].value, lines->all[i].value));
    }
    unsigned seen = 0;
    for (size_t i = 0; i < before; i++) {
        unsigned which = 0;
        while (which < 6 && !is_text(bytes, head->fields[i].name, own[which]))
            which++;
        FUZZ_CHECK(which < 6 && (seen & 1U << which) == 0);
        seen |= 1U << which;
    }
    for (size_t i = 0; i < lines->count; i++) {
        for (unsigned which = 0; which < 3; which++)
            FUZZ_CHECK((seen & 1U << which) == 0 ||
                       strcasecmp(lines->all[i].name, own[which]) != 0);
    }
}

static bool has_no_body(void)
{
    return script.is_head || script.model.status == 204 || script.model.status == 304;
}

/* Less was written than announced. */
static bool is_broken(void)
{
    const struct model *model = &script.model;
    return model->has_begun && model->announced != NHTTP_LENGTH_UNKNOWN &&
           model->body_bytes < (uint64_t)model->announced && !has_no_body();
}

static void expect_trailers(const struct answer *answer)
{
    const struct model *model = &script.model;
    if (answer->trailer_bytes == NULL)
        return;
    FUZZ_CHECK(answer->trailers.head.field_count <= model->trailers.count);
    expect_lines(&answer->trailers.head, answer->trailer_bytes, &model->trailers);
}

static void expect_answer(const struct answer *answer)
{
    const struct model *model = &script.model;
    const struct nhttp_head *head = &answer->parser.head;
    if (is_broken()) {
        FUZZ_CHECK(!answer->is_whole);
        return;
    }
    FUZZ_CHECK(answer->is_whole);
    if (model->status == 0)
        return;
    FUZZ_CHECK(head->status == model->status);
    expect_lines(head, answer->bytes, &model->fields);
    size_t n = has_no_body() ? 0 : model->body_bytes;
    FUZZ_CHECK(answer->body_bytes == n && (n == 0 || memcmp(answer->body, model->body, n) == 0));
    FUZZ_CHECK(!model->closes || !head->keeps_alive);
    FUZZ_CHECK(script.keeps_alive || !head->keeps_alive);
    expect_trailers(answer);
}

static void ask(void)
{
    char request[128];
    int n = snprintf(request, sizeof request, "%s / HTTP/1.%d\r\nHost: a\r\nConnection: %s\r\n\r\n",
                     script.is_head ? "HEAD" : "GET", script.is_old ? 0 : 1,
                     script.keeps_alive ? "keep-alive" : "close");
    FUZZ_CHECK(send(client.fd, request, (size_t)n, MSG_NOSIGNAL) == n);
    while (sem_wait(&script.done) != 0)
        FUZZ_CHECK(errno == EINTR);
}

/* NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct answer answer;
    struct model *model = &script.model;
    if (address[0] == '\0')
        start_server();
    if (client.fd < 0)
        dial();
    fuzz_count();
    memset(model, 0, offsetof(struct model, hints));
    model->hint_count = model->body_bytes = 0;
    model->has_begun = model->closes = false;
    script.in = (struct fuzz_input){data, size};
    uint8_t choice = fuzz_byte(&script.in);
    script.is_head = (choice & 1) != 0;
    script.is_old = (choice & 6) == 6;
    script.keeps_alive = (choice & 24) != 24;
    ask();
    enum nhttp_method method = script.is_head ? NHTTP_METHOD_HEAD : NHTTP_METHOD_GET;
    for (size_t i = 0; i < model->hint_count; i++) {
        answer_read(&client, method, &answer);
        FUZZ_CHECK(answer.is_whole && answer.parser.head.status == 103);
        expect_lines(&answer.parser.head, answer.bytes, &model->hints[i]);
    }
    answer_read(&client, method, &answer);
    expect_answer(&answer);
    bool goes_on = answer.is_whole && answer.parser.head.keeps_alive;
    FUZZ_CHECK(answer_is_all(&client) || !answer.is_whole);
    if (!goes_on) {
        char more;
        FUZZ_CHECK(!answer.is_whole || recv(client.fd, &more, 1, 0) <= 0);
        close(client.fd);
        client.fd = -1;
    }
    return 0;
}
