/* The figures as text: for Prometheus read back by a strict reader, for people by their lines. */
#include "../support/process.h"
#include "exposition.h"
#include "rig.h"
#include "runtime.h"

#include <linkbuffer/linkbuffer.h>
#include <mcache/mcache.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(stats_text, .timeout = 60);

typedef int write_fn(const struct netpoll_runtime *runtime, char *out, size_t size);

/* The whole text, to be freed. Figures may become longer meanwhile. */
static char *whole(write_fn *write, const struct netpoll_runtime *runtime)
{
    int n = write(runtime, NULL, 0);
    for (;;) {
        CHECK(n > 0);
        size_t size = (size_t)n + 1;
        char *text = malloc(size);
        CHECK(text != NULL);
        n = write(runtime, text, size);
        CHECK(n > 0);
        if ((size_t)n < size) {
            CHECK(strlen(text) == (size_t)n);
            return text;
        }
        free(text);
    }
}

static struct exposition *read_back(const char *text)
{
    struct exposition *exposition = malloc(sizeof *exposition);
    CHECK(exposition != NULL);
    cr_assert(exposition_read(exposition, text, strlen(text)), "%s", exposition->error);
    return exposition;
}

/* The reader itself: each of these has one thing that must not be. */
Test(stats_text, the_reader_is_strict)
{
    const char *const bad[] = {
        "",
        "a_total 1\n",
        "# HELP a_total x\n# TYPE a_total counter\na_total 1",
        "# HELP a_total x\n# TYPE a_total counter\n",
        "# TYPE a_total counter\na_total 1\n",
        "# HELP a_total x\na_total 1\n",
        "# HELP a_total x\n# TYPE a_total number\na_total 1\n",
        "# HELP a x\n# TYPE a counter\na 1\n",
        "# HELP a_total x\n# TYPE a_total gauge\na_total 1\n",
        "# HELP a x\n# TYPE a gauge\na 1\na 1\n",
        "# HELP a x\n# TYPE a gauge\na 1\n\n",
        "# HELP a x\n# TYPE a gauge\na  1\n",
        "# HELP a x\n# TYPE a gauge\na 1 x\n",
        "# HELP a x\n# TYPE a gauge\na x\n",
        "# HELP a x\n# TYPE a gauge\na{b=\"1} 1\n",
        "# HELP a x\n# TYPE a gauge\na{b=\"\\x\"} 1\n",
        "# HELP a x\n# TYPE a gauge\na{b=\"1\",b=\"2\"} 1\n",
        "# HELP a x\n# TYPE a gauge\na{b=\"1\"} 1\na{b=\"1\"} 2\n",
        "# HELP a x\n# TYPE a gauge\na{b=1} 1\n",
        "# HELP a x\n# TYPE a gauge\na{1=\"1\"} 1\n",
        "# HELP a x\n# TYPE a gauge\na{b=\"1\" 1\n",
        "# HELP a x\n# TYPE a gauge\na 1\n# HELP a y\n",
        "# HELP a x\n# TYPE a gauge\na 1\n# HELP b x\n# TYPE b gauge\nb 1\na{b=\"1\"} 1\n",
    };
    static struct exposition exposition;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_not(exposition_read(&exposition, bad[i], strlen(bad[i])), "%zu: %s", i, bad[i]);
    const char good[] = "# HELP a x\n# TYPE a gauge\na{b=\"1\",c=\"\\\"\\\\\\n\"} 1.5\na 2\n";
    cr_assert(exposition_read(&exposition, good, strlen(good)), "%s", exposition.error);
    cr_assert_str_eq(exposition.samples[0].labels[1].value, "\"\\\n");
    cr_assert_eq(exposition.samples[0].value, 1.5);
}

/* A server that has served something of everything. */
static void start_served(struct rig *rig, int fds[3])
{
    static struct netpoll_conn_options options = {.on_request = echo_copy};
    rig_start(rig, &options);
    for (unsigned i = 0; i < 3; i++) {
        fds[i] = rig_dial(rig);
        expect_echo(fds[i], i, 100 + i);
    }
    client_close(fds[2]);
    WAIT_UNTIL(rig_stats(rig).connections == 2 && rig_stats(rig).sends == 3);
}

static void finish_served(struct rig *rig, const int fds[3])
{
    client_close(fds[0]);
    client_close(fds[1]);
    rig_finish_when_idle(rig);
}

static double family_of(const struct exposition *exposition, const char *name)
{
    cr_assert_not_null(exposition_find(exposition, name, NULL, NULL), "no %s", name);
    return exposition_sum(exposition, name, NULL, NULL);
}

static double of_label(const struct exposition *exposition, const char *name, const char *label,
                       const char *value)
{
    cr_assert_not_null(exposition_find(exposition, name, label, value), "no %s of %s", name, value);
    return exposition_sum(exposition, name, label, value);
}

