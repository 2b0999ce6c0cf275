#include "tests/unit/unit.h"

#include "runtime/native/user.h"

static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
                             "# not an entry\n"
                             "short:x:1\n"
                             "app:x:1000:1001:App:/home/app:/bin/sh\n"
                             "4294967296:x:0:0:trap:/root:/bin/sh\n"
                             "minus:x:-1:-1::/:\n-1:x:0:0::/:\n+0:x:0:0::/:\n"
                             "large:x:4294967296:0::/:\n"
                             "nohome:x:7:7::relative:/bin/sh\r\n";
static const char group[] =
    "root:x:0:\nwheel:x:10:root,app\nappgroup:x:1001:app\nextra:x:50:other,app\n"
    "bad:x:x:app\nnomembers:x:51\n";

static void users_are_found(void **state)
{
    static const struct {
        const char *text;
        uid_t uid;
        gid_t gid;
        size_t groups;
        bool listed;
        const char *home;
    } table[] = {
        {"", 0, 0, 1, true, "/root"},
        {"root", 0, 0, 1, true, "/root"},
        {"0", 0, 0, 1, true, "/root"},
        {"app", 1000, 1001, 2, true, "/home/app"},
        {"1000", 1000, 1001, 2, true, "/home/app"},
        {"app:wheel", 1000, 10, 0, true, "/home/app"},
        {"app:77", 1000, 77, 0, true, "/home/app"},
        {"4242", 4242, 0, 0, false, NULL},
        {"4242:50", 4242, 50, 0, false, NULL},
        {"2147483647", 2147483647, 0, 0, false, NULL},
        {"nohome", 7, 7, 0, true, NULL},
    };
    struct err err;

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        autocelluser user = {0};

        assert_ok(user_resolve(table[i].text, passwd, group, &user, &err));
        assert_int_equal(user.uid, table[i].uid);
        assert_int_equal(user.gid, table[i].gid);
        assert_int_equal(user.group_count, table[i].groups);
        assert_int_equal(user.listed, table[i].listed);
        if (table[i].home)
            assert_string_equal(user.home, table[i].home);
        else
            assert_null(user.home);
    }
}

static void bad_users_are_refused(void **state)
{
    static const char *const table[] = {
        "4294967296", "2147483648",
        "-1",         "0x0",
        "1:",         ":1",
        " 1",         "1 ",
        "01",         "root:4294967296",
        "nobody",     "root:nogroup",
        "minus",      "large",
        "short",      ":",
        "#",          "app:wheel:x",
        "00",         "+0",
        "root:-1",
    };
    struct err err;

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        struct cell_user user;

        assert_refused(user_resolve(table[i], passwd, group, &user, &err), ERR_USER_UNKNOWN);
    }
}

static void names_and_lone_numbers_are_looked_up(void **state)
{
    static const char *const sought[] = {"app",   "root",     "1000",    "app:0",
                                         "app:x", "1000:app", "0:group", "-1"};
    static const char *const known[] = {"", "0", "0:0", "1000:0", "4242:50"};

    (void)state;
    for (size_t i = 0; i < COUNT(sought); i++)
        assert_true(user_is_looked_up(sought[i]));
    for (size_t i = 0; i < COUNT(known); i++)
        assert_false(user_is_looked_up(known[i]));
}

static void long_lines_are_no_entries(void **state)
{
    size_t len = 1 << 20;
    char *text = malloc(len + 64);
    autocelluser user = {0};
    struct err err;

    (void)state;
    memset(text, 'a', len);
    strcpy(text + len, ":x:5:5::/:\nreal:x:6:6::/real:\n");
    assert_ok(user_resolve("real", text, "", &user, &err));
    assert_int_equal(user.uid, 6);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(users_are_found),
        cmocka_unit_test(bad_users_are_refused),
        cmocka_unit_test(names_and_lone_numbers_are_looked_up),
        cmocka_unit_test(long_lines_are_no_entries),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
