#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "runtime/kubernetes/client.h"
#include "runtime/kubernetes/plugin.h"
#include "runtime/kubernetes/yaml.h"
#include "tests/unit/scratch.h"

#define V1 "client.authentication.k8s.io/v1"

static const struct {
    const char *yaml, *json; /* NULL: refused */
} texts[] = {
    {"a: 1", "{\"a\":1}"},
    {"a: -1\nb: 007\nc: 1.5\nd: ''\ne:\nf: ~", "{\"a\":-1,\"b\":\"007\",\"c\":\"1.5\",\"d\":\"\","
                                               "\"e\":null,\"f\":null}"},
    {"a: true\nb: 'true'\nc: yes", "{\"a\":true,\"b\":\"true\",\"c\":\"yes\"}"},
    {"- a\n- [b, {c: d}]\n", "[\"a\",[\"b\",{\"c\":\"d\"}]]"},
    {"{\"a\": {\"b\": [1, null]}}", "{\"a\":{\"b\":[1,null]}}"},
    {"a: |\n  b\n  c\n", "{\"a\":\"b\\nc\\n\"}"},
    {"---\na: b\n", "{\"a\":\"b\"}"},
    {"", NULL},
    {"a: 1\n---\nb: 2\n", NULL},
    {"a: &x 1\nb: 2", NULL},
    {"a: [*x]", NULL},
    {"a: !!str 1", NULL},
    {"!x a: 1", NULL},
    {"a: 1\na: 2", NULL},
    {"[a]: 1", NULL},
    {"a: \"\\0\"", NULL},
    {"\"a\\0b\": 1", NULL},
    {"a: b: c", NULL},
    {"a: [", NULL},
    {"\ta: 1", NULL},
    {"a: \xff", NULL},
    {"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", NULL},
};

static void test_yaml(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct err err = ERR_INIT;
        autojson *json = yaml_parse(texts[i].yaml, strlen(texts[i].yaml), "'x'", &err);
        autofree char *text = json ? json_dump_line(json) : NULL;

        if (!texts[i].json && json)
            fail_msg("accepted: %s", texts[i].yaml);
        if (texts[i].json && !json)
            fail_msg("%s: %s", texts[i].yaml, err.message);
        if (json)
            assert_string_equal(text, texts[i].json);
        else
            assert_int_equal(err.code, ERR_CONFIG_INVALID);
    }
}

#define AROUND(cluster, user)                                                                      \
    "current-context: a\n"                                                                         \
    "contexts: [{name: a, context: {cluster: c, user: u}}, "                                       \
    "{name: b, context: {cluster: c, user: u, namespace: steps}}]\n"                               \
    "clusters: [{name: c, cluster: {" cluster "}}]\n"                                              \
    "users: [{name: u, user: {" user "}}]\n"
#define SERVER "server: 'https://h:6443/'"

