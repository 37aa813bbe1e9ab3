/* The calling thread's return addresses, by the unwinder, and their symbols, by the linker. */
#include "backtrace.h"

#include <dlfcn.h>
#include <features.h>
#ifdef __GLIBC__
#    include <gnu/libc-version.h>
#endif
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <unwind.h>

/*
 * glibc 2.35 gave the unwinder a way to find its tables without a lock. Before, a thread that a
 * signal stopped inside of the dynamic linker could have waited for itself.
 */
#ifdef __GLIBC_PREREQ
#    define CAN_UNWIND __GLIBC_PREREQ(2, 35)
#else
#    define CAN_UNWIND 0
#endif

struct unwinding {
    const void *first; /* frames are left out up to this one; NULL: none is */
    void **frames;
    uint32_t count;
    uint32_t max;
};

static _Unwind_Reason_Code take_frame(struct _Unwind_Context *context, void *arg)
{
    struct unwinding *unwinding = arg;
    int interrupted = 0;
    uintptr_t address = _Unwind_GetIPInfo(context, &interrupted);

    if (address == 0 || unwinding->count == unwinding->max)
        return _URC_END_OF_STACK;
    if (unwinding->first != NULL && address != (uintptr_t)unwinding->first)
        return _URC_NO_REASON;
    unwinding->first = NULL;
    /* A return address is behind its call. Made so, an interrupted one needs no special case. */
    unwinding->frames[unwinding->count++] = (void *)(address + (interrupted != 0));
    return _URC_NO_REASON;
}

uint32_t gp_backtrace_take_from(const void *first, void **frames, uint32_t max)
{
    struct unwinding unwinding = {.first = first, .frames = frames, .max = max};

    if (!CAN_UNWIND || max == 0)
        return 0;
    _Unwind_Backtrace(take_frame, &unwinding);
    if (unwinding.count == 0 && first != NULL)
        frames[unwinding.count++] = (void *)(uintptr_t)first;
    return unwinding.count;
}

__attribute__((noinline)) uint32_t gp_backtrace_take(void **frames, uint32_t max)
{
    return gp_backtrace_take_from(__builtin_return_address(0), frames, max);
}

static bool find(const void *address, Dl_info *info)
{
    /* Before glibc 2.34 it is in a library of its own; there it has nothing to look up. */
    return CAN_UNWIND && dladdr(address, info) != 0 && info->dli_fname != NULL;
}

void gp_backtrace_write_function(struct gp_text *text, const void *address)
{
    Dl_info info;

    if (!find(address, &info))
        gp_text_add(text, "%p", address);
    else if (info.dli_sname != NULL)
        gp_text_add(text, "%s", info.dli_sname);
    else
        gp_text_add(text, "%s+%#zx", info.dli_fname,
                    (size_t)((const char *)address - (const char *)info.dli_fbase));
}

static bool is_in_libc(const void *call)
{
#if CAN_UNWIND
    Dl_info info;
    Dl_info libc;

    return find(call, &info) && find(gnu_get_libc_version(), &libc) &&
           info.dli_fbase == libc.dli_fbase;
#else
    (void)call;
    return false;
#endif
}

const void *gp_backtrace_blame(void *const *frames, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!is_in_libc((const char *)frames[i] - 1))
            return frames[i];
    }
    return count > 0 ? frames[0] : NULL;
}

int gp_backtrace_print_frame(char *out, size_t size, const void *frame)
{
    const char *call = (const char *)frame - 1;
    Dl_info info;

    if (!find(call, &info))
        return snprintf(out, size, "%p", (const void *)call);
    return snprintf(out, size, "%s%s%s+%#zx", info.dli_sname != NULL ? info.dli_sname : "",
                    info.dli_sname != NULL ? ", " : "", info.dli_fname,
                    (size_t)(call - (const char *)info.dli_fbase));
}

void gp_backtrace_write(struct gp_text *text, void *const *frames, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        /* Of the call, which may be the last thing in its function. */
        const char *call = (const char *)frames[i] - 1;
        Dl_info info;

        if (!find(call, &info))
            gp_text_add(text, "  #%u %p\n", i, (const void *)call);
        else
            gp_text_add(text, "  #%u %s (%s+%#zx)\n", i,
                        info.dli_sname != NULL ? info.dli_sname : "?", info.dli_fname,
                        (size_t)(call - (const char *)info.dli_fbase));
    }
}
