#include "tests/unit/unit.h"

#include <sys/stat.h>

#include "base/utf8.h"
#include "runtime/kubernetes/cluster_config.h"
#include "runtime/kubernetes/pod_name.h"
#include "runtime/kubernetes/pod_state.h"

#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const struct {
    const char *text, *path, *claim; /* path NULL: refused */
} volumes[] = {
    {"/shared=pvc:steps", "/shared", "steps"},
    {"/shared/=hostPath", "/shared", NULL},
    {"/a=b/c=pvc:a.b-1", "/a=b/c", "a.b-1"},
    {"", NULL, NULL},
    {"/shared", NULL, NULL},
    {"/shared=", NULL, NULL},
    {"/shared=pvc:", NULL, NULL},
    {"/shared=pvc:A", NULL, NULL},
    {"/shared=pvc:a/b", NULL, NULL},
    {"/shared=hostpath", NULL, NULL},
    {"/shared=nfs:x", NULL, NULL},
    {"work=hostPath", NULL, NULL},
    {"/=hostPath", NULL, NULL},
    {"//=hostPath", NULL, NULL},
    {"/shared/../etc=hostPath", NULL, NULL},
    {"=pvc:x", NULL, NULL},
};

static void test_volumes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(volumes); i++) {
        autopodvolume volume = {0};
        struct err err = ERR_INIT;
        bool ok = pod_volume_parse(volumes[i].text, &volume, &err);

        if (ok != (volumes[i].path != NULL))
            fail_msg("'%s': %s", volumes[i].text, err.message);
        if (!ok) {
            assert_int_equal(err.code, ERR_OPTION_INVALID);
            continue;
        }
        assert_string_equal(volume.path, volumes[i].path);
        assert_string_equal(volume.claim ? volume.claim : "-",
                            volumes[i].claim ? volumes[i].claim : "-");
    }
}

#define DIRECTORY(path)                                                                            \
    {                                                                                              \
        .resolved = (char *)(path), .mode = S_IFDIR | 0755                                         \
    }
#define MOUNT(at, from, ...)                                                                       \
    {                                                                                              \
        .kind = MOUNT_BIND, .target = (char *)(at), .source = DIRECTORY(from), __VA_ARGS__         \
    }

/* Of "/p", when it is shipped. */
#define P_NAME "00d74baf14ea415c6164614838c91f83"

static struct pod_volume shared[] = {
    {.path = (char *)"/shared", .claim = (char *)"steps"},
    {.path = (char *)"/shared/local"},
};

struct step {
    struct mount mounts[4];
    size_t count;
    const char *says;  /* in the Pod; or, where it is refused, in the message */
    const char *lacks; /* not in the Pod */
    bool refused;
    bool host_network;
    enum network_mode network;
    struct limits limits;
    uid_t uid;
    bool no_init, ships, image_volume, groups_judged;
    const char *label, *account;
};

static bool make(const struct step *step, json_t **body, struct err *err)
{
    const struct mount_plan plan = {.mounts = (struct mount *)step->mounts, .count = step->count};
    autojson *labels = step->label ? json_pack("[s]", step->label) : NULL;
    autojson *configured = json_pack("{s:s, s:s}", "team", "x", "a", "configured");
    const struct cluster_spec cluster = {
        .service_account = step->account,
        .labels = configured,
        .node_selector = configured,
        .init_image = step->no_init ? NULL : "h/init:1",
        .shipped = step->ships ? "h/shipped@" DIGEST : NULL,
        .arch = "amd64",
        .host_network = step->host_network,
        .grace_ms = 1500,
        .groups_judged = step->groups_judged,
    };
    const struct run_spec spec = {
        .plan = &plan,
        .uid = step->uid,
        .gid = 5,
        .groups = {6},
        .group_count = 1,
        .home = "/root",
        .capabilities = 1 | 1 << 5,
        .network = step->network,
        .limits = step->limits,
        .labels = labels,
        .cluster = &cluster,
    };
    const struct pod_request request = {.name = "stepcell-1",
                                        .image = "h/i@" DIGEST,
                                        .owner = "me",
                                        .step = "one",
                                        .volumes = shared,
                                        .volume_count = COUNT(shared),
                                        .image_volume = step->image_volume};

    return pod_body(&spec, &request, body, err);
}

