/* The policy: its patterns, its parser, and what it says of a step. */
#include "tests/unit/unit.h"

#include "shim/policy.h"

#define KEY                                                                                        \
    "-----BEGIN PUBLIC KEY-----\n"                                                                 \
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEFNLqFhf4fiN6o/glAuYnq2jYUeL0\n"                           \
    "vRuLu/z39pmbVwS9ff5AYnlwaP9sxREajdLY9ynM6G1sy6AAmb7Z63TsLg==\n"                               \
    "-----END PUBLIC KEY-----\n"

static char *read_key(const char *path, struct err *err)
{
    if (strcmp(path, "/key") == 0)
        return strdup(KEY);
    err_set(err, ERR_CONFIG_INVALID, "no key '%s'", path);
    return NULL;
}

static void globs(void **state)
{
    static const struct {
        const char *pattern, *text;
        bool fits;
    } table[] = {
        {"", "", true},
        {"", "a", false},
        {"a", "a", true},
        {"a", "ab", false},
        {"*", "", true},
        {"*", "abc", true},
        {"*", "a/b", false},
        {"**", "a/b/c", true},
        {"a/*", "a/b", true},
        {"a/*", "a/", true},
        {"a/*", "a", false},
        {"a/*", "a/b/c", false},
        {"a/**", "a/b/c", true},
        {"a/*/c", "a/b/c", true},
        {"a/*/c", "a/b/b/c", false},
        {"a/**/c", "a/b/b/c", true},
        {"a/**/c", "a/c", false},
        {"a?c", "abc", true},
        {"a?c", "a/c", false},
        {"?", "", false},
        {"*a*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
        {"registry.example/*", "registry.example.evil/x", false},
        {"*.example/x", "a.example/x", true},
        {"*.example/x", "evil/a.example/x", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        if (policy_glob(table[i].pattern, table[i].text) != table[i].fits)
            fail_msg("'%s' and '%s'", table[i].pattern, table[i].text);
    }
}

static void guards_the_stores_that_are_believed(void **state)
{
    static const struct {
        const char *stores, *path; /* stores of the policy, or NULL */
        bool guarded;
    } table[] = {
        {NULL, "/var/lib/stepcell/references", true},
        {NULL, "/home/u/.local/share/stepcell/oci/index.json", true},
        {NULL, "/work/store/steps", true},
        {NULL, "/home/u/other", false},
        {"/data/*", "/data/store/oci", true},
        {"/data/*", "/work/store/steps", true},
        {"/data/*", "/var/lib/stepcell/references", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        autopolicy policy = {.exists = true};
        autostrv places = {0};
        struct err err;

        if (table[i].stores) {
            policy.parts = PART_STORES;
            assert_true(strv_add(&policy.stores, table[i].stores));
        }
        assert_true(policy_guarded_places(&policy, "/work/store", "/home/u", &places, &err));
        if (!policy_find_guarded(&places, table[i].path) == table[i].guarded)
            fail_msg("'%s'", table[i].path);
    }
}

static void guarded_places(void **state)
{
    static const struct {
        const char *place, *path;
        bool touches;
    } table[] = {
        {"/srv/store", "/srv/store", true},
        {"/srv/store", "/srv", true},
        {"/srv/store", "/", true},
        {"/srv/store", "/srv/store/x/y", true},
        {"/srv/store", "/srv/stores", false},
        {"/srv/store", "/srv/sto", false},
        {"/srv/store", "/srv/other", false},
        {"/srv/*/lock", "/srv", true},
        {"/srv/*/lock", "/srv/a", true},
        {"/srv/*/lock", "/srv/a/lock", true},
        {"/srv/*/lock", "/srv/a/b", false},
        {"/srv/*/lock", "/srv/a/b/lock", false},
        {"/srv/*.json", "/srv/work", false},
        {"/srv/*.json", "/srv", true},
        {"/srv/**/lock", "/srv/a/b", true},
        {"/srv/**/lock", "/srw", false},
        {"**", "/srv", true},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        if (policy_glob_touches(table[i].place, table[i].path) != table[i].touches)
            fail_msg("'%s' and '%s'", table[i].place, table[i].path);
    }
}

static void image_patterns(void **state)
{
    static const struct {
        const char *given, *full; /* NULL: refused */
    } table[] = {
        {"debian", "docker.io/library/debian"},
        {"octopus/tools", "docker.io/octopus/tools"},
        {"octopus/*", "docker.io/octopus/*"},
        {"docker.io/library/*", "docker.io/library/*"},
        {"index.docker.io/library/debian", "docker.io/library/debian"},
        {"Registry-1.Docker.io:443/library/debian", "docker.io/library/debian"},
        {"registry.example/**", "registry.example/**"},
        {"Registry.Example:443/**", "registry.example/**"},
        {"Reg/x", "reg/x"},
        {"*.example/x", "*.example/x"},
        {"localhost/x", "localhost/x"},
        {"127.0.0.1:5000/x", "127.0.0.1:5000/x"},
        {"**", "**"},
        {"oci:/srv/**", "oci:/srv/**"},
        {"docker-archive:/srv/x.tar", "docker-archive:/srv/x.tar"},
        {"", NULL},
        {"*", NULL},
        {"deb*", NULL},
        {"debian:12", NULL},
        {"registry.example/x:1", NULL},
        {"registry.example:5000", NULL},
        {"x@sha256:0", NULL},
        {"/x", NULL},
        {"x/", NULL},
        {"registry.example//x", NULL},
        {"oci:relative", NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        autofree char *full = policy_image_pattern(table[i].given);

        if (!table[i].full != !full || (full && strcmp(full, table[i].full) != 0))
            fail_msg("'%s' is '%s'", table[i].given, full ? full : "refused");
    }
}

static void lines(void **state)
{
    static const char text[] =
        "\n{\"a\": [\n  1,\n  {\"b\\\"\": \"}],\",\n   \"c\": []}\n],\n\"d\": 1}";
    static const struct {
        const char *path;
        unsigned int line;
    } table[] = {
        {"", 2},
        {POLICY_STEP "a", 2},
        {POLICY_STEP "a" POLICY_STEP "0", 3},
        {POLICY_STEP "a" POLICY_STEP "1", 4},
        {POLICY_STEP "a" POLICY_STEP "1" POLICY_STEP "c", 5},
        {POLICY_STEP "d", 7},
        /* What is not there is where its parent is. */
        {POLICY_STEP "x", 2},
        {POLICY_STEP "a" POLICY_STEP "7", 2},
        {POLICY_STEP "d" POLICY_STEP "x", 7},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++)
        assert_int_equal(policy_line(text, table[i].path), table[i].line);
}

static void parse(const char *rest, struct policy *policy)
{
    autofree char *text =
        text_printf("{\"schema\": \"stepcell.policy/1\"%s%s}", *rest ? ", " : "", rest);
    struct err err;

    assert_ok(policy_parse(text, strlen(text), "file", read_key, policy, &err));
}

/* JSON's own numbers are not taken, and the message says so. */
static void users_are_texts(void **state)
{
    static const char *const bad[] = {"1000",    "\"\"",   "\"x\"", "\"-1\"",
                                      "\"9-5\"", "\"1-\"", "null"};

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        autofree char *text =
            text_printf("{\"schema\": \"stepcell.policy/1\", \"users\": [%s]}", bad[i]);
        autopolicy policy = {0};
        struct err err;

        assert_refused(policy_parse(text, strlen(text), "file", read_key, &policy, &err),
                       ERR_CONFIG_INVALID);
        assert_non_null(strstr(err.message, "must be a text: a number such as '1000'"));
    }
}

static void keys_get_ids(void **state)
{
    autopolicy policy = {0};

    (void)state;
    parse("\"images\": [{\"match\": \"**\", \"action\": \"allow\", \"signed_by\": [\"/key\"]}]",
          &policy);
    /* openssl pkey -pubin -outform DER | sha256sum */
    assert_string_equal(policy.images[0].demand.keys[0].id,
                        "sha256:c87a79018f346cc02482448b77296b0bea143ef2ccab99b04776fb0f638f301f");
}

static void bad_keys_are_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "x",
        KEY KEY,
        "x" KEY,
        KEY "x",
        "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n",
        "-----BEGIN PUBLIC KEY-----\n*\n-----END PUBLIC KEY-----\n",
        "-----BEGIN EC PRIVATE KEY-----\nMHcC\n-----END EC PRIVATE KEY-----\n",
        KEY "-----BEGIN EC PRIVATE KEY-----\nMHcC\n-----END EC PRIVATE KEY-----\n",
    };
    struct err err;

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct signature_key key;

        assert_refused(policy_take_key("key", strdup(texts[i]), &key, &err), ERR_CONFIG_INVALID);
    }
}