Test(stats_text, prometheus)
{
    struct rig rig = {.pollers = 2};
    int fds[3];
    start_served(&rig, fds);
    struct netpoll_stats stats = rig_stats(&rig);
    char *text = whole(netpoll_stats_prometheus, rig.runtime);
    struct exposition *told = read_back(text);
    cr_assert_eq(family_of(told, "netpoll_connections"), 2);
    cr_assert_eq(family_of(told, "netpoll_accepted_total"), 3);
    cr_assert_eq(family_of(told, "netpoll_requests_total"), (double)stats.requests);
    cr_assert_eq(family_of(told, "netpoll_received_bytes_total"), 303);
    cr_assert_eq(family_of(told, "netpoll_sent_bytes_total"), 303);
    cr_assert_eq(family_of(told, "netpoll_copied_bytes_total"), 303);
    cr_assert_eq(family_of(told, "netpoll_closed_total"), 1);
    cr_assert_eq(of_label(told, "netpoll_closed_total", "reason", "eof"), 1);
    cr_assert_eq(of_label(told, "netpoll_timeouts_total", "kind", "wait"), 0);
    cr_assert_eq(of_label(told, "netpoll_pauses_total", "kind", "user"), 0);
    cr_assert_gt(family_of(told, "netpoll_round_seconds_total"), 0);
    cr_assert_gt(family_of(told, "netpoll_round_seconds_max"), 0);
    cr_assert_lt(family_of(told, "netpoll_round_seconds_total"), 60, "seconds");
    cr_assert_geq(family_of(told, "netpoll_wakeups_total"), (double)stats.wakeups);
    cr_assert_eq(family_of(told, "netpoll_suppressed_log_lines_total"), 0);
    cr_assert_gt(family_of(told, "netpoll_pool_finished_total"), 0);
    cr_assert_gt(family_of(told, "netpoll_memory_live_bytes"), 0);
    free(told);
    free(text);
    finish_served(&rig, fds);
}

/* Lines of the second text that are longer. */
static size_t longer_lines(const char *before, const char *after)
{
    size_t count = 0;
    while (*before != '\0' && *after != '\0') {
        size_t n = strcspn(before, "\n");
        size_t m = strcspn(after, "\n");
        count += m > n;
        before += n + 1;
        after += m + 1;
    }
    return count;
}

static void expect_told(const struct netpoll_runtime *runtime, _Atomic uint64_t *counter)
{
    char *before = whole(netpoll_stats_text, runtime);
    atomic_fetch_add(counter, UINT64_C(1000000000000));
    char *after = whole(netpoll_stats_text, runtime);
    atomic_fetch_sub(counter, UINT64_C(1000000000000));
    cr_assert_eq(longer_lines(before, after), 1, "a counter is told %zu times",
                 longer_lines(before, after));
    free(before);
    free(after);
}

/* One that does not run: nothing but the test moves its figures. */
static struct netpoll_runtime *resting_runtime(void)
{
    static struct np_poller poller;
    static struct netpoll_runtime runtime = {
        .pollers = &poller, .poller_count = 1, .backend = &np_backend_epoll};
    cr_assert_eq(gopool_create(NULL, &runtime.pool), 0);
    return &runtime;
}

/* Whatever a poller counts is told, and once. */
Test(stats_text, every_counter_is_told)
{
    struct netpoll_runtime *runtime = resting_runtime();
    struct np_poller *poller = &runtime->pollers[0];
    _Atomic uint64_t *own = (_Atomic uint64_t *)&poller->counters;
    _Atomic uint64_t *shared = (_Atomic uint64_t *)&poller->shared;
    for (size_t i = 0; i < sizeof poller->counters / sizeof *own; i++)
        expect_told(runtime, &own[i]);
    /* Behind the last one lies what fills the cache line. */
    size_t end = offsetof(struct np_shared_counters, posts_woke) + sizeof *shared;
    for (size_t i = 0; i < end / sizeof *shared; i++)
        expect_told(runtime, &shared[i]);
    gopool_destroy(runtime->pool);
}

Test(stats_text, rounds_are_told_in_seconds)
{
    struct netpoll_runtime *runtime = resting_runtime();
    atomic_store(&runtime->pollers[0].counters.round_ns_sum, UINT64_C(12034567890));
    atomic_store(&runtime->pollers[0].counters.round_ns_max, UINT64_C(1002003));
    char *text = whole(netpoll_stats_prometheus, runtime);
    cr_assert_not_null(strstr(text, "netpoll_round_seconds_total{poller=\"0\"} 12.034567\n"));
    cr_assert_not_null(strstr(text, "netpoll_round_seconds_max{poller=\"0\"} 0.001002\n"));
    free(text);
    gopool_destroy(runtime->pool);
}

