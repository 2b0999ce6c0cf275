#include "tests/unit/unit.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/libexec.h"
#include "base/path.h"

static void paths_are_cleaned(void **state)
{
    static const struct {
        const char *path;
        const char *clean; /* NULL: refused */
    } table[] = {
        {"/", "/"},           {"//", "/"},
        {"/a", "/a"},         {"/a/", "/a"},
        {"//a//b", "/a/b"},   {"/a/./b/.", "/a/b"},
        {"a", "/base/a"},     {".", "/base"},
        {"./a", "/base/a"},   {"/a/..", NULL},
        {"..", NULL},         {"/a/..b", "/a/..b"},
        {"/a/...", "/a/..."}, {"/a b\n:,", "/a b\n:,"},
        {"-x", "/base/-x"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        autofree char *clean = path_clean("/base", table[i].path);

        if (table[i].clean)
            assert_string_equal(clean, table[i].clean);
        else
            assert_null(clean);
    }
}

static void paths_compare_by_component(void **state)
{
    (void)state;
    assert_true(path_is_below("/work", "/work"));
    assert_true(path_is_below("/work/a", "/work"));
    assert_false(path_is_below("/workspace", "/work"));
    assert_false(path_is_below("/", "/work"));
    assert_true(path_is_below("/anything", "/"));
    assert_int_equal(path_compare("/a", "/a"), 0);
    assert_true(path_compare("/a", "/a/b") < 0);
    assert_true(path_compare("/a/b", "/a-b") < 0);
    assert_true(path_compare("/a b", "/a/b") > 0);
    assert_true(path_compare("/b", "/a/z") > 0);
    assert_string_equal(path_name("/a/b"), "b");
    assert_string_equal(path_name("b"), "b");
}

static void nothing_escapes_a_root(void **state)
{
    char dir[] = "/tmp/stepcell-unit-XXXXXX";
    autofd top = -1, root = -1, made = -1;

    (void)state;
    assert_non_null(mkdtemp(dir));
    top = open(dir, O_RDONLY | O_DIRECTORY);
    assert_int_equal(mkdirat(top, "root", 0755), 0);
    assert_int_equal(mkdirat(top, "root/etc", 0755), 0);
    assert_int_equal(symlinkat("/etc", top, "root/absolute"), 0);
    assert_int_equal(symlinkat("../../../../..", top, "root/up"), 0);
    assert_int_equal(symlinkat("/proc/self/root", top, "root/magic"), 0);
    root = openat(top, "root", O_PATH | O_DIRECTORY);

    made = path_make_dirs_in(root, "/absolute/x/y", 0700);
    assert_true(made >= 0);
    assert_int_equal(faccessat(top, "root/etc/x/y", F_OK, 0), 0);
    close_fd(made);
    made = path_make_dirs_in(root, "up/z", 0700);
    assert_true(made >= 0);
    assert_int_equal(faccessat(top, "root/z", F_OK, 0), 0);
    assert_int_equal(path_open_in(root, "magic", O_PATH, 0), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(path_open_in_nofollow(root, "absolute/x", O_PATH, 0), -1);
    assert_int_equal(errno, ELOOP);
    assert_true(file_remove_tree(AT_FDCWD, dir));
}

static void a_real_file_is_opened_through_no_link(void **state)
{
    static const char *const bad[] = {"root/link", "way/file", "root", "root/pipe", "none"};
    char dir[] = "/tmp/stepcell-unit-XXXXXX";
    autofree char *file = NULL;
    autofd top = -1, fd = -1;
    struct err err;

    (void)state;
    assert_non_null(mkdtemp(dir));
    top = open(dir, O_RDONLY | O_DIRECTORY);
    assert_int_equal(mkdirat(top, "root", 0755), 0);
    assert_ok(file_replace(top, "root/file", "x", 1, 0600, ERR_ENGINE_FAILED, &err));
    assert_int_equal(symlinkat("file", top, "root/link"), 0);
    assert_int_equal(symlinkat("root", top, "way"), 0);
    assert_int_equal(mkfifoat(top, "root/pipe", 0600), 0);
    file = text_printf("%s/root/file", dir);
    fd = file_open_real(file, ERR_ENGINE_FAILED, &err);
    assert_true(fd >= 0);
    for (size_t i = 0; i < COUNT(bad); i++) {
        autofree char *path = text_printf("%s/%s", dir, bad[i]);

        assert_int_equal(file_open_real(path, ERR_CONFIG_INVALID, &err), -1);
        assert_int_equal(err.code, ERR_CONFIG_INVALID);
    }
    assert_true(file_remove_tree(AT_FDCWD, dir));
}

static void open_files_have_a_path_below_their_root(void **state)
{
    static const struct {
        const char *root, *path;
        const char *expect; /* NULL: not below it */
    } table[] = {
        {"/", "/", "/"},         {"/", "/proc", "/proc"},
        {"/usr", "/usr", "/"},   {"/usr", "/usr/bin", "/bin"},
        {"/usr", "/proc", NULL}, {"/usr/bin", "/usr", NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        autofd root = open(table[i].root, O_PATH | O_CLOEXEC);
        autofd fd = open(table[i].path, O_PATH | O_CLOEXEC);
        char path[PATH_MAX];

        assert_int_equal(path_of_fd(root, fd, path), table[i].expect != NULL);
        if (table[i].expect)
            assert_string_equal(path, table[i].expect);
    }
}

static void a_path_is_followed_by_every_link(void **state)
{
    static const char *const links[][2] = {{"/usr", "absolute"},     {"a/two", "one"},
                                           {"../b/./file", "a/two"}, {"missing/x", "nowhere"},
                                           {"round", "round"},       {"..", "a/up"}};
    static const struct {
        const char *path, *to; /* below the directory, unless `to` begins with "=" */
        size_t links;
    } table[] = {
        {"", "", 0},
        {"/b/file", "/b/file", 0},
        {"//b/../b/./file/", "/b/file", 0},
        {"/one", "/b/file", 2},
        {"/a/up/one", "/b/file", 3},
        {"/absolute/none/../x", "=/usr/none/../x", 1},
        {"/nowhere", "/missing/x", 1},
        {"/none/../x", "/none/../x", 0},
        {"/round/x", "/round/x", 40},
        {"/a/../../../../../..", "=/", 0},
    };
    char dir[] = "/tmp/stepcell-unit-XXXXXX";
    autofree char *relative = path_resolve("b/../c", NULL);
    autofd top = -1;

    (void)state;
    assert_non_null(mkdtemp(dir));
    top = open(dir, O_RDONLY | O_DIRECTORY);
    assert_int_equal(mkdirat(top, "a", 0755), 0);
    assert_int_equal(mkdirat(top, "b", 0755), 0);
    assert_int_equal(mkdirat(top, "b/file", 0755), 0);
    for (size_t i = 0; i < COUNT(links); i++)
        assert_int_equal(symlinkat(links[i][0], top, links[i][1]), 0);
    for (size_t i = 0; i < COUNT(table); i++) {
        autofree char *path = text_printf("%s%s", dir, table[i].path);
        autofree char *to = text_printf("%s%s", dir, table[i].to);
        autostrv found = {0};
        autofree char *real = path_resolve(path, &found);

        assert_string_equal(real, table[i].to[0] == '=' ? table[i].to + 1 : to);
        assert_int_equal(found.count, table[i].links);
    }
    assert_string_equal(relative, "b/../c");
    assert_true(file_remove_tree(AT_FDCWD, dir));
}

static void helpers_get_no_variable_of_the_loader(void **state)
{
    static const char *const all[] = {"LD_PRELOAD=x",    "LDX=1",     "GLIBC_TUNABLES=x",
                                      "OPENSSL_CONF=x",  "NLSPATH=x", "NLSPATHX=2",
                                      "MALLOC_CHECK_=1", "HOME=/root"};
    char **saved = environ;
    autofree char **kept = NULL;

    (void)state;
    environ = (char *[]){(char *)all[0], (char *)all[1], (char *)all[2],
                         (char *)all[3], (char *)all[4], (char *)all[5],
                         (char *)all[6], (char *)all[7], NULL};
    kept = libexec_environment();
    environ = saved;
    assert_non_null(kept);
    assert_string_equal(kept[0], "LDX=1");
    assert_string_equal(kept[1], "NLSPATHX=2");
    assert_string_equal(kept[2], "HOME=/root");
    assert_null(kept[3]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_is_followed_by_every_link),
        cmocka_unit_test(paths_are_cleaned),
        cmocka_unit_test(paths_compare_by_component),
        cmocka_unit_test(nothing_escapes_a_root),
        cmocka_unit_test(a_real_file_is_opened_through_no_link),
        cmocka_unit_test(open_files_have_a_path_below_their_root),
        cmocka_unit_test(helpers_get_no_variable_of_the_loader),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
