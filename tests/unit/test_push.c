/* What goes into a registry, as far as it is pure: parts of manifests, new indexes, answers. */
#include "tests/unit/unit.h"

#include "runtime/image/index_make.h"
#include "runtime/image/manifest_parts.h"
#include "runtime/image/push_answers.h"

#define HEX              "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DIGEST           "\"sha256:" HEX "\""
#define PART(type, more) "{\"mediaType\":\"" type "\",\"digest\":" DIGEST ",\"size\":7" more "}"
#define IMAGE(config, layers)                                                                      \
    "{\"schemaVersion\":2,\"config\":" PART(config, "") ",\"layers\":[" layers "]}"
#define INDEX(list)    "{\"schemaVersion\":2,\"manifests\":[" list "]}"
#define CHILD(more)    PART(MEDIA_OCI_MANIFEST, more)
#define PLATFORM(text) ",\"platform\":{" text "}"
#define UNKNOWN        PLATFORM("\"os\":\"unknown\",\"architecture\":\"unknown\"")
#define ABOUT(type, of)                                                                            \
    ",\"annotations\":{\"vnd.docker.reference.type\":\"" type                                      \
    "\",\"vnd.docker.reference.digest\":\"" of "\"}"

/* ---- manifest_parts ---- */

static void manifests_are_taken_apart(void **state)
{
    static const struct {
        const char *text;
        bool is_image;
        size_t blobs;
    } table[] = {
        {IMAGE(MEDIA_OCI_CONFIG, ""), true, 1},
        {IMAGE(MEDIA_DOCKER_CONFIG, PART("application/vnd.docker.image.rootfs.diff.tar.gzip", "")),
         true, 2},
        {IMAGE(MEDIA_OCI_CONFIG, PART("application/vnd.in-toto+json", "")), true, 2},
        {IMAGE("application/vnd.oci.empty.v1+json", PART("x/y", "")), false, 2},
        /* Whoever pulls gets these by URL. */
        {IMAGE(
             MEDIA_OCI_CONFIG,
             PART("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
                  ",\"urls\":["
                  "\"u\"]") "," PART("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
                                     "") "," PART(MEDIA_OCI_LAYER_TAR, "")),
         true, 2},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        autoparts parts = {0};
        struct err err;

        assert_ok(
            manifest_parts_parse(table[i].text, strlen(table[i].text), NULL, "it", &parts, &err));
        assert_false(parts.is_index);
        assert_int_equal(parts.is_image, table[i].is_image);
        assert_int_equal(parts.blob_count, table[i].blobs);
        assert_string_equal(parts.media_type, MEDIA_OCI_MANIFEST);
    }
}

static void children_have_roles(void **state)
{
    static const struct {
        const char *text;
        enum child_role role;
    } table[] = {
        {CHILD(""), CHILD_IMAGE},
        {CHILD(PLATFORM("\"os\":\"linux\",\"architecture\":\"amd64\"")), CHILD_IMAGE},
        {CHILD(",\"platform\":null,\"annotations\":null"), CHILD_IMAGE},
        {PART(MEDIA_DOCKER_LIST, ""), CHILD_IMAGE},
        {CHILD(UNKNOWN ABOUT("attestation-manifest", "sha256:" HEX)), CHILD_ATTESTATION},
        {CHILD(UNKNOWN ABOUT("attestation-manifest", "sha256:1")), CHILD_OTHER},
        {CHILD(UNKNOWN ABOUT("something-new", "sha256:" HEX)), CHILD_OTHER},
        {CHILD(UNKNOWN), CHILD_OTHER},
        {CHILD(",\"artifactType\":\"x/y\""), CHILD_OTHER},
        {PART("application/x-new", ""), CHILD_UNKNOWN},
        {"{\"mediaType\":\"application/x-new\"}", CHILD_UNKNOWN},
        {"{}", CHILD_UNKNOWN},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        autofree char *text = text_printf(INDEX("%s"), table[i].text);
        autoparts parts = {0};
        struct err err;

        assert_ok(manifest_parts_parse(text, strlen(text), NULL, "it", &parts, &err));
        assert_int_equal(parts.child_count, 1);
        assert_int_equal(parts.children[0].attests != NULL, table[i].role == CHILD_ATTESTATION);
        if (parts.children[0].role != table[i].role)
            fail_msg("%s is %d", table[i].text, parts.children[0].role);
    }
}

