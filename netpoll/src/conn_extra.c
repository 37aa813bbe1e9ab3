/* What few connections need, made on demand. Any thread. */
#include "conn.h"

#include <mcache/mcache.h>

#include <errno.h>

struct np_conn_extra np_conn_no_extra;

int np_conn_extra(struct netpoll_conn *conn, struct np_conn_extra **out)
{
    /* Acquire: pairs with the release below. */
    struct np_conn_extra *extra = atomic_load_explicit(&conn->extra, memory_order_acquire);
    if (extra == NULL) {
        struct np_conn_extra *fresh = mcache_alloc(sizeof *fresh);
        if (fresh == NULL)
            return -ENOMEM;
        *fresh = (struct np_conn_extra){0};
        if (atomic_compare_exchange_strong_explicit(&conn->extra, &extra, fresh,
                                                    memory_order_acq_rel, memory_order_acquire))
            extra = fresh;
        else
            mcache_free(fresh);
    }
    *out = extra;
    return extra != &np_conn_no_extra ? 0 : -ENOTCONN;
}