/* Every block that there is, by class. */
struct hoard {
    void **blocks[MCACHE_CLASS_COUNT];
};

static bool take_one(struct hoard *hoard, size_t class)
{
    struct mcache_stats stats;
    mcache_stats_read(&stats);
    void **block = mcache_alloc(stats.classes[class].size);
    if (block == NULL)
        return false;
    *block = hoard->blocks[class];
    hoard->blocks[class] = block;
    return true;
}

/* A few of each class, and then what is left without asking the system. */
static void take_all(struct hoard *hoard)
{
    for (size_t i = 0; i < MCACHE_CLASS_COUNT; i++) {
        for (unsigned k = 0; k < 4; k++)
            cr_assert(take_one(hoard, i));
    }
    refuse_system_call(SYS_mmap, ENOMEM);
    for (size_t i = MCACHE_CLASS_COUNT; i-- > 0;) {
        while (take_one(hoard, i))
            ;
    }
}

/* One of each class; false when there is none any more. */
static bool give_some_back(struct hoard *hoard)
{
    bool any = false;
    for (size_t i = 0; i < MCACHE_CLASS_COUNT; i++) {
        void **block = hoard->blocks[i];
        if (block == NULL)
            continue;
        hoard->blocks[i] = *block;
        mcache_free(block);
        any = true;
    }
    return any;
}

/* However far it comes before there is no memory left. */
Test(stats_text, without_memory_nothing_is_appended)
{
#ifdef __SANITIZE_ADDRESS__
    cr_skip_test("the sanitizer needs memory of the system itself");
#endif
    struct netpoll_runtime *runtime = resting_runtime();
    struct hoard hoard = {{NULL}};
    struct linkbuffer *lb;
    const void *data;
    unsigned refusals = 0;
    int n;
    cr_assert_eq(linkbuffer_create(&lb), 0);
    cr_assert_eq(linkbuffer_write(lb, "head", 4), 0);
    take_all(&hoard);
    while ((n = netpoll_stats_write_prometheus(runtime, lb)) < 0) {
        refusals++;
        cr_assert_eq(n, -ENOMEM);
        cr_assert_eq(linkbuffer_reserved_len(lb), 4);
        cr_assert(give_some_back(&hoard));
    }
    cr_assert_gt(refusals, 1);
    cr_assert_eq(linkbuffer_flush(lb), 4 + (size_t)n);
    cr_assert_eq(linkbuffer_next(lb, 11, &data), 0);
    cr_assert_eq(memcmp(data, "head# HELP ", 11), 0);
    while (give_some_back(&hoard))
        ;
    linkbuffer_destroy(lb);
    gopool_destroy(runtime->pool);
}

Test(stats_text, pollers_have_a_label)
{
    struct rig rig = {.pollers = 3};
    int fds[3];
    start_served(&rig, fds);
    char *text = whole(netpoll_stats_prometheus, rig.runtime);
    struct exposition *told = read_back(text);
    double sum = 0;
    for (uint32_t i = 0; i < 3; i++) {
        struct netpoll_stats stats;
        char name[16];
        snprintf(name, sizeof name, "%u", i);
        cr_assert_eq(netpoll_runtime_poller_stats_read(rig.runtime, i, &stats), 0);
        cr_assert_eq(of_label(told, "netpoll_requests_total", "poller", name),
                     (double)stats.requests);
        sum += (double)stats.requests;
    }
    cr_assert_eq(sum, 3);
    cr_assert_null(exposition_find(told, "netpoll_requests_total", "poller", "3"));
    free(told);
    free(text);
    finish_served(&rig, fds);
}

Test(stats_text, the_backend_is_told_whatever_its_reason_is_made_of)
{
    struct netpoll_runtime_options options = {.backend = backend_under_test(), .pollers = 1};
    struct netpoll_runtime *runtime;
    cr_assert_eq(netpoll_runtime_create(&options, &runtime), 0);
    memset(runtime->reason, '"', sizeof runtime->reason - 1);
    memcpy(runtime->reason, "a \\ and\na", 9);
    char *text = whole(netpoll_stats_prometheus, runtime);
    struct exposition *told = read_back(text);
    const struct exposition_sample *sample =
        exposition_find(told, "netpoll_backend_info", "backend", runtime->backend->name);
    cr_assert_not_null(sample);
    cr_assert_str_eq(sample->labels[1].name, "reason");
    cr_assert_str_eq(sample->labels[1].value, runtime->reason);
    cr_assert_eq(sample->value, 1);
    free(told);
    free(text);
    cr_assert_eq(netpoll_runtime_destroy(runtime), 0);
}

