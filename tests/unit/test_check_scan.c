#include "tests/unit/unit.h"

#include <sys/mman.h>

#include "base/digest.h"
#include "base/file.h"
#include "runtime/image/check_scan.h"
#include "tests/unit/tar.h"

static int blob_of(const struct buf *tar, char diff_id[DIGEST_TEXT_MAX])
{
    int fd = memfd_create("layer", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_true(file_write_all(fd, tar->data, tar->len));
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    digest_of(tar->data, tar->len, diff_id);
    return fd;
}

static bool scan(const struct buf *tar, struct check_tree *tree, struct err *err)
{
    char diff_id[DIGEST_TEXT_MAX];
    autofd blob = blob_of(tar, diff_id), records = check_records_new(err);

    assert_true(records >= 0);
    return check_scan_layer(blob, COMPRESSION_NONE, diff_id, records, &UNPACK_LIMITS, err) &&
           check_records_read(records, tree, err);
}

static void a_layer_becomes_part_of_the_tree(void **state)
{
    static const struct tar_entry entries[] = {
        {.type = '5', .name = "./", .mode = 0755},
        {.type = '0', .name = "./etc/os-release", .content = "ID=debian\n"},
        {.type = '0', .name = "/etc/other", .content = "not kept"},
        {.type = '0', .name = "../../etc/profile.d/a.sh", .content = "PATH=/x\n"},
        {.type = '0', .name = "etc/profile.d/deep/a.sh", .content = "not kept"},
        {.type = '2', .name = "bin", .link = "usr/bin"},
        {.type = '0', .name = "usr/bin/tool", .content = "#!/bin/sh\n", .mode = 0755},
        {.type = '1', .name = "usr/bin/again", .link = "usr/bin/tool"},
        {.type = '0', .name = "gone/.wh.file"},
        {.type = '0', .name = "opaque/.wh..wh..opq"},
        {.type = '0', .name = ".wh..wh.plnk"},
        {.type = '6', .name = "fifo"},
    };
    autobuf tar = BUF_INIT(1 << 20);
    struct err err;
    autochecktree *tree = check_tree_new(&err);
    struct check_node node;

    (void)state;
    for (size_t i = 0; i < COUNT(entries); i++)
        tar_add(&tar, &entries[i]);
    tar_end(&tar);
    assert_ok(scan(&tar, tree, &err));
    assert_int_equal(check_tree_find(tree, "/etc/os-release", &node), CHECK_FOUND);
    assert_string_equal(node.text, "ID=debian\n");
    assert_int_equal(check_tree_find(tree, "/etc/other", &node), CHECK_FOUND);
    assert_null(node.text);
    assert_int_equal(check_tree_find(tree, "/etc/profile.d/a.sh", &node), CHECK_FOUND);
    assert_string_equal(node.text, "PATH=/x\n");
    assert_int_equal(check_tree_find(tree, "/etc/profile.d/deep/a.sh", &node), CHECK_FOUND);
    assert_null(node.text);
    assert_int_equal(check_tree_find(tree, "/bin/again", &node), CHECK_FOUND);
    assert_int_equal(node.mode & 0777, 0755);
    assert_int_equal(check_tree_find(tree, "/gone/file", &node), CHECK_ABSENT);
    assert_int_equal(check_tree_find(tree, "/opaque/file", &node), CHECK_ABSENT);
    assert_int_equal(check_tree_find(tree, "/gone/other", &node), CHECK_OPEN);
    assert_int_equal(check_tree_find(tree, "/fifo", &node), CHECK_FOUND);
    assert_int_equal(node.kind, CHECK_OTHER);
}

/* A text that is larger than what is kept of it says so. */
static void large_texts_are_cut(void **state)
{
    autobuf tar = BUF_INIT(2 << 20);
    autofree char *content = malloc(CHECK_SMALL_MAX + 100);
    struct err err;
    autochecktree *tree = check_tree_new(&err);
    struct check_node node;

    (void)state;
    memset(content, 'x', CHECK_SMALL_MAX + 99);
    content[CHECK_SMALL_MAX + 99] = '\0';
    tar_add(&tar, &(struct tar_entry){.type = '0', .name = "etc/passwd", .content = content});
    tar_end(&tar);
    assert_ok(scan(&tar, tree, &err));
    assert_int_equal(check_tree_find(tree, "/etc/passwd", &node), CHECK_FOUND);
    assert_int_equal(node.text_len, CHECK_SMALL_MAX);
    assert_true(node.text_cut);
}

static void a_layer_that_is_not_what_it_should_be_is_refused(void **state)
{
    autobuf tar = BUF_INIT(1 << 20);
    char diff_id[DIGEST_TEXT_MAX];
    struct err err;

    (void)state;
    tar_add(&tar, &(struct tar_entry){.type = '0', .name = "etc/passwd", .content = "x"});
    tar_end(&tar);
    {
        autofd blob = blob_of(&tar, diff_id), records = check_records_new(&err);

        diff_id[10] ^= 1;
        assert_refused(
            check_scan_layer(blob, COMPRESSION_NONE, diff_id, records, &UNPACK_LIMITS, &err),
            ERR_IMAGE_CORRUPT);
    }
    {
        autofd blob = blob_of(&tar, diff_id), records = check_records_new(&err);

        assert_refused(
            check_scan_layer(blob, COMPRESSION_GZIP, diff_id, records, &UNPACK_LIMITS, &err),
            ERR_IMAGE_CORRUPT);
    }
}

/* What a child writes is not trusted: nothing at all, a wrong mark, lengths beyond the end. */
static void records_that_make_no_sense_are_refused(void **state)
{
    static const unsigned char mark[] = {0x63, 0x68, 0x63, 0x6b};
    struct err err;
    autochecktree *tree = check_tree_new(&err);

    (void)state;
    for (size_t i = 0; i < 6; i++) {
        autofd records = check_records_new(&err);
        unsigned char bytes[48] = {0};

        memcpy(bytes, mark, sizeof(mark));
        bytes[0] ^= i == 1;                   /* the mark */
        bytes[5] = i == 2 ? 0xff : 0;         /* the path's length */
        bytes[15] = i == 3 ? 0xff : 0;        /* the text's */
        bytes[30] = i == 4 ? CHECK_KINDS : 0; /* the kind */
        if (i)
            assert_int_equal(pwrite(records, bytes, sizeof(bytes), 0), sizeof(bytes));
        assert_refused(check_records_read(records, tree, &err), ERR_ENGINE_FAILED);
    }
}

static void records_do_not_outgrow_their_memory(void **state)
{
    struct err err;
    autofd records = check_records_new(&err);

    (void)state;
    assert_true(records >= 0);
    assert_int_equal(pwrite(records, "x", 1, CHECK_RECORDS_MAX), -1);
    assert_int_equal(ftruncate(records, 0), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_layer_becomes_part_of_the_tree),
        cmocka_unit_test(large_texts_are_cut),
        cmocka_unit_test(a_layer_that_is_not_what_it_should_be_is_refused),
        cmocka_unit_test(records_that_make_no_sense_are_refused),
        cmocka_unit_test(records_do_not_outgrow_their_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
