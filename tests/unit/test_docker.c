#include "tests/unit/unit.h"

#include "base/process.h"
#include "runtime/docker/answers.h"
#include "runtime/docker/container.h"
#include "runtime/docker/endpoint.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define ID  "sha256:" HEX

static const struct {
    const char *engine, *host;
    struct endpoint_caller caller;
    const char *unix_socket, *url, *certificates; /* all NULL: refused */
} endpoints[] = {
    {"docker", NULL, {0}, "/var/run/docker.sock", "http://localhost", NULL},
    {"docker", NULL, {.docker_host = ""}, "/var/run/docker.sock", "http://localhost", NULL},
    {"docker", NULL, {.docker_host = "unix:///a b/s"}, "/a b/s", "http://localhost", NULL},
    {"docker", "unix:///x", {.docker_host = "tcp://h:1"}, "/x", "http://localhost", NULL},
    {"docker",
     NULL,
     {.container_host = "unix:///x"},
     "/var/run/docker.sock",
     "http://localhost",
     NULL},
    {"docker", "tcp://host:2375", {0}, NULL, "http://host:2375", NULL},
    {"docker", "tcp://[::1]:2375", {0}, NULL, "http://[::1]:2375", NULL},
    {"docker",
     "tcp://h:2376",
     {.docker_tls_verify = "1", .docker_cert_path = "/c"},
     NULL,
     "https://h:2376",
     "/c"},
    {"docker",
     "tcp://h:2376",
     {.docker_tls_verify = "1", .home = "/home/me"},
     NULL,
     "https://h:2376",
     "/home/me/.docker"},
    {"docker",
     "unix:///x",
     {.docker_tls_verify = "1", .home = "/h"},
     "/x",
     "http://localhost",
     NULL},
    {"docker", "tcp://h:2376", {.docker_tls_verify = "1"}, NULL, NULL, NULL},
    {"podman", NULL, {.uid = 0}, "/run/podman/podman.sock", "http://localhost", NULL},
    {"podman",
     NULL,
     {.uid = 7, .runtime_dir = "/run/user/7"},
     "/run/user/7/podman/podman.sock",
     "http://localhost",
     NULL},
    {"podman", NULL, {.container_host = "unix:///p"}, "/p", "http://localhost", NULL},
    {"docker", "", {0}, NULL, NULL, NULL},
    {"docker", "unix://relative", {0}, NULL, NULL, NULL},
    {"docker", "/var/run/docker.sock", {0}, NULL, NULL, NULL},
    {"docker", "ssh://host", {0}, NULL, NULL, NULL},
    {"docker", "http://host:1", {0}, NULL, NULL, NULL},
    {"docker", "tcp://host", {0}, NULL, NULL, NULL},
    {"docker", "tcp://:1", {0}, NULL, NULL, NULL},
    {"docker", "tcp://host:0", {0}, NULL, NULL, NULL},
    {"docker", "tcp://host:65536", {0}, NULL, NULL, NULL},
    {"docker", "tcp://host:1/path", {0}, NULL, NULL, NULL},
    {"docker", "tcp://user@host:1", {0}, NULL, NULL, NULL},
    {"docker", "tcp://::1:2375", {0}, NULL, NULL, NULL},
    {"docker", "tcp://[::1:2375", {0}, NULL, NULL, NULL},
    {"docker", "tcp://ho[st]:1", {0}, NULL, NULL, NULL},
    {"docker", "tcp://h\nost:1", {0}, NULL, NULL, NULL},
};

static void same(const char *found, const char *expected)
{
    if (expected)
        assert_string_equal(found, expected);
    else
        assert_null(found);
}

static void test_endpoints(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(endpoints); i++) {
        autoendpoint endpoint = {0};
        struct err err;
        bool found = endpoint_find(endpoints[i].engine, endpoints[i].host, &endpoints[i].caller,
                                   &endpoint, &err);

        if (found != (endpoints[i].url != NULL))
            fail_msg("%zu: %s", i, endpoints[i].host ? endpoints[i].host : "(none)");
        if (!found)
            assert_int_equal(err.code, ERR_OPTION_INVALID);
        same(endpoint.unix_socket, endpoints[i].unix_socket);
        same(endpoint.url, endpoints[i].url);
        same(endpoint.certificates, endpoints[i].certificates);
    }
}

