/**
 * What every server of the examples does around its handler: flags, threads, listeners, signals.
 */
#ifndef EXAMPLES_SERVER_H
#define EXAMPLES_SERVER_H

#include "flags.h"

#include <netpoll/netpoll.h>

/** Most flags of a program's own. */
#define SERVER_FLAGS_MAX 4

/** One server program. */
struct server_program {
    const char *name;                    /**< for messages */
    const char *summary;                 /**< for --help, one line */
    struct netpoll_conn_options options; /**< callbacks; handler is set from --handler */

    /* For one with a layer of its own on netpoll's server; NULL: there is none. */
    /** Makes the server with its layer, 0 or a negative error. */
    int (*create)(struct netpoll_runtime *runtime, enum netpoll_handler handler,
                  struct netpoll_server **out);
    /** Ends both. */
    void (*destroy)(void);

    struct flag flags[SERVER_FLAGS_MAX]; /**< of its own; the first without a name ends them */
};

/**
 * Reads the flags, serves until SIGINT or SIGTERM, and gives everything 5 seconds to finish.
 * SIGUSR2 starts the program again, which takes the listeners over; so does a new process with the
 * same --restart. Then this one finishes.
 *
 * Blocks these signals and SIGCHLD in the calling thread, so it must be called before any thread
 * exists.
 *
 * @return the status for main(): 0, 1 when the server could not start, 2 for an address that
 *         cannot be parsed. Other mistakes in the flags end the process, see flags_parse()
 */
int server_main(const struct server_program *program, int argc, char **argv);

#endif
