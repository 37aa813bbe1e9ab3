/* Caches of threads: their slow paths, birth and end, and fork. Any thread. */
#include "thread_cache.h"

#include <pthread.h>
#include <sys/mman.h>

#include "decay.h"
#include "large_cache.h"
#include "shared_pool.h"
#include "size_class.h"

/* Caches are mapped so many bytes at a time and never unmapped. */
#define CHUNK_BYTES ((size_t)64 << 10)
/* Bound of the spare batches of a cache. With all current lists full it holds 4.3 MiB. */
#define SPARE_MAX_BYTES ((size_t)1 << 20)
/* Allocations of a class between two looks at the clock; fewer while memory is being given back. */
#define TICK_ALLOCS      64
#define TICK_ALLOCS_BUSY 8

static struct mc_cache no_cache;

__thread struct mc_cache *mc_cache_mine = &no_cache;
/* Set when the thread is to stay without a cache: it ends, or its end could not be watched. */
static __thread bool without_cache;

/* Guards the lists of caches. Taken before late_lock. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct mc_cache *all_caches;
static struct mc_cache *idle_caches;

/* For threads without a cache: one that they share under a lock. Taken before the decay's lock. */
static pthread_mutex_t late_lock = PTHREAD_MUTEX_INITIALIZER;
static struct mc_cache late_cache;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t end_key;
/* Relaxed: written before the first thread has a cache and after the last needs one. */
static _Atomic bool end_key_works;

static size_t batch_bytes(unsigned cls)
{
    return mc_class_batch(cls) * mc_class_size(cls);
}

static void list_clear(struct mc_list *list, unsigned cls)
{
    uint64_t freed = atomic_load_explicit(&list->free_count, memory_order_relaxed);
    uint64_t taken = atomic_load_explicit(&list->alloc_count, memory_order_relaxed);

    list->head = NULL;
    list->spare = NULL;
    list->full_mark = (int64_t)(freed - taken) + (int64_t)mc_class_batch(cls);
}

static void cache_clear(struct mc_cache *cache)
{
    for (unsigned cls = 0; cls < MCACHE_CLASS_COUNT; cls++) {
        list_clear(&cache->lists[cls], cls);
    }
    cache->spare_bytes = 0;
}

static void cache_flush(struct mc_cache *cache)
{
    for (unsigned cls = 0; cls < MCACHE_CLASS_COUNT; cls++) {
        struct mc_list *list = &cache->lists[cls];

        if (list->spare != NULL) {
            mc_pool_give_batch(cls, list->spare);
        }
        if (list->head != NULL) {
            mc_pool_give_list(cls, list->head);
        }
    }
    cache_clear(cache);
}

/* Fills the empty current list; false when the system has no memory. */
static bool list_fill(struct mc_cache *cache, unsigned cls)
{
    struct mc_list *list = &cache->lists[cls];
    unsigned count;

    if (list->spare != NULL) {
        list->head = list->spare;
        list->spare = NULL;
        cache->spare_bytes -= batch_bytes(cls);
        count = mc_class_batch(cls);
    } else {
        count = mc_pool_take(cls, &list->head);
    }
    list->full_mark -= (int64_t)count;
    return count != 0;
}

/* Empties the full current list: it becomes the spare batch if there may be one. */
static void list_spill(struct mc_cache *cache, unsigned cls)
{
    struct mc_list *list = &cache->lists[cls];
    void *batch = list->head;

    if (list->spare != NULL) {
        mc_pool_give_batch(cls, list->spare);
        list->spare = batch;
    } else if (cache->spare_bytes + batch_bytes(cls) <= SPARE_MAX_BYTES) {
        list->spare = batch;
        cache->spare_bytes += batch_bytes(cls);
    } else {
        mc_pool_give_batch(cls, batch);
    }
    list->head = NULL;
    list->full_mark += (int64_t)mc_class_batch(cls);
}

/* Lets free memory age, and says when to look again. */
static void list_tick(struct mc_list *list)
{
    uint64_t taken = atomic_load_explicit(&list->alloc_count, memory_order_relaxed);

    if ((int64_t)(taken - list->tick_mark) >= 0) {
        list->tick_mark = taken + (mc_decay_tick() ? TICK_ALLOCS_BUSY : TICK_ALLOCS);
    }
}

static void *cache_pop(struct mc_cache *cache, unsigned cls)
{
    struct mc_list *list = &cache->lists[cls];

    list_tick(list);
    if (list->head == NULL && !list_fill(cache, cls)) {
        return NULL;
    }
    return mc_list_pop(list);
}

static void cache_push(struct mc_cache *cache, unsigned cls, void *block)
{
    struct mc_list *list = &cache->lists[cls];

    if (!mc_list_push(list, block)) {
        list_spill(cache, cls);
        (void)mc_list_push(list, block);
    }
}

/* Destructor of the key. Keys that are destroyed later may still allocate. */
static void thread_end(void *value)
{
    struct mc_cache *cache = value;

    mc_cache_mine = &no_cache;
    without_cache = true;
    cache_flush(cache);
    pthread_mutex_lock(&lock);
    cache->next_idle = idle_caches;
    idle_caches = cache;
    pthread_mutex_unlock(&lock);
}

