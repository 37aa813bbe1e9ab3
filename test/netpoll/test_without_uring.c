/* A build without liburing. */
#include "rig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

TestSuite(without_uring, .timeout = 60);

Test(without_uring, auto_is_epoll_and_io_uring_is_refused)
{
    struct rig log = {.log_mutex = PTHREAD_MUTEX_INITIALIZER};
    struct netpoll_runtime_options options = {.log = rig_log, .log_arg = &log};
    struct netpoll_backend_info info;
    struct netpoll_runtime *runtime;
    cr_assert_eq(netpoll_runtime_create(&options, &runtime), 0);
    netpoll_runtime_backend(runtime, &info);
    cr_assert_str_eq(info.name, "epoll");
    cr_assert_eq(netpoll_runtime_destroy(runtime), 0);
    cr_assert_eq(log.logs, 1);
    cr_assert_not_null(strstr(log.last_log, "liburing"), "%s", log.last_log);
    options.backend = NETPOLL_BACKEND_IO_URING;
    cr_assert_eq(netpoll_runtime_create(&options, &runtime), -ENOTSUP);
}
