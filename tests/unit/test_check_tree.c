#include "tests/unit/unit.h"

#include <stdio.h>

#include "tests/unit/check_script.h"

#define LOOP "l a b\nl b a\n"

static const struct {
    const char *lines, *path;
    enum check_found found;
} searches[] = {
    {"", "/", CHECK_FOUND},
    {"", "/etc", CHECK_OPEN},
    {"==", "/etc", CHECK_ABSENT},
    {"f etc/passwd", "/etc/passwd", CHECK_FOUND},
    {"f etc/passwd", "//etc/./passwd", CHECK_FOUND},
    {"f etc/passwd", "/etc/../../../etc/passwd", CHECK_FOUND},
    {"f ./etc/passwd", "/etc/passwd", CHECK_FOUND},
    {"f /etc/passwd", "/etc/passwd", CHECK_FOUND},
    {"f ../../etc/passwd", "/etc/passwd", CHECK_FOUND},
    {"f etc/passwd", "/etc/group", CHECK_OPEN},
    {"f etc/passwd\n==", "/etc/group", CHECK_ABSENT},
    {"f etc", "/etc/group", CHECK_ABSENT},
    /* Lower layers. */
    {"d etc\n--\nf etc/group", "/etc/group", CHECK_FOUND},
    {"w etc/group\n--\nf etc/group", "/etc/group", CHECK_ABSENT},
    {"w etc\n--\nf etc/group", "/etc/group", CHECK_ABSENT},
    {"w etc", "/etc/group", CHECK_ABSENT},
    {"f etc\n--\nf etc/group", "/etc/group", CHECK_ABSENT},
    {"o etc\n--\nf etc/group", "/etc/group", CHECK_ABSENT},
    {"o etc", "/etc/group", CHECK_ABSENT},
    {"o etc\nf etc/group", "/etc/group", CHECK_FOUND},
    {"f etc/group\no etc", "/etc/group", CHECK_FOUND},
    {"o etc\nd etc/deep\n--\nf etc/deep/file", "/etc/deep/file", CHECK_ABSENT},
    {"o etc\nd etc/deep", "/etc/deep/file", CHECK_ABSENT},
    {"d etc\n--\no etc\n--\nf etc/group", "/etc/group", CHECK_ABSENT},
    {"d etc\n--\no etc\nf etc/group", "/etc/group", CHECK_FOUND},
    /* A whiteout is about lower layers only, wherever it stands. */
    {"w etc/group\nf etc/group", "/etc/group", CHECK_FOUND},
    {"f etc/group\nw etc/group", "/etc/group", CHECK_FOUND},
    {"w etc\nf etc/group\n--\nf etc/passwd", "/etc/passwd", CHECK_ABSENT},
    {"f etc/group\nw etc\n--\nf etc/passwd", "/etc/passwd", CHECK_ABSENT},
    {"w etc\nf etc/group\n--\nf etc/passwd", "/etc/group", CHECK_FOUND},
    {"f etc/group\n--\nw etc/group", "/etc/group", CHECK_FOUND},
    {"d etc\n--\nw etc\n--\nf etc/group", "/etc/group", CHECK_ABSENT},
    /* overlayfs looks no deeper once a directory meets something else. */
    {"d etc\n--\nf etc\n--\nf etc/group", "/etc/group", CHECK_ABSENT},
    {"d etc\n--\nl etc usr\n--\nf etc/group", "/etc/group", CHECK_ABSENT},
    /* Links. */
    {"l bin usr/bin\nx usr/bin/sh", "/bin/sh", CHECK_FOUND},
    {"l bin /usr/bin\nx usr/bin/sh", "/bin/sh", CHECK_FOUND},
    {"l bin ../../usr/bin\nx usr/bin/sh", "/bin/sh", CHECK_FOUND},
    {"l bin usr/bin\nx usr/bin/dash\nl usr/bin/sh dash", "/bin/sh", CHECK_FOUND},
    {"x usr/bin/sh\n--\nl bin usr/bin", "/bin/sh", CHECK_FOUND},
    {"l bin usr/bin", "/bin/sh", CHECK_OPEN},
    {"l bin usr/bin\n==", "/bin/sh", CHECK_ABSENT},
    {"l bin usr/bin\n--\nx bin/sh", "/bin/sh", CHECK_OPEN},
    {"l bin usr/bin\n--\nx bin/sh\n==", "/bin/sh", CHECK_ABSENT},
    {"w usr/bin/sh\n--\nl bin usr/bin\nx usr/bin/sh", "/bin/sh", CHECK_ABSENT},
    {"l etc/os-release ../usr/lib/os-release\nf usr/lib/os-release", "/etc/os-release",
     CHECK_FOUND},
    {LOOP, "/a", CHECK_ABSENT},
    {LOOP, "/a/file", CHECK_ABSENT},
    {"l self .\nf file", "/self/self/self/file", CHECK_FOUND},
    {"l up ..\nf file", "/up/up/file", CHECK_FOUND},
    {"l a a/a", "/a", CHECK_ABSENT},
    {"l empty \nf file", "/empty", CHECK_FOUND}, /* as good as "." */
    /* Through a link of its own layer, as unpacking goes. */
    {"l bin usr/bin\nx bin/sh", "/usr/bin/sh", CHECK_FOUND},
    {"l a b\nl b a\nx a/sh", "/a/sh", CHECK_ABSENT},
    /* Replaced within a layer. */
    {"f a/b\nf a\nd a\n==", "/a/b", CHECK_ABSENT},
    {"f a\nf a/b", "/a/b", CHECK_FOUND},
    {"x bin/busybox\nh bin/sh bin/busybox", "/bin/sh", CHECK_FOUND},
};

