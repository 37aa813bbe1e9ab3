/* What a dial is to: addresses that are known, or a name to look up. Any thread. */
#ifndef NP_DIAL_TARGET_H
#define NP_DIAL_TARGET_H

#include "address.h"

#include <netinet/in.h>
#include <stdint.h>

/* A name of DNS and the terminating NUL. */
#define NP_HOST_BYTES 254

struct np_target {
    uint32_t count; /* of addresses; 0: host is to be looked up */
    struct np_address addresses[2];
    int family;     /* of the addresses of host that count; AF_UNSPEC: all */
    in_port_t port; /* in network order */
    char host[NP_HOST_BYTES];
};

/* The forms that dialer.h names: 0 or -EINVAL. */
int np_target_parse(const char *text, struct np_target *out);
/* A numeric address to dial from: 0 or -EINVAL. */
int np_target_parse_local(const char *text, struct np_address *out);

#endif
