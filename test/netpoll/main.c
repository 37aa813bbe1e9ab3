/*
 * Runs the tests with the backend that NETPOLL_TEST_BACKEND names. Where the kernel, or whoever
 * confines this process, refuses io_uring as such, there is nothing to test: status 77.
 */
#define _GNU_SOURCE
#include "rig.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STATUS_SKIPPED 77

/* The errno of whatever refuses rings here; 0 when nobody does. Asked without our library, whose
 * own refusal must fail the tests. */
static int refusal(void)
{
    struct io_uring_params params = {.flags =
                                         IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
    int fd = (int)syscall(SYS_io_uring_setup, 8, &params);
    if (fd < 0)
        return errno;
    int error = 0;
    if (syscall(SYS_io_uring_enter, fd, 0, 0, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
        error = errno;
    struct io_uring_probe probe = {0};
    if (error == 0 && syscall(SYS_io_uring_register, fd, IORING_REGISTER_PROBE, &probe, 0) < 0)
        error = errno;
    close(fd);
    return error;
}

int main(int argc, char **argv)
{
    int error = backend_under_test() == NETPOLL_BACKEND_IO_URING ? refusal() : 0;
    if (error != 0) {
        fprintf(stderr, "skipped: io_uring is refused here: %s\n", strerror(error));
        return STATUS_SKIPPED;
    }
    struct criterion_test_set *tests = criterion_initialize();
    int status = 0;
    if (criterion_handle_args(argc, argv, true))
        status = !criterion_run_all_tests(tests);
    criterion_finalize(tests);
    return status;
}