/* ---- steps ---- */

#define DIGEST "@sha256:634a8f35b5f16dcf4aaa0822adc0b1964bb786fca12f6831de8ddc45e5986a00"

/* One fact changed in a step that is plain otherwise. */
struct fact {
    const char *image; /* "debian:12" by default */
    const char *lock, *locked_tag;
    bool asks_digest;
    const char *store; /* "/var/lib/stepcell" by default */
    uid_t caller;
    enum policy_engine engine;
    const char *host, *seccomp;
    bool chooses_cluster;
    enum network_mode network;
    uint64_t capabilities, memory, timeout_ms, keep_ms;
    const char *source;
    bool writable, clears;
    uid_t uid;
    gid_t gid;
};

#define LOCKED(asked, tag)                                                                         \
    {                                                                                              \
        .image = "tool:" asked DIGEST, .lock = "/l", .locked_tag = tag                             \
    }
#define LOCKED_DIGEST(tag)                                                                         \
    {                                                                                              \
        .image = "tool" DIGEST, .lock = "/l", .locked_tag = tag, .asks_digest = true               \
    }
#define TAGS(action, tag)                                                                          \
    "\"locks\": [\"/l\"], \"images\": [{\"match\": \"**\", \"tags\": [\"" tag                      \
    "\"], \"action\": \"" action "\"}, {\"match\": \"**\", \"action\": \"allow\"}]"