Test(stats_text, a_buffer_gets_the_same)
{
    struct rig rig = {0};
    struct linkbuffer *lb;
    const void *data;
    int fds[3];
    start_served(&rig, fds);
    cr_assert_eq(linkbuffer_create(&lb), 0);
    cr_assert_eq(linkbuffer_write(lb, "head\n", 5), 0);
    int n = netpoll_stats_write_prometheus(rig.runtime, lb);
    cr_assert_gt(n, 0);
    cr_assert_eq(linkbuffer_len(lb), 0, "not flushed");
    cr_assert_eq(linkbuffer_flush(lb), 5 + (size_t)n);
    cr_assert_eq(linkbuffer_next(lb, 5 + (size_t)n, &data), 0);
    char *text = strndup((const char *)data + 5, (size_t)n);
    cr_assert_eq(memcmp(data, "head\n", 5), 0);
    struct exposition *told = read_back(text);
    cr_assert_eq(family_of(told, "netpoll_received_bytes_total"), 303);
    free(told);
    free(text);
    linkbuffer_destroy(lb);
    finish_served(&rig, fds);
}

/* Cut off anywhere: NUL-terminated, nothing behind, and the whole length is told. */
static void expect_cut(write_fn *write, const struct netpoll_runtime *runtime)
{
    char out[512];
    for (size_t size = 0; size < sizeof out; size++) {
        memset(out, '#', sizeof out);
        int n = write(runtime, out, size);
        cr_assert_gt(n, (int)sizeof out);
        if (size > 0)
            cr_assert_eq(strlen(out), size - 1);
        for (size_t i = size; i < sizeof out; i++)
            cr_assert_eq(out[i], '#');
    }
}

Test(stats_text, what_has_no_room_is_cut_off)
{
    struct netpoll_runtime_options options = {.backend = backend_under_test(), .pollers = 1};
    struct netpoll_runtime *runtime;
    cr_assert_eq(netpoll_runtime_create(&options, &runtime), 0);
    expect_cut(netpoll_stats_text, runtime);
    expect_cut(netpoll_stats_prometheus, runtime);
    cr_assert_eq(netpoll_runtime_destroy(runtime), 0);
}

/* "NAME VALUE", the value alone in its column. */
static const char *line_of(const char *text, const char *name)
{
    size_t n = strlen(name);
    for (const char *line = text; *line != '\0'; line = strchr(line, '\n') + 1) {
        if (strncmp(line, name, n) == 0 && line[n] == ' ')
            return line;
    }
    cr_assert_fail("no %s in:\n%s", name, text);
    return NULL;
}

static double value_in(const char *text, const char *name)
{
    const char *line = line_of(text, name);
    return strtod(line + strcspn(line, " "), NULL);
}

Test(stats_text, for_people)
{
    struct rig rig = {.pollers = 2};
    int fds[3];
    start_served(&rig, fds);
    char *text = whole(netpoll_stats_text, rig.runtime);
    cr_assert_eq(value_in(text, "pollers"), 2);
    cr_assert_eq(value_in(text, "connections"), 2);
    cr_assert_eq(value_in(text, "accepted"), 3);
    cr_assert_eq(value_in(text, "received_bytes"), 303);
    cr_assert_eq(value_in(text, "closed_eof"), 1);
    cr_assert_eq(value_in(text, "pauses_input"), 0);
    cr_assert_eq(value_in(text, "timeouts_idle"), 0);
    cr_assert_gt(value_in(text, "pool_finished"), 0);
    cr_assert_gt(value_in(text, "memory_live_bytes"), 0);
    size_t column = 0;
    for (const char *line = text; *line != '\0'; line = strchr(line, '\n') + 1) {
        size_t name = strcspn(line, " ");
        size_t value = name + strspn(line + name, " ");
        if (column == 0)
            column = value;
        cr_assert_eq(value, column, "%.60s", line);
        cr_assert_eq(value + strcspn(line + value, " \n"), strcspn(line, "\n"), "%.60s", line);
    }
    free(text);
    finish_served(&rig, fds);
}

static void ask_the_parents(void *arg)
{
    const struct rig *rig = arg;
    char out[64];
    struct linkbuffer *lb;
    if (netpoll_stats_text(rig->runtime, out, sizeof out) != -EPERM)
        _exit(1);
    if (netpoll_stats_prometheus(rig->runtime, out, sizeof out) != -EPERM)
        _exit(2);
    if (linkbuffer_create(&lb) != 0 || netpoll_stats_write_prometheus(rig->runtime, lb) != -EPERM ||
        linkbuffer_reserved_len(lb) != 0)
        _exit(3);
    linkbuffer_destroy(lb);
}

Test(stats_text, a_child_of_fork_is_refused)
{
    struct netpoll_conn_options options = {.on_request = echo_copy};
    struct rig rig = {0};
    char output[256];
    rig_start(&rig, &options);
    int status = run_in_child(ask_the_parents, &rig, output, sizeof output);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %d: %s", status, output);
    rig_finish(&rig);
}
