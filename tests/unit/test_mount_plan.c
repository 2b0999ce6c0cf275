#include "tests/unit/unit.h"

#include <stdio.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "mounts/mount_plan.h"

/* A mount as a test writes it: same-path unless there is a target. */
struct wish {
    enum mount_kind kind;
    const char *given;
    const char *resolved; /* NULL: the same as given */
    const char *target;
    bool readonly;
    ino_t ino;
};

#define WISHES_MAX 8

static bool make(const struct wish *wishes, size_t count, const size_t *order,
                 struct mount_plan *plan, struct err *err)
{
    struct mount_spec specs[WISHES_MAX] = {0};
    struct mount_source sources[WISHES_MAX] = {0};

    for (size_t i = 0; i < count; i++) {
        const struct wish *wish = &wishes[order ? order[i] : i];

        specs[i] =
            (struct mount_spec){.kind = wish->kind,
                                .role = wish->kind == MOUNT_OWN ? MOUNT_SECRETS : MOUNT_VOLUME,
                                .target = (char *)wish->target,
                                .readonly = wish->readonly};
        if (wish->given)
            sources[i] = (struct mount_source){
                .given = strdup(wish->given),
                .resolved = strdup(wish->resolved ? wish->resolved : wish->given),
                .dev = 1,
                .ino = wish->ino,
                .mode = S_IFDIR | 0755};
    }
    return mount_plan_make(specs, sources, count, plan, NULL, err);
}

/* "target(of)[ro]" for each mount, blank between. */
static char *text(const struct mount_plan *plan)
{
    struct buf out = BUF_INIT(4096);

    for (size_t i = 0; i < plan->count; i++) {
        const struct mount *mount = &plan->mounts[i];

        buf_printf(&out, "%s%s", i ? " " : "", mount->target);
        if (mount->alias_of)
            buf_printf(&out, "(%s)", mount->alias_of);
        if (mount->readonly)
            buf_printf(&out, "[ro]");
    }
    return buf_take(&out);
}

static const struct {
    struct wish wishes[4];
    size_t count;
    const char *plan;
} plans[] = {
    {{{MOUNT_BIND, "/work", NULL, NULL, false, 1}}, 1, "/work"},
    {{{MOUNT_BIND, "/work/pkg", NULL, NULL, true, 2}, {MOUNT_BIND, "/work", NULL, NULL, false, 1}},
     2,
     "/work /work/pkg[ro]"},
    {{{MOUNT_BIND, "/work-x", NULL, NULL, false, 3},
      {MOUNT_BIND, "/work/a", NULL, NULL, true, 2},
      {MOUNT_BIND, "/work", NULL, NULL, false, 1}},
     3,
     "/work /work/a[ro] /work-x"},
    {{{MOUNT_BIND, "/link/app", "/real/app", NULL, false, 1},
      {MOUNT_BIND, "/link/app/pkg", "/real/app/pkg", NULL, true, 2}},
     2,
     "/real/app /real/app/pkg[ro] /link/app(/real/app) /link/app/pkg(/real/app/pkg)[ro]"},
    {{{MOUNT_BIND, "/link/app", "/real/app", NULL, false, 1},
      {MOUNT_TMPFS, NULL, NULL, "/link/app/tmp", false, 0}},
     2,
     "/real/app /link/app(/real/app) /link/app/tmp"},
    {{{MOUNT_BIND, "/a", NULL, NULL, false, 1}, {MOUNT_BIND, "/a", NULL, NULL, false, 1}}, 2, "/a"},
    {{{MOUNT_BIND, "/a", NULL, "/b/c", true, 1}, {MOUNT_BIND, "/link", "/x", "/link", false, 2}},
     2,
     "/b/c[ro] /link"},
    {{{MOUNT_BIND, "/a", NULL, "//b//c/", true, 1}}, 1, "/b/c[ro]"},
};

static void parents_come_before_children(void **state)
{
    struct err err;

    (void)state;
    for (size_t i = 0; i < COUNT(plans); i++) {
        autoplan plan = {0};
        autofree char *found = NULL;

        assert_ok(make(plans[i].wishes, plans[i].count, NULL, &plan, &err));
        found = text(&plan);
        assert_string_equal(found, plans[i].plan);
    }
}

