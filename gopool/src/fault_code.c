/* The code of the program, of the toolkit and of the C library in memory. Any thread. */
#include "fault_code.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <gnu/libc-version.h>
#include <link.h>
#include <mcache/mcache.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unwind.h>

#include "fault_notes.h"
#include "panic_internal.h"
#include "worker.h"

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

static const char *const pure_names[] = {
    "__memcpy_chk",  "__memmove_chk", "__mempcpy_chk", "__memset_chk",  "__stpcpy_chk",
    "__stpncpy_chk", "__strcat_chk",  "__strcpy_chk",  "__strncat_chk", "__strncpy_chk",
    "bcmp",          "memccpy",       "memchr",        "memcmp",        "memcpy",
    "memmem",        "memmove",       "mempcpy",       "memrchr",       "memset",
    "rawmemchr",     "stpcpy",        "stpncpy",       "strcasecmp",    "strcasecmp_l",
    "strcasestr",    "strcat",        "strchr",        "strchrnul",     "strcmp",
    "strcpy",        "strcspn",       "strlen",        "strncasecmp",   "strncasecmp_l",
    "strncat",       "strncmp",       "strncpy",       "strnlen",       "strpbrk",
    "strrchr",       "strsep",        "strspn",        "strstr",        "strtok_r",
    "wcpcpy",        "wcpncpy",       "wcscat",        "wcschr",        "wcscmp",
    "wcscpy",        "wcscspn",       "wcslen",        "wcsncat",       "wcsncmp",
    "wcsncpy",       "wcsnlen",       "wcspbrk",       "wcsrchr",       "wcsspn",
    "wcsstr",        "wmemchr",       "wmemcmp",       "wmemcpy",       "wmemmove",
    "wmempcpy",
};

static const char *const abort_names[] = {"abort", "__assert_fail"};

/* A fault in one of them tells of a heap that is broken, whoever has defined it. */
static const char *const heap_names[] = {
    "aligned_alloc",  "calloc",  "free",         "malloc",  "memalign",
    "posix_memalign", "pvalloc", "reallocarray", "realloc", "valloc",
};

static struct gp_code_notes toolkit;
static struct gp_code_range task[1 + GOPOOL_FAULT_MODULES_MAX];
static size_t task_count;
static struct gp_code_range libc;
static uintptr_t pure[COUNT_OF(pure_names)];
static uintptr_t aborts[COUNT_OF(abort_names)];
static uintptr_t heap[COUNT_OF(heap_names)];

/* Defined where the program, or this library, has been built with a sanitizer. */
/* NOLINTBEGIN(readability-identifier-naming) */
extern void __asan_init(void) __attribute__((weak));
extern void __hwasan_init(void) __attribute__((weak));
extern void __msan_init(void) __attribute__((weak));
extern void __tsan_init(void) __attribute__((weak));
/* NOLINTEND(readability-identifier-naming) */

static bool is_sanitized(void)
{
    return __asan_init != NULL || __hwasan_init != NULL || __msan_init != NULL ||
           __tsan_init != NULL;
}

static bool is_inside(const struct gp_code_range *range, uintptr_t address)
{
    return address >= range->start && address < range->end;
}

/* Where the function at an address begins, as the unwinder sees it; 0: it has no unwind tables. */
static uintptr_t function_at(const void *address)
{
    /* It looks for a return address, one byte further on. */
    return (uintptr_t)_Unwind_FindEnclosingFunction((char *)(uintptr_t)address + 1);
}

/* The extent of the object that an address lies in. False: there is none with unwind tables. */
static bool find_object(const void *address, struct gp_code_range *out)
{
    struct dl_find_object object;

    if (_dl_find_object((void *)(uintptr_t)address, &object) != 0 || object.dlfo_eh_frame == NULL)
        return false;
    out->start = (uintptr_t)object.dlfo_map_start;
    out->end = (uintptr_t)object.dlfo_map_end;
    return true;
}

static const void *in_program(void)
{
    return (const void *)getauxval(AT_ENTRY);
}

/* A string of its own: the address of a function may be that of a stub in the program. */
static const void *in_libc(void)
{
    return gnu_get_libc_version();
}

static bool find_program(struct gp_code_range *out)
{
    return find_object(in_program(), out);
}

static bool find_libc(struct gp_code_range *out)
{
    return find_object(in_libc(), out);
}

static bool is_libc_static(void)
{
    struct dl_find_object program;
    struct dl_find_object library;

    return _dl_find_object((void *)(uintptr_t)in_program(), &program) == 0 &&
           _dl_find_object((void *)(uintptr_t)in_libc(), &library) == 0 &&
           program.dlfo_link_map == library.dlfo_link_map;
}