static const struct {
    const char *yaml, *context, *space;
    const char *server, *in; /* NULL: refused */
} configs[] = {
    {AROUND(SERVER, ""), NULL, NULL, "https://h:6443", "default"},
    {AROUND(SERVER, ""), "b", NULL, "https://h:6443", "steps"},
    {AROUND(SERVER, ""), "b", "other", "https://h:6443", "other"},
    {AROUND("server: 'http://127.0.0.1:1'", ""), NULL, NULL, "http://127.0.0.1:1", "default"},
    {AROUND(SERVER ", insecure-skip-tls-verify: false", ""), NULL, NULL, "https://h:6443",
     "default"},
    {AROUND(SERVER ", certificate-authority-data: YQ==", "token: t"), NULL, NULL, "https://h:6443",
     "default"},
    {AROUND(SERVER, "client-certificate-data: YQ==, client-key-data: Yg=="), NULL, NULL,
     "https://h:6443", "default"},
    {AROUND(SERVER, "client-certificate: a.crt, client-key: /a.key"), NULL, NULL, "https://h:6443",
     "default"},
    {AROUND(SERVER, "exec: {command: x, apiVersion: " V1 "}"), NULL, NULL, "https://h:6443",
     "default"},
    {AROUND(SERVER,
            "exec: {command: ./x, apiVersion: " V1 "beta1, args: [a], env: [{name: A, value: "
            "b}], interactiveMode: IfAvailable}"),
     NULL, NULL, "https://h:6443", "default"},

    {AROUND(SERVER, ""), "none", NULL, NULL, NULL},
    {AROUND(SERVER, ""), NULL, "No", NULL, NULL},
    {AROUND(SERVER, ""), NULL, "", NULL, NULL},
    {AROUND(SERVER, ""), NULL, "a/b", NULL, NULL},
    {"a: 1", NULL, NULL, NULL, NULL},
    {"current-context: ''", NULL, NULL, NULL, NULL},
    {"current-context: a\ncontexts: [{name: a, context: {}}]", NULL, NULL, NULL, NULL},
    {"current-context: a\ncontexts: [{name: a, context: {cluster: c, user: u}}]", NULL, NULL, NULL,
     NULL},
    {AROUND("", ""), NULL, NULL, NULL, NULL},
    {AROUND("server: ''", ""), NULL, NULL, NULL, NULL},
    {AROUND("server: [a]", ""), NULL, NULL, NULL, NULL},
    {AROUND("server: 'ftp://h'", ""), NULL, NULL, NULL, NULL},
    {AROUND("server: 'https://me:secret@h'", ""), NULL, NULL, NULL, NULL},
    {AROUND("server: 'http://10.0.0.1:80'", ""), NULL, NULL, NULL, NULL},
    {AROUND(SERVER ", insecure-skip-tls-verify: true", ""), NULL, NULL, NULL, NULL},
    {AROUND(SERVER ", tls-server-name: other", ""), NULL, NULL, NULL, NULL},
    {AROUND(SERVER ", proxy-url: 'http://p'", ""), NULL, NULL, NULL, NULL},
    {AROUND(SERVER ", certificate-authority-data: '*'", ""), NULL, NULL, NULL, NULL},
    {AROUND(SERVER ", certificate-authority: /nowhere/ca", ""), NULL, NULL, NULL, NULL},
    {AROUND(SERVER, "token: 'a b'"), NULL, NULL, NULL, NULL},
    {AROUND(SERVER, "token: 1"), NULL, NULL, NULL, NULL},
    {AROUND(SERVER, "username: me, password: secret"), NULL, NULL, NULL, NULL},
    {AROUND(SERVER, "auth-provider: {name: gcp}"), NULL, NULL, NULL, NULL},
    {AROUND(SERVER, "as: root"), NULL, NULL, NULL, NULL},
    {AROUND(SERVER, "client-certificate-data: YQ=="), NULL, NULL, NULL, NULL},
    {AROUND(SERVER, "client-key: /k"), NULL, NULL, NULL, NULL},
    {AROUND(SERVER, "client-certificate-data: YQ==, client-key: /k"), NULL, NULL, NULL, NULL},
    {AROUND(SERVER, "exec: {command: x}"), NULL, NULL, NULL, NULL},
    {AROUND(SERVER, "exec: {apiVersion: " V1 "}"), NULL, NULL, NULL, NULL},
    {AROUND(SERVER, "exec: {command: x, apiVersion: " V1 "alpha1}"), NULL, NULL, NULL, NULL},
    {AROUND(SERVER, "exec: {command: x, apiVersion: " V1 ", interactiveMode: Always}"), NULL, NULL,
     NULL, NULL},
    {AROUND(SERVER, "exec: {command: x, apiVersion: " V1 ", args: a}"), NULL, NULL, NULL, NULL},
    {AROUND(SERVER, "exec: {command: x, apiVersion: " V1 ", args: [1]}"), NULL, NULL, NULL, NULL},
    {AROUND(SERVER, "exec: {command: x, apiVersion: " V1 ", env: [{name: 'A=', value: b}]}"), NULL,
     NULL, NULL, NULL},
    {AROUND(SERVER, "exec: {command: x, apiVersion: " V1 ", env: [a]}"), NULL, NULL, NULL, NULL},
};

