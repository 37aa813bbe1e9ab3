/* Runtimes: their options one by one, the environment, the backend and the figures. */
#include "../support/process.h"
#include "rig.h"

#include <gopool/gopool.h>
#include <mcache/mcache.h>

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(runtime, .timeout = 60);

static void expect_refused(const struct netpoll_runtime_options *options, int expected)
{
    struct netpoll_runtime *runtime = (struct netpoll_runtime *)&expected;
    size_t descriptors = descriptor_count();
    size_t bytes = live_bytes();
    cr_assert_eq(netpoll_runtime_create(options, &runtime), expected);
    cr_assert_null(runtime);
    cr_assert_eq(descriptor_count(), descriptors);
    cr_assert_eq(live_bytes(), bytes);
}

Test(runtime, reserved_fields_must_be_zero)
{
    struct netpoll_runtime_options options = {0};
    for (size_t i = 0; i < sizeof options.reserved / sizeof options.reserved[0]; i++) {
        options = (struct netpoll_runtime_options){0};
        options.reserved[i] = 1;
        expect_refused(&options, -EINVAL);
    }
}

Test(runtime, demote_idle_ms_has_a_bound)
{
    struct netpoll_runtime_options options = {.demote_idle_ms = NETPOLL_TIMEOUT_MS_MAX + 1U};
    expect_refused(&options, -EINVAL);
}

Test(runtime, an_unknown_backend_is_refused)
{
    struct netpoll_runtime_options options = {.backend = (enum netpoll_backend)3};
    expect_refused(&options, -EINVAL);
}

static const char *backend_name(struct netpoll_runtime *runtime)
{
    struct netpoll_backend_info info;
    netpoll_runtime_backend(runtime, &info);
    CHECK(info.reason != NULL && info.reason[0] != '\0');
    return info.name;
}

static const char *name_under_test(void)
{
    return backend_under_test() == NETPOLL_BACKEND_EPOLL ? "epoll" : "io_uring";
}

static struct netpoll_runtime *runtime_with(struct netpoll_runtime_options options)
{
    struct netpoll_runtime *runtime;
    CHECK(netpoll_runtime_create(&options, &runtime) == 0);
    return runtime;
}

static void destroy(struct netpoll_runtime *runtime)
{
    CHECK(netpoll_runtime_destroy(runtime) == 0);
}

Test(runtime, backend)
{
    struct netpoll_runtime *runtime =
        runtime_with((struct netpoll_runtime_options){.backend = backend_under_test()});
    cr_assert_str_eq(backend_name(runtime), name_under_test());
    destroy(runtime);
}

Test(runtime, the_environment_replaces_auto_only)
{
    struct netpoll_runtime *runtime;
    cr_assert_eq(setenv("NETPOLL_BACKEND", name_under_test(), 1), 0);
    cr_assert_eq(netpoll_runtime_create(NULL, &runtime), 0);
    cr_assert_str_eq(backend_name(runtime), name_under_test());
    destroy(runtime);
    runtime = runtime_with((struct netpoll_runtime_options){.backend = NETPOLL_BACKEND_EPOLL});
    cr_assert_str_eq(backend_name(runtime), "epoll");
    destroy(runtime);
    cr_assert_eq(setenv("NETPOLL_BACKEND", "epoll", 1), 0);
    runtime = runtime_with((struct netpoll_runtime_options){.backend = backend_under_test()});
    cr_assert_str_eq(backend_name(runtime), name_under_test());
    destroy(runtime);
}

Test(runtime, an_unknown_word_in_the_environment_is_refused)
{
    struct rig log = {.log_mutex = PTHREAD_MUTEX_INITIALIZER};
    struct netpoll_runtime_options options = {.log = rig_log, .log_arg = &log};
    cr_assert_eq(setenv("NETPOLL_BACKEND", "kqueue", 1), 0);
    expect_refused(&options, -EINVAL);
    cr_assert_eq(log.logs, 1);
    cr_assert_not_null(strstr(log.last_log, "kqueue"), "%s", log.last_log);
    cr_assert_eq(setenv("NETPOLL_BACKEND", "auto", 1), 0);
    destroy(runtime_with(options));
    cr_assert_eq(setenv("NETPOLL_BACKEND", "", 1), 0);
    destroy(runtime_with(options));
}