#define CLUSTER "\"engines\": {\"kubernetes\": \"/etc/k\"}"
#define DENY_EXAMPLE                                                                               \
    "\"images\": [{\"match\": \"registry.example/**\", \"action\": \"deny\"}, "                    \
    "{\"match\": \"**\", \"action\": \"allow\"}]"

static const struct {
    const char *policy;
    struct fact fact;
    enum err_code code; /* ERR_NONE: allowed */
    const char *rule;   /* its beginning */
} steps[] = {
    {"", {0}, ERR_NONE, "no 'images'"},
    {"", {.clears = true}, ERR_POLICY_DENIED, "no 'images'"},
    {"", {.store = "/srv/other"}, ERR_POLICY_DENIED, "stores"},
    {"", {.store = "/var/lib/stepcell/cells/0/upper/store"}, ERR_POLICY_DENIED, "stores"},
    {"", {.caller = 7}, ERR_POLICY_DENIED, "stores"},
    {"", {.caller = 7, .store = "/home/u/.local/share/stepcell"}, ERR_NONE, "no 'images'"},
    {"", {.store = "/home/u/.local/share/stepcell"}, ERR_POLICY_DENIED, "stores"},
    {"\"stores\": []", {0}, ERR_POLICY_DENIED, "stores"},
    {"\"stores\": [\"/srv/*\"]", {.store = "/srv/a"}, ERR_NONE, "no 'images'"},
    {"\"stores\": [\"/srv/*\"]", {.store = "/srv/a/b"}, ERR_POLICY_DENIED, "stores"},
    {"\"stores\": [\"~/s\"]", {.store = "/home/u/s"}, ERR_NONE, "no 'images'"},
    {"\"stores\": [\"~/s\"]", {.store = "/home/user/s"}, ERR_POLICY_DENIED, "stores"},
    {"", {.engine = POLICY_DOCKER}, ERR_POLICY_DENIED, "engines"},
    {"\"engines\": {}", {0}, ERR_POLICY_DENIED, "engines"},
    {"\"engines\": {\"native\": false}", {0}, ERR_POLICY_DENIED, "engines"},
    {"\"engines\": {\"docker\": [\"unix:///run/*.sock\"]}",
     {.engine = POLICY_DOCKER, .host = "unix:///run/docker.sock"},
     ERR_NONE,
     "no 'images'"},
    {"\"engines\": {\"docker\": [\"unix:///run/*.sock\"]}",
     {.engine = POLICY_DOCKER, .host = "unix:///run/user/docker.sock"},
     ERR_POLICY_DENIED,
     "engines"},
    {"\"engines\": {\"docker\": [\"unix:///run/*.sock\"]}",
     {.engine = POLICY_DOCKER},
     ERR_POLICY_DENIED,
     "engines"},
    {"\"engines\": {\"docker\": [\"unix:///run/**\"]}",
     {.engine = POLICY_DOCKER, .host = "unix:///run/../x.sock"},
     ERR_POLICY_DENIED,
     "engines"},
    {"\"engines\": {\"docker\": [\"unix:///**\"]}",
     {.engine = POLICY_PODMAN, .host = "x"},
     ERR_POLICY_DENIED,
     "engines"},
    {"", {.engine = POLICY_KUBERNETES}, ERR_POLICY_DENIED, "engines"},
    {CLUSTER, {0}, ERR_POLICY_DENIED, "engines"},
    {CLUSTER, {.engine = POLICY_KUBERNETES, .host = "/etc/k"}, ERR_NONE, "no 'images'"},
    {CLUSTER, {.engine = POLICY_KUBERNETES}, ERR_POLICY_DENIED, "engines"},
    {CLUSTER, {.engine = POLICY_KUBERNETES, .host = "/home/u/k"}, ERR_POLICY_DENIED, "engines"},
    {CLUSTER,
     {.engine = POLICY_KUBERNETES, .host = "/etc/k", .chooses_cluster = true},
     ERR_POLICY_DENIED,
     "engines"},
    {CLUSTER ", \"networks\": [\"private\"]",
     {.engine = POLICY_KUBERNETES, .host = "/etc/k"},
     ERR_POLICY_DENIED,
     "networks"},
    {CLUSTER ", \"limits\": {\"pids\": {\"required\": true}}",
     {.engine = POLICY_KUBERNETES, .host = "/etc/k"},
     ERR_POLICY_DENIED,
     "limits.pids (line 1)"},
    {"\"images\": []", {0}, ERR_IMAGE_DENIED, "none of the images"},
    {"\"images\": [{\"match\": \"debian\", \"action\": \"allow\"}]", {0}, ERR_NONE, "images[0]"},
    {"\"images\": [{\"match\": \"debian\", \"action\": \"allow\"}]",
     {.image = "evil/library/debian"},
     ERR_IMAGE_DENIED,
     "none of the images"},
    {"\"images\": [{\"match\": [\"x\", \"library/*\"], \"action\": \"deny\"}, {\"match\": \"**\", "
     "\"action\": \"allow\"}]",
     {0},
     ERR_IMAGE_DENIED,
     "images[0]"},
    {"\"images\": [{\"match\": \"**\", \"action\": \"allow\"}]",
     {.image = "oci:/nowhere/layout"},
     ERR_IMAGE_DENIED,
     "none of the images"},
    {"\"images\": [{\"match\": \"oci:/nowhere/*\", \"action\": \"allow\"}]",
     {.image = "oci:/nowhere/layout:tag"},
     ERR_NONE,
     "images[0]"},
    {DENY_EXAMPLE, {.image = "registry.example:5000/x"}, ERR_NONE, "images[1]"},
    {DENY_EXAMPLE, {.image = "registry.example/x"}, ERR_IMAGE_DENIED, "images[0]"},
    {DENY_EXAMPLE, {.image = "Registry.EXAMPLE/x"}, ERR_IMAGE_DENIED, "images[0]"},
    {DENY_EXAMPLE, {.image = "registry.example:443/x"}, ERR_IMAGE_DENIED, "images[0]"},
    {"\"images\": [{\"match\": \"**\", \"tags\": [\"12*\"], \"action\": \"allow\"}]",
     {0},
     ERR_NONE,
     "images[0]"},
    {"\"images\": [{\"match\": \"**\", \"tags\": [\"12*\"], \"action\": \"allow\"}]",
     {.image = "debian:12" DIGEST},
     ERR_IMAGE_DENIED,
     "none of the images"},
    {"\"images\": [{\"match\": \"**\", \"action\": \"allow\", \"pinned\": \"digest\"}]",
     {0},
     ERR_IMAGE_UNPINNED,
     "images[0]"},
    {"\"images\": [{\"match\": \"**\", \"action\": \"allow\", \"pinned\": \"digest\"}]",
     {.image = "debian" DIGEST},
     ERR_NONE,
     "images[0]"},
    {"\"images\": [{\"match\": \"**\", \"action\": \"allow\", \"pinned\": \"digest\"}]",
     {.image = "debian" DIGEST, .lock = "/work/stepcell.lock"},
     ERR_POLICY_DENIED,
     "locks"},
    {"\"images\": [{\"match\": \"**\", \"action\": \"allow\", \"pinned\": \"lock\"}]",
     {.image = "debian" DIGEST},
     ERR_IMAGE_UNPINNED,
     "images[0]"},
    {"\"locks\": [\"/work/*.lock\"], \"images\": [{\"match\": \"**\", \"action\": \"allow\", "
     "\"pinned\": \"lock\"}]",
     {.image = "debian" DIGEST, .lock = "/work/stepcell.lock"},
     ERR_NONE,
     "images[0]"},
    /* What is judged is the tag that is locked; for a denial the one that was asked for counts too. */
    {TAGS("deny", "7.7.*"), LOCKED("7", "7.7.2"), ERR_IMAGE_DENIED, "images[0]"},
    {TAGS("deny", "7"), LOCKED("7", "7.7.2"), ERR_IMAGE_DENIED, "images[0]"},
    {TAGS("deny", "8"), LOCKED("7", "7.7.2"), ERR_NONE, "images[1]"},
    {TAGS("allow", "7.7.*"), LOCKED("7", "7.7.2"), ERR_NONE, "images[0]"},
    {TAGS("allow", "7"), LOCKED("7", "7.7.2"), ERR_NONE, "images[1]"},
    {TAGS("deny", "7.7.*"), LOCKED_DIGEST("7.7.2"), ERR_IMAGE_DENIED, "images[0]"},
    {TAGS("allow", "7.7.*"), LOCKED_DIGEST("7.7.2"), ERR_NONE, "images[1]"},
    {"\"images\": [{\"match\": \"**\", \"action\": \"allow\"}]",
     {.clears = true},
     ERR_POLICY_DENIED,
     "images[0]"},
    {"\"images\": [{\"match\": \"**\", \"action\": \"allow\", \"clear_entrypoint\": true}]",
     {.clears = true},
     ERR_NONE,
     "images[0]"},
    {"\"networks\": [\"none\"]", {0}, ERR_POLICY_DENIED, "networks"},
    {"\"networks\": [\"none\"]", {.network = NETWORK_NONE}, ERR_NONE, "no 'images'"},
    {"\"capabilities\": []", {0}, ERR_NONE, "no 'images'"},
    {"\"capabilities\": [\"CHOWN\"]", {.capabilities = 1}, ERR_NONE, "no 'images'"},
    {"\"capabilities\": [\"CHOWN\"]", {.capabilities = 3}, ERR_POLICY_DENIED, "capabilities"},
    {"", {.seccomp = "/p.json"}, ERR_POLICY_DENIED, "seccomp"},
    {"\"seccomp\": [\"/*.json\"]", {.seccomp = "/p.json"}, ERR_NONE, "no 'images'"},
    {"\"limits\": {\"memory\": {\"required\": true}}", {0}, ERR_POLICY_DENIED, "limits.memory"},
    {"\"limits\": {\"memory\": {\"required\": true}}",
     {.memory = UINT64_C(1) << 40},
     ERR_NONE,
     "no 'images'"},
    {"\"limits\": {\"memory\": {\"max\": \"1g\"}}", {0}, ERR_POLICY_DENIED, "limits.memory"},
    {"\"limits\": {\"memory\": {\"max\": \"1g\"}}", {.memory = 1 << 30}, ERR_NONE, "no 'images'"},
    {"\"limits\": {\"memory\": {\"max\": \"1g\"}}",
     {.memory = (1 << 30) + 1},
     ERR_POLICY_DENIED,
     "limits.memory"},
    {"\"limits\": {\"timeout\": {\"max\": \"1h\"}}",
     {.timeout_ms = 1, .keep_ms = 3600000},
     ERR_POLICY_DENIED,
     "limits.timeout"},
    {"\"limits\": {\"timeout\": {\"max\": \"1h\"}}",
     {.keep_ms = 1},
     ERR_POLICY_DENIED,
     "limits.timeout"},
    {"\"limits\": {\"timeout\": {\"max\": \"1h\"}}",
     {.timeout_ms = 1800000, .keep_ms = 1800000},
     ERR_NONE,
     "no 'images'"},
    {"\"limits\": {\"timeout\": {\"max\": \"1h\"}}",
     {.timeout_ms = 3600001},
     ERR_POLICY_DENIED,
     "limits.timeout"},
    {"\"mounts\": []", {0}, ERR_NONE, "no 'images'"},
    {"\"mounts\": []", {.source = "/srv"}, ERR_MOUNT_DENIED, "none of the mounts"},
    {"\"mounts\": [{\"tree\": \"/srv/work\", \"access\": \"write\"}]",
     {.source = "/srv/work/a", .writable = true},
     ERR_NONE,
     "no 'images'"},
    {"\"mounts\": [{\"tree\": \"/srv/work\", \"access\": \"write\"}]",
     {.source = "/srv/workspace"},
     ERR_MOUNT_DENIED,
     "none of the mounts"},
    {"\"mounts\": [{\"tree\": \"/srv/work\", \"access\": \"write\"}]",
     {.source = "/srv"},
     ERR_MOUNT_DENIED,
     "none of the mounts"},
    {"\"mounts\": [{\"tree\": \"/\", \"access\": \"read\"}, {\"tree\": \"/srv\", \"access\": "
     "\"write\"}]",
     {.source = "/srv/a", .writable = true},
     ERR_NONE,
     "no 'images'"},
    {"\"mounts\": [{\"tree\": \"/\", \"access\": \"read\"}, {\"tree\": \"/srv\", \"access\": "
     "\"write\"}]",
     {.source = "/opt", .writable = true},
     ERR_MOUNT_DENIED,
     "mounts[0]"},
    {"\"mounts\": [{\"tree\": \"/srv\", \"access\": \"write\"}, {\"tree\": \"/srv/a/keys\", "
     "\"access\": \"none\"}]",
     {.source = "/srv/a"},
     ERR_MOUNT_DENIED,
     "mounts[1]"},
    {"\"mounts\": [{\"tree\": \"/srv\", \"access\": \"write\"}, {\"tree\": \"/srv/a/keys\", "
     "\"access\": \"none\"}]",
     {.source = "/srv/b"},
     ERR_NONE,
     "no 'images'"},
    {"\"users\": []", {0}, ERR_POLICY_DENIED, "users"},
    {"\"users\": [\"1\", \"5-9\"]", {.uid = 9}, ERR_NONE, "no 'images'"},
    {"", {.source = "/etc/stepcell", .writable = true}, ERR_MOUNT_DENIED, "guarded places"},
    {"", {.source = "/etc/stepcell"}, ERR_NONE, "no 'images'"},
    {"\"mounts\": [{\"tree\": \"/\", \"access\": \"write\"}]",
     {.source = "/var", .writable = true},
     ERR_MOUNT_DENIED,
     "guarded places"},
    {"\"users\": [\"1\", \"5-9\"]", {.uid = 10}, ERR_POLICY_DENIED, "users"},
    {"\"groups\": [\"5\"]", {.gid = 0}, ERR_POLICY_DENIED, "groups"},
};

