/*
 * loading_dlopen LIBRARY: mcache in a library that is loaded while the program runs and unloaded
 * while a thread that used it lives on.
 */
#include "loading.h"

#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    TIMES = 3
};

struct survivor {
    const struct calls *calls;
    sem_t used;
    sem_t leave;
    bool works;
};

static void fail(const char *what, const char *why)
{
    (void)fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

/* The way from an object pointer to one of a function that ISO C lacks. */
static void find(void *library, const char *name, void *function)
{
    void *symbol = dlsym(library, name);

    if (symbol == NULL) {
        fail(name, dlerror());
    }
    memcpy(function, &symbol, sizeof(symbol));
}

static void *open_library(const char *path, struct calls *calls)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);

    if (library == NULL) {
        fail(path, dlerror());
    }
    find(library, "mcache_alloc", &calls->alloc);
    find(library, "mcache_calloc", &calls->zeroed);
    find(library, "mcache_aligned_alloc", &calls->aligned);
    find(library, "mcache_realloc", &calls->resize);
    find(library, "mcache_free", &calls->give_back);
    find(library, "mcache_capacity", &calls->capacity);
    find(library, "mcache_trim", &calls->trim);
    find(library, "mcache_tick", &calls->tick);
    find(library, "mcache_configure", &calls->configure);
    find(library, "mcache_stats_read", &calls->stats_read);
    return library;
}

static void *use_and_survive(void *arg)
{
    struct survivor *survivor = arg;

    survivor->works = calls_work_here(survivor->calls);
    (void)sem_post(&survivor->used);
    (void)sem_wait(&survivor->leave);
    return NULL;
}

/* Whatever was registered for fork() is still there, or is gone for good. */
static void fork_once(void)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        _exit(0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
        fail("fork", "after the unload");
    }
}

static void load_use_unload(const char *path)
{
    struct calls calls;
    void *library = open_library(path, &calls);
    struct survivor survivor = {.calls = &calls};
    pthread_t thread;

    if (!calls_work(&calls)) {
        exit(1);
    }
    (void)sem_init(&survivor.used, 0, 0);
    (void)sem_init(&survivor.leave, 0, 0);
    if (pthread_create(&thread, NULL, use_and_survive, &survivor) != 0) {
        fail(path, "no thread");
    }
    (void)sem_wait(&survivor.used);
    if (dlclose(library) != 0) {
        fail(path, dlerror());
    }
    fork_once();
    (void)sem_post(&survivor.leave);
    (void)pthread_join(thread, NULL);
    if (!survivor.works) {
        exit(1);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        return 2;
    }
    for (int i = 0; i < TIMES; i++) {
        load_use_unload(argv[1]);
    }
    return 0;
}