static void count_pollers(pid_t thread, void *arg)
{
    (void)thread;
    ++*(unsigned *)arg;
}

static unsigned thread_count(void)
{
    unsigned count = 0;
    for_each_thread(count_pollers, &count);
    return count;
}

Test(runtime, pollers)
{
    cpu_set_t set;
    unsigned before = thread_count();
    struct netpoll_runtime *runtime = runtime_with(
        (struct netpoll_runtime_options){.backend = backend_under_test(), .pollers = 5});
    cr_assert_eq(netpoll_runtime_pollers(runtime), 5);
    cr_assert_geq(thread_count(), before + 5);
    destroy(runtime);
    runtime = runtime_with((struct netpoll_runtime_options){.backend = backend_under_test()});
    cr_assert_eq(sched_getaffinity(0, sizeof set, &set), 0);
    cr_assert_eq(netpoll_runtime_pollers(runtime), (uint32_t)CPU_COUNT(&set));
    destroy(runtime);
    expect_refused(&(struct netpoll_runtime_options){.pollers = 257}, -EINVAL);
}

static int policy_of_poller(bool disable)
{
    struct netpoll_runtime *runtime = runtime_with((struct netpoll_runtime_options){
        .backend = backend_under_test(), .pollers = 1, .disable_batch_scheduling = disable});
    pid_t poller = thread_named("poller");
    CHECK(poller > 0);
    int policy = sched_getscheduler(poller);
    destroy(runtime);
    return policy;
}

Test(runtime, disable_batch_scheduling)
{
    cr_assert_eq(policy_of_poller(false), SCHED_BATCH);
    cr_assert_eq(policy_of_poller(true), SCHED_OTHER);
}

static void note_pool_thread(struct netpoll_conn *conn, void *arg)
{
    atomic_store((atomic_bool *)arg, is_thread_named("mine"));
    echo_copy(conn, arg);
}

/* A server on a runtime that the test has made, and one echo through it. */
static void serve_once(struct netpoll_runtime *runtime, const struct netpoll_conn_options *options)
{
    struct netpoll_server *server;
    char address[NETPOLL_ADDRESS_BYTES];
    CHECK(netpoll_server_create(runtime, options, NULL, &server) == 0);
    CHECK(netpoll_server_listen(server, "127.0.0.1:0") == 0);
    CHECK(netpoll_server_address(server, 0, address, sizeof address) == 0);
    int fd = client_dial(address);
    expect_echo(fd, 1, 10);
    client_close(fd);
    CHECK(netpoll_server_shutdown(server, DEADLINE_MS) == 0);
    CHECK(netpoll_server_destroy(server) == 0);
}

Test(runtime, pool)
{
    struct gopool *pool;
    struct gopool_options pool_options = {.name = "mine"};
    atomic_bool on_mine = false;
    struct gopool_stats stats;
    cr_assert_eq(gopool_create(&pool_options, &pool), 0);
    struct netpoll_runtime *runtime = runtime_with(
        (struct netpoll_runtime_options){.backend = backend_under_test(), .pool = pool});
    cr_assert_eq(netpoll_runtime_pool(runtime), pool);
    serve_once(runtime,
               &(struct netpoll_conn_options){.on_request = note_pool_thread, .arg = &on_mine});
    cr_assert(atomic_load(&on_mine));
    destroy(runtime);
    gopool_stats_read(pool, &stats);
    cr_assert_gt(stats.finished_count, 0, "the pool outlives the runtime");
    gopool_destroy(pool);
    runtime = runtime_with((struct netpoll_runtime_options){.backend = backend_under_test()});
    cr_assert_not_null(netpoll_runtime_pool(runtime), "one of its own");
    destroy(runtime);
}

static void panic_now(struct netpoll_conn *conn, void *arg)
{
    (void)conn;
    gopool_panic("for the log: %s", (const char *)arg);
}

