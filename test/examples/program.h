/*
 * The example programs, driven as anybody does it: a command line, signals, two streams and a
 * status. They are children of the test and end with it, however it ends. Every wait has a
 * deadline. One thread.
 */
#ifndef TEST_EXAMPLES_PROGRAM_H
#define TEST_EXAMPLES_PROGRAM_H

#include <netpoll/netpoll.h>

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define ARGUMENTS_MAX 12
#define OUTPUT_BYTES  8192

/* What a program writes to one of its streams. */
struct output {
    int fd;
    size_t length;
    size_t taken; /* bytes that output_line() has handed out */
    char text[OUTPUT_BYTES];
};

struct program {
    /* Set before the start. */
    const char *path;
    const char *arguments[ARGUMENTS_MAX]; /* after the name; NULL ends them */
    const char *backend_variable;         /* NETPOLL_BACKEND; NULL: not set */
    long refused_call;                    /* the system call that fails with EPERM; 0: none */
    /* Readable after it. */
    pid_t pid;
    struct output out;
    struct output err;
};

/* The last part of its path. */
const char *program_name(const struct program *program);
void program_start(struct program *program);
void program_signal(const struct program *program, int signal);
/* Waits for the end and collects both streams up to it: the exit status; 256 + signal. */
int program_end(struct program *program);

/* Takes the next line, without its newline; NULL at the end of the stream. Borrowed from output. */
const char *output_line(struct output *output);
/* Takes all that has been read and not taken, after program_end(). */
const char *output_rest(struct output *output);

/* Runs it to its end: that status, and nothing but one line on stderr, which is returned. */
const char *expect_refusal(struct program *program, int status);

#define SERVER_ADDRESS_BYTES 128

/* A running server. */
struct server {
    struct program program;
    char address[SERVER_ADDRESS_BYTES]; /* of its first listener */
};

/* Starts it with the backend under test and expects the line that says where it listens. */
void server_start(struct server *server, const char *path, enum netpoll_handler handler);
/* The same, listening on this address. */
void server_start_on(struct server *server, const char *path, const char *address);
/* Expects the next line to be the one of a listener, with these words in it; copies its address. */
void expect_ready_line(struct program *program, const char *words, char *address);
/* SIGTERM: status 0 and not a word more. */
void server_stop(struct server *server);

/* "unix:@NAME" with a name of this process, so that tests can run side by side. */
void own_unix_address(char address[SERVER_ADDRESS_BYTES]);

/* The backend under test as --backend takes it. */
const char *backend_word(void);

#endif
