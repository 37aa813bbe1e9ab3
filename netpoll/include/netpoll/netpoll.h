/** netpoll: a reactor for RPC servers. This header includes all public ones of the module. */
#ifndef NETPOLL_NETPOLL_H
#define NETPOLL_NETPOLL_H

#include <netpoll/client_pool.h>
#include <netpoll/conn.h>
#include <netpoll/conn_options.h>
#include <netpoll/dialer.h>
#include <netpoll/error.h>
#include <netpoll/export.h>
#include <netpoll/framer.h>
#include <netpoll/restart.h>
#include <netpoll/runtime.h>
#include <netpoll/server.h>
#include <netpoll/stats.h>
#include <netpoll/timer.h>
#include <netpoll/transform.h>
#include <netpoll/version.h>
#include <netpoll/watch.h>

#endif
