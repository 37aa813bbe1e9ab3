/* The functions of the C library in which a fault is recovered from: every one of them. */
#include "fault_rig.h"

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

/* Of some of them there is only what _FORTIFY_SOURCE makes of them. */
static const char *const names[] = {
    "__memcpy_chk",  "__memmove_chk", "__mempcpy_chk", "__memset_chk",  "__stpcpy_chk",
    "__stpncpy_chk", "__strcat_chk",  "__strcpy_chk",  "__strncat_chk", "__strncpy_chk",
    "bcmp",          "memccpy",       "memchr",        "memcmp",        "memcpy",
    "memmem",        "memmove",       "mempcpy",       "memrchr",       "memset",
    "rawmemchr",     "stpcpy",        "stpncpy",       "strcasecmp",    "strcasestr",
    "strcat",        "strchr",        "strchrnul",     "strcmp",        "strcpy",
    "strcspn",       "strlen",        "strncasecmp",   "strncat",       "strncmp",
    "strncpy",       "strnlen",       "strpbrk",       "strrchr",       "strsep",
    "strspn",        "strstr",        "strtok_r",      "wcpcpy",        "wcpncpy",
    "wcscat",        "wcschr",        "wcscmp",        "wcscpy",        "wcscspn",
    "wcslen",        "wcsncat",       "wcsncmp",       "wcsncpy",       "wcsnlen",
    "wcspbrk",       "wcsrchr",       "wcsspn",        "wcsstr",        "wmemchr",
    "wmemcmp",       "wmemcpy",       "wmemmove",      "wmempcpy",
};

/* Whatever a function takes for a pointer cannot be followed, and what it takes for a length is
 * long enough. */
#define SMALL ((void *)16)

/* As the psABI passes up to four arguments. */
typedef void *any_fn(void *a, void *b, void *c, void *d);

static void call_it(void *arg)
{
    any_fn *fn;
    *(void **)&fn = arg;
    void *volatile result = fn(SMALL, SMALL, SMALL, SMALL);
    (void)result;
}

static const char *name;

static void fault_in_it(void)
{
    void *function = dlsym(RTLD_DEFAULT, name);
    MUST(function != NULL);
    MUST(fault_in_task(call_it, function) == -ECANCELED);
    MUST(last.signal == SIGSEGV);
}

/* glibc picks one of several implementations by what the processor can do, and those for AVX-512
 * without ERMS jump into code that no name leads to. */
#define TUNABLES "glibc.cpu.hwcaps=-AVX512VL,-AVX512BW"

int main(int argc, char **argv)
{
    (void)argc;
    if (getenv("GLIBC_TUNABLES") == NULL && setenv("GLIBC_TUNABLES", TUNABLES, 1) == 0)
        (void)execv("/proc/self/exe", argv);
    int skipped = skip_status();
    bool is_good = true;
    if (skipped != 0)
        return skipped;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        name = names[i];
        (void)fflush(stdout);
        int status = status_of(fault_in_it, 0);
        if (status != 0)
            printf("%s: FAILED, status %#x\n", name, (unsigned)status);
        is_good = is_good && status == 0;
    }
    printf("%zu functions of the C library\n", sizeof names / sizeof *names);
    return is_good ? 0 : 1;
}