static void bad_manifests_are_refused(void **state)
{
    static const char *const table[] = {
        "",
        "[]",
        "{}",
        "{\"schemaVersion\":2,\"layers\":[]}",
        "{\"schemaVersion\":2,\"config\":" PART(MEDIA_OCI_CONFIG, "") "}",
        "{\"schemaVersion\":2,\"config\":" PART(MEDIA_OCI_CONFIG, "") ",\"layers\":{}}",
        IMAGE(MEDIA_OCI_CONFIG, "1"),
        IMAGE(MEDIA_OCI_CONFIG, "{\"mediaType\":\"a\",\"digest\":\"sha512:0\",\"size\":1}"),
        IMAGE(MEDIA_OCI_CONFIG, "{\"mediaType\":\"a\",\"digest\":" DIGEST ",\"size\":-1}"),
        INDEX("1"),
        INDEX("null"),
        INDEX(CHILD(",\"platform\":1")),
        INDEX(CHILD(",\"annotations\":[]")),
        INDEX("{\"mediaType\":\"" MEDIA_OCI_MANIFEST "\",\"digest\":\"x\",\"size\":1}"),
        "{\"schemaVersion\":2,\"manifests\":{}}",
        "{\"schemaVersion\":2,\"manifests\":[],\"layers\":[]}",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        autoparts parts = {0};
        struct err err;

        if (manifest_parts_parse(table[i], strlen(table[i]), NULL, "it", &parts, &err))
            fail_msg("%s was accepted", table[i]);
        assert_int_equal(err.code, ERR_IMAGE_CORRUPT);
    }
}

/* ---- platforms ---- */

#define LINUX   "\"os\":\"linux\",\"architecture\":\"amd64\""
#define WINDOWS "\"os\":\"windows\",\"architecture\":\"amd64\""
#define VERSION "\"os.version\":\"10.0.20348.2227\""

