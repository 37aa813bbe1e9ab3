/* The inside of an HTTP server: what its connections share. Any thread. */
#ifndef HS_SERVER_H
#define HS_SERVER_H

#include "counters.h"

#include <nhttp/server.h>

#include <gopool/gopool.h>

#include <stdatomic.h>

struct hs_addresses;

struct nhttp_server {
    struct nhttp_server_options options; /* complete: no default is left to be filled in */
    struct netpoll_runtime *runtime;
    struct netpoll_server *listener;
    struct gopool *pool;            /* runs handlers */
    struct gopool *own_pool;        /* which is the server's; NULL: it is not */
    struct hs_addresses *addresses; /* NULL: they are not counted */
    char *name_field;               /* the Server line; "" when there is none */
    size_t name_field_len;
    _Atomic bool is_ending; /* answers say close */
    _Atomic uint32_t refs;  /* one of the owner, one for each connection's memory */
    struct hs_counters counters[HS_COUNTER_SHARDS];
};

/* options.c. Checks and completes: 0 or -EINVAL. */
int hs_options_complete(struct nhttp_server_options *options);
/* The same of one time limit, whose default is given. */
int hs_timeout_complete(int64_t *timeout_ms, int64_t fallback);

/* server.c */
void hs_server_ref(struct nhttp_server *server);
void hs_server_unref(struct nhttp_server *server);

#endif
