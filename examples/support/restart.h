/**
 * A server program that is replaced while it serves: by a new process that asks for its listeners,
 * or by one that it starts itself.
 */
#ifndef EXAMPLES_RESTART_H
#define EXAMPLES_RESTART_H

#include <netpoll/netpoll.h>

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

/** Zero before use. */
struct restart {
    struct netpoll_server *server;
    const char *path; /**< of the socket where the next process asks; NULL: none */
    int listener;     /**< it */
    pthread_t thread; /**< waits there */
    bool waits;
    bool handed_over; /**< written by the thread; for after restart_end() */
    pid_t successor;  /**< was started and has not been missed; 0: none */
};

/**
 * Takes the listeners that this process was started with, and those of the server that waits at
 * path, if there is one.
 *
 * @return how many sockets; a negative error
 */
int restart_take(struct netpoll_server *server, const char *path);

/**
 * Waits at path, from now on, for the process that replaces this one. When that listens, this
 * process gets SIGTERM.
 *
 * @return 0 or a negative error
 */
int restart_begin(struct restart *restart, struct netpoll_server *server, const char *path);

/** Waits no more; path is removed unless it is the new process's. */
void restart_end(struct restart *restart);

/**
 * Starts the program again, with the listeners; it sends SIGTERM when it serves. A successor that
 * is being started already is enough.
 *
 * @param argv  as of main()
 * @return 0 or a negative error
 */
int restart_start_successor(struct restart *restart, char **argv);

/** A child has ended: if it was the successor, this process goes on alone. */
void restart_reap(struct restart *restart);

/** In the new process, when it serves: tells the one that started it, if one did. */
void restart_tell_predecessor(void);

#endif
