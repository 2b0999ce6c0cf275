#include "tests/unit/unit.h"

#include "base/cleanup.h"
#include "runtime/image/image_config.h"
#include "runtime/image/manifest.h"

#define HEX            "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DIGEST         "\"sha256:" HEX "\""
#define CONFIG         "{\"mediaType\":\"" MEDIA_OCI_CONFIG "\",\"digest\":" DIGEST ",\"size\":7}"
#define LAYER_OF(type) "{\"mediaType\":\"" type "\",\"digest\":" DIGEST ",\"size\":9}"
#define LAYER          LAYER_OF(MEDIA_OCI_LAYER_TAR "+gzip")
#define IMAGE(more)    "{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[" LAYER "]" more "}"
#define LAYERS(list)   "{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[" list "]}"
#define TYPED(type)    ",\"mediaType\":\"" type "\""
#define ENTRY(os, arch, more)                                                                      \
    "{\"mediaType\":\"" MEDIA_OCI_MANIFEST "\",\"digest\":" DIGEST                                 \
    ",\"size\":5,\"platform\":{\"os\":\"" os "\",\"architecture\":\"" arch "\"" more "}}"
#define INDEX(list) "{\"schemaVersion\":2,\"manifests\":[" list "]}"

#define TWO_LAYERS            LAYER_OF(MEDIA_OCI_LAYER_TAR) "," LAYER_OF(MEDIA_OCI_LAYER_TAR "+zstd")
#define DOCKER_LAYER          LAYER_OF("application/vnd.docker.image.rootfs.diff.tar.gzip")
#define LINUX_AND_ATTESTATION ENTRY("linux", "amd64", "") "," ENTRY("unknown", "unknown", "")
#define UNKNOWN_AND_LINUX     "{\"mediaType\":\"application/x-new\"}," ENTRY("linux", "arm", "")

static bool parse(const char *text, const char *media_type, struct manifest *manifest,
                  struct err *err)
{
    return manifest_parse(text, strlen(text), media_type, "it", manifest, err);
}

static void good_manifests_are_read(void **state)
{
    static const struct {
        const char *text, *media_type;
        bool is_index;
        size_t count; /* of layers or of entries */
    } table[] = {
        {IMAGE(""), NULL, false, 1},
        {IMAGE(""), MEDIA_OCI_MANIFEST, false, 1},
        {IMAGE(""), "application/json", false, 1},
        {IMAGE(TYPED(MEDIA_DOCKER_MANIFEST)), MEDIA_DOCKER_MANIFEST, false, 1},
        {IMAGE(TYPED(MEDIA_OCI_MANIFEST)), NULL, false, 1},
        {IMAGE(",\"annotations\":{},\"unknown\":1"), NULL, false, 1},
        {LAYERS(""), NULL, false, 0},
        {LAYERS(TWO_LAYERS), NULL, false, 2},
        {LAYERS(DOCKER_LAYER), NULL, false, 1},
        {INDEX(""), MEDIA_OCI_INDEX, true, 0},
        {INDEX(LINUX_AND_ATTESTATION), NULL, true, 1},
        {INDEX(UNKNOWN_AND_LINUX), NULL, true, 1},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        automanifest manifest = {0};
        struct err err;

        assert_ok(parse(table[i].text, table[i].media_type, &manifest, &err));
        assert_int_equal(manifest.is_index, table[i].is_index);
        assert_int_equal(manifest.layer_count + manifest.entry_count, table[i].count);
    }
}

