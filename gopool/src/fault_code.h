/*
 * Whose a piece of machine code is: the task's, the toolkit's, the C library's. Looked up once, so
 * that a signal handler only compares addresses.
 */
#ifndef GP_FAULT_CODE_H
#define GP_FAULT_CODE_H

#include <gopool/fault.h>

enum gp_code_owner {
    GP_CODE_FOREIGN, /* somebody else's, or the allocator's whoever it belongs to */
    GP_CODE_TASK,
    GP_CODE_TOOLKIT,
    GP_CODE_DISPATCH, /* the toolkit's, with nothing half done while it calls: NETPOLL_DISPATCH */
    GP_CODE_LIBC,
};

/* What may be said of a function of the C library. */
enum gp_code_trait {
    GP_CODE_PLAIN,
    GP_CODE_PURE,  /* reads and writes what its pointers point to, and nothing else */
    GP_CODE_ABORT, /* ends in abort(3), because its caller wants that */
};

/*
 * Whether code can be told apart at all. Returns 0; -ENOMEM; -ENOTSUP with *reason set.
 *
 * @param caller  an address in the code of whoever asks, which has to be unwound, too
 */
int gp_code_check(const void *caller, const char **reason);

/*
 * Looks everything up. The modules count as the task's, besides the program.
 *
 * Returns as gp_code_check(); -EINVAL when no module with unwind tables lies at one of the
 * addresses. Not again, once it has returned 0.
 */
int gp_code_init(const struct gopool_fault_options *options, const void *caller,
                 const char **reason);

/* Both are async-signal-safe, and need gp_code_init() to have returned 0. A function is told by
 * where it begins. */
enum gp_code_owner gp_code_owner_of(uintptr_t address, uintptr_t function);
enum gp_code_trait gp_code_trait_of(uintptr_t function);

#endif