static const struct step steps[] = {
    {.says = "\"image\":\"h/i@" DIGEST "\""},
    {.says = "\"restartPolicy\":\"Never\""},
    {.says = "\"automountServiceAccountToken\":false"},
    {.says = "\"terminationGracePeriodSeconds\":2"},
    {.says = "{\"drop\":[\"ALL\"],\"add\":[\"CHOWN\",\"KILL\"]}"},
    {.says = "\"stepcell.owner\":\"me\""},
    {.says = "\"hostNetwork\":false"},
    {.says = "\"hostNetwork\":true", .host_network = true},
    {.says = "\"runAsUser\":0,\"runAsGroup\":5,\"supplementalGroups\":[6]}"},
    {.says = "\"supplementalGroups\":[6],\"supplementalGroupsPolicy\":\"Strict\"}",
     .groups_judged = true},
    {.says = "\"memory\":\"1048576\",\"cpu\":\"1500m\"",
     .limits = {.memory = 1 << 20, .cpu = 150000}},
    {.says = "\"mountPath\":\"/home/step\",\"subPath\":\"home\"", .uid = 7},
    {.says = "{\"name\":\"cell\",\"mountPath\":\"/.stepcell/"
             "stepcell-pod\",\"subPath\":\"stepcell-pod\","
             "\"readOnly\":true}"},
    {.mounts = {MOUNT("/shared/a", "/shared/a", .role = MOUNT_WORKDIR)},
     .count = 1,
     .says =
         "{\"name\":\"claim-0\",\"mountPath\":\"/shared/a\",\"subPath\":\"a\",\"readOnly\":false}"},
    {.mounts = {MOUNT("/shared", "/shared", .readonly = true),
                MOUNT("/shared/local", "/shared/local")},
     .count = 2,
     .says = "{\"name\":\"claim-0\",\"mountPath\":\"/shared\",\"readOnly\":true}"},
    {.mounts = {MOUNT("/shared/a", "/shared/a"), MOUNT("/b", "/shared/b")},
     .count = 2,
     .says = "\"persistentVolumeClaim\":{\"claimName\":\"steps\"}}]"},
    {.mounts = {MOUNT("/x", "/shared/local/y")},
     .count = 1,
     .says = "\"hostPath\":{\"path\":\"/shared/local/y\",\"type\":\"Directory\"}"},
    {.mounts = {MOUNT("/shared/a", "/shared/a"),
                {.kind = MOUNT_BIND, .target = (char *)"/link", .alias_of = (char *)"/shared/a"}},
     .count = 2,
     .says = "\"mountPath\":\"/link\",\"subPath\":\"a\""},
    {.mounts = {{.kind = MOUNT_TMPFS, .target = (char *)"/t", .tmpfs_size = 4096}},
     .count = 1,
     .says = "{\"medium\":\"Memory\",\"sizeLimit\":\"4096\"}"},
    {.mounts = {{.kind = MOUNT_OWN, .role = MOUNT_SECRETS, .target = (char *)"/run/secrets"}},
     .count = 1,
     .says = "\"mountPath\":\"/run/secrets\",\"subPath\":\"secrets\",\"readOnly\":true"},
    {.mounts = {MOUNT("/run/stepcell/script", "/tmp/s", .role = MOUNT_SCRIPT)},
     .count = 1,
     .says = "{\"name\":\"setup\",\"mountPath\":\"/run/stepcell/script\",\"subPath\":\"script\""},
    {.mounts = {MOUNT("/run/stepcell/script", "/tmp/s", .role = MOUNT_SCRIPT)},
     .count = 1,
     .says = "{\"key\":\"script\",\"path\":\"script\",\"mode\":365}"},

    /* Who brings the first program. */
    {.says = "\"command\":[\"/.stepcell/stepcell-pod\",\"run\"]",
     .lacks = "{\"name\":\"setup\",\"mountPath\":\"/.stepcell/sent\",\"readOnly\":true}],"
              "\"resources\""},
    {.says = "\"command\":[\"/.stepcell/sent/stepcell-pod\",\"run\"]",
     .lacks = "\"place\"",
     .no_init = true},
    {.says = "{\"key\":\"setup\",\"path\":\"setup\",\"mode\":256}", .no_init = true},
    {.says = "{\"key\":\"setup\",\"path\":\"setup\",\"mode\":292}", .no_init = true, .uid = 7},
    {.says = "{\"key\":\"stepcell-pod\",\"path\":\"stepcell-pod\",\"mode\":365}", .no_init = true},
    {.says = "\"items\":[{\"key\":\"setup\"", .lacks = "\"key\":\"stepcell-pod\""},
    {.mounts = {{.kind = MOUNT_OWN, .role = MOUNT_OUTPUT, .target = (char *)STEP_OUTPUT_PATH}},
     .count = 1,
     .says = "{\"name\":\"run\",\"mountPath\":\"/run/stepcell\",\"readOnly\":false}",
     .no_init = true},
    {.mounts = {{.kind = MOUNT_OWN, .role = MOUNT_OUTPUT, .target = (char *)STEP_OUTPUT_PATH}},
     .count = 1,
     .says = "\"mountPath\":\"/run/stepcell/output\",\"subPath\":\"run/output\""},
    {.mounts = {{.kind = MOUNT_TMPFS, .target = (char *)STEP_PATH, .tmpfs_size = 4096},
                {.kind = MOUNT_OWN, .role = MOUNT_OUTPUT, .target = (char *)STEP_OUTPUT_PATH}},
     .count = 2,
     .says = "{\"name\":\"run\",\"mountPath\":\"/run/stepcell\",\"readOnly\":false}",
     .lacks = "memory-0",
     .no_init = true},
    {.refused = true,
     .says = "'/run/stepcell'",
     .mounts = {MOUNT(STEP_PATH, "/shared/run")},
     .count = 1,
     .no_init = true},
    {.says = "{\"name\":\"image\",\"image\":{\"reference\":\"h/init:1\",\"pullPolicy\":"
             "\"IfNotPresent\"}}",
     .lacks = "\"place\"",
     .image_volume = true},
    {.says = "\"command\":[\"/.stepcell/image/stepcell-pod\",\"run\"]",
     .lacks = "\"key\":\"stepcell-pod\"",
     .image_volume = true},

    /* The image of the first container brings what no volume has, and copies. */
    {.says = "\"image\":\"h/shipped@" DIGEST "\"", .ships = true, .no_init = true},
    {.mounts = {MOUNT("/p", "/p", .role = MOUNT_PACKAGE, .readonly = true)},
     .count = 1,
     .says = "{\"name\":\"shipped\",\"mountPath\":\"/p\",\"subPath\":"
             "\"" P_NAME "\",\"readOnly\":true}",
     .ships = true},
    {.mounts = {MOUNT("/p", "/p", .role = MOUNT_PACKAGE, .readonly = true),
                {.kind = MOUNT_BIND, .target = (char *)"/link", .alias_of = (char *)"/p"}},
     .count = 2,
     .says = "{\"name\":\"shipped\",\"mountPath\":\"/link\",\"subPath\":"
             "\"" P_NAME "\",\"readOnly\":true}",
     .ships = true},
    {.mounts = {{.kind = MOUNT_COW, .target = (char *)"/p", .source = DIRECTORY("/shared/p")}},
     .count = 1,
     .says = "{\"name\":\"shipped\",\"mountPath\":\"/p\",\"subPath\":"
             "\"" P_NAME "\",\"readOnly\":false}",
     .ships = true},
    {.mounts = {MOUNT("/p", "/p", .role = MOUNT_WORKDIR),
                {.kind = MOUNT_PIN, .target = (char *)"/p/a", .source = DIRECTORY("/p/a")}},
     .count = 2,
     .says = "{\"name\":\"shipped\",\"mountPath\":\"/p\",\"subPath\":"
             "\"" P_NAME "\",\"readOnly\":false}]",
     .ships = true},
    {.mounts = {MOUNT("/p", "/shared/p", .role = MOUNT_PACKAGE, .readonly = true)},
     .count = 1,
     .says = "{\"name\":\"claim-0\",\"mountPath\":\"/p\",\"subPath\":\"p\",\"readOnly\":true}",
     .ships = true},

    /* A volume in another one is mounted where it is. */
    {.mounts = {MOUNT("/shared", "/shared"), MOUNT("/shared/local", "/shared/local")},
     .count = 2,
     .says = "{\"name\":\"path-1\",\"mountPath\":\"/shared/local\",\"readOnly\":false}"},
    {.mounts = {MOUNT("/x", "/shared"),
                {.kind = MOUNT_TMPFS, .target = (char *)"/x/local", .tmpfs_size = 4096}},
     .count = 2,
     .says = "\"mountPath\":\"/x\""},
    {.refused = true,
     .says = "'/shared/local' in it is another volume",
     .mounts = {MOUNT("/x", "/shared"), MOUNT("/shared/local", "/shared/local")},
     .count = 2},

    {.refused = true,
     .says = "'/p'",
     .mounts = {MOUNT("/p", "/p", .role = MOUNT_PACKAGE, .readonly = true)},
     .count = 1},
    {.refused = true,
     .says = "'/p'",
     .mounts = {MOUNT("/p", "/p", .role = MOUNT_PACKAGE)},
     .count = 1,
     .ships = true},
    {.refused = true,
     .says = "'/p'",
     .mounts = {MOUNT("/p", "/p", .role = MOUNT_VOLUME)},
     .count = 1,
     .ships = true},
    {.says = "\"serviceAccountName\":\"deployer\"", .account = "deployer"},
    {.says = "\"automountServiceAccountToken\":true", .account = "deployer"},
    {.says = "\"team\":\"x\",\"a\":\"given\"}", .label = "a=given"},
    {.says = "\"team\":\"x\",\"a\":\"configured\"},\"annotations\"", .label = "no label = of it"},
    {.says = "\"nodeSelector\":{\"kubernetes.io/os\":\"linux\",\"kubernetes.io/arch\":\"amd64\","
             "\"team\":\"x\""},

    {.refused = true, .says = "managed-by", .label = "app.kubernetes.io/managed-by=somebody"},
    {.refused = true, .says = "--network none", .network = NETWORK_NONE},
    {.refused = true, .says = "--pids-limit", .limits = {.pids = 5}},
    {.refused = true, .says = "'/etc'", .mounts = {MOUNT("/etc", "/etc")}, .count = 1},
    {.refused = true,
     .says = "'/sharedspace'",
     .mounts = {MOUNT("/sharedspace", "/sharedspace")},
     .count = 1},
    {.refused = true, .says = "colon", .mounts = {MOUNT("/shared/a:b", "/shared/a:b")}, .count = 1},
    {.refused = true,
     .says = "UTF-8",
     .mounts = {MOUNT("/shared/\xff", "/shared/\xff")},
     .count = 1},
    {.refused = true,
     .says = "copy-on-write",
     .mounts = {{.kind = MOUNT_COW,
                 .target = (char *)"/shared/a",
                 .source = DIRECTORY("/shared/a")}},
     .count = 1},
    {.refused = true,
     .says = "device",
     .mounts = {MOUNT("/dev/fuse", "/dev/fuse", .role = MOUNT_DEVICE)},
     .count = 1},
};