static bool judge(const struct policy *policy, const struct fact *fact,
                  struct policy_verdict *verdict, struct err *err)
{
    autoreference reference = {0};
    autofree char *name = NULL;
    const struct policy_source source = {fact->source, fact->writable};
    char *places[] = {"/etc/stepcell", "/var/lib/stepcell"};
    const struct strv guarded = {.items = places, .count = COUNT(places)};
    struct policy_facts facts = {
        .lock_file = fact->lock,
        .locked_tag = fact->locked_tag,
        .asks_digest = fact->asks_digest,
        .clears_entrypoint = fact->clears,
        .store = fact->store ? fact->store : "/var/lib/stepcell",
        .home = "/home/u",
        .caller = fact->caller,
        .engine = fact->engine,
        .engine_host = fact->host,
        .chooses_cluster = fact->chooses_cluster,
        .network = fact->network,
        .capabilities = fact->capabilities,
        .seccomp = fact->seccomp,
        .limits = {.memory = fact->memory},
        .timeout_ms = fact->timeout_ms,
        .keep_ms = fact->keep_ms,
        .sources = &source,
        .source_count = fact->source != NULL,
        .guarded = &guarded,
        .knows_user = true,
        .uid = fact->uid,
        .gid = fact->gid,
    };

    if (!reference_parse(fact->image ? fact->image : "debian:12", "/", &reference, err))
        fail_msg("%s", err->message);
    name = policy_image_name(&reference);
    facts.reference = &reference;
    facts.image = name;
    return policy_check(policy, &facts, read_key, verdict, err);
}

