#include "tests/unit/unit.h"

#include "mounts/mount_rules.h"
#include "mounts/mount_spec.h"

#define SAME(a, b) ((a) == NULL ? (b) == NULL : (b) != NULL && strcmp((a), (b)) == 0)

static void packages_have_names(void **state)
{
    static const struct {
        const char *text;
        const char *name; /* with source NULL: refused */
        const char *source;
    } table[] = {
        {"/a", NULL, "/a"},      {"DB=/a", "DB", "/a"},       {"db-x.1=/a", "DB_X_1", "/a"},
        {"/a=b", NULL, "/a=b"},  {"./a=b", NULL, "./a=b"},    {"a=b", "A", "b"},
        {"X=/a=b", "X", "/a=b"}, {"=/a", NULL, NULL},         {"", NULL, NULL},
        {"X=", NULL, NULL},      {"\xc3\xa4=/a", "__", "/a"},
    };
    struct err err;

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        struct mount_spec spec = {0};

        if (!table[i].source) {
            assert_refused(mount_spec_package(table[i].text, MOUNT_BIND, true, &spec, &err),
                           ERR_OPTION_INVALID);
            continue;
        }
        assert_ok(mount_spec_package(table[i].text, MOUNT_COW, false, &spec, &err));
        assert_true(SAME(table[i].name, spec.name));
        assert_string_equal(spec.source, table[i].source);
        assert_null(spec.target);
        assert_int_equal(spec.kind, MOUNT_COW);
        mount_spec_release(&spec);
    }
}

static void volumes_have_dockers_grammar(void **state)
{
    static const struct {
        const char *text;
        const char *source; /* NULL: refused */
        const char *target;
        bool readonly;
    } table[] = {
        {"/a:/b", "/a", "/b", false},    {"/a:/b:ro", "/a", "/b", true},
        {"/a:/b:rw", "/a", "/b", false}, {"./a:/b", "./a", "/b", false},
        {".:/b", ".", "/b", false},      {"/a b:/c,d", "/a b", "/c,d", false},
        {"/a", NULL, NULL, false},       {"", NULL, NULL, false},
        {":/b", NULL, NULL, false},      {"/a:", NULL, NULL, false},
        {"/a:b", NULL, NULL, false},     {"name:/b", NULL, NULL, false},
        {"/a:/b:z", NULL, NULL, false},  {"/a:/b:ro:x", NULL, NULL, false},
        {"/a:/b:", NULL, NULL, false},
    };
    struct err err;

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        struct mount_spec spec = {0};

        if (!table[i].source) {
            assert_refused(mount_spec_volume(table[i].text, &spec, &err), ERR_OPTION_INVALID);
            continue;
        }
        assert_ok(mount_spec_volume(table[i].text, &spec, &err));
        assert_string_equal(spec.source, table[i].source);
        assert_string_equal(spec.target, table[i].target);
        assert_int_equal(spec.readonly, table[i].readonly);
        mount_spec_release(&spec);
    }
}