/* A connection whose handler panics: one line of log. */
static void cause_log(struct netpoll_runtime *runtime)
{
    struct netpoll_conn_options options = {.on_request = panic_now, .arg = (void *)"a word"};
    struct netpoll_server *server;
    char address[NETPOLL_ADDRESS_BYTES];
    CHECK(netpoll_server_create(runtime, &options, NULL, &server) == 0);
    CHECK(netpoll_server_listen(server, "127.0.0.1:0") == 0);
    CHECK(netpoll_server_address(server, 0, address, sizeof address) == 0);
    int fd = client_dial(address);
    client_send(fd, "x", 1);
    (void)client_drain(fd);
    client_close(fd);
    CHECK(netpoll_server_shutdown(server, DEADLINE_MS) == 0);
    CHECK(netpoll_server_destroy(server) == 0);
}

Test(runtime, log_and_log_arg)
{
    struct rig log = {.log_mutex = PTHREAD_MUTEX_INITIALIZER};
    struct netpoll_runtime *runtime = runtime_with((struct netpoll_runtime_options){
        .backend = backend_under_test(), .log = rig_log, .log_arg = &log});
    cause_log(runtime);
    destroy(runtime);
    cr_assert_eq(log.logs, 1);
    cr_assert_not_null(strstr(log.last_log, "for the log: a word"), "%s", log.last_log);
    cr_assert_null(strchr(log.last_log, '\n'));
}

static void log_to_stderr(void *arg)
{
    (void)arg;
    struct netpoll_runtime *runtime =
        runtime_with((struct netpoll_runtime_options){.backend = backend_under_test()});
    cause_log(runtime);
    destroy(runtime);
}

Test(runtime, without_a_log_lines_go_to_stderr)
{
    char output[1024];
    cr_assert_eq(run_in_child(log_to_stderr, NULL, output, sizeof output), 0);
    cr_assert_not_null(strstr(output, "error: "), "%s", output);
    cr_assert_not_null(strstr(output, "for the log: a word"), "%s", output);
    const char *newline = strchr(output, '\n');
    cr_assert_not_null(newline);
    cr_assert_eq(newline[1], '\0', "one line: %s", output);
}

/* One request at a time is one call of on_request each. */
TEST_BOTH_MODES(runtime, figures_are_exact)
{
    struct rig rig = {0};
    struct netpoll_conn_options options = {.on_request = echo_copy, .handler = *mode};
    int fds[5];
    rig_start(&rig, &options);
    for (unsigned i = 0; i < 5; i++) {
        fds[i] = rig_dial(&rig);
        for (unsigned k = 0; k < 20; k++)
            expect_echo(fds[i], k, 100);
    }
    struct netpoll_stats stats = rig_stats(&rig);
    cr_assert_eq(stats.connections, 5);
    cr_assert_eq(stats.accepted, 5);
    cr_assert_eq(stats.requests, 100);
    cr_assert_eq(stats.bytes_in, 10000);
    WAIT_UNTIL(rig_stats(&rig).bytes_out == 10000);
    cr_assert_eq(stats.accept_fails, 0);
    cr_assert_gt(stats.wakeups, 0);
    for (unsigned i = 0; i < 5; i++)
        client_close(fds[i]);
    WAIT_UNTIL(rig_stats(&rig).connections == 0);
    cr_assert_eq(rig_stats(&rig).accepted, 5);
    rig_finish(&rig);
}

/* Each answer is the name of the thread that gave it. */
static void answer_thread_name(struct netpoll_conn *conn, void *arg)
{
    char name[16] = {0};
    (void)arg;
    CHECK(pthread_getname_np(pthread_self(), name, sizeof name) == 0);
    CHECK(netpoll_conn_skip(conn, netpoll_conn_len(conn)) == 0);
    CHECK(netpoll_conn_write(conn, name, sizeof name) == 0);
    CHECK(netpoll_conn_flush(conn) == 0);
}

