/* A server from its command line to its exit status: start, announce, serve, drain. */
#define _GNU_SOURCE /* NOLINT(readability-identifier-naming): the C library's name for it */
#include "server.h"

#include "flags.h"
#include "restart.h"

#include <gopool/gopool.h>

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define LISTEN_MAX       64
#define COMMON_FLAGS     7
#define AS_TEXT(number)  AS_TEXT_(number)
#define AS_TEXT_(number) #number
#define LISTEN_DEFAULT   "127.0.0.1:0"
#define DRAIN_TIMEOUT_MS 5000

#define STATUS_FAILED 1
#define STATUS_USAGE  2

struct settings {
    const char *listen[LISTEN_MAX];
    size_t listen_count;
    enum netpoll_backend backend;
    enum netpoll_handler handler;
    uint32_t pollers; /* 0: the runtime's default */
    uint32_t workers; /* 0: the pool's default */
    uint32_t stats_seconds;
    const char *restart_path; /* NULL: none */
};

struct running {
    const struct server_program *program;
    struct gopool *pool; /* NULL: the runtime's own */
    struct netpoll_runtime *runtime;
    struct netpoll_server *server;
    struct restart restart;
    char **argv;
};

static bool parse_listen(const struct flag *flag, const char *text)
{
    struct settings *settings = flag->into;
    if (settings->listen_count == LISTEN_MAX)
        return false;
    settings->listen[settings->listen_count++] = text;
    return true;
}

static bool parse_backend(const struct flag *flag, const char *text)
{
    enum netpoll_backend *backend = flag->into;
    if (strcmp(text, "auto") == 0)
        *backend = NETPOLL_BACKEND_AUTO;
    else if (strcmp(text, "io_uring") == 0)
        *backend = NETPOLL_BACKEND_IO_URING;
    else if (strcmp(text, "epoll") == 0)
        *backend = NETPOLL_BACKEND_EPOLL;
    else
        return false;
    return true;
}

static bool parse_handler(const struct flag *flag, const char *text)
{
    enum netpoll_handler *handler = flag->into;
    if (strcmp(text, "inline") == 0)
        *handler = NETPOLL_HANDLER_INLINE;
    else if (strcmp(text, "pool") == 0)
        *handler = NETPOLL_HANDLER_POOL;
    else
        return false;
    return true;
}

/* What every server has. */
static size_t common_flags(struct settings *out, struct flag *into)
{
    const struct flag flags[] = {
        {.name = "--listen",
         .value = "ADDR",
         .help = "IP:PORT, [::1]:PORT, unix:PATH or unix:@NAME; repeatable (" LISTEN_DEFAULT ")",
         .must_be = "given at most " AS_TEXT(LISTEN_MAX) " times",
         .parse = parse_listen,
         .into = out},
        {.name = "--backend",
         .value = "BACKEND",
         .help = "auto, io_uring or epoll (auto)",
         .must_be = "auto, io_uring or epoll",
         .parse = parse_backend,
         .into = &out->backend},
        {.name = "--pollers",
         .value = "N",
         .help = "threads that wait for the kernel (one per CPU allowed)",
         .parse = flag_number,
         .into = &out->pollers,
         .min = 1,
         .max = 256},
        {.name = "--handler",
         .value = "WHERE",
         .help = "inline: on the poller; pool: on workers, where it may block (pool)",
         .must_be = "inline or pool",
         .parse = parse_handler,
         .into = &out->handler},
        {.name = "--workers",
         .value = "N",
         .help = "most workers at a time; 0: the pool's default (0)",
         .parse = flag_number,
         .into = &out->workers,
         .max = 65536},
        {.name = "--stats",
         .value = "SECONDS",
         .help = "a line of figures on stderr so often; 0: never (0)",
         .parse = flag_number,
         .into = &out->stats_seconds,
         .max = 86400},
        {.name = "--restart",
         .value = "PATH",
         .help = "take the listeners of the server that waits at PATH, then wait there for the "
                 "next (nobody)",
         .parse = flag_text,
         .into = &out->restart_path},
    };
    _Static_assert(sizeof flags / sizeof flags[0] == COMMON_FLAGS, "there is room for all");
    memcpy(into, flags, sizeof flags);
    return COMMON_FLAGS;
}

static void read_flags(const struct server_program *program, int argc, char **argv,
                       struct settings *out)
{
    struct flag flags[COMMON_FLAGS + SERVER_FLAGS_MAX];
    size_t count = common_flags(out, flags);
    for (size_t i = 0; i < SERVER_FLAGS_MAX && program->flags[i].name != NULL; i++)
        flags[count++] = program->flags[i];
    const struct flag_set set = {
        .program = program->name, .summary = program->summary, .flags = flags, .count = count};
    flags_parse(&set, argc, argv);
    if (out->listen_count == 0)
        out->listen[out->listen_count++] = LISTEN_DEFAULT;
}

/* They stay pending for wait_for_end() on every thread that is started later. */
static void block_signals(sigset_t *out)
{
    sigemptyset(out);
    sigaddset(out, SIGINT);
    sigaddset(out, SIGTERM);
    sigaddset(out, SIGUSR2);
    sigaddset(out, SIGCHLD);
    pthread_sigmask(SIG_BLOCK, out, NULL);
    /* Whoever reads our stdout or stderr may go away; that must not end the server. */
    signal(SIGPIPE, SIG_IGN);
}

static int failed(const struct server_program *program, const char *what, int error)
{
    fprintf(stderr, "%s: %s: %s\n", program->name, what, netpoll_strerror(error));
    return STATUS_FAILED;
}