static void what_a_policy_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(steps); i++) {
        autopolicy policy = {0};
        autoverdict verdict = {0};
        struct err err = ERR_INIT;
        bool allowed;

        parse(steps[i].policy, &policy);
        allowed = judge(&policy, &steps[i].fact, &verdict, &err);
        if (allowed != (steps[i].code == ERR_NONE) || (!allowed && err.code != steps[i].code) ||
            strncmp(verdict.rule, steps[i].rule, strlen(steps[i].rule)) != 0)
            fail_msg("step %zu: %s, '%s' by '%s'", i, steps[i].policy,
                     allowed ? "allowed" : err.message, verdict.rule);
    }
}

/* A link on the way of a rule's own tree takes away, and gives nothing. */
static void trees_behind_links(void **state)
{
    const struct fact inside = {.source = "/real/x"}, all = {.source = "/real"};
    autopolicy policy = {0};
    autoverdict verdict = {0}, second = {0}, third = {0};
    struct err err;

    (void)state;
    parse("\"mounts\": [{\"tree\": \"/link\", \"access\": \"write\"}]", &policy);
    policy.mounts[0].resolved = strdup("/real");
    assert_refused(judge(&policy, &inside, &verdict, &err), ERR_MOUNT_DENIED);
    policy_release(&policy);
    parse("\"mounts\": [{\"tree\": \"/link\", \"access\": \"none\"}, {\"tree\": \"/\", \"access\": "
          "\"write\"}]",
          &policy);
    policy.mounts[0].resolved = strdup("/real/x");
    assert_refused(judge(&policy, &inside, &second, &err), ERR_MOUNT_DENIED);
    assert_refused(judge(&policy, &all, &third, &err), ERR_MOUNT_DENIED);
}