static const struct {
    const char *offered;
    unsigned int minor; /* 0: refused */
} versions[] = {
    {"1.40", 40},
    {"1.41", 41},
    {"1.47", 47},
    {"1.99", API_MINOR_NEWEST},
    {"2.0", API_MINOR_NEWEST},
    {"1.39", 0},
    {"1.12", 0},
    {"0.50", 0},
    {"", 0},
    {"1", 0},
    {"1.", 0},
    {".41", 0},
    {"1.41.2", 0},
    {"1.-1", 0},
    {" 1.41", 0},
    {"1.041", 0},
    {"1.4100000000000000", 0},
};

static void test_versions(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(versions); i++) {
        struct api_version version = {0};
        struct err err;

        if (api_version_choose(versions[i].offered, &version, &err) != (versions[i].minor != 0))
            fail_msg("'%s'", versions[i].offered);
        assert_int_equal(version.minor, versions[i].minor);
    }
}

static json_t *parse(const char *text)
{
    struct err err;
    json_t *json = json_parse(text, strlen(text), "a test", ERR_ENGINE_FAILED, &err);

    if (!json)
        fail_msg("%s: %s", text, err.message);
    return json;
}

#define IMAGE(config) "{\"Id\":\"" ID "\",\"Os\":\"linux\",\"Architecture\":\"amd64\"" config "}"

static const struct {
    const char *text;
    bool good;
    size_t entrypoint, env;
} images[] = {
    {IMAGE(""), true, 0, 0},
    {IMAGE(",\"Config\":null"), true, 0, 0},
    {IMAGE(",\"Config\":{\"Entrypoint\":null,\"Env\":null,\"User\":\"app\"}"), true, 0, 0},
    {IMAGE(",\"Config\":{\"Entrypoint\":[\"\"],\"Env\":[\"A=1\",\"B\",\"=x\",\"C=\"]}"), true, 1,
     2},
    {"{\"Id\":\"" HEX "\",\"Os\":\"linux\",\"Architecture\":\"arm64\"}", true, 0, 0},
    {IMAGE(",\"Config\":[]"), false, 0, 0},
    {IMAGE(",\"Config\":{\"Volumes\":{\"/a\":{},\"/b\":null}}"), true, 0, 0},
    {IMAGE(",\"Config\":{\"Volumes\":[\"/a\"]}"), false, 0, 0},
    {IMAGE(",\"Config\":{\"Entrypoint\":\"sh\"}"), false, 0, 0},
    {IMAGE(",\"Config\":{\"Entrypoint\":[1]}"), false, 0, 0},
    {IMAGE(",\"Config\":{\"Env\":{\"A\":\"1\"}}"), false, 0, 0},
    {IMAGE(",\"Config\":{\"User\":0}"), false, 0, 0},
    {IMAGE(",\"RepoDigests\":\"x\""), false, 0, 0},
    {"{\"Id\":\"" ID "\",\"Os\":\"linux\"}", false, 0, 0},
    {"{\"Id\":\"sha256:12\",\"Os\":\"linux\",\"Architecture\":\"amd64\"}", false, 0, 0},
    {"{\"Id\":\"" ID "0\",\"Os\":\"linux\",\"Architecture\":\"amd64\"}", false, 0, 0},
    {"{\"Id\":\"../x\",\"Os\":\"linux\",\"Architecture\":\"amd64\"}", false, 0, 0},
    {"{\"Os\":\"linux\",\"Architecture\":\"amd64\"}", false, 0, 0},
    {"[]", false, 0, 0},
};

static void test_images(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(images); i++) {
        autojson *json = parse(images[i].text);
        autodaemonimage image = {0};
        struct err err;

        if (answer_image(json, &image, &err) != images[i].good)
            fail_msg("%s", images[i].text);
        assert_int_equal(image.entrypoint.count, images[i].entrypoint);
        assert_int_equal(image.env.count, images[i].env);
        if (images[i].good)
            assert_string_equal(image.id, ID);
    }
}