static void order_never_matters(void **state)
{
    static const size_t orders[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                       {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    struct err err;

    (void)state;
    for (size_t i = 0; i < COUNT(orders); i++) {
        autoplan plan = {0};
        autofree char *found = NULL;

        assert_ok(make(plans[2].wishes, 3, orders[i], &plan, &err));
        found = text(&plan);
        assert_string_equal(found, plans[2].plan);
    }
}

static void conflicts_are_refused(void **state)
{
    static const struct {
        struct wish wishes[2];
        enum err_code code;
    } table[] = {
        {{{MOUNT_BIND, "/a", NULL, NULL, false, 1}, {MOUNT_BIND, "/a", NULL, NULL, true, 1}},
         ERR_MOUNT_CONFLICT},
        {{{MOUNT_BIND, "/a", NULL, "/t", false, 1}, {MOUNT_BIND, "/b", NULL, "/t", false, 2}},
         ERR_MOUNT_CONFLICT},
        {{{MOUNT_BIND, "/a", NULL, NULL, false, 1}, {MOUNT_COW, "/a", NULL, NULL, false, 1}},
         ERR_MOUNT_CONFLICT},
        {{{MOUNT_TMPFS, NULL, NULL, "/t", false, 0}, {MOUNT_TMPFS, NULL, NULL, "/t", false, 0}},
         ERR_MOUNT_CONFLICT},
        {{{MOUNT_BIND, "/link", "/a", NULL, false, 1}, {MOUNT_BIND, "/b", NULL, "/link", false, 2}},
         ERR_MOUNT_CONFLICT},
        {{{MOUNT_BIND, "/a", NULL, NULL, false, 1}, {MOUNT_BIND, "/b", NULL, "/", false, 2}},
         ERR_MOUNT_DENIED},
        {{{MOUNT_BIND, "/a", NULL, NULL, false, 1},
          {MOUNT_BIND, "/b", NULL, "/x/../proc", false, 2}},
         ERR_MOUNT_DENIED},
        {{{MOUNT_BIND, "/dev/fd/x", "/a", NULL, false, 1},
          {MOUNT_BIND, "/b", NULL, NULL, false, 2}},
         ERR_MOUNT_DENIED},
        {{{MOUNT_OWN, NULL, NULL, "/o", false, 0}, {MOUNT_BIND, "/a", NULL, "/o", false, 1}},
         ERR_MOUNT_CONFLICT},
        {{{MOUNT_TMPFS, NULL, NULL, "/o/x", false, 0}, {MOUNT_OWN, NULL, NULL, "/o", false, 0}},
         ERR_MOUNT_CONFLICT},
        {{{MOUNT_BIND, "/a", NULL, NULL, false, 1}, {MOUNT_BIND, "/proc/1", NULL, NULL, false, 2}},
         ERR_MOUNT_DENIED},
    };
    struct err err;

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        struct mount_plan plan = {0};

        assert_refused(make(table[i].wishes, 2, NULL, &plan, &err), table[i].code);
        assert_null(plan.mounts);
    }
}

static void all_refusals_are_told(void **state)
{
    struct mount_spec specs[] = {
        {.role = MOUNT_VOLUME, .target = "/proc/x"},
        {.role = MOUNT_PACKAGE, .source = "/gone"}, /* not found: passed over */
        {.role = MOUNT_VOLUME, .target = "/t"},
        {.kind = MOUNT_TMPFS, .role = MOUNT_VOLUME, .target = "/t"},
    };
    struct mount_source sources[COUNT(specs)] = {0};
    struct mount_plan plan = {0};
    autoerrs refused = {0};
    struct err err;

    (void)state;
    for (size_t i = 0; i < COUNT(specs); i += 2)
        sources[i] = (struct mount_source){.resolved = strdup("/a"), .mode = S_IFDIR | 0755};
    assert_refused(mount_plan_make(specs, sources, COUNT(specs), &plan, &refused, &err),
                   ERR_MOUNT_DENIED);
    assert_int_equal(refused.count, 2);
    assert_string_equal(refused.items[0].message, err.message);
    assert_int_equal(refused.items[1].code, ERR_MOUNT_CONFLICT);
    assert_null(plan.mounts);
}

static void targets_in_host_directories_are_known(void **state)
{
    static const struct wish wishes[] = {
        {MOUNT_BIND, "/work", NULL, NULL, false, 1}, {MOUNT_BIND, "/x", NULL, "/work/in", false, 2},
        {MOUNT_TMPFS, NULL, NULL, "/t", false, 0},   {MOUNT_BIND, "/x", NULL, "/t/in", false, 2},
        {MOUNT_COW, "/cow", NULL, NULL, false, 3},   {MOUNT_BIND, "/x", NULL, "/cow/in", false, 2},
    };
    autoplan plan = {0};
    struct err err;

    (void)state;
    assert_ok(make(wishes, COUNT(wishes), NULL, &plan, &err));
    for (size_t i = 0; i < plan.count; i++)
        assert_int_equal(plan.mounts[i].in_bind, strcmp(plan.mounts[i].target, "/work/in") == 0);
}

static void missing_sources_are_refused(void **state)
{
    struct mount_spec spec = {.role = MOUNT_PACKAGE, .source = "/no/such/directory"};
    struct mount_source source;
    struct err err;

    (void)state;
    assert_refused(mount_source_find(&spec, "/", &source, &err), ERR_MOUNT_SOURCE_MISSING);
    spec.role = MOUNT_WORKDIR;
    assert_refused(mount_source_find(&spec, "/", &source, &err), ERR_WORKDIR_MISSING);
    spec.source = "/etc/passwd";
    assert_refused(mount_source_find(&spec, "/", &source, &err), ERR_WORKDIR_MISSING);
    spec.source = "etc";
    assert_ok(mount_source_find(&spec, "/", &source, &err));
    assert_string_equal(source.resolved, "/etc");
    assert_string_equal(source.given, "/etc");
    mount_source_release(&source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parents_come_before_children),
        cmocka_unit_test(order_never_matters),
        cmocka_unit_test(conflicts_are_refused),
        cmocka_unit_test(all_refusals_are_told),
        cmocka_unit_test(targets_in_host_directories_are_known),
        cmocka_unit_test(missing_sources_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