static void test_bodies(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(steps); i++) {
        struct err err = ERR_INIT;
        autojson *body = NULL;
        bool ok = make(&steps[i], &body, &err);
        autofree char *text = ok ? json_dump_line(body) : NULL;

        if (ok == steps[i].refused)
            fail_msg("%s: %s", steps[i].says, err.message);
        if (!strstr(ok ? text : err.message, steps[i].says))
            fail_msg("%s is not in %s", steps[i].says, ok ? text : err.message);
        if (ok && steps[i].lacks && strstr(text, steps[i].lacks))
            fail_msg("%s is in %s", steps[i].lacks, text);
        if (ok && (!pod_program_of(body) || !strstr(text, pod_program_of(body))))
            fail_msg("no program is found in %s", text);
    }
}

/* Pods that others have made. */
static void test_no_program(void **state)
{
    static const char *const pods[] = {
        "{}",
        "{\"spec\": {\"containers\": [1]}}",
        "{\"spec\": {\"containers\": [{\"name\": \"step\"}]}}",
        "{\"spec\": {\"containers\": [{\"name\": \"step\", \"command\": [\"/bin/sh\"]}]}}",
        ("{\"spec\": {\"containers\": [{\"name\": \"other\", \"command\": "
         "[\"/.stepcell/stepcell-pod\"]}]}}"),
    };

    (void)state;
    for (size_t i = 0; i < COUNT(pods); i++) {
        struct err err = ERR_INIT;
        autojson *pod = json_parse(pods[i], strlen(pods[i]), "a Pod", ERR_ENGINE_FAILED, &err);

        assert_non_null(pod);
        assert_null(pod_program_of(pod));
    }
}

