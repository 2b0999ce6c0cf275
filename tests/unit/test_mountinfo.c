#include "tests/unit/unit.h"

#include "base/buf.h"
#include "mounts/mountinfo.h"

#define LINE(point) "27 1 254:0 / " point " rw,relatime - ext4 /dev/vda rw\n"

static void mount_points_are_found(void **state)
{
    static const struct {
        const char *text;
        const char *path;
        bool found;
    } table[] = {
        {"", "/a", false},
        {LINE("/"), "/a", false},
        {LINE("/a"), "/a", true},
        {LINE("/a/b"), "/a", true},
        {LINE("/ab"), "/a", false},
        {LINE("/") LINE("/x") LINE("/a/b"), "/a", true},
        {LINE("/a\\040b/c"), "/a b", true},
        {LINE("/a\\134b"), "/a\\b", true},
        {LINE("/a\\012b"), "/a\nb", true},
        {LINE("/a\\04"), "/a\\04", true},
        {"27 1 254:0\n", "/a", true},
        {"garbage", "/a", true},
        {"27 1 254:0 / relative rw\n", "/a", true},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++)
        assert_int_equal(mountinfo_has_below(table[i].text, table[i].path), table[i].found);
}

static void lines_are_taken_apart(void **state)
{
    static const struct {
        const char *line;
        const char *point;
        const char *type;
        uint64_t id;
        bool is_private;
    } table[] = {
        {"27 1 254:0 / / rw - ext4 /dev/vda rw", "/", "ext4", 27, false},
        {"28 1 0:5 /x /a\\040b rw shared:1 master:2 - fuse.sshfs a:b rw,user_id=7", "/a b",
         "fuse.sshfs", 28, true},
        {"29 1 0:5 / /b rw - fuse.bindfs /x rw,user_id=0,allow_other", "/b", "fuse.bindfs", 29,
         false},
        {"30 1 0:5 / /b rw - fuse.bindfs /x rw,allow_other_things", "/b", "fuse.bindfs", 30, true},
        {"31 1 0:5 / /b rw - fuse none rw", "/b", "fuse", 31, true},
        {"32 1 0:5 / /b rw - fusectl none rw", "/b", "fusectl", 32, false},
        {"33 1 0:5 / /b rw - fuseblk /dev/sda rw,allow_other,blksize=4096", "/b", "fuseblk", 33,
         false},
    };
    autobuf text = BUF_INIT(4096);
    struct mountinfo_mount mount;
    const char *rest;

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++)
        assert_true(buf_printf(&text, "garbage - with dashes\n%s\n\n34 no dash\n", table[i].line));
    rest = text.data;
    for (size_t i = 0; i < COUNT(table); i++) {
        assert_true(mountinfo_next(&rest, &mount));
        assert_int_equal(mount.id, table[i].id);
        assert_string_equal(mount.point, table[i].point);
        assert_string_equal(mount.type, table[i].type);
        assert_int_equal(mount.is_private, table[i].is_private);
    }
    assert_false(mountinfo_next(&rest, &mount));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(mount_points_are_found),
                                       cmocka_unit_test(lines_are_taken_apart)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
