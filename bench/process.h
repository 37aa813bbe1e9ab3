/**
 * Processes under measurement: start, pin, read their CPU time or what they print, stop.
 *
 * Threads: one. Errors: 0 or a negative errno value.
 */
#ifndef BENCH_PROCESS_H
#define BENCH_PROCESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/** Bytes that hold the address of every listener. */
#define PROCESS_ADDRESS_BYTES 128

/** A started server. */
struct process {
    pid_t pid;
    char address[PROCESS_ADDRESS_BYTES]; /**< where it listens */
};

/**
 * Finds two different CPUs that this process may use.
 *
 * @return 0; -ENODEV when there is only one
 */
int process_pick_cpus(unsigned cpus[2]);

/** Pins the calling thread, and what it starts later, to one CPU. */
int process_pin(unsigned cpu);

/** CPUs that a process may use. */
struct process_cpus {
    const unsigned *ids;
    size_t count; /**< at least 1 */
};

/**
 * Starts a program on these CPUs and waits for its line "listening on ADDRESS ...".
 *
 * @param program  path relative to the folder of this program's own executable
 * @param args     what follows argv[0], NULL at the end
 * @return 0; -ENOTSUP when the program ended with status 1 instead, having said why; -ECHILD when
 *         it ended otherwise; -errno
 *
 * Memory: the process is the caller's until process_stop(); it is terminated when the caller ends.
 */
int process_start(const char *program, const char *const *args, const struct process_cpus *cpus,
                  struct process *out);

/**
 * Runs a program to its end and keeps the first line that it prints.
 *
 * @param program  path relative to the folder of this program's own executable
 * @param args     what follows argv[0], NULL at the end
 * @param line     the line without its end; cut if it has no room
 * @return 0; -ECHILD when it ended with another status than 0 or printed nothing; -errno
 */
int process_run(const char *program, const char *const *args, char *line, size_t size);

/** What the live threads of a process have used. */
struct process_usage {
    uint64_t cpu_ns;   /**< time they have run, from /proc/PID/task/TID/schedstat */
    uint64_t switches; /**< times they were given a CPU, from the same place */
};

/**
 * Reads it.
 *
 * @return 0; -errno
 */
int process_usage_read(const struct process *process, struct process_usage *out);

/**
 * Sends SIGTERM and waits for the end.
 *
 * @return 0 when the process ended with status 0 or by that signal; -ECHILD otherwise
 */
int process_stop(const struct process *process);

#endif