Test(runtime, connections_are_spread_over_the_pollers)
{
    struct rig rig = {.pollers = 4};
    struct netpoll_conn_options options = {.on_request = answer_thread_name,
                                           .handler = NETPOLL_HANDLER_INLINE};
    unsigned served[4] = {0};
    int fds[16];
    rig_start(&rig, &options);
    for (unsigned i = 0; i < 16; i++) {
        char name[16];
        fds[i] = rig_dial(&rig);
        client_send(fds[i], "x", 1);
        cr_assert_eq(client_receive(fds[i], name, sizeof name), sizeof name);
        cr_assert_eq(strncmp(name, "poller-", 7), 0, "%s", name);
        served[(unsigned)(name[7] - '0') % 4]++;
    }
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(served[i], 4, "poller %u has %u", i, served[i]);
    for (unsigned i = 0; i < 16; i++)
        client_close(fds[i]);
    rig_finish_when_idle(&rig);
}

static size_t retained_bytes(void)
{
    struct mcache_stats stats;
    mcache_stats_read(&stats);
    return stats.retained_bytes;
}

/* Allocations let free memory age; here nobody makes any, and the pollers have to. */
Test(runtime, pollers_give_free_memory_back_and_then_rest)
{
    struct rig rig = {0};
    struct netpoll_conn_options options = {.on_request = echo_copy};
    void *blocks[16];
    mcache_configure(&(struct mcache_options){.decay_ms = 20});
    rig_start(&rig, &options);
    for (unsigned i = 0; i < 16; i++) {
        blocks[i] = mcache_alloc(MCACHE_CLASS_MAX);
        cr_assert_not_null(blocks[i]);
    }
    for (unsigned i = 0; i < 16; i++)
        mcache_free(blocks[i]);
    cr_assert_gt(retained_bytes(), 8U << 20);
    rig_round_trip(&rig);
    WAIT_UNTIL(retained_bytes() == 0);

    uint64_t wakeups = rig_stats(&rig).wakeups;
    poll(NULL, 0, 1000);
    cr_assert_leq(rig_stats(&rig).wakeups, wakeups + 2, "ten ticks if they went on");
    rig_finish_when_idle(&rig);
}

static bool can_make_one(void)
{
/* The sanitizer's allocator does not outlive a fork beside threads that allocate. */
#ifndef __SANITIZE_ADDRESS__
    struct netpoll_runtime_options options = {.backend = backend_under_test()};
    struct netpoll_runtime *runtime;
    if (netpoll_runtime_create(&options, &runtime) != 0)
        return false;
    return netpoll_runtime_destroy(runtime) == 0;
#else
    return true;
#endif
}

/* Every call on what the parent has made; the number of the first that is not refused is the exit
 * status. */
static void use_what_the_parent_made(void *arg)
{
    const struct rig *rig = arg;
    struct netpoll_conn_options options = {.on_request = echo_copy};
    struct netpoll_server *server;
    char address[NETPOLL_ADDRESS_BYTES];
    alarm(30);
    if (netpoll_server_create(rig->runtime, &options, NULL, &server) != -EPERM || server != NULL)
        _exit(1);
    if (netpoll_server_listen(rig->server, "127.0.0.1:0") != -EPERM)
        _exit(2);
    if (netpoll_server_listeners(rig->server) != 0)
        _exit(3);
    if (netpoll_server_address(rig->server, 0, address, sizeof address) != -EPERM)
        _exit(4);
    if (netpoll_server_shutdown(rig->server, 0) != -EPERM)
        _exit(5);
    if (netpoll_server_destroy(rig->server) != -EPERM)
        _exit(6);
    if (netpoll_runtime_destroy(rig->runtime) != -EPERM)
        _exit(7);
    if (!can_make_one())
        _exit(8);
}

Test(runtime, a_child_of_fork_cannot_use_it_but_make_its_own)
{
    struct netpoll_conn_options options = {.on_request = echo_copy};
    struct rig rig = {0};
    char output[256];
    rig_start(&rig, &options);
    int status = run_in_child(use_what_the_parent_made, &rig, output, sizeof output);
    cr_assert(WIFEXITED(status), "status %d: %s", status, output);
    cr_assert_eq(WEXITSTATUS(status), 0, "call %d: %s", WEXITSTATUS(status), output);
    rig_round_trip(&rig);
    rig_finish(&rig);
}
