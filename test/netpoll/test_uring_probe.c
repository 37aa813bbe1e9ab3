/* Whether io_uring is used: what refuses it, one system call at a time. */
#include "../support/process.h"
#include "rig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <linux/io_uring.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

TestSuite(uring_probe, .timeout = 60);

struct refusal {
    long system_call;
    const char *step; /* in the line of log */
};

/* One echo on a runtime that chooses for itself, and chooses this, or NULL: as it likes. Its log
 * goes to stderr. */
static void serve_with_auto(const char *name)
{
    struct netpoll_conn_options options = {.on_request = echo_copy};
    struct netpoll_backend_info info;
    struct netpoll_runtime *runtime;
    struct netpoll_server *server;
    char address[NETPOLL_ADDRESS_BYTES];
    CHECK(netpoll_runtime_create(NULL, &runtime) == 0);
    netpoll_runtime_backend(runtime, &info);
    CHECK(name == NULL || strcmp(info.name, name) == 0);
    CHECK(info.reason != NULL && info.reason[0] != '\0');
    CHECK(netpoll_server_create(runtime, &options, NULL, &server) == 0);
    CHECK(netpoll_server_listen(server, "127.0.0.1:0") == 0);
    CHECK(netpoll_server_address(server, 0, address, sizeof address) == 0);
    int fd = client_dial(address);
    expect_echo(fd, 1, 1000);
    client_close(fd);
    CHECK(netpoll_server_destroy(server) == 0);
    CHECK(netpoll_runtime_destroy(runtime) == 0);
}

static void choose_without(void *arg)
{
    const struct refusal *refusal = arg;
    refuse_system_call(refusal->system_call, EPERM);
    serve_with_auto("epoll");
}

static void insist_without(void *arg)
{
    const struct refusal *refusal = arg;
    struct netpoll_runtime_options options = {.backend = NETPOLL_BACKEND_IO_URING};
    struct netpoll_runtime *runtime;
    refuse_system_call(refusal->system_call, EPERM);
    size_t descriptors = descriptor_count();
    CHECK(netpoll_runtime_create(&options, &runtime) == -ENOTSUP);
    CHECK(runtime == NULL);
    CHECK(descriptor_count() == descriptors);
}

/* Exactly one line, which names the step and the error. */
static void expect_one_line(const char *output, const struct refusal *refusal)
{
    const char *newline = strchr(output, '\n');
    cr_assert_not_null(newline, "%s", output);
    cr_assert_eq(newline[1], '\0', "%s", output);
    cr_assert_not_null(strstr(output, refusal->step), "%s", output);
    cr_assert_not_null(strstr(output, "Operation not permitted"), "%s", output);
}

static void expect_fallback(long system_call, const char *step)
{
    struct refusal refusal = {.system_call = system_call, .step = step};
    char output[1024];
    if (backend_under_test() != NETPOLL_BACKEND_IO_URING)
        cr_skip_test("it is about io_uring");
    cr_assert_eq(run_in_child(choose_without, &refusal, output, sizeof output), 0, "%s", output);
    expect_one_line(output, &refusal);
    cr_assert_eq(run_in_child(insist_without, &refusal, output, sizeof output), 0, "%s", output);
    expect_one_line(output, &refusal);
}

Test(uring_probe, without_io_uring_setup)
{
    expect_fallback(SYS_io_uring_setup, "io_uring_setup");
}

Test(uring_probe, without_io_uring_enter)
{
    expect_fallback(SYS_io_uring_enter, "io_uring_enter");
}

Test(uring_probe, without_io_uring_register)
{
    expect_fallback(SYS_io_uring_register, "registering");
}

#define NOBODY 65534
#define LITTLE ((rlim_t)64 * 1024)

/* One echo by whoever may lock only so much memory; root may lock all it likes. */
static void serve_with_locked(void *arg)
{
    const struct rlimit *limit = arg;
    CHECK(setrlimit(RLIMIT_MEMLOCK, limit) == 0);
    CHECK(geteuid() != 0 || setuid(NOBODY) == 0);
    serve_with_auto(limit->rlim_cur == 0 ? "epoll" : NULL);
}

static void try_large_ring(void *arg)
{
    struct io_uring_params params = {.flags = IORING_SETUP_CQSIZE, .cq_entries = 4096};
    (void)arg;
    CHECK(setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){0}) == 0);
    CHECK(geteuid() != 0 || setuid(NOBODY) == 0);
    CHECK(syscall(SYS_io_uring_setup, 256, &params) < 0 && errno == ENOMEM);
}

Test(uring_probe, without_memory_to_lock)
{
    char output[1024];
    if (backend_under_test() != NETPOLL_BACKEND_IO_URING)
        cr_skip_test("it is about io_uring");
    if (run_in_child(try_large_ring, NULL, output, sizeof output) != 0)
        cr_skip_test("this kernel does not count a ring as locked memory");
    struct rlimit none = {0};
    cr_assert_eq(run_in_child(serve_with_locked, &none, output, sizeof output), 0, "%s", output);
    cr_assert_not_null(strstr(output, "RLIMIT_MEMLOCK"), "%s", output);
}

/* Enough for a smaller ring, and not for much more. */
Test(uring_probe, with_little_memory_to_lock)
{
    char output[1024];
    struct rlimit little = {.rlim_cur = LITTLE, .rlim_max = LITTLE};
    if (backend_under_test() != NETPOLL_BACKEND_IO_URING)
        cr_skip_test("it is about io_uring");
    cr_assert_eq(run_in_child(serve_with_locked, &little, output, sizeof output), 0, "%s", output);
}

Test(uring_probe, nothing_is_logged_when_it_works)
{
    struct rig log = {.log_mutex = PTHREAD_MUTEX_INITIALIZER};
    struct netpoll_runtime_options options = {.log = rig_log, .log_arg = &log};
    struct netpoll_backend_info info;
    struct netpoll_runtime *runtime;
    if (backend_under_test() != NETPOLL_BACKEND_IO_URING)
        cr_skip_test("it is about io_uring");
    cr_assert_eq(netpoll_runtime_create(&options, &runtime), 0);
    netpoll_runtime_backend(runtime, &info);
    cr_assert_str_eq(info.name, "io_uring");
    cr_assert_eq(netpoll_runtime_destroy(runtime), 0);
    cr_assert_eq(log.logs, 0);
}