static void test_config(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(configs); i++) {
        struct err err = ERR_INIT;
        autojson *root = yaml_parse(configs[i].yaml, strlen(configs[i].yaml), "'x'", &err);
        const struct kube_file file = {"/etc/x/config", root};
        autokubeconfig config = KUBE_CONFIG_INIT;
        bool ok;

        if (!root)
            fail_msg("%s: %s", configs[i].yaml, err.message);
        ok = kube_config_take(&file, 1, configs[i].context, configs[i].space, &config, &err);
        if (ok != (configs[i].server != NULL))
            fail_msg("%s: %s", configs[i].yaml, err.message);
        if (!ok) {
            assert_int_equal(err.code, ERR_CONFIG_INVALID);
            assert_null(strstr(err.message, "secret"));
            continue;
        }
        assert_string_equal(config.server, configs[i].server);
        assert_string_equal(config.space, configs[i].in);
    }
}

static void write_file(const struct scratch *scratch, const char *name, const char *text, int mode)
{
    int fd = openat(scratch->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

    assert_true(fd >= 0 && file_write_all(fd, text, strlen(text)));
    close(fd);
}

/* Which file it is, what lies beside it, and a Pod's own account. */
static void test_finds(void **state)
{
    struct scratch scratch;
    struct err err = ERR_INIT;
    autokubeconfig config = KUBE_CONFIG_INIT, own = KUBE_CONFIG_INIT, none = KUBE_CONFIG_INIT;
    autofree char *path = NULL, *authority = NULL;
    struct kube_caller caller = {.home = "/nowhere"};

    (void)state;
    scratch_make(&scratch);
    path = text_printf("%s/config", scratch.path);
    authority = text_printf("%s/user.crt", scratch.path);
    write_file(&scratch, "ca.pem", "the authority", 0600);
    write_file(&scratch, "config",
               AROUND(SERVER ", certificate-authority: ca.pem",
                      "tokenFile: t, client-certificate: user.crt, client-key: user.key"),
               0600);
    caller.kubeconfig = path;
    assert_ok(kube_config_find(&caller, NULL, NULL, &config, &err));
    assert_string_equal(config.tls.authorities, "the authority");
    assert_string_equal(config.tls.certificate, authority);
    assert_int_equal(config.token_file[0], '/');

    caller.kubeconfig = "/nowhere/config";
    assert_refused(kube_config_find(&caller, NULL, NULL, &none, &err), ERR_CONFIG_INVALID);
    caller.kubeconfig = NULL;
    assert_refused(kube_config_find(&caller, NULL, NULL, &none, &err), ERR_CONFIG_INVALID);

    caller.service_host = "fd00::1";
    caller.service_port = "443";
    caller.service_folder = scratch.path;
    write_file(&scratch, "ca.crt", "the cluster's", 0600);
    write_file(&scratch, "namespace", "mine", 0600);
    assert_ok(kube_config_find(&caller, NULL, NULL, &own, &err));
    assert_string_equal(own.server, "https://[fd00::1]:443");
    assert_string_equal(own.space, "mine");
    kube_config_release(&none);
    none = KUBE_CONFIG_INIT;
    assert_refused(kube_config_find(&caller, "a", NULL, &none, &err), ERR_CONFIG_INVALID);
    scratch_remove(&scratch);
}

/* Several files: the first that has a name counts, and paths are beside the file that names them. */
static void test_several_files(void **state)
{
    static const struct {
        const char *names[4]; /* in the scratch directory; "" is no name at all */
        const char *server;   /* NULL: refused */
        const char *space;
    } lists[] = {
        {{"contexts", "clusters"}, "https://one:6443", "apart"},
        {{"clusters", "contexts"}, "https://one:6443", "apart"},
        {{"none", "", "contexts", "clusters"}, "https://one:6443", "apart"},
        {{"whole", "contexts", "clusters"}, "https://two:6443", "default"},
        {{"contexts", "whole", "clusters"}, "https://two:6443", "apart"},
        {{"contexts"}, NULL, NULL},
        {{"none", "nor"}, NULL, NULL},
        {{"", ""}, NULL, NULL},
        {{"broken", "whole"}, NULL, NULL},
    };
    struct scratch scratch;

    (void)state;
    scratch_make(&scratch);
    write_file(&scratch, "contexts",
               "current-context: a\ncontexts: [{name: a, context: {cluster: c, user: u, namespace: "
               "apart}}]",
               0600);
    write_file(&scratch, "clusters",
               "clusters: [{name: c, cluster: {server: 'https://one:6443'}}]\n"
               "users: [{name: u, user: {tokenFile: t}}]",
               0600);
    write_file(&scratch, "whole",
               "current-context: b\ncontexts: [{name: b, context: {cluster: c, user: u}}]\n"
               "clusters: [{name: c, cluster: {server: 'https://two:6443'}}]\n"
               "users: [{name: u, user: {tokenFile: t}}]",
               0600);
    write_file(&scratch, "broken", "a: [", 0600);
    for (size_t i = 0; i < COUNT(lists); i++) {
        autofree char *token = text_printf("%s/t", scratch.path);
        autobuf names = BUF_INIT(KUBECONFIG_MAX);
        struct kube_caller caller = {0};
        autokubeconfig config = KUBE_CONFIG_INIT;
        struct err err = ERR_INIT;

        for (size_t k = 0; k < COUNT(lists[i].names) && lists[i].names[k]; k++) {
            const char *name = lists[i].names[k];
            autofree char *path =
                text_printf("%s%s%s:", *name ? scratch.path : "", *name ? "/" : "", name);

            assert_true(buf_append(&names, path, strlen(path)));
        }
        caller.kubeconfig = names.data;
        if (!lists[i].server) {
            assert_refused(kube_config_find(&caller, NULL, NULL, &config, &err),
                           ERR_CONFIG_INVALID);
            continue;
        }
        assert_ok(kube_config_find(&caller, NULL, NULL, &config, &err));
        assert_string_equal(config.server, lists[i].server);
        assert_string_equal(config.space, lists[i].space);
        assert_string_equal(config.token_file, token);
    }
    scratch_remove(&scratch);
}

#define ANSWER(status)                                                                             \
    "{\"kind\": \"ExecCredential\", \"apiVersion\": \"" V1 "\", \"status\": " status "}"

static const struct {
    const char *text;
    bool ok;
} answers[] = {
    {ANSWER("{\"token\": \"t\"}"), true},
    {ANSWER("{\"token\": \"t\", \"expirationTimestamp\": \"2026-01-01T00:00:00Z\"}"), true},
    {ANSWER("{\"clientCertificateData\": \"a\", \"clientKeyData\": \"b\"}"), true},
    {ANSWER("{\"token\": \"t\", \"clientCertificateData\": \"a\", \"clientKeyData\": \"b\"}"),
     true},
    {"", false},
    {"{}", false},
    {"[]", false},
    {"{\"kind\": \"ExecCredential\", \"apiVersion\": \"" V1 "beta1\", \"status\": {\"token\": "
     "\"t\"}}",
     false},
    {"{\"kind\": \"Pod\", \"apiVersion\": \"" V1 "\", \"status\": {\"token\": \"t\"}}", false},
    {ANSWER("{}"), false},
    {ANSWER("null"), false},
    {ANSWER("{\"token\": 1}"), false},
    {ANSWER("{\"token\": \"a\\r\\nb\"}"), false},
    {ANSWER("{\"token\": \"t\", \"clientKeyData\": \"b\"}"), false},
    {ANSWER("{\"token\": \"t\", \"expirationTimestamp\": \"soon\"}"), false},
};

static void test_plugin_expiry(void **state)
{
    static const char *const same[] = {"2026-01-01T00:00:00Z", "2026-01-01T00:00:00.5Z",
                                       "2026-01-01T01:30:00+01:30"};

    (void)state;
    for (size_t i = 0; i < COUNT(same); i++) {
        autofree char *text =
            text_printf(ANSWER("{\"token\": \"t\", \"expirationTimestamp\": \"%s\"}"), same[i]);
        autopluginanswer answer = {0};
        struct err err = ERR_INIT;

        assert_ok(plugin_take("p", V1, text, strlen(text), &answer, &err));
        assert_int_equal(answer.expires, 1767225600);
    }
}

static void test_plugin_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(answers); i++) {
        autopluginanswer answer = {0};
        struct err err = ERR_INIT;

        if (plugin_take("p", V1, answers[i].text, strlen(answers[i].text), &answer, &err) !=
            answers[i].ok)
            fail_msg("%s: %s", answers[i].text, err.message);
        if (!answers[i].ok)
            assert_int_equal(err.code, ERR_CONFIG_INVALID);
    }
}

