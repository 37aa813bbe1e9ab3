/* A server that is replaced again and again while clients come: none is refused, none is left
 * without its answer. */
#include "../netpoll/rig.h"
#include "../support/process.h"
#include "program.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(restart, .timeout = 60);

#define CLIENTS  4
#define RESTARTS 20
/* Twenty are meant to take that long at most. */
#define RESTARTS_MS INT64_C(20000)

struct load {
    const char *address;
    _Atomic bool stop;
    _Atomic unsigned answered;
    _Atomic unsigned refused;
    _Atomic unsigned lost;
    pthread_t threads[CLIENTS];
};

/* Connects, sends, receives, closes. */
static void visit(struct load *load)
{
    const char request[4] = {0};
    char answer[4] = {1};
    int fd = client_try_dial(load->address);
    if (fd < 0) {
        fprintf(stderr, "connect: %s\n", strerror(-fd));
        atomic_fetch_add(&load->refused, 1);
        return;
    }
    bool is_answered = client_try_send(fd, request, sizeof request) == sizeof request &&
                       client_try_receive(fd, answer, sizeof answer) == sizeof answer &&
                       memcmp(answer, request, sizeof answer) == 0;
    atomic_fetch_add(is_answered ? &load->answered : &load->lost, 1);
    client_close(fd);
}

static void *run_client(void *arg)
{
    struct load *load = arg;
    while (!atomic_load(&load->stop))
        visit(load);
    return NULL;
}

static void start_load(struct load *load, const char *address)
{
    *load = (struct load){.address = address};
    for (unsigned i = 0; i < CLIENTS; i++)
        CHECK(pthread_create(&load->threads[i], NULL, run_client, load) == 0);
}

static void end_load(struct load *load)
{
    atomic_store(&load->stop, true);
    for (unsigned i = 0; i < CLIENTS; i++)
        pthread_join(load->threads[i], NULL);
    cr_assert_eq(load->refused, 0, "%u of %u connects failed", load->refused, load->answered);
    cr_assert_eq(load->lost, 0, "%u of %u requests got no answer", load->lost, load->answered);
}

/* Served by whoever serves now. */
static void wait_for_answers(struct load *load, unsigned count)
{
    unsigned before = atomic_load(&load->answered);
    WAIT_UNTIL(atomic_load(&load->answered) >= before + count || atomic_load(&load->lost) > 0 ||
               atomic_load(&load->refused) > 0);
}

static void name_path(char path[64])
{
    snprintf(path, 64, "/tmp/netpoll-restart-%d", (int)getpid());
}

static void start_with_path(struct server *server, const char *program, const char *path,
                            const char *listen)
{
    const char *const arguments[ARGUMENTS_MAX] = {"--backend", backend_word(), "--pollers", "2",
                                                  "--restart", path,           "--listen",  listen};
    char words[80];
    *server = (struct server){.program.path = program};
    memcpy(server->program.arguments, arguments, sizeof arguments);
    snprintf(words, sizeof words, " (backend=%s, pollers=2, handler=pool)", backend_word());
    program_start(&server->program);
    expect_ready_line(&server->program, words, server->address);
}

static void expect_quiet_end(struct server *server)
{
    int status = program_end(&server->program);
    cr_assert_eq(status, 0, "status %d: %s", status, output_rest(&server->program.err));
    cr_assert_str_empty(output_rest(&server->program.err));
}

