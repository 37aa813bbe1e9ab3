/**
 * Command lines of the programs: "--name VALUE" or "--name=VALUE", and --help.
 */
#ifndef EXAMPLES_FLAGS_H
#define EXAMPLES_FLAGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct flag;

/** Stores a flag's value. False, and nothing stored, when the text is none. */
typedef bool flag_parse_fn(const struct flag *flag, const char *text);

/** One flag. It always has a value. */
struct flag {
    const char *name;     /**< "--listen" */
    const char *value;    /**< what --help calls the value: "ADDR"; NULL: it has none */
    const char *help;     /**< one line; the default in it */
    const char *must_be;  /**< what a value must be, for the complaint; NULL for numbers */
    flag_parse_fn *parse; /**< flag_number, flag_text or the program's own */
    void *into;           /**< where parse stores it; holds the default before */
    uint32_t min, max;    /**< for flag_number: both allowed */
};

/** What a program takes. */
struct flag_set {
    const char *program;      /**< its name */
    const char *summary;      /**< what it does, one line */
    const struct flag *flags; /**< borrowed, like everything else here */
    size_t count;
};

/**
 * Reads the command line into the flags.
 *
 * Ends the process: with status 0 after --help, which goes to stdout; with status 2 and one line
 * on stderr for an unknown flag, a missing value or one that cannot be parsed.
 */
void flags_parse(const struct flag_set *set, int argc, char **argv);

/** A decimal number from min to max into a uint32_t. */
flag_parse_fn flag_number;

/** No value: true into a bool. */
flag_parse_fn flag_switch;

/** Any text into a const char *, which points into the command line. */
flag_parse_fn flag_text;

#endif