/* What a program sees: no input, and what it is asked for. */
static void test_plugin_runs(void **state)
{
    static const char script[] =
        "#!/bin/sh\n"
        "read line && exit 9\n"
        "case $KUBERNETES_EXEC_INFO in *'\"interactive\":false'*) ;; *) exit 8 ;; esac\n"
        "[ \"$WHO-$1\" = 'me-a b' ] || exit 7\n"
        "echo '" ANSWER("{\"token\": \"fine\"}") "'\n";
    struct scratch scratch;
    struct kube_plugin plugin = {.api_version = V1};
    autopluginanswer answer = {0}, none = {0};
    autofree char *path = NULL, *failing = NULL;
    struct err err = ERR_INIT;

    (void)state;
    scratch_make(&scratch);
    path = text_printf("%s/give", scratch.path);
    failing = text_printf("%s/fail", scratch.path);
    write_file(&scratch, "give", script, 0755);
    write_file(&scratch, "fail", "#!/bin/sh\necho '" ANSWER("{\"token\": \"t\"}") "'; exit 1\n",
               0755);
    assert_true(strv_add(&plugin.arguments, "a b") && strv_add(&plugin.environment, "WHO=me"));
    plugin.command = path;
    assert_ok(plugin_run(&plugin, &answer, &err));
    assert_string_equal(answer.token, "fine");
    plugin.command = failing;
    assert_refused(plugin_run(&plugin, &none, &err), ERR_CONFIG_INVALID);
    plugin.command = (char *)"/nowhere/give";
    assert_refused(plugin_run(&plugin, &none, &err), ERR_CONFIG_INVALID);
    strv_release(&plugin.arguments);
    strv_release(&plugin.environment);
    scratch_remove(&scratch);
}

static void test_status(void **state)
{
    struct err err = ERR_INIT;
    static const char text[] = "{\"message\": \"a\\u001b[1mb\\nc\"}";
    autojson *status = json_parse(text, strlen(text), "x", ERR_ENGINE_FAILED, &err);
    char message[KUBE_MESSAGE_MAX];

    (void)state;
    kube_status_message(status, message);
    assert_string_equal(message, "a [1mb c");
    kube_status_message(NULL, message);
    assert_string_equal(message, "");
    assert_true(kube_may_retry(429) && kube_may_retry(503) && !kube_may_retry(404) &&
                !kube_may_retry(200) && !kube_may_retry(501));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_yaml),           cmocka_unit_test(test_config),
        cmocka_unit_test(test_finds),          cmocka_unit_test(test_several_files),
        cmocka_unit_test(test_plugin_answers), cmocka_unit_test(test_plugin_runs),
        cmocka_unit_test(test_plugin_expiry),  cmocka_unit_test(test_status),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