/* ---- image volumes ---- */

static void test_what_fits_an_image_volume(void **state)
{
    const struct cluster_spec clusters[] = {
        {.init_image = "h/init:1"}, /* the only one */
        {0},
        {.init_image = "h/init:1", .no_image_volumes = true},
        {.init_image = "h/init:1", .shipped = "h/shipped@" DIGEST},
        {.shipped = "h/shipped@" DIGEST},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(clusters); i++) {
        const struct run_spec spec = {.cluster = &clusters[i]};

        if (pod_fits_image_volume(&spec) != (i == 0))
            fail_msg("%zu", i);
    }
}

static const struct {
    const char *version;
    bool may;
} servers[] = {
    {"{\"major\": \"1\", \"minor\": \"31\"}", true},
    {"{\"major\": \"1\", \"minor\": \"36+\"}", true},
    {"{\"major\": \"1\", \"minor\": \"20\"}", false},
    {"{\"major\": \"1\", \"minor\": \"30+\"}", false},
    {"{\"major\": \"2\", \"minor\": \"0\"}", false},
    {"{\"major\": \"1\", \"minor\": 35}", false},
    {"{\"major\": \"1\", \"minor\": \"+\"}", false},
    {"{\"major\": \"1\"}", false},
    {"[]", false},
};

#define KEPT(volumes) "{\"spec\": {\"volumes\": [" volumes "]}}"

static const struct {
    const char *pod;
    bool keeps;
} kept[] = {
    {KEPT("{\"name\": \"cell\", \"emptyDir\": {}}, "
          "{\"name\": \"image\", \"image\": {\"reference\": \"h/init:1\"}}"),
     true},
    {KEPT("{\"name\": \"image\", \"emptyDir\": {}}"), false},
    {KEPT("{\"name\": \"image\", \"image\": {}}"), false},
    {KEPT("{\"name\": \"image\", \"image\": \"h/init:1\"}"), false},
    {KEPT("{\"name\": \"other\", \"image\": {\"reference\": \"h/init:1\"}}"), false},
    {KEPT("1, {}"), false},
    {"{\"spec\": {\"volumes\": {}}}", false},
    {"{\"kind\": \"Status\"}", false},
};