static void the_configuration_decides(void **state)
{
    static const struct {
        const char *config, *declared, *text, *written;
    } good[] = {
        {"{" LINUX "}", NULL, "linux/amd64", "{\"architecture\":\"amd64\",\"os\":\"linux\"}"},
        {"{" LINUX "}", "{" LINUX "}", "linux/amd64",
         "{\"architecture\":\"amd64\",\"os\":\"linux\"}"},
        {"{" WINDOWS "," VERSION "}", "{" WINDOWS "}", "windows(10.0.20348.2227)/amd64",
         "{\"architecture\":\"amd64\",\"os\":\"windows\",\"os.version\":\"10.0.20348.2227\"}"},
        {"{" WINDOWS "," VERSION "}", "{" WINDOWS ",\"os.version\":\"10.0.20348.1\"}",
         "windows(10.0.20348.2227)/amd64",
         "{\"architecture\":\"amd64\",\"os\":\"windows\",\"os.version\":\"10.0.20348.2227\"}"},
        {"{" WINDOWS "}", "{" WINDOWS "," VERSION "}", "windows(10.0.20348.2227)/amd64",
         "{\"architecture\":\"amd64\",\"os\":\"windows\",\"os.version\":\"10.0.20348.2227\"}"},
        {"{" WINDOWS ",\"os.features\":[\"b\",\"a\"]}", NULL, "windows/amd64+a+b",
         "{\"architecture\":\"amd64\",\"os\":\"windows\",\"os.features\":[\"a\",\"b\"]}"},
        {"{" WINDOWS ",\"os.features\":[]}", NULL, "windows/amd64",
         "{\"architecture\":\"amd64\",\"os\":\"windows\"}"},
        /* Variants are kept as they are, and compared as they are meant. */
        {"{\"os\":\"linux\",\"architecture\":\"arm64\"}",
         "{\"os\":\"linux\",\"architecture\":\"arm64\",\"variant\":\"v8\"}", "linux/arm64",
         "{\"architecture\":\"arm64\",\"os\":\"linux\",\"variant\":\"v8\"}"},
        {"{\"os\":\"linux\",\"architecture\":\"arm\"}",
         "{\"os\":\"linux\",\"architecture\":\"arm\",\"variant\":\"v6\"}", "linux/arm/v6",
         "{\"architecture\":\"arm\",\"os\":\"linux\",\"variant\":\"v6\"}"},
        {"{\"os\":\"linux\",\"architecture\":\"aarch64\"}",
         "{\"os\":\"linux\",\"architecture\":\"arm64\"}", "linux/arm64",
         "{\"architecture\":\"aarch64\",\"os\":\"linux\"}"},
        /* Very old images name no system. */
        {"{\"architecture\":\"amd64\"}", "{" LINUX "}", "linux/amd64",
         "{\"architecture\":\"amd64\",\"os\":\"linux\"}"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        struct err err;
        autojson *declared = good[i].declared
                                 ? json_parse(good[i].declared, strlen(good[i].declared), "d",
                                              ERR_IMAGE_CORRUPT, &err)
                                 : NULL;
        CLEANUP(index_image_release) struct index_image image = {0};
        char text[INDEX_PLATFORM_TEXT_MAX];
        autofree char *written = NULL;

        assert_ok(index_image_describe(good[i].config, strlen(good[i].config), declared, "it",
                                       &image, &err));
        index_image_text(&image, text);
        assert_string_equal(text, good[i].text);
        written = json_dump_line(image.written);
        assert_string_equal(written, good[i].written);
    }
}

static void contradictions_are_refused(void **state)
{
    static const struct {
        const char *config, *declared;
        enum err_code code;
    } bad[] = {
        {"{" LINUX "}", "{" WINDOWS "}", ERR_IMAGE_PLATFORM},
        {"{" LINUX "}", "{\"os\":\"linux\",\"architecture\":\"arm64\"}", ERR_IMAGE_PLATFORM},
        {"{\"os\":\"linux\",\"architecture\":\"arm\",\"variant\":\"v7\"}",
         "{\"os\":\"linux\",\"architecture\":\"arm\",\"variant\":\"v6\"}", ERR_IMAGE_PLATFORM},
        {"{}", NULL, ERR_IMAGE_CORRUPT},
        {"{\"os\":\"linux\"}", NULL, ERR_IMAGE_CORRUPT},
        {"{\"os\":1}", NULL, ERR_IMAGE_CORRUPT},
        {"{\"os\":\"li\\u001bnux\",\"architecture\":\"amd64\"}", NULL, ERR_IMAGE_CORRUPT},
        {"{" LINUX ",\"os.version\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}", NULL,
         ERR_IMAGE_CORRUPT},
        {"{" LINUX ",\"os.features\":\"a\"}", NULL, ERR_IMAGE_CORRUPT},
        {"{" LINUX ",\"os.features\":[1]}", NULL, ERR_IMAGE_CORRUPT},
        {"{" LINUX ",\"os.features\":[\"a b\"]}", NULL, ERR_IMAGE_CORRUPT},
        {"{" LINUX ",\"os.features\":[\"\"]}", NULL, ERR_IMAGE_CORRUPT},
        {"{" LINUX ",\"os.features\":[\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\","
         "\"baaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\","
         "\"caaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"daaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"e\"]}",
         NULL, ERR_IMAGE_CORRUPT},
        {"[]", NULL, ERR_IMAGE_CORRUPT},
        {"", NULL, ERR_IMAGE_CORRUPT},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct err err;
        autojson *declared = bad[i].declared ? json_parse(bad[i].declared, strlen(bad[i].declared),
                                                          "d", ERR_IMAGE_CORRUPT, &err)
                                             : NULL;
        CLEANUP(index_image_release) struct index_image image = {0};

        if (index_image_describe(bad[i].config, strlen(bad[i].config), declared, "it", &image,
                                 &err))
            fail_msg("%s was accepted", bad[i].config);
        assert_int_equal(err.code, bad[i].code);
    }
}

/* ---- new indexes ---- */

static const struct reference one = {.given = "one"}, two = {.given = "two"};
static struct source sources[] = {{.reference = &one}, {.reference = &two}};

/* Platforms as configurations have them; the digest ends in the number. */
static void make_images(const char *const *configs, size_t count, struct index_images *images)
{
    images->items = calloc(count, sizeof(*images->items));
    assert_non_null(images->items);
    for (size_t i = 0; i < count; i++) {
        struct index_image *image = &images->items[images->count++];
        struct err err;

        *image = (struct index_image){
            .source = &sources[i % 2],
            .manifest = {.media_type = strdup(MEDIA_DOCKER_MANIFEST),
                         .digest = text_printf("sha256:%.62s%02zu", HEX, i),
                         .size = 7},
        };
        assert_ok(index_image_describe(configs[i], strlen(configs[i]), NULL, "it", image, &err));
    }
}

static const char *const several[] = {
    "{" WINDOWS ",\"os.version\":\"10.0.17763.1\"}",
    "{\"os\":\"linux\",\"architecture\":\"arm\",\"variant\":\"v7\"}",
    "{" WINDOWS ",\"os.version\":\"10.0.20348.305\"}",
    "{\"os\":\"linux\",\"architecture\":\"arm\",\"variant\":\"v6\"}",
    "{\"os\":\"freebsd\",\"architecture\":\"amd64\"}",
    "{" WINDOWS ",\"os.version\":\"10.0.20348.2227\"}",
    "{" LINUX "}",
};

static void the_order_is_always_the_same(void **state)
{
    static const int expected[] = {6, 3, 1, 4, 5, 2, 0};
    autoimages images = {0};
    autofree char *first = NULL, *second = NULL;
    const char *type;

    (void)state;
    make_images(several, COUNT(several), &images);
    index_sort(&images);
    for (size_t i = 0; i < COUNT(expected); i++)
        assert_int_equal(atoi(strchr(images.items[i].manifest.digest, '\0') - 2), expected[i]);
    first = index_make(&images, &type);
    assert_string_equal(type, MEDIA_DOCKER_LIST);
    for (size_t i = 0; i < images.count / 2; i++) {
        struct index_image image = images.items[i];

        images.items[i] = images.items[images.count - 1 - i];
        images.items[images.count - 1 - i] = image;
    }
    index_sort(&images);
    second = index_make(&images, &type);
    assert_string_equal(first, second);
}

static void annotations_make_it_an_oci_index(void **state)
{
    static const char *const linux_only[] = {"{" LINUX "}"};
    autoimages images = {0};
    autofree char *text = NULL;
    const char *type;

    (void)state;
    make_images(linux_only, 1, &images);
    images.items[0].annotations = json_pack("{s:s}", "a", "b");
    text = index_make(&images, &type);
    assert_string_equal(type, MEDIA_OCI_INDEX);
    assert_non_null(strstr(text, "\"annotations\":{\"a\":\"b\"}"));
}

static void doubles_name_both_sources(void **state)
{
    static const char *const doubles[] = {"{" LINUX "}", "{" LINUX "}"};
    static const char *const features[] = {
        "{" WINDOWS "," VERSION "}", "{" WINDOWS "," VERSION ",\"os.features\":[\"win32k\"]}"};
    autoimages images = {0}, other = {0}, all = {0};
    struct err err;

    (void)state;
    make_images(doubles, 2, &images);
    assert_refused(index_check_unique(&images, &err), ERR_IMAGE_PLATFORM);
    assert_string_equal(err.message, "'one' and 'two' both have an image for linux/amd64");
    /* An attestation is no image. */
    images.items[1].attests = strdup(images.items[0].manifest.digest);
    assert_ok(index_check_unique(&images, &err));
    make_images(features, 2, &other);
    assert_ok(index_check_unique(&other, &err));
    make_images(several, COUNT(several), &all);
    assert_ok(index_check_unique(&all, &err));
}

static void expectations_are_exact(void **state)
{
    static const struct {
        const char *expected, *message; /* NULL: it is as expected */
        enum err_code code;
    } table[] = {
        {"linux/amd64,linux/arm/v6,linux/arm,freebsd/amd64,windows/amd64", NULL, ERR_NONE},
        {"linux/amd64,linux/arm/v6,linux/armhf,freebsd/amd64,windows(10.0.20348)/"
         "amd64,windows(10.0.17763.1)/amd64",
         NULL, ERR_NONE},
        {"linux/amd64,linux/arm/v6,linux/arm,windows/amd64",
         "'it' would have one that is not expected for freebsd/amd64", ERR_IMAGE_PLATFORM},
        {"linux/amd64,linux/arm/v6,linux/arm,freebsd/amd64,windows/amd64,linux/s390x",
         "'it' would have no image for linux/s390x", ERR_IMAGE_PLATFORM},
        {"linux/amd64,linux/arm/v6,linux/arm,freebsd/amd64,windows(10.0.2034)/"
         "amd64,windows(10.0.17763)/amd64",
         "'it' would have no image for windows(10.0.2034)/amd64, and one that is not expected for "
         "windows(10.0.20348.305)/amd64, windows(10.0.20348.2227)/amd64",
         ERR_IMAGE_PLATFORM},
        {"", NULL, ERR_OPTION_INVALID},
        {"linux/amd64,", NULL, ERR_OPTION_INVALID},
        {",linux/amd64", NULL, ERR_OPTION_INVALID},
        {"linux", NULL, ERR_OPTION_INVALID},
    };
    autoimages images = {0};

    (void)state;
    make_images(several, COUNT(several), &images);
    for (size_t i = 0; i < COUNT(table); i++) {
        struct err err = ERR_INIT;

        assert_int_equal(index_check_expected(&images, table[i].expected, "it", &err),
                         table[i].code == ERR_NONE);
        assert_int_equal(err.code, table[i].code);
        if (table[i].message)
            assert_string_equal(err.message, table[i].message);
    }
}

/* ---- answers ---- */

static void locations_stay_on_the_registry(void **state)
{
    static const struct {
        const char *location, *url;
    } table[] = {
        {"/v2/a/blobs/uploads/1?_state=x%2Fy",
         "https://r.example:5000/v2/a/blobs/uploads/1?_state=x%2Fy"},
        {"https://r.example:5000/x", "https://r.example:5000/x"},
        {"http://r.example/x", "https://r.example:5000/x"},
        {"https://R.EXAMPLE:1/x", "https://r.example:5000/x"},
        {"//r.example/x", "https://r.example:5000/x"},
        {"", NULL},
        {"//other.example/x", NULL},
        {"https://other.example/x", NULL},
        {"https://r.example.other.example/x", NULL},
        {"https://r.example:5000@other.example/x", NULL},
        {"https://user@r.example:5000/x", NULL},
        {"file:///etc/passwd", NULL},
        {"https://r.example:5000/x#y", NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        autofree char *url = push_location("https://r.example:5000/v2/a", table[i].location);

        if (!url != !table[i].url || (url && strcmp(url, table[i].url) != 0))
            fail_msg("'%s' gives '%s'", table[i].location, url ? url : "nothing");
    }
}

static void ranges_are_within_the_blob(void **state)
{
    static const struct {
        const char *value;
        bool valid;
        uint64_t have;
    } table[] = {
        {"0-0", true, 0},
        {"0-99", true, 100},
        {"bytes=0-41", true, 42},
        {"0-100", false, 0},
        {"1-99", false, 0},
        {"0-", false, 0},
        {"0--1", false, 0},
        {"", false, 0},
        {"0-99x", false, 0},
        {"-5", false, 0},
        {"0-18446744073709551615", false, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        uint64_t have = 0;

        if (push_range(table[i].value, 100, &have) != table[i].valid)
            fail_msg("'%s'", table[i].value);
        assert_int_equal(have, table[i].have);
    }
}

static void error_codes_can_be_printed(void **state)
{
    static const struct {
        const char *body, *code;
    } table[] = {
        {"{\"errors\":[{\"code\":\"DENIED\",\"message\":\"x\"}]}", "DENIED"},
        {"{\"errors\":[{\"code\":\"MANIFEST_BLOB_UNKNOWN\"},{\"code\":\"B\"}]}",
         "MANIFEST_BLOB_UNKNOWN"},
        {"{\"errors\":[{\"code\":\"\\u001b[31m\"}]}", ""},
        {"{\"errors\":[{\"code\":\"A B\"}]}", ""},
        {"{\"errors\":[{\"code\":7}]}", ""},
        {"{\"errors\":[]}", ""},
        {"{\"errors\":{}}", ""},
        {"<html>", ""},
        {"", ""},
        {"{\"errors\":[{\"code\":"
         "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}]}",
         ""},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        char code[PUSH_CODE_MAX];

        push_error_code(table[i].body, strlen(table[i].body), code);
        assert_string_equal(code, table[i].code);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(manifests_are_taken_apart),
        cmocka_unit_test(children_have_roles),
        cmocka_unit_test(bad_manifests_are_refused),
        cmocka_unit_test(the_configuration_decides),
        cmocka_unit_test(contradictions_are_refused),
        cmocka_unit_test(the_order_is_always_the_same),
        cmocka_unit_test(annotations_make_it_an_oci_index),
        cmocka_unit_test(doubles_name_both_sources),
        cmocka_unit_test(expectations_are_exact),
        cmocka_unit_test(locations_stay_on_the_registry),
        cmocka_unit_test(ranges_are_within_the_blob),
        cmocka_unit_test(error_codes_can_be_printed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