static void no_policy_says_nothing(void **state)
{
    const struct policy policy = {0};
    const struct fact fact = {.store = "/anywhere", .engine = POLICY_DOCKER, .clears = true};
    autoverdict verdict = {0};
    struct err err;

    (void)state;
    assert_ok(judge(&policy, &fact, &verdict, &err));
    assert_null(verdict.file);
}

#define KEYS(keys)                                                                                 \
    "{\"default\": [{\"type\": \"reject\"}], \"transports\": {\"docker\": {\"docker.io\": "        \
    "[{\"type\": \"sigstoreSigned\", " keys "}]}}}"
#define SIGNED(rest)                                                                               \
    "{\"default\": [{\"type\": \"reject\"}], \"transports\": {\"docker\": {\"docker.io\": "        \
    "[{\"type\": \"sigstoreSigned\", \"keyPath\": \"/key\"" rest "}]}}}"
#define IDENTITY(rest) SIGNED(", \"signedIdentity\": {\"type\": " rest "}")
#define SCOPE(scope, type)                                                                         \
    "{\"default\": [{\"type\": \"reject\"}], \"transports\": {\"docker\": {\"" scope               \
    "\": [{\"type\": \"" type "\"}]}}}"
#define ACCEPT "insecureAcceptAnything"
#define REJECTED(scope)                                                                            \
    "{\"default\": [{\"type\": \"" ACCEPT "\"}], \"transports\": {\"docker\": {\"" scope           \
    "\": [{\"type\": \"reject\"}], \"*.example\": [{\"type\": \"" ACCEPT "\"}]}}}"

