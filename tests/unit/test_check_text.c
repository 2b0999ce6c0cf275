#include "tests/unit/unit.h"

#include <elf.h>

#include "runtime/image/check_elf.h"
#include "runtime/image/check_text.h"

/* ---- os-release ---- */

static void os_release_is_read_as_a_shell_reads_it(void **state)
{
    static const struct {
        const char *text, *value; /* NULL: there is none */
    } table[] = {
        {"ID=debian", "debian"},
        {"NAME=x\nID=debian\n", "debian"},
        {"ID=\"debian\"\n", "debian"},
        {"ID='debian'\n", "debian"},
        {"ID=\"a \\\"b\\\"\"\n", "a \"b\""},
        {"  ID=debian  \r\n", "debian"},
        {"ID=one\nID=two\n", "two"},
        {"ID=\n", ""},
        {"VERSION_ID=1\n", NULL},
        {"#ID=debian\n", NULL},
        {"id=debian\n", NULL},
        {"ID =debian\n", NULL},
        {"ID=\"debian\n", NULL},
        {"ID=\x1b[31m\n", NULL},
        {"", NULL},
        {"ID", NULL},
        {"\n\n=\n", NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        char value[CHECK_VALUE_MAX] = "?";
        bool found = check_os_release(table[i].text, strlen(table[i].text), "ID", value);

        if (found != (table[i].value != NULL) || (found && strcmp(value, table[i].value) != 0))
            fail_msg("'%s' gives '%s'", table[i].text, value);
    }
}

static void os_release_ends_where_its_bytes_end(void **state)
{
    char text[400] = "ID=", value[CHECK_VALUE_MAX];

    (void)state;
    memset(text + 3, 'x', sizeof(text) - 4);
    assert_false(check_os_release(text, strlen(text), "ID", value));
    assert_true(check_os_release("ID=ab\0ID=c", 5, "ID", value));
    assert_string_equal(value, "ab");
    assert_true(check_os_release("ID=abcdef", 6, "ID", value));
    assert_string_equal(value, "abc");
}

/* ---- packages ---- */

#define STANZA(name, status) "Package: " name "\nStatus: " status "\nVersion: 1:2.3-4\n\n"

static void dpkg_says_what_is_installed(void **state)
{
    static const struct {
        const char *text;
        bool stated, found;
    } table[] = {
        {STANZA("curl", "install ok installed"), false, true},
        {STANZA("curl", "hold ok installed"), false, true},
        {STANZA("other", "install ok installed") STANZA("curl", "install ok installed"), false,
         true},
        {"Package: curl\nStatus: install ok installed", false, true},
        {"package: curl\nstatus: install ok installed\n", false, true},
        {"Package: curl\r\nStatus: install ok installed\r\n", false, true},
        {STANZA("curl", "deinstall ok config-files"), false, false},
        {STANZA("curl", "install ok half-installed"), false, false},
        {STANZA("curl", "install ok unpacked"), false, false},
        {STANZA("curl", "install ok not-installed"), false, false},
        {STANZA("curl", "installed"), false, false},
        {STANZA("curl", "install ok ok installed"), false, false},
        {STANZA("curl-doc", "install ok installed"), false, false},
        {STANZA("cur\x01l", "install ok installed"), false, false},
        {"Package: curl\n\nStatus: install ok installed\n", false, false},
        {"Package: other\nDescription: x\n Package: curl\nStatus: install ok installed\n", false,
         false},
        {"Package: curl\nVersion: 1\n", false, false},
        {"Package: curl\nVersion: 1\n", true, true},
        {STANZA("curl", "deinstall ok config-files"), true, false},
        {"", false, false},
        {"\n\n\n", false, false},
        {"Package:\nStatus: install ok installed\n", false, false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        autopackages packages = CHECK_PACKAGES_INIT;

        assert_true(
            check_packages_dpkg(table[i].text, strlen(table[i].text), table[i].stated, &packages));
        if ((check_packages_find(&packages, "curl") != NULL) != table[i].found)
            fail_msg("%s", table[i].text);
    }
}

static void apk_says_what_is_installed(void **state)
{
    static const char text[] = "C:Q1x=\nP:musl\nV:1.2.4-r2\nA:x86_64\np:so:libc=1\n\n"
                               "C:Q1y=\nP:curl\nV:8.4.0-r0\nF:usr/bin\n\n";
    autopackages packages = CHECK_PACKAGES_INIT;

    (void)state;
    assert_true(check_packages_apk(text, strlen(text), &packages));
    assert_string_equal(check_packages_find(&packages, "curl"), "8.4.0-r0");
    assert_string_equal(check_packages_find(&packages, "musl"), "1.2.4-r2");
    assert_null(check_packages_find(&packages, "so:libc=1"));
    assert_int_equal(packages.names.count, 2);
}

static void more_packages_than_the_limit_are_refused(void **state)
{
    autopackages packages = CHECK_PACKAGES_INIT;
    autobuf text = BUF_INIT(1 << 20);

    (void)state;
    for (int i = 0; i <= CHECK_PACKAGES_MAX; i++)
        assert_true(buf_append_text(&text, "Package: p\n\n"));
    assert_false(check_packages_dpkg(text.data, text.len, true, &packages));
}

static void patterns_match_families(void **state)
{
    static const struct {
        const char *pattern, *name;
        bool matches;
    } table[] = {
        {"libicu#", "libicu72", true},
        {"libicu#", "libicu", false},
        {"libicu#", "libicu-dev", false},
        {"libicu#", "libicu72t64", false},
        {"libssl1.0.#", "libssl1.0.2", true},
        {"libssl3", "libssl3t64", false},
        {"libssl3", "libssl3", true},
        {"a#b#c", "a1b22c", true},
        {"a#b#c", "a1bc", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        autopackages packages = CHECK_PACKAGES_INIT;

        assert_true(strv_add(&packages.names, table[i].name));
        assert_true(strv_add(&packages.versions, "1"));
        if ((check_packages_find(&packages, table[i].pattern) != NULL) != table[i].matches)
            fail_msg("'%s' and '%s'", table[i].pattern, table[i].name);
    }
}

/* ---- accounts, start-up files, versions ---- */

static void accounts_are_whole_names(void **state)
{
    static const char text[] = "root:x:0:0:root:/root:/bin/sh\napp:x:1:1::/:/bin/sh\n#no:x:2:2\n";

    (void)state;
    assert_true(check_has_account(text, strlen(text), "root"));
    assert_true(check_has_account(text, strlen(text), "app"));
    assert_false(check_has_account(text, strlen(text), "ap"));
    assert_false(check_has_account(text, strlen(text), "x"));
    assert_false(check_has_account(text, strlen(text), ""));
    assert_false(check_has_account("", 0, "root"));
    assert_false(check_has_account("root:", 4, "root"));
}

static void path_edits_of_start_up_files_are_found(void **state)
{
    static const struct {
        const char *text, *directory, *tool; /* the only ones, or NULL */
    } table[] = {
        {"export PATH=/opt/tool/bin:$PATH\n", "/opt/tool/bin", NULL},
        {"PATH=\"$PATH:/opt/tool/bin\"\n", "/opt/tool/bin", NULL},
        {"export PATH='/opt/tool/bin'", "/opt/tool/bin", NULL},
        {"export PATH=\"$HOME/bin:$PATH\"; echo\n", "/root/bin", NULL},
        {"PATH=~/bin:$PATH\n", "/root/bin", NULL},
        {"if x; then PATH=${HOME}/bin; fi\n", "/root/bin", NULL},
        {"[ -s \"$NVM_DIR/nvm.sh\" ] && . \"$NVM_DIR/nvm.sh\"\n", NULL, "nvm"},
        {"eval \"$(rbenv init -)\"\n", NULL, "rbenv"},
        {"# export PATH=/opt/tool/bin\n", NULL, NULL},
        {"MANPATH=/opt/man\n", NULL, NULL},
        {"PATH=$SOMETHING/bin\n", NULL, NULL},
        {"PATH=relative:\n", NULL, NULL},
        {"PATH=", NULL, NULL},
        {"", NULL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        autostrv directories = {0}, tools = {0};

        assert_true(
            check_shell_paths(table[i].text, strlen(table[i].text), "/root", &directories, &tools));
        assert_int_equal(directories.count, table[i].directory != NULL);
        assert_int_equal(tools.count, table[i].tool != NULL);
        if (table[i].directory)
            assert_string_equal(directories.items[0], table[i].directory);
        if (table[i].tool)
            assert_string_equal(tools.items[0], table[i].tool);
    }
}

static void versions_agree_where_one_goes_on(void **state)
{
    static const struct {
        const char *a, *b;
        bool agree;
    } table[] = {
        {"7.7.2", "7.7.2", true},
        {"v7.7.2", "7.7.2", true},
        {"7.7.2-ubuntu.2204", "7.7.2", true},
        {"7.7", "7.7.2", true},
        {"7.7.2_b1", "7.7.2+b1", false},
        {"7.7.2+b1", "7.7.2", true},
        {"7.7.20", "7.7.2", false},
        {"7.7.2", "7.8.0", false},
        {"ubuntu.22.04", "22.04", false},
        {"", "1", false},
        {"version", "ersion", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        assert_int_equal(check_versions_agree(table[i].a, table[i].b), table[i].agree);
        assert_int_equal(check_versions_agree(table[i].b, table[i].a), table[i].agree);
    }
}

static void the_upstream_part_of_a_version_is_taken(void **state)
{
    static const struct {
        const char *version, *upstream;
    } table[] = {
        {"1:2.3-4", "2.3"},    {"2.3", "2.3"},   {"566.0.0-0", "566.0.0"},
        {"8.4.0-r0", "8.4.0"}, {"1-2-3", "1-2"}, {"", ""},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        autofree char *upstream = check_upstream_version(table[i].version);

        assert_string_equal(upstream, table[i].upstream);
    }
}

/* ---- ELF ---- */

static size_t elf64(unsigned char *bytes, const char *loader, uint64_t offset)
{
    Elf64_Ehdr *header = (Elf64_Ehdr *)bytes;
    Elf64_Phdr *program = (Elf64_Phdr *)(bytes + sizeof(*header));

    memset(bytes, 0, CHECK_ELF_BYTES);
    memcpy(header->e_ident, ELFMAG, SELFMAG);
    header->e_ident[EI_CLASS] = ELFCLASS64;
    header->e_ident[EI_DATA] = ELFDATA2LSB;
    header->e_machine = EM_X86_64;
    header->e_phoff = sizeof(*header);
    header->e_phentsize = sizeof(*program);
    header->e_phnum = 1;
    if (loader) {
        program->p_type = PT_INTERP;
        program->p_offset = offset;
        program->p_filesz = strlen(loader) + 1;
        if (offset < CHECK_ELF_BYTES - program->p_filesz)
            memcpy(bytes + offset, loader, program->p_filesz);
    }
    return CHECK_ELF_BYTES;
}

static void the_loader_of_a_program_is_known(void **state)
{
    static const struct {
        const char *loader;
        uint64_t offset;
        enum check_program program;
    } table[] = {
        {"/lib64/ld-linux-x86-64.so.2", 512, CHECK_ELF_GLIBC},
        {"/nix/store/x/lib/ld-linux-x86-64.so.2", 512, CHECK_ELF_GLIBC},
        {"/lib/ld-musl-x86_64.so.1", 512, CHECK_ELF_MUSL},
        {"/lib/ld64.so.1", 512, CHECK_ELF_GLIBC},
        {"/lib/ld-uClibc.so.0", 512, CHECK_ELF_OTHER},
        {"/lib64/ld-linux-x86-64.so.2", 1 << 20, CHECK_ELF_OTHER},
        {"/lib64/ld-linux-x86-64.so.2", UINT64_MAX - 8, CHECK_ELF_OTHER},
        {"", 512, CHECK_ELF_OTHER},
        {NULL, 0, CHECK_ELF_STATIC},
    };
    unsigned char bytes[CHECK_ELF_BYTES];

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        size_t len = elf64(bytes, table[i].loader, table[i].offset);
        uint16_t machine = 0;

        assert_int_equal(check_elf(bytes, len, &machine), table[i].program);
        assert_int_equal(machine, EM_X86_64);
    }
}

static void what_is_no_program_is_told_apart(void **state)
{
    unsigned char bytes[CHECK_ELF_BYTES];
    uint16_t machine = 1;

    (void)state;
    assert_int_equal(check_elf("#!/bin/sh\n", 10, &machine), CHECK_NO_ELF);
    assert_int_equal(machine, 0);
    assert_int_equal(check_elf("", 0, &machine), CHECK_NO_ELF);
    assert_int_equal(check_elf(ELFMAG, 4, &machine), CHECK_NO_ELF);
    elf64(bytes, "/lib64/ld-linux-x86-64.so.2", 512);
    for (size_t len = 0; len < 700; len++)
        check_elf(bytes, len, &machine);
    ((Elf64_Ehdr *)bytes)->e_phnum = UINT16_MAX;
    ((Elf64_Ehdr *)bytes)->e_phentsize = 0;
    ((Elf64_Phdr *)(bytes + sizeof(Elf64_Ehdr)))->p_type = PT_LOAD;
    assert_int_equal(check_elf(bytes, sizeof(bytes), &machine), CHECK_ELF_OTHER);
}

static void architectures_have_a_machine(void **state)
{
    (void)state;
    assert_int_equal(check_elf_machine("amd64"), EM_X86_64);
    assert_int_equal(check_elf_machine("arm64"), EM_AARCH64);
    assert_int_equal(check_elf_machine("unheard-of"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(os_release_is_read_as_a_shell_reads_it),
        cmocka_unit_test(os_release_ends_where_its_bytes_end),
        cmocka_unit_test(dpkg_says_what_is_installed),
        cmocka_unit_test(apk_says_what_is_installed),
        cmocka_unit_test(more_packages_than_the_limit_are_refused),
        cmocka_unit_test(patterns_match_families),
        cmocka_unit_test(accounts_are_whole_names),
        cmocka_unit_test(path_edits_of_start_up_files_are_found),
        cmocka_unit_test(versions_agree_where_one_goes_on),
        cmocka_unit_test(the_upstream_part_of_a_version_is_taken),
        cmocka_unit_test(the_loader_of_a_program_is_known),
        cmocka_unit_test(what_is_no_program_is_told_apart),
        cmocka_unit_test(architectures_have_a_machine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
