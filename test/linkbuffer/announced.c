/*
 * Two threads, two promises. Whoever has heard of a flush sees its bytes, also while the next flush
 * is under way; and a reader may state a demand and take it back while the writer receives. A plain
 * program, for ThreadSanitizer; FULL=1 takes two minutes instead of two seconds.
 */
#include "check.h"

#include <linkbuffer/io.h>
#include <linkbuffer/linkbuffer.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct announced {
    struct linkbuffer *lb;
    double deadline;
    /* Bytes flushed; stored with release by the writer, loaded with acquire by the reader. */
    _Atomic size_t bytes;
    _Atomic bool ended; /* stored with release behind the last bytes, loaded with acquire */
};

static void *write_announced(void *arg)
{
    struct announced *shared = arg;
    size_t bytes = 0;
    while (now() < shared->deadline) {
        for (int i = 0; i < 1000; i++) {
            CHECK(linkbuffer_write(shared->lb, "announce", 8) == 0);
            CHECK(linkbuffer_flush(shared->lb) == 8);
            bytes += 8;
            atomic_store_explicit(&shared->bytes, bytes, memory_order_release);
            while (linkbuffer_unread(shared->lb) > 1000)
                sched_yield();
        }
    }
    atomic_store_explicit(&shared->ended, true, memory_order_release);
    return NULL;
}

static void run_announced(double seconds)
{
    struct announced shared = {.deadline = now() + seconds};
    pthread_t thread;
    size_t read = 0;
    bool ended = false;
    CHECK(linkbuffer_create(&shared.lb) == 0);
    CHECK(pthread_create(&thread, NULL, write_announced, &shared) == 0);
    while (!ended || read < shared.bytes) {
        ended = atomic_load_explicit(&shared.ended, memory_order_acquire);
        size_t bytes = atomic_load_explicit(&shared.bytes, memory_order_acquire);
        size_t len = linkbuffer_len(shared.lb);
        CHECK(read + len >= bytes);
        CHECK(linkbuffer_skip(shared.lb, len) == 0);
        linkbuffer_release(shared.lb);
        read += len;
        if (len == 0)
            sched_yield();
    }
    CHECK(pthread_join(thread, NULL) == 0);
    linkbuffer_destroy(shared.lb);
    printf("%zu bytes announced\n", read);
}

struct wavering {
    struct linkbuffer *lb;
    double deadline;
    _Atomic bool ended; /* stored with release behind the last bytes, loaded with acquire */
};

static void *receive(void *arg)
{
    struct wavering *shared = arg;
    int fds[2];
    CHECK(pipe(fds) == 0);
    while (now() < shared->deadline) {
        for (int i = 0; i < 100; i++) {
            CHECK(write(fds[1], "abc", 3) == 3);
            for (ssize_t left = 3; left > 0;) {
                ssize_t came = linkbuffer_fill_fd(shared->lb, fds[0], 65536);
                CHECK(came > 0 && came <= left);
                left -= came;
            }
        }
        while (linkbuffer_unread(shared->lb) > 1000)
            sched_yield();
    }
    CHECK(close(fds[0]) == 0 && close(fds[1]) == 0);
    atomic_store_explicit(&shared->ended, true, memory_order_release);
    return NULL;
}

static void run_wavering(double seconds)
{
    struct wavering shared = {.deadline = now() + seconds};
    pthread_t thread;
    size_t read = 0;
    bool ended = false;
    CHECK(linkbuffer_create(&shared.lb) == 0);
    CHECK(pthread_create(&thread, NULL, receive, &shared) == 0);
    while (!ended || linkbuffer_len(shared.lb) > 0) {
        const void *bytes;
        ended = atomic_load_explicit(&shared.ended, memory_order_acquire);
        linkbuffer_need(shared.lb, 100000);
        linkbuffer_need(shared.lb, 0);
        for (size_t n = linkbuffer_len(shared.lb) / 3; n > 0; n--) {
            CHECK(linkbuffer_next(shared.lb, 3, &bytes) == 0);
            CHECK(memcmp(bytes, "abc", 3) == 0);
            read += 3;
        }
        linkbuffer_release(shared.lb);
    }
    CHECK(pthread_join(thread, NULL) == 0);
    linkbuffer_destroy(shared.lb);
    printf("%zu bytes received\n", read);
}

int main(void)
{
    double seconds = getenv("FULL") != NULL ? 60 : 1;
    run_announced(seconds);
    run_wavering(seconds);
    return 0;
}