static json_t *json_of(const char *text)
{
    struct err err = ERR_INIT;
    json_t *json = json_parse(text, strlen(text), "an answer", ERR_ENGINE_FAILED, &err);

    assert_non_null(json);
    return json;
}

static void test_discovery(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(servers); i++) {
        autojson *json = json_of(servers[i].version);

        if (pod_server_may_have_image_volumes(json) != servers[i].may)
            fail_msg("%s", servers[i].version);
    }
    for (size_t i = 0; i < COUNT(kept); i++) {
        autojson *json = json_of(kept[i].pod);

        if (pod_keeps_image_volume(json) != kept[i].keeps)
            fail_msg("%s", kept[i].pod);
    }
    assert_false(pod_server_may_have_image_volumes(NULL) || pod_keeps_image_volume(NULL));
}

/* ---- config.json ---- */

#define LONG        "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggg" /* 64 bytes */
#define PAIRS(text) "{\"labels\": {" text "}}"

static const char *const good_settings[] = {
    "{}",
    "{\"context\": \"a b/c\", \"namespace\": \"steps-1\", \"init\": \"r.example/init:1\"}",
    "{\"ship\": \"r.example/shipped\"}",
    "{\"volumes\": []}",
    "{\"volumes\": [\"/shared=pvc:steps\", \"/nfs=hostPath\"]}",
    "{\"service_account\": \"deployer.v1\", \"pull_secret\": false}",
    "{\"image_volumes\": false}",
    "{\"node_selector\": {\"pool\": \"steps\", \"example.org/zone\": \"\"}}",
    PAIRS("\"team\": \"x\", \"example.org/a_b.c-1\": \"A.b_c-1\""),
};

static const char *const bad_settings[] = {
    "{\"insecure\": true}",
    "{\"context\": \"\"}",
    "{\"context\": null}",
    "{\"namespace\": \"Steps\"}",
    "{\"namespace\": \"a.b\"}",
    "{\"namespace\": \"../b\"}",
    "{\"namespace\": \"" LONG "\"}",
    "{\"init\": 1}",
    "{\"ship\": []}",
    "{\"volumes\": \"/shared=pvc:steps\"}",
    "{\"volumes\": [\"/shared\"]}",
    "{\"volumes\": [1]}",
    "{\"volumes\": {}}",
    "{\"service_account\": \"a_b\"}",
    "{\"service_account\": \"-a\"}",
    "{\"service_account\": \"a..b\"}",
    "{\"pull_secret\": \"yes\"}",
    "{\"image_volumes\": 0}",
    "{\"node_selector\": []}",
    "{\"node_selector\": {\"kubernetes.io/os\": \"windows\"}}",
    "{\"node_selector\": {\"kubernetes.io/arch\": \"arm64\"}}",
    PAIRS("\"a\": 1"),
    PAIRS("\"\": \"x\""),
    PAIRS("\"a/b/c\": \"x\""),
    PAIRS("\"/b\": \"x\""),
    PAIRS("\"A.example/b\": \"x\""),
    PAIRS("\"a b\": \"x\""),
    PAIRS("\"a\": \"x y\""),
    PAIRS("\"a\": \"-x\""),
    PAIRS("\"a\": \"" LONG "\""),
    PAIRS("\"" LONG "\": \"x\""),
    PAIRS("\"stepcell.owner\": \"x\""),
    PAIRS("\"app.kubernetes.io/managed-by\": \"x\""),
};

static json_t *settings_of(const char *first, const char *second)
{
    autofree char *text = text_printf("[{\"file\": \"first\", \"settings\": %s}, "
                                      "{\"file\": \"second\", \"settings\": %s}]",
                                      first, second);
    struct err err = ERR_INIT;
    json_t *files = json_parse(text, strlen(text), "files", ERR_CONFIG_INVALID, &err);

    assert_non_null(files);
    return files;
}

static void test_settings(void **state)
{
    struct err err = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < COUNT(good_settings); i++) {
        autojson *files = settings_of("{}", good_settings[i]);
        autoclusterconfig config = {0};

        assert_ok(cluster_config_take(files, &config, &err));
    }
    for (size_t i = 0; i < COUNT(bad_settings); i++) {
        autojson *files = settings_of("{}", bad_settings[i]);
        autoclusterconfig config = {0};

        if (cluster_config_take(files, &config, &err))
            fail_msg("%s was accepted", bad_settings[i]);
        assert_int_equal(err.code, ERR_CONFIG_INVALID);
        assert_non_null(strstr(err.message, "'second'"));
    }
}

