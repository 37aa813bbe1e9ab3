/* Reads command lines. */
#include "flags.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATUS_USAGE 2

bool flag_number(const struct flag *flag, const char *text)
{
    /* strtoul(3) would take a sign and leading blanks. */
    if (text[0] == '\0' || text[strspn(text, "0123456789")] != '\0')
        return false;
    errno = 0;
    unsigned long value = strtoul(text, NULL, 10);
    if (errno != 0 || value < flag->min || value > flag->max)
        return false;
    *(uint32_t *)flag->into = (uint32_t)value;
    return true;
}

bool flag_text(const struct flag *flag, const char *text)
{
    *(const char **)flag->into = text;
    return true;
}

bool flag_switch(const struct flag *flag, const char *text)
{
    *(bool *)flag->into = true;
    return text == NULL;
}

static void print_help(const struct flag_set *set)
{
    printf("usage: %s [FLAG [VALUE]]...\n%s\n\n", set->program, set->summary);
    for (size_t i = 0; i < set->count; i++) {
        const struct flag *flag = &set->flags[i];
        int width = printf("  %s %s", flag->name, flag->value != NULL ? flag->value : "");
        printf("%*s%s\n", width < 28 ? 28 - width : 1, "", flag->help);
    }
    printf("  %-26s%s\n", "--help", "this text");
}

static _Noreturn void refuse(const struct flag_set *set, const struct flag *flag, const char *value)
{
    if (flag->must_be != NULL)
        fprintf(stderr, "%s: %s must be %s, not \"%s\"\n", set->program, flag->name, flag->must_be,
                value);
    else
        fprintf(stderr, "%s: %s must be a number from %u to %u, not \"%s\"\n", set->program,
                flag->name, flag->min, flag->max, value);
    exit(STATUS_USAGE);
}

/* The flag that a word names, alone or before a '='. */
static const struct flag *find(const struct flag_set *set, const char *word)
{
    size_t n = strcspn(word, "=");
    for (size_t i = 0; i < set->count; i++) {
        if (strlen(set->flags[i].name) == n && strncmp(set->flags[i].name, word, n) == 0)
            return &set->flags[i];
    }
    fprintf(stderr, "%s: unknown flag \"%s\"; --help lists them all\n", set->program, word);
    exit(STATUS_USAGE);
}

void flags_parse(const struct flag_set *set, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            print_help(set);
            exit(0);
        }
        const struct flag *flag = find(set, argv[i]);
        const char *value = strchr(argv[i], '=');
        bool is_switch = flag->value == NULL;
        value = value != NULL ? value + 1 : is_switch ? NULL : argv[++i];
        if (value == NULL && !is_switch) {
            fprintf(stderr, "%s: %s needs a value\n", set->program, flag->name);
            exit(STATUS_USAGE);
        }
        if (!flag->parse(flag, value))
            refuse(set, flag, value);
    }
}
