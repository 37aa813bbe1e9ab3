#include <nhttp/text.h>

#include <criterion/criterion.h>

Test(text, what_equals_what)
{
    struct nhttp_text none = {0};
    cr_assert(nhttp_text_equals(none, NHTTP_TEXT("")));
    cr_assert(nhttp_text_equals(nhttp_text_of(NULL), none));
    cr_assert(nhttp_text_equals(nhttp_text_of("abc"), NHTTP_TEXT("abc")));
    cr_assert(nhttp_text_equals(NHTTP_TEXT("a\0b"), NHTTP_TEXT("a\0b")));
    cr_assert_not(nhttp_text_equals(NHTTP_TEXT("a\0b"), NHTTP_TEXT("a\0c")));
    cr_assert_not(nhttp_text_equals(NHTTP_TEXT("abc"), NHTTP_TEXT("abd")));
    cr_assert_not(nhttp_text_equals(NHTTP_TEXT("abc"), NHTTP_TEXT("ab")));
    cr_assert_not(nhttp_text_equals(NHTTP_TEXT("abc"), NHTTP_TEXT("abC")));
    cr_assert(nhttp_text_equals_nocase(NHTTP_TEXT("Gzip-9"), NHTTP_TEXT("gZIP-9")));
    cr_assert(nhttp_text_equals_nocase(none, NHTTP_TEXT("")));
    cr_assert_not(nhttp_text_equals_nocase(NHTTP_TEXT("gzip"), NHTTP_TEXT("gzi")));
}

/* Letters of ASCII and nothing else have a case. */
Test(text, which_bytes_have_a_case)
{
    for (int a = 0; a < 256; a++) {
        for (int b = 0; b < 256; b++) {
            char x = (char)a;
            char y = (char)b;
            bool is_pair = (a ^ b) == 0x20 && (a | 0x20) >= 'a' && (a | 0x20) <= 'z';
            cr_assert_eq(
                nhttp_text_equals_nocase((struct nhttp_text){&x, 1}, (struct nhttp_text){&y, 1}),
                a == b || is_pair, "%d %d", a, b);
        }
    }
}