#define STATE(members) "{\"State\":{" members "}}"

static const struct {
    const char *text;
    bool good, running;
    int code;
} states[] = {
    {STATE("\"Status\":\"exited\",\"ExitCode\":7,\"OOMKilled\":false"), true, false, 7},
    {STATE("\"Status\":\"dead\",\"ExitCode\":137,\"OOMKilled\":true"), true, false, 137},
    {STATE("\"Status\":\"running\",\"ExitCode\":0,\"OOMKilled\":false"), true, true, 0},
    {STATE("\"Status\":\"created\",\"OOMKilled\":false"), true, true, 0},
    {STATE("\"Status\":\"paused\",\"ExitCode\":0,\"OOMKilled\":false"), true, true, 0},
    {STATE("\"Status\":\"exited\",\"OOMKilled\":false"), false, false, 0},
    {STATE("\"Status\":\"exited\",\"ExitCode\":\"0\",\"OOMKilled\":false"), false, false, 0},
    {STATE("\"Status\":\"exited\",\"ExitCode\":0.0,\"OOMKilled\":false"), false, false, 0},
    {STATE("\"Status\":\"exited\",\"ExitCode\":-1,\"OOMKilled\":false"), false, false, 0},
    {STATE("\"Status\":\"exited\",\"ExitCode\":256,\"OOMKilled\":false"), false, false, 0},
    {STATE("\"Status\":\"exited\",\"ExitCode\":0"), false, false, 0},
    {STATE("\"ExitCode\":0,\"OOMKilled\":false"), false, false, 0},
    {"{\"State\":\"exited\"}", false, false, 0},
    {"{}", false, false, 0},
    {"[]", false, false, 0},
};

static void test_states(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(states); i++) {
        autojson *json = parse(states[i].text);
        struct daemon_state found = {0};
        struct err err;

        if (answer_state(json, &found, &err) != states[i].good)
            fail_msg("%s", states[i].text);
        assert_int_equal(found.running, states[i].running);
        assert_int_equal(found.exit_code, states[i].code);
    }
}

static const struct {
    const char *text;
    int code; /* -1: refused */
} waits[] = {
    {"{\"StatusCode\":0}", 0},
    {"{\"StatusCode\":255,\"Error\":null}", 255},
    {"{\"StatusCode\":3,\"Error\":{\"Message\":\"\"}}", 3},
    {"{\"StatusCode\":0,\"Error\":{\"Message\":\"gone\"}}", -1},
    {"{\"StatusCode\":256}", -1},
    {"{\"StatusCode\":-1}", -1},
    {"{\"StatusCode\":true}", -1},
    {"{}", -1},
    {"[0]", -1},
};

static void test_waits(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(waits); i++) {
        autojson *json = parse(waits[i].text);
        struct err err;
        int code = -1;

        if (answer_wait(json, &code, &err) != (waits[i].code >= 0))
            fail_msg("%s", waits[i].text);
        assert_int_equal(code, waits[i].code);
    }
}

static const struct {
    const char *text;
    int rootless; /* -1: refused */
} infos[] = {
    {"{\"SecurityOptions\":[\"name=seccomp,profile=default\",\"name=rootless\"]}", 1},
    {"{\"SecurityOptions\":[\"name=rootless,x=y\"]}", 1},
    {"{\"SecurityOptions\":[\"name=rootlessness\",\"rootless\"]}", 0},
    {"{\"SecurityOptions\":[]}", 0},
    {"{\"SecurityOptions\":[\"name=apparmor\"],\"Rootless\":true}", 1},
    {"{\"Rootless\":false}", 0},
    {"{\"SecurityOptions\":null}", 0},
    {"{}", 0},
    {"{\"SecurityOptions\":\"name=rootless\"}", -1},
    {"{\"SecurityOptions\":[true]}", -1},
};

