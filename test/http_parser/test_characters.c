/* The table of classes against the grammar, spelled out. */
#include "characters.h"

#include <criterion/criterion.h>
#include <string.h>

TestSuite(characters, .timeout = 60);

static bool is_among(int byte, const char *set)
{
    return byte != 0 && strchr(set, byte) != NULL;
}

static unsigned classes_of(int byte)
{
    bool is_digit = byte >= '0' && byte <= '9';
    bool is_alpha = (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z');
    bool is_alnum = is_digit || is_alpha;
    unsigned classes = 0;
    if (is_alnum || is_among(byte, "!#$%&'*+-.^_`|~"))
        classes |= NH_TOKEN;
    if (is_alnum || is_among(byte, "-._~!$&'()*+,;="))
        classes |= NH_HOST;
    if (is_digit || is_among(byte, "abcdefABCDEF"))
        classes |= NH_HEX;
    return classes;
}

static int first_wrong(void)
{
    int byte = 0;
    while (byte < 256 && nh_classes[byte] == classes_of(byte))
        byte++;
    return byte;
}

Test(characters, classes_are_those_of_the_grammar)
{
    cr_assert_eq(first_wrong(), 256, "%#x", (unsigned)first_wrong());
}