static void mounts_take_csv(void **state)
{
    static const struct {
        const char *text;
        const char *target; /* NULL: refused */
        const char *source;
        enum mount_kind kind;
        bool readonly;
    } table[] = {
        {"type=bind,source=/a,target=/b", "/b", "/a", MOUNT_BIND, false},
        {"source=/a,dst=/b,readonly", "/b", "/a", MOUNT_BIND, true},
        {"src=/a,destination=/b,ro=true", "/b", "/a", MOUNT_BIND, true},
        {"src=/a,target=/b,readonly=false", "/b", "/a", MOUNT_BIND, false},
        {"type=bind,\"source=/a,b:c\",target=/b", "/b", "/a,b:c", MOUNT_BIND, false},
        {"\"source=/q\"\"q\",target=/b", "/b", "/q\"q", MOUNT_BIND, false},
        {"source=/a\nb,target=/b", "/b", "/a\nb", MOUNT_BIND, false},
        {"type=tmpfs,target=/t", "/t", NULL, MOUNT_TMPFS, false},
        {"type=tmpfs,target=/t,tmpfs-size=64m,tmpfs-mode=0700", "/t", NULL, MOUNT_TMPFS, false},
        {"", NULL, NULL, MOUNT_BIND, false},
        {"type=bind,target=/b", NULL, NULL, MOUNT_BIND, false},
        {"type=bind,source=/a", NULL, NULL, MOUNT_BIND, false},
        {"type=volume,source=a,target=/b", NULL, NULL, MOUNT_BIND, false},
        {"type=tmpfs,source=/a,target=/b", NULL, NULL, MOUNT_BIND, false},
        {"source=/a,target=b", NULL, NULL, MOUNT_BIND, false},
        {"source=/a,target=/b,nonsense=1", NULL, NULL, MOUNT_BIND, false},
        {"source=/a,source=/c,target=/b", NULL, NULL, MOUNT_BIND, false},
        {"source=/a,target=/b,readonly=maybe", NULL, NULL, MOUNT_BIND, false},
        {"\"source=/a,target=/b", NULL, NULL, MOUNT_BIND, false},
        {"source=/a\"b,target=/b", NULL, NULL, MOUNT_BIND, false},
        {"\"source=/a\"x,target=/b", NULL, NULL, MOUNT_BIND, false},
        {"type=tmpfs,target=/t,tmpfs-mode=9", NULL, NULL, MOUNT_BIND, false},
        {"type=tmpfs,target=/t,tmpfs-size=1x", NULL, NULL, MOUNT_BIND, false},
        {"source=/a,target=/b,tmpfs-size=1m", NULL, NULL, MOUNT_BIND, false},
    };
    struct err err;

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        struct mount_spec spec = {0};

        if (!table[i].target) {
            assert_refused(mount_spec_mount(table[i].text, &spec, &err), ERR_OPTION_INVALID);
            continue;
        }
        assert_ok(mount_spec_mount(table[i].text, &spec, &err));
        assert_string_equal(spec.target, table[i].target);
        assert_true(SAME(table[i].source, spec.source));
        assert_int_equal(spec.kind, table[i].kind);
        assert_int_equal(spec.readonly, table[i].readonly);
        mount_spec_release(&spec);
    }
}

static void devices_have_dockers_grammar(void **state)
{
    static const struct {
        const char *text;
        const char *source; /* NULL: refused */
        const char *target;
    } table[] = {
        {"/dev/fuse", "/dev/fuse", "/dev/fuse"},
        {"/dev/fuse:/dev/f", "/dev/fuse", "/dev/f"},
        {"/dev/fuse:/dev/f:rwm", "/dev/fuse", "/dev/f"},
        {"/dev/fuse:/dev/f:rw", "/dev/fuse", "/dev/f"},
        {"", NULL, NULL},
        {":/dev/f", NULL, NULL},
        {"/dev/fuse:", NULL, NULL},
        {"/dev/fuse:f", NULL, NULL},
        {"fuse", NULL, NULL},
        {"/dev/fuse:/dev/f:", NULL, NULL},
        {"/dev/fuse:/dev/f:r", NULL, NULL},
        {"/dev/fuse:/dev/f:rwm:x", NULL, NULL},
    };
    struct err err;

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        struct mount_spec spec = {0};

        if (!table[i].source) {
            assert_refused(mount_spec_device(table[i].text, &spec, &err), ERR_OPTION_INVALID);
            continue;
        }
        assert_ok(mount_spec_device(table[i].text, &spec, &err));
        assert_string_equal(spec.source, table[i].source);
        assert_string_equal(spec.target, table[i].target);
        mount_spec_release(&spec);
    }
}