static void test_infos(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(infos); i++) {
        autojson *json = parse(infos[i].text);
        bool rootless = false;
        struct err err;

        if (answer_rootless(json, &rootless, &err) != (infos[i].rootless >= 0))
            fail_msg("%s", infos[i].text);
        assert_int_equal(rootless, infos[i].rootless == 1);
    }
}

#define HOST(members)   "{\"HostConfig\":{" members "}}"
#define ULIMIT(members) "\"Ulimits\":[{" members "}]"
#define NOFILE          "\"Name\":\"nofile\",\"Soft\":9,\"Hard\":10"

static const struct {
    const char *asked, *has, *missing;
} limits[] = {
    {"{}", HOST(""), NULL},
    {"{}", HOST("\"Memory\":5"), NULL},
    {"{\"Memory\":5}", HOST("\"Memory\":5,\"PidsLimit\":null"), NULL},
    {"{\"Memory\":5}", HOST("\"Memory\":0"), "--memory"},
    {"{\"Memory\":5}", HOST("\"Memory\":5.0"), "--memory"},
    {"{\"CpuQuota\":50,\"PidsLimit\":9}", HOST("\"CpuQuota\":50"), "--pids-limit"},
    {"{\"CpuQuota\":50,\"PidsLimit\":9}", HOST("\"PidsLimit\":9"), "--cpus"},
    {"{" ULIMIT(NOFILE) "}", HOST(ULIMIT(NOFILE)), NULL},
    {"{" ULIMIT(NOFILE) "}", HOST(ULIMIT("\"Name\":\"RLIMIT_NOFILE\",\"Soft\":9,\"Hard\":10")),
     NULL},
    {"{" ULIMIT(NOFILE) "}", HOST(ULIMIT("\"Name\":\"nofile\",\"Soft\":9")), "--ulimit"},
    {"{" ULIMIT(NOFILE) "}", HOST("\"Ulimits\":[]"), "--ulimit"},
    {"{" ULIMIT(NOFILE) "}", HOST("\"Ulimits\":[1,{},null]"), "--ulimit"},
    {"{\"Memory\":5}", "[]", "--memory"},
    {"{\"Memory\":5}", HOST("\"Memory\":\"5\""), "--memory"},
};

static void test_limits(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(limits); i++) {
        autojson *asked = parse(limits[i].asked), *has = parse(limits[i].has);

        same(answer_limit_missing(has, asked), limits[i].missing);
    }
}

static void test_ids_and_messages(void **state)
{
    autojson *good = parse("{\"Id\":\"" HEX "\"}"), *bad = parse("{\"Id\":\"../../images\"}");
    autojson *said = parse("{\"message\":\"no \\u001b[31msuch\\nthing\"}");
    char message[ANSWER_MESSAGE_MAX];
    struct err err;

    (void)state;
    assert_string_equal(answer_container_id(good, &err), HEX);
    assert_null(answer_container_id(bad, &err));
    assert_null(answer_container_id(NULL, &err));
    answer_message(said, message);
    assert_string_equal(message, "no  [31msuch thing");
    answer_message(NULL, message);
    assert_string_equal(message, "");
}

static void test_history(void **state)
{
    autojson *history = parse("[{\"CreatedBy\":\"|1 MY_TOKEN=x /bin/sh -c echo "
                              "ENTRYPOINT\"},{\"CreatedBy\":\"ENTRYPOINT [\\\"b\\\"]\"},"
                              "{\"CreatedBy\":\"ENTRYPOINT [\\\"a\\\"]\"},{},1]");

    (void)state;
    assert_string_equal(answer_entrypoint_history(history), "ENTRYPOINT [\"b\"]");
    assert_null(answer_entrypoint_history(NULL));
}

