#include "tests/unit/unit.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(mount_points_are_found)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
