#include "tests/unit/unit.h"

#include <sys/stat.h>

#include "base/quote.h"
#include "shim/docker_line.h"
#include "shim/environment.h"

/* A step of which everything is said that can be said. */
struct world {
    struct run_options options;
    struct run_spec spec;
    struct mount_plan plan;
    struct docker_step step;
};

#define DIR(path)                                                                                  \
    {                                                                                              \
        .resolved = (char *)(path), .mode = S_IFDIR | 0755                                         \
    }

static struct mount mounts[] = {
    {.kind = MOUNT_BIND, .role = MOUNT_WORKDIR, .target = "/w d", .source = DIR("/w d")},
    {.kind = MOUNT_BIND,
     .role = MOUNT_PACKAGE,
     .target = "/p,q",
     .source = DIR("/p,q"),
     .readonly = true},
    {.kind = MOUNT_COW, .role = MOUNT_PACKAGE, .target = "/cow", .source = DIR("/cow")},
    {.kind = MOUNT_TMPFS,
     .role = MOUNT_VOLUME,
     .target = "/t",
     .tmpfs_mode = 01777,
     .tmpfs_noexec = true,
     .tmpfs_size = 4096},
    {.kind = MOUNT_TMPFS, .role = MOUNT_VOLUME, .target = "/t:u", .tmpfs_mode = 0700},
    {.kind = MOUNT_OWN, .role = MOUNT_OUTPUT, .target = STEP_OUTPUT_PATH},
    {.kind = MOUNT_OWN, .role = MOUNT_SECRETS, .target = SECRETS_PATH},
    {.kind = MOUNT_BIND, .role = MOUNT_WORKDIR, .target = "/link", .alias_of = "/w d"},
};

static char *argv[] = {"sh", "-c", "echo $X", NULL};
static char *env[] = {
    "PATH=/image", "OWN=image",    "http_proxy=http://me:word@proxy",   "GIVEN=of caller",
    "A=b c",       "TOKEN=secret", "STEPCELL_OUTPUT=" STEP_OUTPUT_PATH, NULL};
static const char origins[] = {ENV_IMAGE,  ENV_IMAGE,  ENV_PROXY,  ENV_OPTION,
                               ENV_OPTION, ENV_SECRET, ENV_DEFAULT};
static char *given[] = {"GIVEN", "A=b c", NULL};
static char *files[] = {"key=rel/key", "up=../up", NULL};
static char *names[] = {"TOKEN", NULL};

static void make_world(struct world *world)
{
    *world = (struct world){.options = RUN_OPTIONS_INIT};
    world->options.asked = json_pack("{s:[s]}", "cap_drop", "CHOWN");
    world->options.env = (struct strv){.items = given, .count = 2};
    world->options.secret_env = (struct strv){.items = names, .count = 1};
    world->options.secret_files = (struct strv){.items = files, .count = 2};
    world->options.timeout_ms = 1000;
    world->options.seccomp = (char *)"../profile";
    world->plan = (struct mount_plan){mounts, COUNT(mounts)};
    world->spec = (struct run_spec){
        .plan = &world->plan,
        .argv = {.items = argv, .count = 3},
        .env = {.items = env, .count = COUNT(env) - 1},
        .workdir = "/w d",
        .uid = 1000,
        .gid = 20,
        .groups = {30},
        .group_count = 1,
        .network = NETWORK_PRIVATE,
        .hostname = "host",
        .read_only = true,
        .pass_stdin = true,
        .limits = {.memory = 1 << 20,
                   .cpu = LIMITS_CPU_PERIOD * 3 / 2,
                   .pids = 10,
                   .ulimits = {{"nofile", 0, 5, LIMITS_UNLIMITED}},
                   .ulimit_count = 1},
    };
    world->step = (struct docker_step){
        .program = "docker",
        .image = "example.com/a:1@sha256:00",
        .options = &world->options,
        .spec = &world->spec,
        .env_origins = origins,
        .home = "/home/app",
        .cwd = "/here",
        .clears_entrypoint = true,
    };
}

static void the_line_says_what_the_step_is(void **state)
{
    static const char expected[] =
        "docker run --rm --init --user 1000:20 --group-add 30 --workdir '/w d' "
        "--mount 'type=bind,source=/w d,target=/w d' "
        "--mount 'type=bind,\"source=/p,q\",\"target=/p,q\",readonly' "
        "--mount type=bind,source=/cow,target=/cow,readonly "
        "--tmpfs /t:rw,noexec,mode=1777,size=4096 "
        "--mount type=tmpfs,target=/t:u,tmpfs-mode=700 "
        "--mount type=bind,source=/here/rel/key,target=/run/secrets/key,readonly "
        "--mount type=bind,source=/here/../up,target=/run/secrets/up,readonly "
        "--mount 'type=bind,source=/w d,target=/link' "
        "--env http_proxy --env GIVEN --env 'A=b c' --env TOKEN --env STEPCELL_OUTPUT=/dev/null "
        "--env HOME=/home/app --memory 1048576 --memory-swap 1048576 --cpus 1.50000 "
        "--pids-limit 10 --ulimit nofile=5:-1 --cap-drop CHOWN --security-opt no-new-privileges "
        "--security-opt seccomp=/here/../profile "
        "--network bridge --hostname host --read-only --entrypoint= --interactive "
        "example.com/a:1@sha256:00 sh -c 'echo $X'";
    struct world world;
    struct strv words = {0}, differs = {0};
    struct buf line = BUF_INIT(65536);

    (void)state;
    make_world(&world);
    assert_true(docker_line_words(&world.step, &words, &differs));
    for (size_t i = 0; i < words.count; i++) {
        assert_true(i == 0 || buf_append_text(&line, " "));
        assert_true(quote_shell(&line, words.items[i]));
    }
    assert_string_equal(line.data, expected);
    assert_true(differs.count >= 5);
    strv_release(&words);
    strv_release(&differs);
    buf_release(&line);
    json_decref(world.options.asked);
}

static void podman_copies_nothing_into_memory(void **state)
{
    struct world world;
    struct strv words = {0}, differs = {0};

    (void)state;
    make_world(&world);
    world.step.program = "podman";
    assert_true(docker_line_words(&world.step, &words, &differs));
    assert_true(strv_contains(&words, "/t:rw,noexec,mode=1777,notmpcopyup,size=4096"));
    assert_true(strv_contains(&words, "type=tmpfs,target=/t:u,tmpfs-mode=700,notmpcopyup"));
    strv_release(&words);
    strv_release(&differs);
    json_decref(world.options.asked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_line_says_what_the_step_is),
        cmocka_unit_test(podman_copies_nothing_into_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