static void test_progress(void **state)
{
    static const char line[] = "{\"status\":\"Downloading\",\"id\":\"abc\",\"progressDetail\":"
                               "{\"current\":5,\"total\":-9}}";
    static const char extracting[] = "{\"status\":\"Extracting\",\"id\":\"abc\","
                                     "\"progressDetail\":{\"current\":5,\"total\":307}}";
    static const char error[] = "{\"error\":\"denied\"}";
    struct daemon_progress progress;

    (void)state;
    assert_true(answer_progress(line, strlen(line), &progress));
    assert_string_equal(progress.layer, "abc");
    assert_int_equal(progress.what, PROGRESS_DOWNLOADING);
    assert_int_equal(progress.current, 5);
    assert_int_equal(progress.total, 0);
    assert_true(answer_progress(extracting, strlen(extracting), &progress));
    assert_int_equal(progress.what, PROGRESS_DOWNLOADING);
    assert_int_equal(progress.current, 307);
    assert_int_equal(progress.total, 307);
    assert_true(answer_progress(error, strlen(error), &progress));
    assert_string_equal(progress.error, "denied");
    assert_false(answer_progress("[]", 2, &progress));
    assert_false(answer_progress("{", 1, &progress));
}

static void test_build_lines(void **state)
{
    static const struct {
        const char *line, *id, *text;
        bool failed;
    } lines[] = {
        {"{\"stream\":\"Step 1\\nStep 2\"}", "", "Step 1\nStep 2", false},
        {"{\"aux\":{\"ID\":\"sha256:" HEX "\"}}", "sha256:" HEX, "", false},
        {"{\"aux\":{\"ID\":\"sha256:../" HEX "\"}}", "", "", false},
        {"{\"aux\":{\"ID\":\"sha256:" HEX "0\"}}", "", "", false},
        {"{\"aux\":{\"ID\":1},\"stream\":[]}", "", "", false},
        {"{\"error\":\"a\\u001bb\\nc\",\"stream\":\"d\"}", "", "a\033b\nc", true},
        {"{\"error\":\"\",\"stream\":\"d\"}", "", "d", false},
        {"{}", "", "", false},
    };
    autobuf longest = BUF_INIT(1 << 20);
    struct daemon_build build;

    (void)state;
    for (size_t i = 0; i < COUNT(lines); i++) {
        assert_true(answer_build(lines[i].line, strlen(lines[i].line), &build));
        assert_string_equal(build.id, lines[i].id);
        assert_string_equal(build.text ? build.text : "", lines[i].text);
        free(build.text);
        assert_int_equal(build.failed, lines[i].failed);
    }
    /* Nothing is cut off before secrets are masked, or the beginning of one would be shown. */
    assert_true(buf_printf(&longest, "{\"error\":\"%0*d\"}", 2 * ANSWER_MESSAGE_MAX, 0));
    assert_true(answer_build(longest.data, longest.len, &build));
    assert_int_equal(strlen(build.text), 2 * ANSWER_MESSAGE_MAX);
    free(build.text);
    assert_false(answer_build("[]", 2, &build));
    assert_false(answer_build("", 0, &build));
}

/* A header of a tar archive with what is looked at alone, and a file of one block. */
static void put_header(char *block, char type, const char *size)
{
    memset(block, 0, 512);
    block[0] = 'f';
    memcpy(block + 124, size, strlen(size));
    block[156] = type;
}

static void test_files(void **state)
{
    char archive[4 * 512] = "";
    struct buf file = {.max = ANSWER_FILE_MAX};

    (void)state;
    put_header(archive, '0', "00000000003");
    memcpy(archive + 512, "abc", 3);
    assert_true(answer_file(archive, 1024, &file));
    assert_int_equal(file.len, 3);
    buf_release(&file);
    file.max = ANSWER_FILE_MAX;
    assert_false(answer_file(archive, 514, &file)); /* cut off */
    assert_false(answer_file(archive, 511, &file));
    assert_false(answer_file(archive, 0, &file));
    put_header(archive, '2', "0"); /* a link */
    assert_false(answer_file(archive, 1024, &file));
    put_header(archive, '0', "99999999999");
    assert_false(answer_file(archive, 1024, &file));
    put_header(archive, '0', "");
    assert_false(answer_file(archive, 1024, &file));
    put_header(archive, 'x', "0000000001");
    put_header(archive + 1024, '0', "0000000001");
    archive[1536] = 'z';
    assert_true(answer_file(archive, sizeof(archive), &file));
    assert_string_equal(file.data, "z");
    buf_release(&file);
}

