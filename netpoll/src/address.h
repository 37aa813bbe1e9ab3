/*
 * Addresses as text: "HOST:PORT", "[::1]:PORT", "[fe80::1%2]:PORT", "tcp4:HOST:PORT",
 * "tcp6:HOST:PORT", "unix:PATH", "unix:@NAME". Any thread.
 */
#ifndef NP_ADDRESS_H
#define NP_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

struct np_address {
    socklen_t len;
    bool ip6_only; /* "tcp6:": a socket for every address is not for those of IPv4 */
    struct sockaddr_storage storage;
};

/* 0 or -EINVAL. HOST is numeric, "localhost", or empty for every address; the prefix, if there is
 * one, says of which family. */
int np_address_parse(const char *text, struct np_address *out);
/* 0 or -ENOSPC. */
int np_address_format(const struct np_address *address, char *out, size_t size);
/* The same place, whatever the text was. */
bool np_address_is_equal(const struct np_address *a, const struct np_address *b);
/* The address a descriptor is bound to: 0 or -errno. */
int np_address_read(int fd, struct np_address *out);
/* The address a descriptor is bound to, as text: 0 or -errno. */
int np_address_of_socket(int fd, char *out, size_t size);
/* The address of its peer, as text: 0 or -errno. */
int np_address_of_peer(int fd, char *out, size_t size);

#endif
