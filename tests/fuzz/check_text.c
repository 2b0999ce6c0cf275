/* Texts of an image that its check asks about. The first byte chooses which. */
#include "tests/fuzz/fuzz.h"

#include <ctype.h>

#include "runtime/image/check_text.h"

static void os_release(const char *text, size_t len)
{
    char value[CHECK_VALUE_MAX];

    if (!check_os_release(text, len, "ID", value))
        return;
    for (const char *p = value; *p; p++)
        FUZZ_CHECK(!iscntrl((unsigned char)*p));
}

static void packages(const char *text, size_t len, int kind)
{
    autopackages found = CHECK_PACKAGES_INIT;

    if (kind == 2)
        check_packages_apk(text, len, &found);
    else
        check_packages_dpkg(text, len, kind == 1, &found);
    FUZZ_CHECK(found.names.count <= CHECK_PACKAGES_MAX);
    for (size_t i = 0; i < found.names.count; i++) {
        autofree char *upstream = check_upstream_version(found.versions.items[i]);

        FUZZ_CHECK(*found.names.items[i] && !strchr(found.names.items[i], '/'));
        FUZZ_CHECK(upstream && strlen(upstream) <= strlen(found.versions.items[i]));
        FUZZ_CHECK(check_packages_find(&found, found.names.items[i]) ||
                   strchr(found.names.items[i], '#'));
    }
}

static void shell_paths(const char *text, size_t len)
{
    autostrv directories = {0}, tools = {0};

    check_shell_paths(text, len, "/root", &directories, &tools);
    for (size_t i = 0; i < directories.count; i++)
        FUZZ_CHECK(directories.items[i][0] == '/');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t choice = fuzz_choice(&data, &size) % 6;
    /* With the NUL that the caller promises, and nothing behind it. */
    char *text = malloc(size + 1);

    FUZZ_CHECK(text);
    memcpy(text, data, size);
    text[size] = '\0';
    if (choice == 0)
        os_release(text, size);
    else if (choice <= 3)
        packages(text, size, choice - 1);
    else if (choice == 4)
        shell_paths(text, size);
    else
        check_has_account(text, size, "root");
    FUZZ_CHECK(check_versions_agree(text, text) || !*text || strcmp(text, "v") == 0 ||
               strcmp(text, "V") == 0);
    free(text);
    return 0;
}