static void test_owners(void **state)
{
    char mine[PROCESS_TEXT_MAX], other[PROCESS_TEXT_MAX];
    struct err err;
    char *boot;

    (void)state;
    assert_ok(process_text(mine, &err));
    assert_true(container_owner_lives(mine, true));
    assert_true(container_owner_lives(mine, false));
    /* Somebody else's, or nonsense: hands off. */
    assert_true(container_owner_lives("", false));
    assert_true(container_owner_lives("1.2.3", false));
    assert_true(container_owner_lives("-1.2.3.abc", false));
    assert_true(container_owner_lives("1.2.3.not-hex!", false));
    /* Another boot: only what does not run. */
    snprintf(other, sizeof(other), "1.2.3.0000");
    assert_false(container_owner_lives(other, false));
    assert_true(container_owner_lives(other, true));
    /* This boot and namespace, and a process that began at another time. */
    boot = strchr(strchr(mine, '.') + 1, '.');
    snprintf(other, sizeof(other), "%d.1%.100s", (int)getpid(), boot);
    assert_false(container_owner_lives(other, true));
}

static void test_names(void **state)
{
    char name[CONTAINER_NAME_MAX], other[CONTAINER_NAME_MAX];
    struct err err;

    (void)state;
    assert_ok(container_name(name, &err));
    assert_ok(container_name(other, &err));
    assert_true(container_name_is_ours(name));
    assert_string_not_equal(name, other);
    assert_false(container_name_is_ours(""));
    assert_false(container_name_is_ours("stepcell-"));
    assert_false(container_name_is_ours("stepcell-0123456789abcdef0123456"));
    assert_false(container_name_is_ours("stepcell-0123456789abcdef012345678"));
    assert_false(container_name_is_ours("stepcell-0123456789abcdef0123456g"));
    assert_false(container_name_is_ours("somebody-0123456789abcdef01234567"));
}

static const char *engine_of_body = "docker";

static json_t *body_of(struct run_spec *spec, struct err *err)
{
    bool docker = strcmp(engine_of_body, "docker") == 0;
    const struct container_request request = {
        engine_of_body,         ID,     "host", docker ? "/s,c/run" : "/s/run",
        docker ? "/s,c" : "/s", "owner"};
    json_t *body = NULL;

    spec->step = "s1";
    return container_body(spec, &request, &body, err) ? body : NULL;
}

static const char *text_at(const json_t *list, size_t i, const char *key)
{
    return json_text(json_array_get(list, i), key);
}

static void test_body(void **state)
{
    struct mount mounts[] = {
        {.kind = MOUNT_BIND, .target = "/w", .source = {.resolved = "/w"}},
        {.kind = MOUNT_BIND,
         .target = "/w/p:x,y",
         .source = {.resolved = "/w/p:x,y"},
         .readonly = true},
        {.kind = MOUNT_BIND, .target = "/alias", .alias_of = "/w"},
    };
    struct mount_plan plan = {mounts, COUNT(mounts)};
    struct run_spec spec = {.plan = &plan,
                            .uid = 5,
                            .gid = 6,
                            .groups = {7},
                            .group_count = 1,
                            .capabilities = 1 << 5,
                            .network = NETWORK_PRIVATE,
                            .limits = {.memory = 1024, .pids = 9}};
    struct err err;
    autojson *body = body_of(&spec, &err);
    const json_t *host = json_object_get(body, "HostConfig"),
                 *list = json_object_get(host, "Mounts");

    (void)state;
    assert_string_equal(json_text(body, "User"), "5:6");
    assert_string_equal(json_text(body, "Image"), ID);
    assert_string_equal(json_text(json_object_get(body, "Labels"), LABEL_STEP), "s1");
    assert_int_equal(json_array_size(list), 5);
    assert_string_equal(text_at(list, 2, "Source"), "/w/p:x,y");
    assert_true(json_is_true(json_object_get(json_array_get(list, 2), "ReadOnly")));
    assert_string_equal(text_at(list, 4, "Target"), "/alias/p:x,y");
    assert_string_equal(text_at(list, 4, "Source"), "/w/p:x,y");
    assert_string_equal(json_text(host, "NetworkMode"), "bridge");
    assert_int_equal(json_integer_value(json_object_get(host, "MemorySwap")), 1024);
    assert_int_equal(json_integer_value(json_object_get(host, "PidsLimit")), 9);
    assert_string_equal(json_string_value(json_array_get(json_object_get(host, "CapAdd"), 0)),
                        "KILL");
    assert_false(json_is_true(json_object_get(host, "AutoRemove")));
}

