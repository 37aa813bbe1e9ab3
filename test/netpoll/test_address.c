/* Addresses to text and back. */
#include "address.h"
#include "rig.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <netpoll/server.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void expect_text(const char *text, const char *expected)
{
    struct np_address address;
    char out[NETPOLL_ADDRESS_BYTES];
    cr_assert_eq(np_address_parse(text, &address), 0, "%s", text);
    cr_assert_eq(np_address_format(&address, out, sizeof out), 0);
    cr_assert_str_eq(out, expected);
    cr_assert_eq(np_address_format(&address, out, strlen(expected) + 1), 0);
    cr_assert_eq(np_address_format(&address, out, strlen(expected)), -ENOSPC);
}

Test(address, text_comes_back)
{
    static const char *const texts[] = {
        "127.0.0.1:0",   "10.20.30.40:65535",      "[::1]:80", "[2001:db8::17]:443",
        "unix:/tmp/a b", "unix:relative",          "unix:@x",  "unix:@name with : colons",
        "[fe80::1%7]:1", "[fe80::1%4294967295]:1",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        expect_text(texts[i], texts[i]);
}

Test(address, short_forms_are_written_out)
{
    expect_text("localhost:80", "127.0.0.1:80");
    expect_text(":8080", "[::]:8080");
    expect_text("127.0.0.1:00080", "127.0.0.1:80");
}

Test(address, a_prefix_says_which_family)
{
    struct np_address address;
    expect_text("tcp4:127.0.0.1:80", "127.0.0.1:80");
    expect_text("tcp4:localhost:80", "127.0.0.1:80");
    expect_text("tcp4::80", "0.0.0.0:80");
    expect_text("tcp6:[2001:db8::17]:443", "[2001:db8::17]:443");
    expect_text("tcp6:localhost:80", "[::1]:80");
    expect_text("tcp6::80", "[::]:80");
    cr_assert_eq(np_address_parse("tcp6:[::]:80", &address), 0);
    cr_assert(address.ip6_only);
    cr_assert_eq(np_address_parse("[::]:80", &address), 0);
    cr_assert(!address.ip6_only);
}

Test(address, what_is_none_is_refused)
{
    static const char *const bad[] = {
        "tcp4:[::1]:80",   "tcp6:127.0.0.1:80", "tcp4:",           "tcp6:80",
        "tcp5:localhost:", "TCP4:127.0.0.1:80", "tcp4:tcp4::80",   "[fe80::1%]:80",
        "[fe80::1%0]:80",  "[fe80::1%x]:80",    "[fe80::1% 1]:80", "[fe80::1%4294967296]:80",
        "[::1%1]:80",      "127.0.0.1%1:80",    "[fe80::1%1%1]:1", "[%1]:80",
    };
    struct np_address address;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_eq(np_address_parse(bad[i], &address), -EINVAL, "%s", bad[i]);
}

static bool is_equal(const char *a, const char *b)
{
    struct np_address first;
    struct np_address second;
    cr_assert_eq(np_address_parse(a, &first), 0);
    cr_assert_eq(np_address_parse(b, &second), 0);
    return np_address_is_equal(&first, &second);
}

Test(address, equal_ones_name_the_same_place)
{
    static const char *const texts[] = {
        "127.0.0.1:80",   "127.0.0.1:81",   "127.0.0.2:80", "[::1]:80", "[::1]:81", "[::2]:80",
        "[fe80::1%1]:80", "[fe80::1%2]:80", "unix:a",       "unix:aa",  "unix:@a",
    };
    size_t count = sizeof texts / sizeof texts[0];
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < count; k++)
            cr_assert_eq(is_equal(texts[i], texts[k]), i == k, "%s %s", texts[i], texts[k]);
    }
    cr_assert(is_equal("tcp4:localhost:80", "127.0.0.1:80"));
    cr_assert(is_equal("tcp6:[::]:80", ":80"));
}

Test(address, of_a_socket_is_what_it_was_bound_to)
{
    const char *const texts[] = {"127.0.0.1:0", own_unix_name("address")};
    for (size_t i = 0; i < 2; i++) {
        struct np_address asked;
        struct np_address found;
        cr_assert_eq(np_address_parse(texts[i], &asked), 0);
        int fd = socket(asked.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        cr_assert_eq(bind(fd, (const struct sockaddr *)&asked.storage, asked.len), 0);
        cr_assert_eq(np_address_read(fd, &found), 0);
        cr_assert_eq(np_address_is_equal(&asked, &found), i == 1, "the port has been chosen");
        close(fd);
    }
    struct np_address none;
    cr_assert_eq(np_address_read(-1, &none), -EBADF);
}

Test(address, is_what_the_kernel_expects)
{
    struct np_address address;
    cr_assert_eq(np_address_parse("1.2.3.4:5678", &address), 0);
    const struct sockaddr_in *in = (const struct sockaddr_in *)&address.storage;
    cr_assert_eq(address.len, sizeof *in);
    cr_assert_eq(in->sin_family, AF_INET);
    cr_assert_eq(ntohs(in->sin_port), 5678);
    cr_assert_eq(ntohl(in->sin_addr.s_addr), 0x01020304);
    cr_assert_eq(np_address_parse("unix:@ab", &address), 0);
    const struct sockaddr_un *un = (const struct sockaddr_un *)&address.storage;
    cr_assert_eq(address.len, offsetof(struct sockaddr_un, sun_path) + 3);
    cr_assert_eq(memcmp(un->sun_path, "\0ab", 3), 0);
}

Test(address, the_longest_path_fits_and_a_longer_one_does_not)
{
    struct np_address address;
    char text[256];
    size_t longest = sizeof((struct sockaddr_un *)NULL)->sun_path - 1;
    snprintf(text, sizeof text, "unix:/%0*d", (int)longest - 1, 0);
    expect_text(text, text);
    snprintf(text, sizeof text, "unix:/%0*d", (int)longest, 0);
    cr_assert_eq(np_address_parse(text, &address), -EINVAL);
}

Test(address, an_unnamed_unix_socket_has_no_name)
{
    struct np_address address = {.len = offsetof(struct sockaddr_un, sun_path)};
    char out[NETPOLL_ADDRESS_BYTES];
    address.storage.ss_family = AF_UNIX;
    cr_assert_eq(np_address_format(&address, out, sizeof out), 0);
    cr_assert_str_eq(out, "unix:");
}
