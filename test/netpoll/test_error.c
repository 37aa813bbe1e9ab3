/* Words for errors, and the version. */
#include <netpoll/netpoll.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

Test(error, every_error_has_a_word)
{
    cr_assert_str_eq(netpoll_strerror(-ENOTCONN), strerror(ENOTCONN));
    cr_assert_str_eq(netpoll_strerror(-ENOBUFS), strerror(ENOBUFS));
    cr_assert_str_eq(netpoll_strerror(0), "success");
    cr_assert_not_null(strstr(netpoll_strerror(NETPOLL_EOF), "end"));
    cr_assert_not_null(strstr(netpoll_strerror(-3999), "3999"));
    cr_assert_not_null(strstr(netpoll_strerror(7), "7"));
}

Test(error, no_error_of_the_kernel_is_our_own)
{
    cr_assert_lt(NETPOLL_EOF, -4095);
}

Test(error, the_library_and_its_headers_are_of_one_version)
{
    cr_assert_eq(netpoll_version(), NETPOLL_VERSION);
}
