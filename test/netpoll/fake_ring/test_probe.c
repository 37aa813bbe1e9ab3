/* The functional check: a kernel that answers otherwise at any step is refused, and the step is
 * named. */
#include "fake_ring.h"

#include "uring_probe.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#define STEPS 6
#define MORE  (IORING_CQE_F_BUFFER | IORING_CQE_F_MORE)

/* What a kernel that serves answers. */
static const struct fake_answer good[STEPS] = {
    {.res = 0},                /* a NOP */
    {.res = 1, .flags = MORE}, /* two bytes in the two buffers */
    {.res = 1, .flags = MORE}, /*  */
    {.res = -ENOBUFS},         /* a third */
    {.res = 1, .flags = MORE}, /* buffers came back */
    {.res = 0},                /* the end */
};

static const char *const names[STEPS] = {
    "io_uring_enter", "multishot", "multishot", "no buffer left", "came back", "end of a stream",
};

static int probe(const struct fake_answer *answers, char *reason, size_t size)
{
    fake_ring_answer(answers, STEPS);
    return np_uring_probe(reason, size);
}

Test(probe, a_kernel_that_answers_as_it_should_is_taken)
{
    char reason[160] = "";
    cr_assert_eq(probe(good, reason, sizeof reason), 0, "%s", reason);
}

static void expect_refused(int step, struct fake_answer answer)
{
    struct fake_answer answers[STEPS];
    char reason[160] = "";
    memcpy(answers, good, sizeof answers);
    answers[step] = answer;
    cr_assert_neq(probe(answers, reason, sizeof reason), 0, "step %d", step);
    cr_assert_not_null(strstr(reason, names[step]), "step %d: %s", step, reason);
}

Test(probe, any_other_answer_is_refused)
{
    for (int step = 0; step < STEPS; step++) {
        expect_refused(step, (struct fake_answer){.res = -EINVAL});
        expect_refused(step, (struct fake_answer){.res = 2, .flags = good[step].flags});
        expect_refused(step, (struct fake_answer){.res = good[step].res,
                                                  .flags = good[step].flags ^ IORING_CQE_F_MORE});
        expect_refused(step, (struct fake_answer){.res = good[step].res,
                                                  .flags = good[step].flags ^ IORING_CQE_F_BUFFER});
    }
}

Test(probe, no_answer_is_refused)
{
    char reason[160];
    fake_ring_answer(good, 0);
    cr_assert_eq(np_uring_probe(reason, sizeof reason), -ETIME);
}

Test(probe, wrong_bytes_are_refused)
{
    static const int steps[] = {1, 2, 4};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
        expect_refused(steps[i], (struct fake_answer){.res = 1, .flags = MORE, .byte = 'y'});
}

Test(probe, a_registration_that_is_refused_is_told)
{
    char reason[160] = "";
    fake_ring_refuse_buffers(-EINVAL);
    cr_assert_eq(probe(good, reason, sizeof reason), -EINVAL);
    cr_assert_not_null(strstr(reason, "ring of buffers"), "%s", reason);
}

Test(probe, a_smaller_ring_is_as_good)
{
    char reason[160] = "";
    fake_ring_limit_setup(64);
    cr_assert_eq(probe(good, reason, sizeof reason), 0, "%s", reason);
}

Test(probe, too_small_a_ring_is_not)
{
    char reason[160] = "";
    fake_ring_limit_setup(63);
    cr_assert_eq(probe(good, reason, sizeof reason), -ENOMEM);
    cr_assert_not_null(strstr(reason, "RLIMIT_MEMLOCK"), "%s", reason);
}
