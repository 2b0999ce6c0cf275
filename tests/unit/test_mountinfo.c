#include "tests/unit/unit.h"

#include <sys/sysmacros.h>

#include "mounts/mountinfo.h"

#define TEN_BYTES        "0123456789"
#define LONG_NAME        TEN_BYTES TEN_BYTES TEN_BYTES TEN_BYTES TEN_BYTES TEN_BYTES TEN_BYTES TEN_BYTES
#define REPEATED_4(text) text text text text
#define LONG_PATH        REPEATED_4(REPEATED_4(REPEATED_4("/" LONG_NAME))) /* 5184 bytes */
#define LINE(point)      "27 1 254:0 / " point " rw,relatime - ext4 /dev/vda rw\n"

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
        {LINE("/"), "/", true},
        {LINE("/b" LONG_PATH), "/a", false},
        {LINE("/a" LONG_PATH), "/a", true},
        {LINE("/a" LONG_PATH "/c"), "/a" LONG_PATH, true},
        {"27 1 254:0\n", "/a", true},
        {"garbage", "/a", true},
        {"27 1 254:0 / relative rw\n", "/a", true},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++)
        assert_int_equal(mountinfo_has_below(table[i].text, table[i].path), table[i].found);
}

static void other_names_are_found(void **state)
{
    static const struct {
        const char *path;
        uint64_t id;
        const char *names; /* with a blank behind each */
    } table[] = {
        {"/home/u/store", 1, "/home/u/store /mnt/u/store /srv/root/home/u/store "},
        {"/mnt/u/store", 3, "/home/u/store /mnt/u/store /srv/root/home/u/store "},
        {"/home/store", 1, "/home/store /srv/root/home/store "},
        {"/mnt/u", 3, "/home/u /mnt/u /srv/root/home/u "},
        {"/home/user/store", 1, "/home/user/store /srv/root/home/user/store "},
        {"/data/store", 4, "/data/store "},
        {"/data/store", 9, ""},  /* of no mount that is told */
        {"/other/store", 3, ""}, /* it has been moved away meanwhile */
        {"/", 1, "/ /srv/root "},
    };
    static const char text[] = "1 0 8:1 / / rw - ext4 a rw\n"
                               "2 1 0:5 / /proc rw - proc p rw\n"
                               "3 1 8:1 /home/u /mnt/u rw - ext4 a rw\n"
                               "4 1 8:2 / /data rw - ext4 b rw\n"
                               "5 1 8:1 / /srv/root rw - ext4 a rw\n";

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        autobuf found = BUF_INIT(1024);
        autostrv names = {0};

        assert_true(mountinfo_names(text, table[i].id, table[i].path, &names));
        assert_true(buf_append_text(&found, ""));
        for (size_t k = 0; k < names.count; k++)
            assert_true(buf_printf(&found, "%s ", names.items[k]));
        assert_string_equal(found.data, table[i].names);
    }
}

static void lines_are_read(void **state)
{
    static const char text[] = "35 31 0:32 /a\\040b /sys/fs/cg\\134x rw,relatime shared:9 master:1 "
                               "- cgroup cgroup rw,memory\n"
                               "41 31 254:3 / /sys/fs/cgroup rw - cgroup2 none rw,nsdelegate";
    const char *at = text;
    struct mountinfo_entry entry;

    (void)state;
    assert_true(mountinfo_read(&at, &entry));
    assert_int_equal(entry.dev, makedev(0, 32));
    assert_string_equal(entry.root, "/a b");
    assert_string_equal(entry.point, "/sys/fs/cg\\x");
    assert_string_equal(entry.type, "cgroup");
    assert_string_equal(entry.options, "rw,memory");
    assert_true(mountinfo_read(&at, &entry));
    assert_int_equal(entry.dev, makedev(254, 3));
    assert_string_equal(entry.type, "cgroup2");
    assert_string_equal(entry.options, "rw,nsdelegate");
    assert_string_equal(at, "");
}

static void bad_lines_are_refused_and_skipped(void **state)
{
    static const char *const table[] = {
        "garbage\n",
        "35 31 0:32 / /x rw\n",
        "35 31 0:32 / /x rw - cgroup\n",
        "35 31 0:32 / /x rw - cgroup none\n",
        "35 31 zero / /x rw - cgroup none rw\n",
        "35 31 0:32 / relative rw - cgroup none rw\n",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        const char *at = table[i];
        struct mountinfo_entry entry;

        assert_false(mountinfo_read(&at, &entry));
        assert_string_equal(at, "");
    }
}

/* As any user can mount them. */
static void mounts_with_long_names_are_read_as_far_as_they_fit(void **state)
{
    const char *at = "28 1 0:5 / /x rw - fuse." LONG_NAME " none rw,user_id=7\n"
                     "29 2 0:5 / " LONG_PATH " rw - fuse none rw\n";
    struct mountinfo_entry entry;

    (void)state;
    assert_true(mountinfo_read(&at, &entry));
    assert_int_equal(strlen(entry.type), MOUNTINFO_TYPE_MAX - 1);
    assert_string_equal(entry.options, "rw,user_id=7");
    assert_true(mountinfo_is_private(&entry));
    assert_false(mountinfo_read(&at, &entry));
    assert_int_equal(entry.id, 29);
    assert_int_equal(entry.parent, 2);
    assert_string_equal(at, "");
}

static void private_mounts_are_known(void **state)
{
    static const struct {
        const char *line;
        bool is_private;
    } table[] = {
        {"27 1 254:0 / / rw - ext4 /dev/vda rw", false},
        {"28 1 0:5 /x /a\\040b rw shared:1 master:2 - fuse.sshfs a:b rw,user_id=7", true},
        {"29 1 0:5 / /b rw - fuse.bindfs /x rw,user_id=0,allow_other", false},
        {"30 1 0:5 / /b rw - fuse.bindfs /x rw,allow_other_things", true},
        {"31 1 0:5 / /b rw - fuse none rw", true},
        {"32 1 0:5 / /b rw - fusectl none rw", false},
        {"33 1 0:5 / /b rw - fuseblk /dev/sda rw,allow_other,blksize=4096", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        const char *at = table[i].line;
        struct mountinfo_entry entry;

        assert_true(mountinfo_read(&at, &entry));
        assert_int_equal(entry.id, 27 + i);
        assert_int_equal(entry.parent, 1);
        assert_int_equal(mountinfo_is_private(&entry), table[i].is_private);
    }
}

static void served_mounts_are_found(void **state)
{
    (void)state;
    assert_false(mountinfo_has_served(""));
    assert_false(
        mountinfo_has_served("1 0 8:1 / / rw - ext4 /dev/vda rw\n"
                             "2 1 0:4 / /proc rw - proc proc rw\n"
                             "3 2 0:5 / /proc/sys/fs/binfmt_misc rw - autofs systemd-1 rw\n"));
    assert_true(mountinfo_has_served("1 0 8:1 / / rw - ext4 /dev/vda rw\n"
                                     "2 1 0:4 / /mnt rw - nfs4 server:/x rw\n"));
    assert_true(mountinfo_has_served("2 1 0:4 / /mnt rw - fuse.sshfs x rw\n"));
    assert_true(mountinfo_has_served("not a line\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mount_points_are_found),
        cmocka_unit_test(other_names_are_found),
        cmocka_unit_test(lines_are_read),
        cmocka_unit_test(bad_lines_are_refused_and_skipped),
        cmocka_unit_test(mounts_with_long_names_are_read_as_far_as_they_fit),
        cmocka_unit_test(private_mounts_are_known),
        cmocka_unit_test(served_mounts_are_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