static void tmpfs_has_docker_s_options(void **state)
{
    static const struct {
        const char *text;
        const char *target; /* NULL: refused */
        uint64_t size;
        mode_t mode;
        bool readonly, noexec;
    } table[] = {
        {"/t", "/t", 0, 01777, false, true},
        {"/t:rw,noexec,nosuid,nodev,size=64k,mode=0700", "/t", 65536, 0700, false, true},
        {"/t:ro,exec", "/t", 0, 01777, true, false},
        {"/a:b:size=1m", "/a:b", 1 << 20, 01777, false, true},
        {"t", NULL, 0, 0, false, false},
        {"", NULL, 0, 0, false, false},
        {"/t:", NULL, 0, 0, false, false},
        {"/t:size", NULL, 0, 0, false, false},
        {"/t:size=", NULL, 0, 0, false, false},
        {"/t:size=-1", NULL, 0, 0, false, false},
        {"/t:mode=9", NULL, 0, 0, false, false},
        {"/t:ro=1", NULL, 0, 0, false, false},
        {"/t:dev", NULL, 0, 0, false, false},
        {"/t:suid", NULL, 0, 0, false, false},
        {"/t:nosuid=1", NULL, 0, 0, false, false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        struct mount_spec spec;
        struct err err;

        if (!table[i].target) {
            assert_refused(mount_spec_tmpfs(table[i].text, &spec, &err), ERR_OPTION_INVALID);
            continue;
        }
        assert_ok(mount_spec_tmpfs(table[i].text, &spec, &err));
        assert_int_equal(spec.kind, MOUNT_TMPFS);
        assert_string_equal(spec.target, table[i].target);
        assert_int_equal(spec.tmpfs_size, table[i].size);
        assert_int_equal(spec.tmpfs_mode, table[i].mode);
        assert_int_equal(spec.readonly, table[i].readonly);
        assert_int_equal(spec.tmpfs_noexec, table[i].noexec);
        mount_spec_release(&spec);
    }
}

static void tmpfs_has_size_and_mode(void **state)
{
    struct mount_spec spec;
    struct err err;

    (void)state;
    assert_ok(mount_spec_mount("type=tmpfs,target=/t,tmpfs-size=64m,tmpfs-mode=0700", &spec, &err));
    assert_int_equal(spec.tmpfs_size, 64 << 20);
    assert_int_equal(spec.tmpfs_mode, 0700);
    mount_spec_release(&spec);
    assert_ok(mount_spec_mount("type=tmpfs,target=/t", &spec, &err));
    assert_int_equal(spec.tmpfs_size, 0);
    assert_int_equal(spec.tmpfs_mode, 01777);
    mount_spec_release(&spec);
}

static void targets_of_the_cell_itself_are_refused(void **state)
{
    static const char *const refused[] = {"/",    "/proc",   "/proc/self", "/sys", "/sys/fs/cgroup",
                                          "/dev", "/dev/shm"};
    static const char *const allowed[] = {"/a", "/procedures", "/system", "/device", "/home/dev"};
    struct err err;

    (void)state;
    for (size_t i = 0; i < COUNT(refused); i++)
        assert_refused(mount_rules_check_target(refused[i], MOUNT_VOLUME, &err), ERR_MOUNT_DENIED);
    for (size_t i = 0; i < COUNT(allowed); i++)
        assert_ok(mount_rules_check_target(allowed[i], MOUNT_VOLUME, &err));
}

static void devices_go_below_dev(void **state)
{
    static const char *const refused[] = {"/",         "/dev",       "/device",    "/tmp/x",
                                          "/dev/null", "/dev/pts/0", "/dev/shm/x", "/dev/fd"};
    static const char *const allowed[] = {"/dev/fuse", "/dev/net/tun", "/dev/nullx"};
    struct err err;

    (void)state;
    for (size_t i = 0; i < COUNT(refused); i++)
        assert_refused(mount_rules_check_target(refused[i], MOUNT_DEVICE, &err), ERR_MOUNT_DENIED);
    for (size_t i = 0; i < COUNT(allowed); i++)
        assert_ok(mount_rules_check_target(allowed[i], MOUNT_DEVICE, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packages_have_names),
        cmocka_unit_test(volumes_have_dockers_grammar),
        cmocka_unit_test(mounts_take_csv),
        cmocka_unit_test(devices_have_dockers_grammar),
        cmocka_unit_test(devices_go_below_dev),
        cmocka_unit_test(tmpfs_has_size_and_mode),
        cmocka_unit_test(tmpfs_has_docker_s_options),
        cmocka_unit_test(targets_of_the_cell_itself_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