static int create_runtime(struct running *running, const struct settings *settings)
{
    if (settings->workers > 0) {
        const struct gopool_options options = {.name = "handler", .cap = settings->workers};
        int status = gopool_create(&options, &running->pool);
        if (status != 0)
            return failed(running->program, "cannot create the pool", status);
    }
    const struct netpoll_runtime_options options = {
        .backend = settings->backend, .pollers = settings->pollers, .pool = running->pool};
    int status = netpoll_runtime_create(&options, &running->runtime);
    /* The log has told why: io_uring was refused, or NETPOLL_BACKEND is none; what the flags let
     * pass cannot be invalid. */
    if (status == -ENOTSUP || status == -EINVAL)
        return STATUS_FAILED;
    return status == 0 ? 0 : failed(running->program, "cannot start the pollers", status);
}

static int listen_on(struct running *running, const char *address)
{
    int status = netpoll_server_listen(running->server, address);
    if (status == 0)
        return 0;
    if (status == -EINVAL) {
        fprintf(stderr,
                "%s: --listen must be IP:PORT, [::1]:PORT, unix:PATH or unix:@NAME, not \"%s\"\n",
                running->program->name, address);
        return STATUS_USAGE;
    }
    fprintf(stderr, "%s: cannot listen on %s: %s\n", running->program->name, address,
            netpoll_strerror(status));
    return STATUS_FAILED;
}

static int create_server(struct running *running, enum netpoll_handler handler)
{
    struct netpoll_conn_options options = running->program->options;
    if (running->program->create != NULL)
        return running->program->create(running->runtime, handler, &running->server);
    options.handler = handler;
    return netpoll_server_create(running->runtime, &options, NULL, &running->server);
}

static int start(struct running *running, const struct settings *settings)
{
    int status = create_runtime(running, settings);
    if (status != 0)
        return status;
    status = create_server(running, settings->handler);
    if (status != 0)
        return failed(running->program, "cannot create the server", status);
    int taken = restart_take(running->server, settings->restart_path);
    if (taken < 0)
        return failed(running->program, "cannot take over the listeners", taken);
    /* Where the one before listened is where this one does. */
    for (size_t i = 0; taken == 0 && i < settings->listen_count && status == 0; i++)
        status = listen_on(running, settings->listen[i]);
    if (status != 0)
        return status;
    status = restart_begin(&running->restart, running->server, settings->restart_path);
    if (status != 0)
        fprintf(stderr, "%s: cannot wait for the next process at \"%s\": %s\n",
                running->program->name, settings->restart_path, netpoll_strerror(status));
    return status == 0 ? 0 : STATUS_FAILED;
}

static void announce(const struct running *running, const struct settings *settings)
{
    struct netpoll_backend_info backend;
    netpoll_runtime_backend(running->runtime, &backend);
    size_t count = netpoll_server_listeners(running->server);
    for (size_t i = 0; i < count; i++) {
        char address[NETPOLL_ADDRESS_BYTES];
        if (netpoll_server_address(running->server, i, address, sizeof address) != 0)
            continue;
        printf("listening on %s (backend=%s, pollers=%u, handler=%s)\n", address, backend.name,
               netpoll_runtime_pollers(running->runtime),
               settings->handler == NETPOLL_HANDLER_INLINE ? "inline" : "pool");
    }
    fflush(stdout);
}

static void print_stats(const struct netpoll_runtime *runtime)
{
    struct netpoll_stats stats;
    netpoll_runtime_stats_read(runtime, &stats);
    fprintf(stderr,
            "stats connections=%" PRIu64 " requests=%" PRIu64 " bytes_in=%" PRIu64
            " bytes_out=%" PRIu64 " wakeups=%" PRIu64 "\n",
            stats.connections, stats.requests, stats.bytes_in, stats.bytes_out, stats.wakeups);
}

static void start_successor(struct running *running)
{
    int status = restart_start_successor(&running->restart, running->argv);
    if (status != 0)
        (void)failed(running->program, "cannot start the new process", status);
}

static void wait_for_end(struct running *running, const sigset_t *signals, uint32_t stats_seconds)
{
    const struct timespec period = {.tv_sec = (time_t)stats_seconds};
    for (;;) {
        int got = sigtimedwait(signals, NULL, stats_seconds > 0 ? &period : NULL);
        if (got == SIGINT || got == SIGTERM)
            return;
        if (got == SIGUSR2)
            start_successor(running);
        else if (got == SIGCHLD)
            restart_reap(&running->restart);
        else if (errno == EAGAIN)
            print_stats(running->runtime);
    }
}

static int drain(const struct running *running)
{
    int left = netpoll_server_shutdown(running->server, DRAIN_TIMEOUT_MS);
    if (left < 0)
        return failed(running->program, "cannot shut down", left);
    if (left > 0)
        fprintf(stderr, "%s: connections that had to be closed by force after %d s: %d\n",
                running->program->name, DRAIN_TIMEOUT_MS / 1000, left);
    return 0;
}

/* Takes down what start() has got to. In this order none of it can refuse. */
static void stop(struct running *running)
{
    restart_end(&running->restart);
    if (running->program->destroy != NULL)
        running->program->destroy();
    else
        (void)!netpoll_server_destroy(running->server);
    (void)!netpoll_runtime_destroy(running->runtime);
    gopool_destroy(running->pool);
}

int server_main(const struct server_program *program, int argc, char **argv)
{
    struct settings settings = {.handler = NETPOLL_HANDLER_POOL};
    struct running running = {.program = program, .argv = argv};
    sigset_t signals;
    read_flags(program, argc, argv, &settings);
    block_signals(&signals);
    int status = start(&running, &settings);
    if (status == 0) {
        announce(&running, &settings);
        restart_tell_predecessor();
        wait_for_end(&running, &signals, settings.stats_seconds);
        restart_end(&running.restart);
        status = drain(&running);
    }
    stop(&running);
    return status;
}