static void bad_manifests_are_refused(void **state)
{
    static const struct {
        const char *text, *media_type;
    } table[] = {
        {"", NULL},
        {"null", NULL},
        {"[]", NULL},
        {"{}", NULL},
        {IMAGE("") "x", NULL},
        {"\xef\xbb\xbf" IMAGE(""), NULL},
        {IMAGE(",\"schemaVersion\":2"), NULL},
        {"{\"schemaVersion\":1,\"fsLayers\":[],\"config\":" CONFIG ",\"layers\":[]}", NULL},
        {IMAGE(",\"fsLayers\":[]"), NULL},
        {"{\"config\":" CONFIG ",\"layers\":[]}", NULL},
        {"{\"schemaVersion\":\"2\",\"config\":" CONFIG ",\"layers\":[]}", NULL},
        {IMAGE(",\"manifests\":[]"), NULL},
        {IMAGE(",\"manifests\":[]"), MEDIA_OCI_INDEX},
        {IMAGE(""), MEDIA_OCI_INDEX},
        {IMAGE(TYPED(MEDIA_OCI_INDEX)), NULL},
        {IMAGE(TYPED(MEDIA_OCI_MANIFEST)), MEDIA_DOCKER_MANIFEST},
        {IMAGE(TYPED("text/plain")), NULL},
        {IMAGE(",\"mediaType\":7"), NULL},
        {INDEX(""), MEDIA_OCI_MANIFEST},
        {INDEX(ENTRY("linux", "amd64", "")), MEDIA_DOCKER_MANIFEST},
        {"{\"schemaVersion\":2,\"layers\":[]}", NULL},
        {"{\"schemaVersion\":2,\"config\":" CONFIG "}", NULL},
        {"{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":{}}", NULL},
        {"{\"schemaVersion\":2,\"config\":[],\"layers\":[]}", NULL},
        {LAYERS("null"), NULL},
        {LAYERS(LAYER_OF("application/octet-stream")), NULL},
        {LAYERS(LAYER_OF("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")), NULL},
        {LAYERS("{\"mediaType\":\"" MEDIA_OCI_LAYER_TAR
                "\",\"digest\":\"sha256:../../x\",\"size\":1}"),
         NULL},
        {LAYERS("{\"mediaType\":\"" MEDIA_OCI_LAYER_TAR "\",\"digest\":\"sha512:" HEX HEX
                "\",\"size\":1}"),
         NULL},
        {LAYERS("{\"mediaType\":\"" MEDIA_OCI_LAYER_TAR "\",\"digest\":" DIGEST ",\"size\":-1}"),
         NULL},
        {LAYERS("{\"mediaType\":\"" MEDIA_OCI_LAYER_TAR "\",\"digest\":" DIGEST ",\"size\":1e3}"),
         NULL},
        {LAYERS("{\"mediaType\":\"" MEDIA_OCI_LAYER_TAR "\",\"digest\":" DIGEST
                ",\"size\":9223372036854775807}"),
         NULL},
        {LAYERS("{\"mediaType\":\"" MEDIA_OCI_LAYER_TAR "\",\"digest\":" DIGEST "}"), NULL},
        {"{\"schemaVersion\":2,\"config\":" LAYER_OF(
             "application/vnd.oci.empty.v1+json") ",\"layers\":[]}",
         NULL},
        {INDEX("7"), NULL},
        {"{\"schemaVersion\":2,\"manifests\":{}}", NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        automanifest manifest = {0};
        struct err err;

        if (parse(table[i].text, table[i].media_type, &manifest, &err))
            fail_msg("accepted: %s", table[i].text);
        assert_int_equal(err.code, ERR_IMAGE_CORRUPT);
        assert_true(err.message[0] != '\0');
    }
}

static void too_many_layers_are_refused(void **state)
{
    autobuf text = BUF_INIT(1 << 20);
    automanifest manifest = {0};
    struct err err;

    (void)state;
    assert_true(buf_append_text(&text, "{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":["));
    for (int i = 0; i <= IMAGE_LAYERS_MAX; i++)
        assert_true(buf_printf(&text, "%s%s", i ? "," : "", LAYER));
    assert_true(buf_append_text(&text, "]}"));
    assert_refused(parse(text.data, NULL, &manifest, &err), ERR_IMAGE_CORRUPT);
}

static void nested_brackets_are_refused(void **state)
{
    autobuf text = BUF_INIT(1 << 20);
    automanifest manifest = {0};
    struct err err;

    (void)state;
    for (int i = 0; i < 100000; i++)
        assert_true(buf_append(&text, "[", 1));
    assert_refused(parse(text.data, NULL, &manifest, &err), ERR_IMAGE_CORRUPT);
}

/* What `wanted` gets out of an index: the entry's number, or -1. */
static void the_platform_is_chosen(void **state)
{
    static const char index[] = INDEX(
        ENTRY("windows", "amd64", ",\"os.version\":\"10.0.20348.1\"") "," ENTRY("linux", "386", "") "," ENTRY(
            "linux", "arm",
            ",\"variant\":\"v6\"") "," ENTRY("linux", "arm64",
                                             ",\"variant\":\"v8\"") "," ENTRY("linux", "amd64",
                                                                              "") "," ENTRY("linux",
                                                                                            "amd64",
                                                                                            ""));
    static const struct {
        const char *wanted;
        int entry;
    } table[] = {
        {"linux/amd64", 4},    {"linux/386", 1},     {"linux/arm64", 3},
        {"linux/arm/v7", 2},   {"linux/arm/v5", -1}, {"linux/s390x", -1},
        {"linux/amd64/v3", 4}, {"windows/amd64", 0}, {"darwin/arm64", -1},
    };
    automanifest manifest = {0};
    struct err err;

    (void)state;
    assert_ok(parse(index, NULL, &manifest, &err));
    for (size_t i = 0; i < COUNT(table); i++) {
        struct platform wanted;
        const struct index_entry *entry;

        assert_ok(platform_parse(table[i].wanted, &wanted, &err));
        entry = manifest_choose(&manifest, &wanted, "it", &err);
        if (table[i].entry >= 0) {
            assert_ptr_equal(entry, &manifest.entries[table[i].entry]);
            continue;
        }
        assert_null(entry);
        assert_int_equal(err.code, ERR_IMAGE_PLATFORM);
        assert_non_null(strstr(err.message, table[i].wanted));
        assert_non_null(
            strstr(err.message, "windows(10.0.20348.1)/amd64, linux/386, linux/arm/v6"));
    }
}

#define ENTRY_OF(more) "{\"mediaType\":\"" MEDIA_OCI_MANIFEST "\"" more "}"
#define SHA512         ",\"digest\":\"sha512:" HEX HEX "\",\"size\":5"
#define PLATFORM(arch) ",\"platform\":{\"os\":\"linux\",\"architecture\":\"" arch "\"}"
#define ARTIFACT                                                                                   \
    ENTRY_OF(",\"digest\":" DIGEST ",\"size\":5,\"artifactType\":\"application/x-sbom\"")

/* What linux/amd64 gets out of an index. */
static void odd_entries_spoil_no_index(void **state)
{
    static const struct {
        const char *odd;
        enum err_code alone; /* when there is nothing else; ERR_NONE: it is taken */
    } table[] = {
        {ENTRY_OF(SHA512 PLATFORM("amd64")), ERR_IMAGE_CORRUPT},
        {ENTRY_OF(PLATFORM("amd64") ",\"digest\":" DIGEST ",\"size\":-1"), ERR_IMAGE_CORRUPT},
        {ENTRY_OF(SHA512 PLATFORM("arm64")), ERR_IMAGE_PLATFORM},
        {ENTRY("linux", "amd64", ",\"variant\":8"), ERR_IMAGE_PLATFORM},
        {ENTRY("linux", "0123456789012345678901234567890123456789", ""), ERR_IMAGE_PLATFORM},
        {ENTRY("linux", "amd64", ",\"variant\":null"), ERR_NONE},
        {ENTRY_OF(SHA512), ERR_IMAGE_PLATFORM},
        {ARTIFACT, ERR_IMAGE_PLATFORM},
    };
    const struct platform wanted = {.os = "linux", .arch = "amd64"},
                          arm = {.os = "linux", .arch = "arm64"};

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        autofree char *alone = text_printf(INDEX("%s"), table[i].odd);
        autofree char *beside =
            text_printf(INDEX("%s,%s"), table[i].odd, ENTRY("linux", "arm64", ""));
        autofree char *twice =
            text_printf(INDEX("%s,%s"), table[i].odd, ENTRY("linux", "amd64", ""));
        automanifest one = {0}, two = {0}, equal = {0};
        struct err err;

        assert_ok(parse(alone, NULL, &one, &err));
        if (table[i].alone == ERR_NONE)
            assert_non_null(manifest_choose(&one, &wanted, "it", &err));
        else
            assert_refused(manifest_choose(&one, &wanted, "it", &err), table[i].alone);
        assert_ok(parse(twice, NULL, &equal, &err));
        assert_non_null(manifest_choose(&equal, &wanted, "it", &err));
        assert_ok(parse(beside, NULL, &two, &err));
        if (!strstr(table[i].odd, "arm64"))
            assert_non_null(manifest_choose(&two, &arm, "it", &err));
        if (table[i].alone == ERR_IMAGE_PLATFORM) {
            assert_refused(manifest_choose(&two, &wanted, "it", &err), ERR_IMAGE_PLATFORM);
            assert_non_null(strstr(err.message, "it offers linux/arm64"));
        }
    }
}

#define ROOTFS  ",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[" DIGEST "]}"
#define LINUX   "\"os\":\"linux\",\"architecture\":\"amd64\""
#define CONF(c) "{" LINUX ROOTFS ",\"config\":" c "}"

static bool configure(const char *text, struct image *image, struct err *err)
{
    return image_config_parse(text, strlen(text), "it", 1, image, err);
}

static void entrypoints_are_kept_as_they_are(void **state)
{
    static const struct {
        const char *text;
        size_t count;
        const char *first;
    } table[] = {
        {"{" LINUX ROOTFS "}", 0, NULL},
        {CONF("null"), 0, NULL},
        {CONF("{}"), 0, NULL},
        {CONF("{\"Entrypoint\":null}"), 0, NULL},
        {CONF("{\"Entrypoint\":[]}"), 0, NULL},
        {CONF("{\"Entrypoint\":[\"\"]}"), 1, ""},
        {CONF("{\"Entrypoint\":[\"/bin/sh\",\"-c\"]}"), 2, "/bin/sh"},
        {CONF("{\"Cmd\":[\"sh\"]}"), 0, NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        autoimage image = IMAGE_INIT;
        struct err err;

        assert_ok(configure(table[i].text, &image, &err));
        assert_int_equal(image.entrypoint.count, table[i].count);
        if (table[i].first)
            assert_string_equal(image.entrypoint.items[0], table[i].first);
        assert_null(image.entrypoint_history);
        assert_string_equal(image.user, "");
    }
}

static void configurations_are_read(void **state)
{
    static const char text[] =
        "{" LINUX ROOTFS
        ",\"config\":{\"Entrypoint\":[\"x\"],\"User\":\"app\",\"WorkingDir\":\"/w\",\"Env\":"
        "[\"A=1\",\"AWS_SECRET_ACCESS_KEY\",\"OCTOPUS*\",\"=x\",\"B=\",\"C=a=b\"]},\"history\":"
        "[{\"created_by\":\"ENTRYPOINT [\\\"old\\\"]\"},{\"created_by\":\"ENTRYPOINT "
        "[\\\"x\\\"]\"},"
        "{\"created_by\":\"|1 MY_TOKEN=x /bin/sh -c echo ENTRYPOINT\"},{},7]}";
    autoimage image = IMAGE_INIT;
    struct err err;

    (void)state;
    assert_ok(configure(text, &image, &err));
    assert_string_equal(image.entrypoint_history, "ENTRYPOINT [\"x\"]");
    assert_string_equal(image.user, "app");
    assert_string_equal(image.workdir, "/w");
    assert_int_equal(image.env.count, 3);
    assert_string_equal(image.env.items[0], "A=1");
    assert_string_equal(image.env.items[1], "B=");
    assert_string_equal(image.env.items[2], "C=a=b");
    assert_int_equal(image.diff_ids.count, 1);
}

static void bad_configurations_are_refused(void **state)
{
    static const char *const table[] = {
        "",
        "[]",
        "null",
        "{}",
        "{\"architecture\":\"amd64\"" ROOTFS "}",
        "{\"os\":\"linux\"" ROOTFS "}",
        "{\"os\":[\"linux\"],\"architecture\":\"amd64\"" ROOTFS "}",
        "{\"os\":\"linux\\u0000x\",\"architecture\":\"amd64\"" ROOTFS "}",
        "{\"os\":\"linux\\u001b[2J\",\"architecture\":\"amd64\"" ROOTFS "}",
        "{" LINUX ",\"variant\":\"v8\\n\"" ROOTFS "}",
        "{" LINUX "}",
        "{" LINUX ",\"rootfs\":{\"type\":\"tree\",\"diff_ids\":[" DIGEST "]}}",
        "{" LINUX ",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}",
        "{" LINUX ",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[" DIGEST "," DIGEST "]}}",
        "{" LINUX ",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:../../x\"]}}",
        "{" LINUX ",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[7]}}",
        "{" LINUX ",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":" DIGEST "}}",
        CONF("[]"),
        CONF("7"),
        CONF("{\"Entrypoint\":\"/bin/sh\"}"),
        CONF("{\"Entrypoint\":7}"),
        CONF("{\"Entrypoint\":[7]}"),
        CONF("{\"Entrypoint\":{}}"),
        CONF("{\"Env\":\"A=1\"}"),
        CONF("{\"Env\":{}}"),
        CONF("{\"User\":0}"),
        CONF("{\"WorkingDir\":[]}"),
        CONF("{\"User\":\"a\",\"User\":\"b\"}"),
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        autoimage image = IMAGE_INIT;
        struct err err;

        if (configure(table[i], &image, &err))
            fail_msg("accepted: %s", table[i]);
        assert_int_equal(err.code, ERR_IMAGE_CORRUPT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_manifests_are_read),
        cmocka_unit_test(bad_manifests_are_refused),
        cmocka_unit_test(too_many_layers_are_refused),
        cmocka_unit_test(nested_brackets_are_refused),
        cmocka_unit_test(the_platform_is_chosen),
        cmocka_unit_test(odd_entries_spoil_no_index),
        cmocka_unit_test(entrypoints_are_kept_as_they_are),
        cmocka_unit_test(configurations_are_read),
        cmocka_unit_test(bad_configurations_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
