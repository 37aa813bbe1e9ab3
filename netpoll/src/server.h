/* What a server's listeners and connections tell it. */
#ifndef NP_SERVER_H
#define NP_SERVER_H

#include <netpoll/server.h>

struct np_listener;

const struct netpoll_server_options *np_server_options(const struct netpoll_server *server);
bool np_server_is_shutting_down(const struct netpoll_server *server);

/* A connection was accepted; np_server_conn_gone() follows exactly once. Any thread. */
void np_server_conn_added(struct netpoll_server *server);
/* No callback of it runs any more; the caller's last touch of the server. Any thread. */
void np_server_conn_gone(struct netpoll_server *server);
/* The poller watches a new listener, or could not. */
void np_server_listener_started(struct netpoll_server *server, struct np_listener *listener,
                                int status);
/* A listener's descriptor is closed; the caller's last touch of both. */
void np_server_listener_gone(struct netpoll_server *server, struct np_listener *listener);

#endif
