#include "tests/unit/unit.h"

#include "base/digest.h"

static void digests_are_those_of_fips_180_4(void **state)
{
    static const struct {
        const char *bytes, *digest;
    } table[] = {
        {"", "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        char text[DIGEST_TEXT_MAX];

        digest_of(table[i].bytes, strlen(table[i].bytes), text);
        assert_string_equal(text, table[i].digest);
    }
}

static void keyed_digests_are_those_of_rfc_4231(void **state)
{
    static const struct {
        const char *key, *bytes, *digest;
    } table[] = {
        {"\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b",
         "Hi There", "sha256:b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
        {"Jefe", "what do ya want for nothing?",
         "sha256:5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        char text[DIGEST_TEXT_MAX];

        digest_keyed(table[i].key, strlen(table[i].key), table[i].bytes, strlen(table[i].bytes),
                     text);
        assert_string_equal(text, table[i].digest);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digests_are_those_of_fips_180_4),
        cmocka_unit_test(keyed_digests_are_those_of_rfc_4231),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
