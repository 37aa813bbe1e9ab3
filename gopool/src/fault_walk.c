/* The walk: one frame after the other, each of which either may follow the last or ends it. */
#include "fault_walk.h"

#include <unwind.h>

#include "fault_code.h"

#define IN_TOOLKIT "the toolkit may have left something half done"

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
    struct gp_fault_frames *out;
    enum stage stage;
    enum gp_code_trait trait; /* of the outermost of the C library's functions */
    bool has_begun;           /* the frames of the signal handler are over */
    bool is_in_toolkit;       /* the last frame is the toolkit's: refused, or the boundary's */
    uintptr_t sp;             /* of the last frame */
};

static enum stage refuse(struct walk *walk, const char *why)
{
    walk->out->refusal = why;
    return STAGE_REFUSED;
}

static enum stage after_libc(struct walk *walk, uintptr_t function)
{
    walk->trait = gp_code_trait_of(function);
    if (walk->stage <= STAGE_LIBRARY && (walk->place->is_abort || walk->trait == GP_CODE_PURE))
        return STAGE_LIBRARY;
    return refuse(walk, "the C library may have left something half done");
}

/*
 * Whether the frames so far are what a task may leave half done: with none of its own when the last
 * thing it did was to call the innermost, for then compilers make a jump of the call.
 */
static bool is_of_task(const struct walk *walk)
{
    switch (walk->stage) {
    case STAGE_TOP:
        return walk->place->is_call;
    case STAGE_LIBRARY:
        return !walk->place->is_abort;
    default:
        return walk->stage == STAGE_TASK;
    }
}

static enum stage after_task(struct walk *walk)
{
    bool is_asked_for = walk->stage == STAGE_TASK || walk->trait == GP_CODE_ABORT;

    if (!walk->place->is_abort || is_asked_for)
        return STAGE_TASK;
    return refuse(walk, "not the task has called abort(3)");
}

/* The stage behind one more frame. */
static enum stage after(struct walk *walk, uintptr_t pc, uintptr_t function)
{
    /* It does not hold the boundary, or this one would not have been looked at. */
    if (walk->is_in_toolkit)
        return refuse(walk, IN_TOOLKIT);
    switch (gp_code_owner_of(pc, function)) {
    case GP_CODE_LIBC:
        return after_libc(walk, function);
    case GP_CODE_TASK:
        return after_task(walk);
    case GP_CODE_DISPATCH:
        return is_of_task(walk) ? STAGE_TASK : refuse(walk, IN_TOOLKIT);
    case GP_CODE_TOOLKIT:
        walk->is_in_toolkit = true;
        return walk->stage;
    case GP_CODE_FOREIGN:
        break;
    }
    return refuse(walk, "code that is neither the program's nor of a module that is allowed may "
                        "have left something half done");
}

/* This frame is further out than the boundary. */
static enum stage reach(struct walk *walk)
{
    return is_of_task(walk) && walk->is_in_toolkit ? STAGE_REACHED : refuse(walk, IN_TOOLKIT);
}

static void note(struct gp_fault_frames *out, uintptr_t pc, bool is_interrupted)
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
                   struct gp_fault_frames *out)
{
    struct walk walk = {.place = place, .boundary = boundary, .out = out, .stage = STAGE_TOP};

    out->frame_count = 0;
    out->refusal = "the stack cannot be followed from it to the task";
    _Unwind_Backtrace(take_frame, &walk);
    return walk.stage == STAGE_REACHED;
}
