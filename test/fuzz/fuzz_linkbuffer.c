/*
 * Sequences of linkbuffer's calls on two buffers and their slices, against flat arrays of bytes,
 * with memory that fails now and then. Everything shown is compared again until it is released; at
 * the end all counts are gone and all memory is back.
 */
#include "linkbuffer_model.h"

#include <mcache/mcache.h>

enum {
    OPERATIONS_MAX = 400
};

static size_t live_bytes(void)
{
    struct mcache_stats stats;

    mcache_stats_read(&stats);
    return stats.live_bytes + stats.system_bytes;
}

static operation_fn *choose_operation(uint8_t choice)
{
    if (choice < 120)
        return write_operations[choice % write_operation_count];
    if (choice < 230)
        return read_operations[choice % read_operation_count];
    return io_operations[choice % io_operation_count];
}

static void do_step(struct fuzz_input *in)
{
    uint8_t who = fuzz_byte(in);
    operation_fn *operation = choose_operation(fuzz_byte(in));
    struct model *m = &models[who % 8 % BUFFERS];

    fuzz_count();
    if (m->lb == NULL)
        m = &models[who % 2];
    alloc_fail(who < 240 ? 0 : who % 3 + 1U);
    operation(in, m);
    (void)alloc_failed();
    if (m->lb != NULL)
        model_check(m);
    if (who % 4 == 0 && m->lb != NULL)
        model_check_held(m);
}

/* NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size};
    size_t before = live_bytes();

    for (size_t i = 0; i < 2; i++) {
        struct linkbuffer *lb;
        FUZZ_CHECK(linkbuffer_create(&lb) == 0);
        model_start(&models[i], lb, NULL, 0);
    }
    for (size_t i = 0; i < OPERATIONS_MAX && in.left > 0; i++)
        do_step(&in);
    for (size_t i = 0; i < BUFFERS; i++) {
        if (models[i].lb != NULL)
            model_end(&models[i]);
    }
    writing_end();
    io_end();
    FUZZ_CHECK(live_bytes() == before);
    return 0;
}