static void test_overlay(void **state)
{
    struct mount mount = {.kind = MOUNT_COW, .target = "/p", .source = {.resolved = "/a:b\\c"}};
    struct mount_plan plan = {&mount, 1};
    struct run_spec spec = {.plan = &plan};
    struct err err;
    autojson *body = body_of(&spec, &err);
    const json_t *list = json_object_get(json_object_get(body, "HostConfig"), "Mounts");
    const json_t *volume = json_object_get(json_array_get(list, 1), "VolumeOptions");
    const json_t *driver = json_object_get(volume, "DriverConfig");

    (void)state;
    assert_string_equal(text_at(list, 1, "Type"), "volume");
    assert_null(text_at(list, 1, "Source"));
    assert_string_equal(json_text(json_object_get(driver, "Options"), "o"),
                        "lowerdir=/a\\:b\\\\c/.,upperdir=/s\\,c/upper-0,workdir=/s\\,c/work-0");
}

static void test_body_devices_and_labels(void **state)
{
    struct mount device = {.kind = MOUNT_BIND,
                           .role = MOUNT_DEVICE,
                           .target = "/dev/f",
                           .source = {.resolved = "/dev/fuse", .mode = S_IFCHR | 0664}};
    struct mount_plan plan = {&device, 1};
    autojson *labels = json_pack("[s, s]", "a=b", "stepcell.step=lie");
    struct run_spec spec = {.plan = &plan, .labels = labels};
    struct err err;
    autojson *body = body_of(&spec, &err);
    const json_t *host = json_object_get(body, "HostConfig");
    const json_t *one = json_array_get(json_object_get(host, "Devices"), 0);

    (void)state;
    assert_string_equal(json_text(one, "PathOnHost"), "/dev/fuse");
    assert_string_equal(json_text(one, "PathInContainer"), "/dev/f");
    assert_string_equal(json_text(one, "CgroupPermissions"), "rm");
    assert_int_equal(json_array_size(json_object_get(host, "Mounts")), 1); /* stepcell's own */
    assert_string_equal(json_text(json_object_get(body, "Labels"), "a"), "b");
    assert_string_equal(json_text(json_object_get(body, "Labels"), "stepcell.step"), "s1");
}

