/*
 * Runs the tests with the backend that NETPOLL_TEST_BACKEND names, if it can be had here.
 */
#include "rig.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    int error = backend_refusal();
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