static void paths_are_found_as_overlayfs_finds_them(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(searches); i++) {
        struct check_node node;
        struct err err;
        autochecktree *tree = check_script(searches[i].lines, &err);

        assert_non_null(tree);
        if (check_tree_find(tree, searches[i].path, &node) != searches[i].found)
            fail_msg("%s in:\n%s", searches[i].path, searches[i].lines);
    }
}

static void the_upper_layer_decides_what_a_file_is(void **state)
{
    struct check_node node;
    struct err err;
    autochecktree *tree =
        check_script("f etc/issue upper\n--\nf etc/issue lower\nx bin/busybox\nh bin/sh bin/busybox"
                     "\nh bin/lost bin/nothing\n==",
                     &err);

    (void)state;
    assert_non_null(tree);
    assert_int_equal(check_tree_find(tree, "/etc/issue", &node), CHECK_FOUND);
    assert_string_equal(node.text, "upper");
    assert_int_equal(check_tree_find(tree, "/bin/sh", &node), CHECK_FOUND);
    assert_int_equal(node.program, CHECK_ELF_GLIBC);
    assert_int_equal(node.mode, 0755);
    assert_int_equal(check_tree_find(tree, "/bin/lost", &node), CHECK_FOUND);
    assert_int_equal(node.program, CHECK_NO_ELF);
}

/* A hard link means the file of its own layer, whatever an upper one has in its place. */
static void hard_links_do_not_reach_into_upper_layers(void **state)
{
    struct check_node node;
    struct err err;
    autochecktree *tree =
        check_script("f bin/busybox text\n--\nx bin/busybox\nh bin/sh bin/busybox\n==", &err);

    (void)state;
    assert_non_null(tree);
    assert_int_equal(check_tree_find(tree, "/bin/sh", &node), CHECK_FOUND);
    assert_null(node.text);
}

static void directories_are_listed_once_and_without_what_is_gone(void **state)
{
    struct check_node directory, child;
    struct err err;
    autochecktree *tree = check_script("f lib/a\nw lib/b\n--\nf lib/a\nf lib/b\nf lib/c", &err);
    uint32_t cursor = 0;
    char names[16] = "";

    (void)state;
    assert_non_null(tree);
    assert_int_equal(check_tree_find(tree, "/lib", &directory), CHECK_FOUND);
    assert_true(check_tree_is_open(tree, &directory));
    while (check_tree_child(tree, &directory, &cursor, &child))
        strcat(names, child.name);
    assert_string_equal(names, "ca");
    check_tree_end(tree);
    assert_false(check_tree_is_open(tree, &directory));
}

