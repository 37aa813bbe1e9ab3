#include "second_thread.h"

#include "input.h"

#include <pthread.h>

static pthread_t thread;
static bool is_running;
/* Guards what follows. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static void (*todo)(void *arg);
static void *todo_arg;
static bool is_ending;

static void *thread_main(void *unused)
{
    pthread_mutex_lock(&lock);
    while (!is_ending) {
        if (todo != NULL) {
            todo(todo_arg);
            todo = NULL;
            pthread_cond_signal(&changed);
        } else {
            pthread_cond_wait(&changed, &lock);
        }
    }
    pthread_mutex_unlock(&lock);
    return unused;
}

void second_thread_run(void (*fn)(void *arg), void *arg)
{
    if (!is_running) {
        is_ending = false;
        FUZZ_CHECK(pthread_create(&thread, NULL, thread_main, NULL) == 0);
        is_running = true;
    }
    pthread_mutex_lock(&lock);
    todo = fn;
    todo_arg = arg;
    pthread_cond_signal(&changed);
    while (todo != NULL)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

void second_thread_end(void)
{
    if (!is_running)
        return;
    pthread_mutex_lock(&lock);
    is_ending = true;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
    FUZZ_CHECK(pthread_join(thread, NULL) == 0);
    is_running = false;
}
