#include "tests/unit/unit.h"

#include <stdio.h>

#include "mounts/idmap.h"

static void ranges_are_found_in_subuid(void **state)
{
    static const struct {
        const char *text;
        uint32_t start, count;
    } table[] = {
        {"", 0, 0},
        {"user:100000:65536\n", 100000, 65536},
        {"other:1:2\nuser:100000:65536", 100000, 65536},
        {"1000:200000:65536\n", 200000, 65536},
        {"user2:1:2\n", 0, 0},
        {"user:x:65536\nuser:300000:10\n", 300000, 10},
        {"user:100000\n", 0, 0},
        {"user:100000:0\n", 0, 0},
        {"user:0:65536\n", 0, 0},
        {"user:4294967295:65536\n", 0, 0},
        {"user:4294900000:99999\n", 0, 0},
        {"# comment\n\nuser:100000:65536\n", 100000, 65536},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        struct idmap_range range = idmap_find_range(table[i].text, "user", 1000);

        assert_int_equal(range.start, table[i].start);
        assert_int_equal(range.count, table[i].count);
    }
}

static void who_has_ids_of_roots_cells_is_found(void **state)
{
    static const struct {
        const char *text, *owner;
    } table[] = {
        {"", NULL},
        {"user:100000:65536\n", NULL},
        {"user:2013265919:1\n", NULL},
        {"user:2013265919:2\n", "user"},
        {"a:1:2\nb:2017460224:1\nc:2013265920:1\n", "b"},
        {"user:2017460225:65536\n", NULL},
        {"user:1:4000000000\n", "user"},
        {"user:2013265920:x\n", NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        char owner[IDMAP_OWNER_MAX];

        assert_int_equal(idmap_find_intruder(table[i].text, owner), table[i].owner != NULL);
        if (table[i].owner)
            assert_string_equal(owner, table[i].owner);
    }
}

static void check_side(const struct idmap_side *side, const char *wanted)
{
    char text[4096] = "";
    size_t used = 0;

    for (size_t i = 0; i < side->count; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%u:%u:%u", i ? " " : "",
                                 side->extents[i].inside, side->extents[i].outside,
                                 side->extents[i].count);
    assert_string_equal(text, wanted);
}

static void the_steps_user_is_the_caller(void **state)
{
    static const struct idmap_range range = {100000, 65536}, none = {0, 0}, small = {100000, 10},
                                    large = {100000, 200000};
    struct idmap map;
    struct err err;

    (void)state;
    assert_ok(idmap_make(0, 0, 33, 33, &none, &none, &map, &err));
    check_side(&map.uids, "0:2013265920:1048576");
    assert_ok(idmap_make(1000, 1000, 0, 0, &range, &range, &map, &err));
    check_side(&map.uids, "0:1000:1 1:100000:65536");
    assert_ok(idmap_make(1000, 1001, 33, 44, &range, &range, &map, &err));
    check_side(&map.uids, "0:100000:33 33:1000:1 34:100033:65503");
    check_side(&map.gids, "0:100000:44 44:1001:1 45:100044:65492");
    assert_ok(idmap_make(1000, 1000, 33, 33, &small, &small, &map, &err));
    check_side(&map.uids, "0:100000:10 33:1000:1");
    assert_ok(idmap_make(1000, 1000, 70000, 70000, &range, &range, &map, &err));
    check_side(&map.uids, "0:100000:65536 70000:1000:1");
    assert_ok(idmap_make(1000, 1001, 33, 44, &none, &range, &map, &err));
    check_side(&map.uids, "33:1000:1");
    check_side(&map.gids, "44:1001:1");
    assert_int_equal(map.kind, IDMAP_SINGLE);
    assert_ok(idmap_make(1000, 1000, 5, 5, &large, &large, &map, &err));
    check_side(&map.uids, "0:100000:5 5:1000:1 6:100005:199995");
    assert_refused(idmap_make(0, 0, (uid_t)INT32_MAX + 1, 0, &none, &none, &map, &err),
                   ERR_USER_UNKNOWN);
    assert_refused(idmap_make(1000, 0, (uid_t)INT32_MAX + 1, 0, &none, &none, &map, &err),
                   ERR_USER_UNKNOWN);
}

static void high_ids_have_a_place_in_roots_map(void **state)
{
    static const struct idmap_range range = {100000, 65536}, none = {0, 0};
    static const gid_t groups[] = {7, 2000000, 1000650000, 1048575, 1048576, 2000000};
    gid_t many[200];
    struct idmap map, before;
    struct err err;

    (void)state;
    assert_ok(idmap_make(0, 0, 1000650000, 2000000, &none, &none, &map, &err));
    check_side(&map.uids, "0:2013265920:1048576");
    idmap_admit(&map, 1000650000, 2000000, groups, COUNT(groups));
    check_side(&map.uids, "0:2013265920:1048576 1000650000:2015363072:1");
    check_side(&map.gids, "0:2013265920:1048576 2000000:2015363072:1 1000650000:2015363073:1 "
                          "1048576:2015363074:1");
    /* No more than there are places. */
    for (size_t i = 0; i < COUNT(many); i++)
        many[i] = (gid_t)(3000000 + i);
    idmap_admit(&map, 0, 0, many, COUNT(many));
    assert_int_equal(map.gids.count, 2 + IDMAP_GROUPS_MAX);
    /* Others have the ids that they have. */
    assert_ok(idmap_make(1000, 1000, 33, 33, &range, &range, &map, &err));
    before = map;
    idmap_admit(&map, 33, 33, groups, COUNT(groups));
    assert_int_equal(map.uids.count, before.uids.count);
    assert_int_equal(map.gids.count, before.gids.count);
}

static void ids_have_a_place_outside(void **state)
{
    static const struct idmap_range range = {100000, 65536};
    struct idmap map;
    struct err err;
    uint32_t outside = 7;

    (void)state;
    assert_ok(idmap_make(1000, 1000, 33, 33, &range, &range, &map, &err));
    assert_true(idmap_outside(&map.uids, 0, &outside));
    assert_int_equal(outside, 100000);
    assert_true(idmap_outside(&map.uids, 33, &outside));
    assert_int_equal(outside, 1000);
    assert_true(idmap_outside(&map.uids, 34, &outside));
    assert_int_equal(outside, 100033);
    assert_true(idmap_outside(&map.uids, 65536, &outside));
    assert_int_equal(outside, 165535);
    assert_false(idmap_outside(&map.uids, 65537, &outside));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_are_found_in_subuid),
        cmocka_unit_test(who_has_ids_of_roots_cells_is_found),
        cmocka_unit_test(the_steps_user_is_the_caller),
        cmocka_unit_test(high_ids_have_a_place_in_roots_map),
        cmocka_unit_test(ids_have_a_place_outside),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