static void restart_under_load(const char *program, const char *listen)
{
    struct load load;
    char path[64];
    char address[SERVER_ADDRESS_BYTES];
    static struct server servers[2];
    name_path(path);
    start_with_path(&servers[0], program, path, listen);
    memcpy(address, servers[0].address, sizeof address);
    start_load(&load, address);
    wait_for_answers(&load, 10);
    int64_t since = now_ms();
    for (unsigned i = 0; i < RESTARTS; i++) {
        start_with_path(&servers[(i + 1) % 2], program, path, "127.0.0.1:0");
        cr_assert_str_eq(servers[(i + 1) % 2].address, address);
        expect_quiet_end(&servers[i % 2]);
        wait_for_answers(&load, 10);
    }
    int64_t took_ms = now_ms() - since;
    end_load(&load);
    fprintf(stderr, "%d restarts in %lld ms, %u requests\n", RESTARTS, (long long)took_ms,
            load.answered);
    cr_assert_leq(took_ms, 10 * RESTARTS_MS);
    server_stop(&servers[RESTARTS % 2]);
    cr_assert_eq(access(path, F_OK), -1, "the last one cleans up");
}

Test(restart, twenty_times_on_tcp)
{
    restart_under_load(RPC_SERVER, "127.0.0.1:0");
}

Test(restart, twenty_times_on_a_unix_socket)
{
    char address[SERVER_ADDRESS_BYTES];
    snprintf(address, sizeof address, "unix:/tmp/netpoll-restarted-%d", (int)getpid());
    restart_under_load(ECHO_SERVER, address);
    cr_assert_eq(access(address + 5, F_OK), -1);
}

/* This process adopts what its children leave behind: see PR_SET_CHILD_SUBREAPER. */
static pid_t only_child(void)
{
    char path[64];
    char number[32];
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    FILE *children = fopen(path, "re");
    CHECK(children != NULL);
    CHECK(fgets(number, sizeof number, children) != NULL);
    fclose(children);
    return (pid_t)strtol(number, NULL, 10);
}

static void expect_status_0(pid_t process)
{
    int status;
    CHECK(waitpid(process, &status, 0) == process);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", status);
}

/* Each process writes to the streams of the first. */
Test(restart, sigusr2_starts_the_program_again)
{
    struct load load;
    struct server server;
    char words[80];
    char address[SERVER_ADDRESS_BYTES];
    CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    server_start(&server, RPC_SERVER, NETPOLL_HANDLER_POOL);
    snprintf(words, sizeof words, " (backend=%s, pollers=2, handler=pool)", backend_word());
    start_load(&load, server.address);
    pid_t serving = server.program.pid;
    for (unsigned i = 0; i < 5; i++) {
        wait_for_answers(&load, 10);
        CHECK(kill(serving, SIGUSR2) == 0);
        expect_ready_line(&server.program, words, address);
        cr_assert_str_eq(address, server.address);
        expect_status_0(serving);
        serving = only_child();
    }
    wait_for_answers(&load, 10);
    end_load(&load);
    CHECK(kill(serving, SIGTERM) == 0);
    expect_status_0(serving);
    cr_assert_null(output_line(&server.program.out));
    cr_assert_null(output_line(&server.program.err));
}

/* A new process that cannot serve leaves everything to the old one. */
Test(restart, a_successor_that_fails_is_survived)
{
    struct load load;
    struct server server;
    char path[64];
    char copy[64];
    char command[512];
    snprintf(copy, sizeof copy, "/tmp/netpoll-restart-copy-%d", (int)getpid());
    snprintf(command, sizeof command, "cp %s %s", RPC_SERVER, copy);
    CHECK(system(command) == 0);
    name_path(path);
    start_with_path(&server, copy, path, "127.0.0.1:0");
    start_load(&load, server.address);
    /* The file is what the next program would be. */
    CHECK(unlink(copy) == 0);
    program_signal(&server.program, SIGUSR2);
    const char *line = output_line(&server.program.err);
    cr_assert_str_eq(line, "the new process has ended; this one goes on");
    wait_for_answers(&load, 10);
    /* Then one that can. */
    struct server next;
    start_with_path(&next, RPC_SERVER, path, "127.0.0.1:0");
    cr_assert_str_eq(next.address, server.address);
    expect_quiet_end(&server);
    wait_for_answers(&load, 10);
    end_load(&load);
    server_stop(&next);
}
