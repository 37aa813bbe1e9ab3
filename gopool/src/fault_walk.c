/* The walk: one frame after the other, each of which either may follow the last or ends it. */
#include "fault_walk.h"

#include <unwind.h>

#include "fault_code.h"

/* What the frames so far have been, from the innermost on. */
enum stage {
    STAGE_TOP,     /* none yet */
    STAGE_LIBRARY, /* the C library's alone */
    STAGE_TASK,    /* the task's, behind at most what it has called last */
    STAGE_REFUSED,
    STAGE_REACHED, /* the boundary */
};

struct walk {
    const struct gp_fault_place *place;
    const struct gp_panic_boundary *boundary;
    struct gp_fault_walk *out;
    enum stage stage;
    enum gp_code_trait trait; /* of the outermost of the C library's functions */
    bool has_begun;           /* the frames of the signal handler are over */
    bool is_in_toolkit;       /* the last frame is the toolkit's: refused, or the boundary's */
    uintptr_t sp;             /* of the last frame */
};

static enum stage after_libc(struct walk *walk, uintptr_t function)
{
    walk->trait = gp_code_trait_of(function);
    if (walk->stage > STAGE_LIBRARY)
        return STAGE_REFUSED;
    return walk->place->is_abort || walk->trait == GP_CODE_PURE ? STAGE_LIBRARY : STAGE_REFUSED;
}

static enum stage after_task(const struct walk *walk)
{
    bool is_asked_for = walk->stage == STAGE_TASK || walk->trait == GP_CODE_ABORT;

    return !walk->place->is_abort || is_asked_for ? STAGE_TASK : STAGE_REFUSED;
}

/* The stage behind one more frame. */
static enum stage after(struct walk *walk, uintptr_t pc, uintptr_t function)
{
    /* It does not hold the boundary, or this one would not have been looked at. */
    if (walk->is_in_toolkit)
        return STAGE_REFUSED;
    switch (gp_code_owner_of(pc, function)) {
    case GP_CODE_LIBC:
        return after_libc(walk, function);
    case GP_CODE_TASK:
        return after_task(walk);
    case GP_CODE_DISPATCH:
        return walk->stage == STAGE_TASK ? STAGE_TASK : STAGE_REFUSED;
    case GP_CODE_TOOLKIT:
        walk->is_in_toolkit = true;
        return walk->stage;
    case GP_CODE_FOREIGN:
        break;
    }
    return STAGE_REFUSED;
}

/* This frame is further out than the boundary. */
static enum stage reach(const struct walk *walk)
{
    return walk->stage == STAGE_TASK && walk->is_in_toolkit ? STAGE_REACHED : STAGE_REFUSED;
}

static void note(struct gp_fault_walk *out, uintptr_t pc, bool is_interrupted)
{
    /* As return addresses are: behind the instruction. */
    if (out->frame_count < GOPOOL_PANIC_FRAMES)
        out->frames[out->frame_count++] = (void *)(pc + is_interrupted);
}

static _Unwind_Reason_Code take_frame(struct _Unwind_Context *context, void *arg)
{
    struct walk *walk = arg;
    int is_interrupted = 0;
    uintptr_t pc = _Unwind_GetIPInfo(context, &is_interrupted);
    /* In the middle of a walk that is the frame's own, see _Unwind_Backtrace() of libgcc. */
    uintptr_t sp = _Unwind_GetCFA(context);

    if (!walk->has_begun && (is_interrupted == 0 || pc != walk->place->pc))
        return _URC_NO_REASON;
    if (walk->has_begun && sp <= walk->sp)
        walk->stage = STAGE_REFUSED;
    else if (sp > (uintptr_t)walk->boundary->address)
        walk->stage = reach(walk);
    else /* The call, which may be the last thing in its function, and not what follows it. */
        walk->stage = after(walk, pc - (is_interrupted == 0), _Unwind_GetRegionStart(context));
    if (walk->stage >= STAGE_REFUSED)
        return _URC_END_OF_STACK;
    note(walk->out, pc, is_interrupted != 0);
    walk->has_begun = true;
    walk->sp = sp;
    return _URC_NO_REASON;
}

bool gp_fault_walk(const struct gp_fault_place *place, const struct gp_panic_boundary *boundary,
                   struct gp_fault_walk *out)
{
    struct walk walk = {.place = place, .boundary = boundary, .out = out, .stage = STAGE_TOP};

    out->frame_count = 0;
    _Unwind_Backtrace(take_frame, &walk);
    return walk.stage == STAGE_REACHED;
}