static void before_fork(void)
{
    pthread_mutex_lock(&lock);
    pthread_mutex_lock(&late_lock);
    mc_decay_lock();
    mc_pool_lock();
    mc_large_cache_lock();
}

/*
 * The same in parent and child. The other threads do not exist in the child and may have been
 * stopped in the middle of a push or pop: what they cached is lost to it, and nothing else.
 */
static void after_fork(void)
{
    mc_large_cache_unlock();
    mc_pool_unlock();
    mc_decay_unlock();
    pthread_mutex_unlock(&late_lock);
    pthread_mutex_unlock(&lock);
}

static void init_process(void)
{
    cache_clear(&late_cache);
    (void)pthread_atfork(before_fork, after_fork, after_fork);
    atomic_store_explicit(&end_key_works, pthread_key_create(&end_key, thread_end) == 0,
                          memory_order_relaxed);
}

/*
 * Before anybody else registers for a fork: so ours locks after the others' handlers have run, and
 * unlocks before, and those may allocate.
 */
static __attribute__((constructor)) void init_early(void)
{
    pthread_once(&once, init_process);
}

/*
 * The process ends, or a library that this is linked into is unloaded: then threads that live on
 * must not call thread_end() any more.
 */
static __attribute__((destructor)) void fini_process(void)
{
    if (atomic_exchange_explicit(&end_key_works, false, memory_order_relaxed)) {
        (void)pthread_key_delete(end_key);
    }
}

/* With the lock held. */
static void caches_map(void)
{
    struct mc_cache *chunk =
        mmap(NULL, CHUNK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (chunk == MAP_FAILED) {
        return;
    }
    for (size_t i = CHUNK_BYTES / sizeof(*chunk); i > 0; i--) {
        struct mc_cache *cache = &chunk[i - 1];

        cache_clear(cache);
        cache->next = all_caches;
        all_caches = cache;
        cache->next_idle = idle_caches;
        idle_caches = cache;
    }
}

static struct mc_cache *idle_cache_take(void)
{
    struct mc_cache *cache;

    pthread_mutex_lock(&lock);
    if (idle_caches == NULL) {
        caches_map();
    }
    cache = idle_caches;
    if (cache != NULL) {
        idle_caches = cache->next_idle;
    }
    pthread_mutex_unlock(&lock);
    return cache;
}

/* The calling thread's cache, made if it may have one; NULL if not. */
static struct mc_cache *own_cache(void)
{
    struct mc_cache *cache = mc_cache_mine;

    if (cache != &no_cache) {
        return cache;
    }
    pthread_once(&once, init_process);
    if (without_cache || !atomic_load_explicit(&end_key_works, memory_order_relaxed)) {
        return NULL;
    }
    cache = idle_cache_take();
    if (cache == NULL) {
        return NULL;
    }
    mc_cache_mine = cache;
    if (pthread_setspecific(end_key, cache) != 0) {
        thread_end(cache);
        return NULL;
    }
    return cache;
}

void *mc_cache_pop_slow(unsigned cls)
{
    struct mc_cache *cache = own_cache();
    void *block;

    if (cache != NULL) {
        return cache_pop(cache, cls);
    }
    pthread_mutex_lock(&late_lock);
    block = cache_pop(&late_cache, cls);
    pthread_mutex_unlock(&late_lock);
    return block;
}

void mc_cache_push_slow(unsigned cls, void *block)
{
    struct mc_cache *cache = own_cache();

    if (cache != NULL) {
        cache_push(cache, cls, block);
        return;
    }
    pthread_mutex_lock(&late_lock);
    cache_push(&late_cache, cls, block);
    pthread_mutex_unlock(&late_lock);
}

void mc_cache_flush(void)
{
    pthread_once(&once, init_process);
    if (mc_cache_mine != &no_cache) {
        cache_flush(mc_cache_mine);
    }
    pthread_mutex_lock(&late_lock);
    cache_flush(&late_cache);
    pthread_mutex_unlock(&late_lock);
}

static void frees_add(const struct mc_cache *cache, struct mcache_stats *out)
{
    for (unsigned cls = 0; cls < MCACHE_CLASS_COUNT; cls++) {
        out->classes[cls].free_count +=
            atomic_load_explicit(&cache->lists[cls].free_count, memory_order_acquire);
    }
}

static void allocs_add(const struct mc_cache *cache, struct mcache_stats *out)
{
    for (unsigned cls = 0; cls < MCACHE_CLASS_COUNT; cls++) {
        out->classes[cls].alloc_count +=
            atomic_load_explicit(&cache->lists[cls].alloc_count, memory_order_relaxed);
    }
}

void mc_cache_stats_add(struct mcache_stats *out)
{
    pthread_mutex_lock(&lock);
    /* All frees first: so there are never more of them than allocations. */
    frees_add(&late_cache, out);
    for (const struct mc_cache *cache = all_caches; cache != NULL; cache = cache->next) {
        frees_add(cache, out);
    }
    allocs_add(&late_cache, out);
    for (const struct mc_cache *cache = all_caches; cache != NULL; cache = cache->next) {
        allocs_add(cache, out);
    }
    pthread_mutex_unlock(&lock);
}
