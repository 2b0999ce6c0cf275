#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "runtime/image/tar_tree.h"
#include "tests/unit/scratch.h"

#define BLOCK 512

/* In an order that no directory is likely to give by itself. */
static void fill(const struct scratch *scratch)
{
    int fd;

    assert_int_equal(mkdirat(scratch->fd, "z", 0500), 0);
    assert_int_equal(mkdirat(scratch->fd, "empty", 0755), 0);
    assert_int_equal(mkdirat(scratch->fd, "enter", 0755), 0);
    assert_int_equal(symlinkat("../nowhere", scratch->fd, "b"), 0);
    assert_int_equal(mkfifoat(scratch->fd, "fifo", 0600), 0);
    for (const char *const *name = (const char *const[]){"a", "c", "empty/x", "enter/y", NULL};
         *name; name++) {
        fd = openat(scratch->fd, *name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(file_write_all(fd, *name, strlen(*name)));
        fchmod(fd, 0200);
        close(fd);
    }
}

static bool choose(void *data, const char *path, bool is_dir, enum tree_choice *choice,
                   struct err *err)
{
    if (data && strcmp(path, data) == 0)
        return err_set(err, ERR_MOUNT_DENIED, "not '%s'", path);
    *choice = is_dir && strcmp(path, "empty") == 0   ? TREE_EMPTY
              : is_dir && strcmp(path, "enter") == 0 ? TREE_ENTER
              : strcmp(path, "c") == 0               ? TREE_LEAVE
                                                     : TREE_TAKE;
    return true;
}

/* Type, name, mode and owner of each entry, by POSIX.1-1988's header. */
static void list(int archive, struct buf *text)
{
    char header[BLOCK];
    off_t at = 0;

    while (pread(archive, header, sizeof(header), at) == BLOCK) {
        unsigned int size = 0;

        sscanf(header + 124, "%o", &size);
        buf_printf(text, "%c %.100s %.7s %.6s %.6s\n", header[156], header, header + 100,
                   header + 109, header + 117);
        at += BLOCK + (size + BLOCK - 1) / BLOCK * BLOCK;
    }
}

static void test_entries(void **state)
{
    static const char expected[] = "5 top 0000755 000005 000006\n"
                                   "0 top/a 0000600 000005 000006\n"
                                   "2 top/b 0000777 000005 000006\n"
                                   "5 top/empty 0000755 000005 000006\n"
                                   "0 top/enter/y 0000600 000005 000006\n"
                                   "5 top/z 0000700 000005 000006\n";
    struct scratch scratch;
    struct tar_tree tree = {
        .top = "top", .uid = 5, .gid = 6, .file_mode = 0400, .dir_mode = 0700, .choose = choose};
    autobuf text = BUF_INIT(4096);
    autofd archive = memfd_create("archive", MFD_CLOEXEC);
    struct err err = ERR_INIT;

    (void)state;
    scratch_make(&scratch);
    fill(&scratch);
    fchmod(scratch.fd, 0755);
    tree.directory = scratch.path;
    assert_ok(tar_tree_write(&tree, archive, &err));
    list(archive, &text);
    assert_true(buf_append(&text, "", 1));
    assert_string_equal(text.data, expected);
    scratch_remove(&scratch);
}

static void test_owner(void **state)
{
    struct scratch scratch;
    struct tar_tree tree = {.top = "top", .uid = UINT32_MAX - 1, .choose = choose};
    static const unsigned char expected[8] = {0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xfe};
    autofd archive = memfd_create("archive", MFD_CLOEXEC);
    struct err err = ERR_INIT;
    unsigned char found[8];

    (void)state;
    scratch_make(&scratch);
    tree.directory = scratch.path;
    assert_ok(tar_tree_write(&tree, archive, &err));
    assert_int_equal(pread(archive, found, sizeof(found), 108), sizeof(found));
    assert_memory_equal(found, expected, sizeof(found));
    scratch_remove(&scratch);
}

static void test_refusals(void **state)
{
    struct scratch scratch;
    struct tar_tree tree = {.choose = choose, .data = (void *)"z"};
    autofd archive = memfd_create("archive", MFD_CLOEXEC);
    struct err err = ERR_INIT;

    (void)state;
    scratch_make(&scratch);
    fill(&scratch);
    tree.directory = scratch.path;
    assert_refused(tar_tree_write(&tree, archive, &err), ERR_MOUNT_DENIED);
    tree.data = NULL;
    tree.bytes_max = strlen("a") + strlen("enter/y") - 1;
    assert_refused(tar_tree_write(&tree, archive, &err), ERR_OPTION_INVALID);
    tree.bytes_max++;
    assert_ok(tar_tree_write(&tree, archive, &err));
    tree.directory = "/nowhere";
    assert_refused(tar_tree_write(&tree, archive, &err), ERR_OPTION_INVALID);
    scratch_remove(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entries),
        cmocka_unit_test(test_owner),
        cmocka_unit_test(test_refusals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