static void test_settings_of_two_files(void **state)
{
    autojson *files = settings_of(
        "{\"context\": \"mine\", \"labels\": {\"a\": \"1\"}, \"pull_secret\": true}",
        "{\"context\": \"theirs\", \"namespace\": \"steps\", \"labels\": {\"b\": \"2\"}, "
        "\"volumes\": [\"/a=hostPath\"], \"pull_secret\": false}");
    autoclusterconfig config = {0};
    struct err err = ERR_INIT;

    (void)state;
    assert_ok(cluster_config_take(files, &config, &err));
    assert_string_equal(config.context, "mine");
    assert_string_equal(config.space, "steps");
    assert_int_equal(config.volumes.count, 1);
    assert_int_equal(json_object_size(config.labels), 1);
    assert_non_null(json_object_get(config.labels, "a"));
    assert_null(config.service_account);
    assert_false(config.no_pull_secret);
}

#define POD(status)                                                                                \
    "{\"metadata\": {\"uid\": \"u\", \"resourceVersion\": \"5\"}, \"status\": {" status "}}"
#define STEP(now)  "\"containerStatuses\": [{\"name\": \"step\", \"state\": {" now "}}]"
#define INIT(now)  "\"initContainerStatuses\": [{\"name\": \"mesh\", \"state\": {" now "}}]"
#define PLACE(now) "\"containerStatuses\": [{\"name\": \"place\", \"state\": {" now "}}]"
#define BOTH(place, step)                                                                          \
    "\"containerStatuses\": [{\"name\": \"step\", \"state\": {" step                               \
    "}}, {\"name\": \"place\", \"state\": {" place "}}]"

static const struct {
    const char *pod; /* NULL trouble and all: none of it */
    bool begun, ended, finished, oom_killed;
    enum pod_trouble trouble;
    enum err_code code;
} states[] = {
    {POD("\"phase\": \"Pending\""), .code = ERR_ENGINE_FAILED},
    {POD("\"phase\": \"Pending\", " STEP("\"waiting\": {\"reason\": \"PodInitializing\"}")),
     .code = ERR_ENGINE_FAILED},
    {POD("\"phase\": \"Running\", " STEP("\"running\": {}")), .begun = true,
     .code = ERR_ENGINE_FAILED},
    {POD("\"phase\": \"Succeeded\", " STEP("\"terminated\": {\"reason\": \"Completed\"}")), true,
     true, true, .code = ERR_ENGINE_FAILED},
    {POD("\"phase\": \"Failed\", " STEP("\"terminated\": {\"reason\": \"OOMKilled\"}")), true, true,
     true, true, .trouble = POD_NO_MEMORY, .code = ERR_POD_OUT_OF_MEMORY},
    {POD("\"phase\": \"Failed\", \"reason\": \"Evicted\", \"message\": \"low on disk\""),
     .finished = true, .trouble = POD_EVICTED, .code = ERR_POD_EVICTED},
    {POD("\"phase\": \"Running\", \"conditions\": [{\"type\": \"DisruptionTarget\", \"status\": "
         "\"True\", \"reason\": \"EvictionByEvictionAPI\"}], " STEP("\"running\": {}")),
     .begun = true, .trouble = POD_EVICTED, .code = ERR_POD_EVICTED},
    {POD("\"conditions\": [{\"type\": \"DisruptionTarget\", \"status\": \"False\", \"reason\": "
         "\"PreemptionByScheduler\"}]"),
     .code = ERR_ENGINE_FAILED},
    {POD("\"phase\": \"Running\", \"reason\": \"NodeLost\", " STEP("\"running\": {}")),
     .begun = true, .trouble = POD_LOST, .code = ERR_POD_NODE_LOST},
    {POD("\"conditions\": [{\"type\": \"PodScheduled\", \"reason\": \"Unschedulable\"}]"),
     .trouble = POD_UNSCHEDULABLE, .code = ERR_POD_UNSCHEDULED},
    {POD(STEP("\"waiting\": {\"reason\": \"ErrImagePull\"}")), .trouble = POD_NO_IMAGE,
     .code = ERR_POD_IMAGE},
    {POD(INIT("\"waiting\": {\"reason\": \"ImagePullBackOff\"}")), .trouble = POD_NO_IMAGE,
     .code = ERR_POD_IMAGE},
    {POD(STEP("\"waiting\": {\"reason\": \"CreateContainerError\"}")), .trouble = POD_RETRIED,
     .code = ERR_ENGINE_FAILED},
    {POD(STEP("\"terminated\": {\"reason\": \"StartError\"}")), .ended = true,
     .trouble = POD_NO_CONTAINER, .code = ERR_ENGINE_FAILED},
    {POD(STEP("\"terminated\": {\"exitCode\": 1, \"finishedAt\": \"2026-01-01T00:00:00Z\"}")),
     .begun = true, .ended = true, .code = ERR_ENGINE_FAILED},
    /* Made, and not started yet. */
    {POD(STEP("\"terminated\": {\"exitCode\": 0, \"startedAt\": null}")), .ended = true,
     .code = ERR_ENGINE_FAILED},
    {POD(BOTH("\"waiting\": {\"reason\": \"ErrImagePull\"}",
              "\"terminated\": {\"reason\": \"Error\", \"startedAt\": \"1970-01-01T00:00:00Z\"}")),
     .ended = true, .trouble = POD_NO_IMAGE, .code = ERR_POD_IMAGE},
    {POD(INIT("\"terminated\": {\"exitCode\": 125}")), .trouble = POD_INIT_FAILED,
     .code = ERR_ENGINE_FAILED},
    {POD(INIT("\"terminated\": {\"exitCode\": 0}")), .code = ERR_ENGINE_FAILED},
    {POD(PLACE("\"waiting\": {\"reason\": \"ErrImagePull\"}")), .trouble = POD_NO_IMAGE,
     .code = ERR_POD_IMAGE},
    {POD(PLACE("\"waiting\": {\"reason\": \"PostStartHookError\"}")), .trouble = POD_INIT_FAILED,
     .code = ERR_ENGINE_FAILED},
    {POD(BOTH("\"terminated\": {\"exitCode\": 125}",
              "\"terminated\": {\"reason\": \"StartError\"}")),
     .ended = true, .trouble = POD_INIT_FAILED, .code = ERR_ENGINE_FAILED},
    {POD(BOTH("\"terminated\": {\"exitCode\": 0}", "\"running\": {}")), .begun = true,
     .code = ERR_ENGINE_FAILED},
    /* Another container is none of ours, and what has another type is not there. */
    {POD("\"containerStatuses\": [{\"name\": \"sidecar\", \"state\": {\"running\": {}}}, 1]"),
     .code = ERR_ENGINE_FAILED},
    {POD("\"phase\": 1, \"conditions\": {}, \"reason\": [], " STEP("\"running\": 1")),
     .code = ERR_ENGINE_FAILED},
};

