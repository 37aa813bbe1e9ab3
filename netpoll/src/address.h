/* Addresses as text: "HOST:PORT", "[::1]:PORT", "unix:PATH", "unix:@NAME". Any thread. */
#ifndef NP_ADDRESS_H
#define NP_ADDRESS_H

#include <stddef.h>
#include <sys/socket.h>

struct np_address {
    socklen_t len;
    struct sockaddr_storage storage;
};

/* 0 or -EINVAL. HOST is numeric, "localhost", or empty for every address. */
int np_address_parse(const char *text, struct np_address *out);
/* 0 or -ENOSPC. */
int np_address_format(const struct np_address *address, char *out, size_t size);
/* The address a descriptor is bound to, as text: 0 or -errno. */
int np_address_of_socket(int fd, char *out, size_t size);
/* The address of its peer, as text: 0 or -errno. */
int np_address_of_peer(int fd, char *out, size_t size);

#endif