/* What is written in another way for Podman. */
static void test_podman_body(void **state)
{
    struct mount mounts[] = {
        {.kind = MOUNT_COW, .target = "/p", .source = {.resolved = "/p"}},
        {.kind = MOUNT_OWN, .role = MOUNT_SECRETS, .target = "/run/secrets"},
        {.kind = MOUNT_COW, .target = "/a:b", .source = {.resolved = "/p"}},
        {.kind = MOUNT_COW, .target = "/p", .source = {.resolved = "/p:q"}},
        {.kind = MOUNT_COW, .target = "/p", .source = {.resolved = "/p,volatile"}},
        {.kind = MOUNT_COW, .target = "/p", .source = {.resolved = "/p\\s"}},
    };
    struct mount quote = {.kind = MOUNT_BIND, .target = "/a,\"", .source = {.resolved = "/b"}};
    struct mount both = {.kind = MOUNT_BIND, .target = "/a,:", .source = {.resolved = "/b"}};
    struct mount_plan plan = {mounts, 2}, quoted = {&quote, 1}, impossible = {&both, 1};
    struct run_spec spec = {.plan = &plan, .uid = 5};
    struct run_spec with_quote = {.plan = &quoted}, without_way = {.plan = &impossible};
    struct err err;
    autojson *body = NULL;
    const json_t *host;

    (void)state;
    engine_of_body = "podman";
    body = body_of(&spec, &err);
    host = json_object_get(body, "HostConfig");
    assert_string_equal(json_string_value(json_array_get(json_object_get(host, "Binds"), 0)),
                        "/p:/p:O");
    assert_string_equal(json_text(json_object_get(host, "Tmpfs"), "/run/secrets"),
                        "rw,nosuid,nodev,noexec,mode=1777");
    assert_null(json_object_get(body, "Healthcheck"));
    json_decref(body);
    body = body_of(&with_quote, &err);
    host = json_object_get(body, "HostConfig");
    assert_string_equal(json_string_value(json_array_get(json_object_get(host, "Binds"), 0)),
                        "/b:/a,\":rw,rprivate");
    assert_int_equal(json_array_size(json_object_get(host, "Mounts")), 1);
    for (size_t i = 2; i < COUNT(mounts); i++) {
        struct mount_plan one = {mounts + i, 1};
        struct run_spec refused = {.plan = &one};

        assert_null(body_of(&refused, &err));
        assert_int_equal(err.code, ERR_OPTION_INVALID);
    }
    assert_null(body_of(&without_way, &err));
    engine_of_body = "docker";
}

/* An ordinary user's daemon: only Podman's can make the caller of somebody else than root. */
static void test_rootless_body(void **state)
{
    static const struct {
        const char *engine, *mode;
        bool rootless;
        uid_t uid;
        gid_t gid;
    } cases[] = {
        {"podman", "keep-id:uid=5,gid=6", true, 5, 6},
        {"podman", "keep-id:uid=5", true, 5, 0},
        {"podman", NULL, true, 0, 6},
        {"podman", NULL, false, 5, 6},
        {"docker", NULL, true, 5, 6},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct mount_plan plan = {0};
        struct run_spec spec = {
            .plan = &plan, .uid = cases[i].uid, .gid = cases[i].gid, .rootless = cases[i].rootless};
        autojson *body = NULL;
        struct err err;

        engine_of_body = cases[i].engine;
        body = body_of(&spec, &err);
        same(json_text(json_object_get(body, "HostConfig"), "UsernsMode"), cases[i].mode);
    }
    engine_of_body = "docker";
}

/* What the engine cannot do names it. */
static void test_body_refused(void **state)
{
    struct mount bytes = {.kind = MOUNT_BIND, .target = "/\xff", .source = {.resolved = "/\xff"}};
    struct mount alias = {.kind = MOUNT_BIND, .target = "/p", .alias_of = "/gone"};
    struct mount *const refused[] = {&bytes, &alias};
    struct mount_plan empty = {0};
    struct run_spec odd = {.plan = &empty, .capabilities = UINT64_C(1) << 21};
    struct err err;

    (void)state;
    for (size_t i = 0; i < COUNT(refused); i++) {
        struct mount_plan plan = {refused[i], 1};
        struct run_spec spec = {.plan = &plan};

        assert_null(body_of(&spec, &err));
        assert_int_equal(err.code, ERR_OPTION_INVALID);
        assert_non_null(strstr(err.message, "docker"));
    }
    assert_null(body_of(&odd, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_endpoints),     cmocka_unit_test(test_versions),
        cmocka_unit_test(test_images),        cmocka_unit_test(test_states),
        cmocka_unit_test(test_waits),         cmocka_unit_test(test_ids_and_messages),
        cmocka_unit_test(test_history),       cmocka_unit_test(test_progress),
        cmocka_unit_test(test_files),         cmocka_unit_test(test_owners),
        cmocka_unit_test(test_names),         cmocka_unit_test(test_body),
        cmocka_unit_test(test_overlay),       cmocka_unit_test(test_body_devices_and_labels),
        cmocka_unit_test(test_podman_body),   cmocka_unit_test(test_body_refused),
        cmocka_unit_test(test_infos),         cmocka_unit_test(test_limits),
        cmocka_unit_test(test_rootless_body), cmocka_unit_test(test_build_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