static void test_states(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(states); i++) {
        struct err err = ERR_INIT;
        autojson *pod =
            json_parse(states[i].pod, strlen(states[i].pod), "a Pod", ERR_ENGINE_FAILED, &err);
        struct pod_state seen;

        if (!pod || !pod_state_take(pod, &seen, &err))
            fail_msg("%s: %s", states[i].pod, err.message);
        if (seen.begun != states[i].begun || seen.ended != states[i].ended ||
            seen.finished != states[i].finished || seen.oom_killed != states[i].oom_killed ||
            seen.trouble != states[i].trouble)
            fail_msg("%s", states[i].pod);
        pod_state_explain(&seen, &err);
        assert_int_equal(err.code, states[i].code);
        assert_true(err.message[0] && err_fix(&err)[0]);
    }
}

static void test_no_pods(void **state)
{
    static const char *const texts[] = {"{}", "{\"status\": {}}",
                                        "{\"metadata\": {\"uid\": 1}, \"status\": {}}",
                                        "{\"metadata\": {\"uid\": \"u\"}}", "[]"};

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct err err = ERR_INIT;
        autojson *pod = json_parse(texts[i], strlen(texts[i]), "a Pod", ERR_ENGINE_FAILED, &err);
        struct pod_state seen;

        assert_refused(pod_state_take(pod, &seen, &err), ERR_ENGINE_FAILED);
    }
}

/* What goes into a message or an URL is a word of the API's. */
static void test_words(void **state)
{
    static const char text[] =
        "{\"metadata\": {\"uid\": \"u-1\", \"resourceVersion\": \"5&watch=0\"}, \"status\": "
        "{\"phase\": \"Failed\", \"reason\": \"Evi\\ncted\"}}";
    struct err err = ERR_INIT;
    autojson *pod = json_parse(text, strlen(text), "a Pod", ERR_ENGINE_FAILED, &err);
    struct pod_state seen;

    (void)state;
    assert_ok(pod_state_take(pod, &seen, &err));
    assert_string_equal(seen.uid, "u-1");
    assert_string_equal(seen.version, "");
    assert_string_equal(seen.reason, "");
}