static void a_link_is_found_itself_on_demand(void **state)
{
    struct check_node node;
    struct err err;
    autochecktree *tree = check_script("l bin usr/bin\nl usr/bin/sh nowhere", &err);

    (void)state;
    assert_non_null(tree);
    assert_int_equal(check_tree_find_nofollow(tree, "/bin/sh", &node), CHECK_FOUND);
    assert_int_equal(node.kind, CHECK_SYMLINK);
    assert_int_equal(check_tree_find(tree, "/bin/sh", &node), CHECK_OPEN);
}

/* Replaced, removed, hidden below what is no directory, hidden by an opaque one. */
static void what_upper_layers_hide_is_waste(void **state)
{
    static const char *const tables[] = {
        "x a/b\n--\nx a/b\n==", "w a/b\n--\nx a/b\n==", "w a\n--\nx a/b\n==",
        "l a c\n--\nx a/b\n==", "o a\n--\nx a/b\n==",   "d a/b\n--\nx a/b\n==",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(tables); i++) {
        struct err err;
        autochecktree *tree = check_script(tables[i], &err);

        assert_non_null(tree);
        assert_int_equal(check_tree_waste(tree)->wasted, 1000);
        assert_string_equal(check_tree_waste(tree)->worst_path, "a/b");
    }
}

static void paths_that_are_too_long_or_too_deep_are_refused(void **state)
{
    struct err err;
    autochecktree *tree = check_script("", &err);
    const struct check_entry file = {.kind = CHECK_FILE};
    char path[2 * CHECK_PATH_MAX] = "";

    (void)state;
    assert_non_null(tree);
    for (size_t i = 0; i <= CHECK_DEPTH_MAX; i++)
        strcat(path, "d/");
    assert_refused(check_tree_add(tree, path, &file, &err), ERR_IMAGE_CORRUPT);
    memset(path, 'n', 256);
    path[256] = '\0';
    assert_refused(check_tree_add(tree, path, &file, &err), ERR_IMAGE_CORRUPT);
    memset(path, 'n', sizeof(path) - 1);
    for (size_t i = 100; i < sizeof(path); i += 100)
        path[i] = '/';
    path[sizeof(path) - 1] = '\0';
    assert_refused(check_tree_add(tree, path, &file, &err), ERR_IMAGE_CORRUPT);
}

static void many_names_stay_findable(void **state)
{
    struct err err;
    autochecktree *tree = check_script("", &err);
    const struct check_entry file = {.kind = CHECK_FILE};
    struct check_node node;
    char path[64];

    (void)state;
    assert_non_null(tree);
    for (int i = 0; i < 20000; i++) {
        snprintf(path, sizeof(path), "usr/share/%d/%d", i % 100, i);
        assert_ok(check_tree_add(tree, path, &file, &err));
    }
    for (int i = 0; i < 20000; i += 7) {
        snprintf(path, sizeof(path), "/usr/share/%d/%d", i % 100, i);
        assert_int_equal(check_tree_find(tree, path, &node), CHECK_FOUND);
    }
}

/* Each of these would cost time for every entry, and memory for every name. */
static void what_grows_without_end_is_refused(void **state)
{
    static const char *const lines[] = {"l a b", ""};

    (void)state;
    for (size_t i = 0; i < COUNT(lines); i++) {
        struct err err = ERR_INIT;
        autochecktree *tree = check_script(lines[i], &err);
        const struct check_entry file = {.kind = CHECK_FILE};
        char path[64] = "a/file";
        int count = 0;

        assert_non_null(tree);
        do {
            if (i == 1)
                snprintf(path, sizeof(path), "%d", count);
        } while (check_tree_add(tree, path, &file, &err) && ++count < 2 * CHECK_NODES_MAX);
        assert_true(count <= CHECK_NODES_MAX);
        assert_int_equal(err.code, ERR_IMAGE_CORRUPT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_are_found_as_overlayfs_finds_them),
        cmocka_unit_test(the_upper_layer_decides_what_a_file_is),
        cmocka_unit_test(hard_links_do_not_reach_into_upper_layers),
        cmocka_unit_test(directories_are_listed_once_and_without_what_is_gone),
        cmocka_unit_test(a_link_is_found_itself_on_demand),
        cmocka_unit_test(what_upper_layers_hide_is_waste),
        cmocka_unit_test(paths_that_are_too_long_or_too_deep_are_refused),
        cmocka_unit_test(many_names_stay_findable),
        cmocka_unit_test(what_grows_without_end_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
