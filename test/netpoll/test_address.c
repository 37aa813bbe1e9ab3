/* Addresses to text and back. */
#include "address.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <netpoll/server.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

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
        "127.0.0.1:0",   "10.20.30.40:65535", "[::1]:80", "[2001:db8::17]:443",
        "unix:/tmp/a b", "unix:relative",     "unix:@x",  "unix:@name with : colons",
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