static void test_events(void **state)
{
    static const char text[] =
        "{\"items\": [{\"type\": \"Normal\", \"reason\": \"Pulled\", \"message\": \"a\"}, "
        "{\"type\": \"Warning\", \"reason\": \"Failed\", \"message\": \"b\\nc\"}, 1, "
        "{\"type\": \"Warning\", \"reason\": \"BackOff\", \"message\": \"d\"}]}";
    struct err err = ERR_INIT;
    autojson *list = json_parse(text, strlen(text), "events", ERR_ENGINE_FAILED, &err);
    char said[64], little[12];

    (void)state;
    pod_events_text(list, said, sizeof(said));
    assert_string_equal(said, "Failed: b c; BackOff: d");
    pod_events_text(list, little, sizeof(little));
    assert_string_equal(little, "Failed: b c");
    pod_events_text(NULL, said, sizeof(said));
    assert_string_equal(said, "");
}

static void test_stuck(void **state)
{
    static const struct {
        const char *list;
        bool stuck;
    } lists[] = {
        {"{\"items\": [{\"reason\": \"FailedMount\", \"count\": 5}]}", true},
        {"{\"items\": [1, {\"reason\": \"FailedCreatePodSandBox\", \"count\": 9}]}", true},
        {"{\"items\": [{\"reason\": \"FailedMount\", \"count\": 4}]}", false},
        {"{\"items\": [{\"reason\": \"FailedMount\", \"count\": \"5\"}]}", false},
        {"{\"items\": [{\"reason\": \"Pulling\", \"count\": 9}]}", false},
        {"{\"kind\": \"Status\"}", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(lists); i++) {
        struct err err = ERR_INIT;
        autojson *list =
            json_parse(lists[i].list, strlen(lists[i].list), "events", ERR_ENGINE_FAILED, &err);

        assert_int_equal(pod_events_are_stuck(list), lists[i].stuck);
    }
}

static void test_lacking_path(void **state)
{
#define CHECK                                                                                      \
    "MountVolume.SetUp failed for volume \\\"path-0\\\" : hostPath type check failed: /w is "
    static const struct {
        const char *list;
        bool lacks;
    } lists[] = {
        {"{\"items\": [1, {\"reason\": \"FailedMount\", \"message\": \"" CHECK "x\"}]}", true},
        {"{\"items\": [{\"reason\": \"Failed\", \"message\": \"" CHECK "x\"}]}", false},
        {"{\"items\": [{\"reason\": \"FailedMount\", \"message\": \"timed out\"}]}", false},
        {"{\"items\": [{\"reason\": \"FailedMount\", \"count\": 9}]}", false},
        {"{\"items\": {}}", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(lists); i++) {
        struct err err = ERR_INIT;
        autojson *list =
            json_parse(lists[i].list, strlen(lists[i].list), "events", ERR_ENGINE_FAILED, &err);

        assert_non_null(list);
        assert_int_equal(pod_events_lack_path(list), lists[i].lacks);
    }
}

static void test_unschedulable(void **state)
{
    struct pod_state seen = {.trouble = POD_UNSCHEDULABLE, .reason = "Unschedulable"};
    struct err err = ERR_INIT;

    (void)state;
    pod_state_explain(&seen, &err);
    assert_string_equal(err.message, "no node of the cluster takes the step (Unschedulable)");
    snprintf(seen.message, sizeof(seen.message), "0/2 nodes are available");
    pod_state_explain(&seen, &err);
    assert_string_equal(err.message,
                        "no node of the cluster takes the step: 0/2 nodes are available");
    for (size_t i = 1; i + 2 < sizeof(seen.message); i += 2)
        memcpy(seen.message + i, "\u00e9", 3);
    pod_state_explain(&seen, &err);
    assert_true(strlen(err.message) < 400 && utf8_valid(err.message, strlen(err.message)));
    assert_string_equal(err.detail, seen.message);
}

static void test_names(void **state)
{
    char one[POD_NAME_MAX], two[POD_NAME_MAX], label[POD_LABEL_MAX], owner[POD_LABEL_MAX];
    struct err err = ERR_INIT;

    (void)state;
    assert_ok(pod_name_make(one, &err));
    assert_ok(pod_name_make(two, &err));
    assert_true(kube_name_is_valid(one) && strcmp(one, two) != 0);
    pod_name_of_step("an id with /, : and more than is allowed", one);
    pod_name_of_step("an id with /, : and more than is allowed", two);
    assert_true(kube_name_is_valid(one) && strcmp(one, two) == 0);
    pod_name_of_step("another", two);
    assert_true(strcmp(one, two) != 0);
    pod_label_step("an id with /, : and more than is allowed", label);
    assert_int_equal(strspn(label, "0123456789abcdef"), POD_LABEL_MAX - 1);
    assert_ok(pod_label_owner(owner, &err));
    assert_true(strcmp(owner, label) != 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_volumes),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_no_program),
        cmocka_unit_test(test_what_fits_an_image_volume),
        cmocka_unit_test(test_discovery),
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_no_pods),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_stuck),
        cmocka_unit_test(test_lacking_path),
        cmocka_unit_test(test_unschedulable),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_settings_of_two_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