#define HIDDEN(accepted, rejected)                                                                 \
    "{\"default\": [{\"type\": \"reject\"}], \"transports\": {\"docker\": {\"" accepted            \
    "\": [{\"type\": \"" ACCEPT "\"}], \"" rejected "\": [{\"type\": \"reject\"}]}}}"

static void what_the_other_file_says(void **state)
{
    static const struct {
        const char *policy, *image;
        enum err_code code;
        size_t demands;
        enum signature_identity identity;
        const char *name;
    } table[] = {
        {"{\"default\": [{\"type\": \"" ACCEPT "\"}]}", "debian", ERR_NONE, 0, 0, NULL},
        {"{\"default\": [{\"type\": \"reject\"}]}", "debian", ERR_IMAGE_DENIED, 0, 0, NULL},
        {"{\"default\": [{\"type\": \"" ACCEPT "\"}, {\"type\": \"reject\"}]}", "debian",
         ERR_IMAGE_DENIED, 0, 0, NULL},
        {SCOPE("docker.io/library/debian:12", ACCEPT), "debian:12", ERR_NONE, 0, 0, NULL},
        {SCOPE("docker.io/library/debian:12", ACCEPT), "debian:11", ERR_IMAGE_DENIED, 0, 0, NULL},
        {SCOPE("docker.io/library/debian", ACCEPT), "debian:11", ERR_NONE, 0, 0, NULL},
        {SCOPE("docker.io/library/deb", ACCEPT), "debian:11", ERR_IMAGE_DENIED, 0, 0, NULL},
        {SCOPE("docker.io/library", ACCEPT), "debian", ERR_NONE, 0, 0, NULL},
        {SCOPE("docker.io", ACCEPT), "debian", ERR_NONE, 0, 0, NULL},
        {SCOPE("docker.io", ACCEPT), "docker.io.evil/x", ERR_IMAGE_DENIED, 0, 0, NULL},
        {SCOPE("*.b.example", ACCEPT), "a.b.example/x", ERR_NONE, 0, 0, NULL},
        {SCOPE("*.example", ACCEPT), "a.b.example/x", ERR_NONE, 0, 0, NULL},
        {SCOPE("*.example", ACCEPT), "example/x", ERR_IMAGE_DENIED, 0, 0, NULL},
        {SCOPE("", ACCEPT), "a.b.example/x", ERR_NONE, 0, 0, NULL},
        {REJECTED("a.example"), "A.example/x", ERR_IMAGE_DENIED, 0, 0, NULL},
        {REJECTED("a.example"), "a.example:443/x", ERR_IMAGE_DENIED, 0, 0, NULL},
        {REJECTED("a.example:5000"), "a.example:5000/x", ERR_IMAGE_DENIED, 0, 0, NULL},
        {HIDDEN("", "*.example"), "a.example:5000/x", ERR_IMAGE_DENIED, 0, 0, NULL},
        {HIDDEN("", "*.b.example"), "a.b.example:443/x", ERR_IMAGE_DENIED, 0, 0, NULL},
        {HIDDEN("", "*.example:5000"), "a.example:5000/x", ERR_NONE, 0, 0, NULL},
        {REJECTED("b.test:443"), "b.test:443/x", ERR_IMAGE_DENIED, 0, 0, NULL},
        {SCOPE("", ACCEPT), "oci:/x", ERR_IMAGE_DENIED, 0, 0, NULL},
        {SCOPE("docker.io", "signedBy"), "debian", ERR_IMAGE_DENIED, 0, 0, NULL},
        {SIGNED(""), "debian:12", ERR_NONE, 1, IDENTITY_EXACT, "docker.io/library/debian:12"},
        {SIGNED(""), "debian" DIGEST, ERR_NONE, 1, IDENTITY_REPOSITORY, "docker.io/library/debian"},
        {IDENTITY("\"matchRepository\""), "debian", ERR_NONE, 1, IDENTITY_REPOSITORY,
         "docker.io/library/debian"},
        {IDENTITY("\"matchExact\""), "debian", ERR_NONE, 1, IDENTITY_EXACT,
         "docker.io/library/debian:latest"},
        {IDENTITY("\"matchExact\""), "debian" DIGEST, ERR_IMAGE_DENIED, 0, 0, NULL},
        {IDENTITY("\"exactRepository\", \"dockerRepository\": \"r.example/x\""), "debian", ERR_NONE,
         1, IDENTITY_REPOSITORY, "r.example/x"},
        {HIDDEN("127.0.0.1", "127.0.0.1:443/bad"), "127.0.0.1:443/bad", ERR_IMAGE_DENIED, 0, 0,
         NULL},
        {HIDDEN("127.0.0.1", "127.0.0.1:443/bad"), "127.0.0.1:443/good", ERR_NONE, 0, 0, NULL},
        {HIDDEN("reg.example", "Reg.Example/bad"), "Reg.Example/bad", ERR_IMAGE_DENIED, 0, 0, NULL},
        {HIDDEN("Reg.Example", "reg.example/bad"), "Reg.Example/bad", ERR_IMAGE_DENIED, 0, 0, NULL},
        {IDENTITY("\"exactRepository\""), "debian", ERR_CONFIG_INVALID, 0, 0, NULL},
        {IDENTITY("\"exactReference\", \"dockerReference\": \"r.example/x:1\""), "debian", ERR_NONE,
         1, IDENTITY_EXACT, "r.example/x:1"},
        {IDENTITY("\"remapIdentity\", \"prefix\": \"x\", \"signedPrefix\": \"y\""), "debian",
         ERR_IMAGE_DENIED, 0, 0, NULL},
        {SIGNED(", \"fulcio\": {}"), "debian", ERR_IMAGE_DENIED, 0, 0, NULL},
        {SIGNED(", \"rekorPublicKeyPath\": \"/x\""), "debian", ERR_IMAGE_DENIED, 0, 0, NULL},
        {KEYS("\"keyPaths\": [\"/key\", \"/key\"]"), "debian:12", ERR_NONE, 1, IDENTITY_EXACT,
         "docker.io/library/debian:12"},
        {KEYS("\"keyData\": \"eA==\""), "debian", ERR_CONFIG_INVALID, 0, 0, NULL},
        {KEYS("\"keyPaths\": [\"/missing\"]"), "debian", ERR_CONFIG_INVALID, 0, 0, NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        const struct fact fact = {.image = table[i].image};
        autopolicy policy = {0};
        autoverdict verdict = {0};
        struct err err = ERR_INIT;
        bool allowed;

        policy.containers =
            policy_parse_containers(table[i].policy, strlen(table[i].policy), "file", &err);
        assert_non_null(policy.containers);
        allowed = judge(&policy, &fact, &verdict, &err);
        if (allowed != (table[i].code == ERR_NONE) || (!allowed && err.code != table[i].code) ||
            (allowed && verdict.demand_count != table[i].demands) ||
            (table[i].name && (verdict.demands[0]->identity != table[i].identity ||
                               strcmp(verdict.demands[0]->name, table[i].name) != 0)))
            fail_msg("row %zu: %s: %s", i, table[i].policy, allowed ? "allowed" : err.message);
    }
}

static void keys_are_named_in_one_way(void **state)
{
    static const char *const bad[] = {
        KEYS("\"keyPath\": \"/key\", \"keyPaths\": [\"/key\"]"),
        KEYS("\"keyPath\": \"/key\", \"keyData\": \"eA==\""),
        KEYS("\"keyPaths\": \"/key\""),
        KEYS("\"keyPaths\": []"),
        KEYS("\"keyPaths\": [1]"),
        KEYS("\"keyPath\": [\"/key\"]"),
    };

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct err err = ERR_INIT;

        if (policy_parse_containers(bad[i], strlen(bad[i]), "file", &err))
            fail_msg("%s was accepted", bad[i]);
        assert_int_equal(err.code, ERR_CONFIG_INVALID);
        assert_non_null(strstr(err.message, "line 1"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(globs),
        cmocka_unit_test(guarded_places),
        cmocka_unit_test(guards_the_stores_that_are_believed),
        cmocka_unit_test(image_patterns),
        cmocka_unit_test(lines),
        cmocka_unit_test(keys_get_ids),
        cmocka_unit_test(users_are_texts),
        cmocka_unit_test(bad_keys_are_refused),
        cmocka_unit_test(what_a_policy_says),
        cmocka_unit_test(trees_behind_links),
        cmocka_unit_test(no_policy_says_nothing),
        cmocka_unit_test(what_the_other_file_says),
        cmocka_unit_test(keys_are_named_in_one_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