static const char *refusal_of_tables(const void *caller)
{
    struct gp_code_range range;

    if (is_libc_static())
        return "the C library is linked statically";
    if (!find_program(&range))
        return "the program has no unwind tables";
    if (!find_libc(&range) || function_at((const void *)(uintptr_t)gp_worker_main) == 0)
        return "the libraries have no unwind tables";
    if (function_at(caller) == 0)
        return "the caller's code has no unwind tables";
    return NULL;
}

/* Whether the notes tell the toolkit's code from all other code. */
static const char *refusal_of_notes(const struct gp_code_notes *notes, const void *caller)
{
    if (gp_code_ranges_overlap(&notes->code) ||
        gp_code_ranges_hold(&notes->code, (uintptr_t)caller))
        return "link-time optimisation has mixed the toolkit's code with the program's; link with "
               "-fno-lto";
    if (!gp_code_ranges_hold(&notes->code, (uintptr_t)gp_worker_main) ||
        !gp_code_ranges_hold(&notes->code, (uintptr_t)gp_panic_jump))
        return "the toolkit is compiled so that its code cannot be found, as with "
               "-ffunction-sections";
    return NULL;
}

static int read_notes(struct gp_code_notes *notes, const void *caller, const char **reason)
{
    bool is_instrumented = false;
    int status = gp_code_read_notes(notes, &is_instrumented);

    if (status != 0)
        return status;
    *reason = refusal_of_notes(notes, caller);
    if (is_instrumented)
        *reason = "the program runs under valgrind";
    if (*reason == NULL)
        return 0;
    gp_code_notes_clear(notes);
    return -ENOTSUP;
}

/* As gp_code_check(); the notes are the caller's to clear when it returns 0. */
static int examine(struct gp_code_notes *notes, const void *caller, const char **reason)
{
    *reason = is_sanitized() ? "the program is built with a sanitizer" : refusal_of_tables(caller);
    return *reason == NULL ? read_notes(notes, caller, reason) : -ENOTSUP;
}

int gp_code_check(const void *caller, const char **reason)
{
    struct gp_code_notes notes = {0};
    int status = examine(&notes, caller, reason);

    if (status == 0)
        gp_code_notes_clear(&notes);
    return status;
}

static int find_task_code(const struct gopool_fault_options *options)
{
    (void)find_program(&task[0]);
    for (size_t i = 0; i < options->module_count; i++) {
        if (!find_object(options->modules[i], &task[1 + i]) || task[1 + i].start == libc.start)
            return -EINVAL;
    }
    task_count = 1 + options->module_count;
    return 0;
}

static void find_functions(void *scope, const char *const *names, size_t count, uintptr_t *out)
{
    for (size_t i = 0; i < count; i++) {
        const void *address = dlsym(scope, names[i]);

        out[i] = address != NULL ? function_at(address) : 0;
    }
}

int gp_code_init(const struct gopool_fault_options *options, const void *caller,
                 const char **reason)
{
    struct gp_code_notes notes = {0};
    int status = examine(&notes, caller, reason);

    if (status != 0)
        return status;
    (void)find_libc(&libc);
    status = find_task_code(options);
    if (status != 0) {
        gp_code_notes_clear(&notes);
        return status;
    }
    toolkit = notes;
    /* Not the first of that name, which may be a stub in the program. */
    find_functions(RTLD_NEXT, pure_names, COUNT_OF(pure_names), pure);
    find_functions(RTLD_NEXT, abort_names, COUNT_OF(abort_names), aborts);
    /* The one that is used. */
    find_functions(RTLD_DEFAULT, heap_names, COUNT_OF(heap_names), heap);
    return 0;
}

static bool is_one_of(const uintptr_t *functions, size_t count, uintptr_t function)
{
    size_t i = 0;

    while (i < count && functions[i] != function)
        i++;
    return i < count && function != 0;
}

enum gp_code_owner gp_code_owner_of(uintptr_t address, uintptr_t function)
{
    if (gp_code_ranges_hold(&toolkit.dispatch, address))
        return GP_CODE_DISPATCH;
    if (gp_code_ranges_hold(&toolkit.code, address))
        return GP_CODE_TOOLKIT;
    if (is_inside(&libc, address))
        return GP_CODE_LIBC;
    if (is_one_of(heap, COUNT_OF(heap), function))
        return GP_CODE_FOREIGN;
    for (size_t i = 0; i < task_count; i++) {
        if (is_inside(&task[i], address))
            return GP_CODE_TASK;
    }
    return GP_CODE_FOREIGN;
}

enum gp_code_trait gp_code_trait_of(uintptr_t function)
{
    if (is_one_of(pure, COUNT_OF(pure), function))
        return GP_CODE_PURE;
    return is_one_of(aborts, COUNT_OF(aborts), function) ? GP_CODE_ABORT : GP_CODE_PLAIN;
}
