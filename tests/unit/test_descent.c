#include "tests/unit/unit.h"

#include "base/cleanup.h"
#include "runtime/image/descent.h"

/* Every text has a number, the last digit of its digest; what an image is for is that of its
 * configuration. */
#define ZEROS "000000000000000000000000000000000000000000000000000000000000000"
#define OF(type, n, more)                                                                          \
    "{\"mediaType\":\"" type "\",\"digest\":\"sha256:" ZEROS n "\",\"size\":1" more "}"
#define M(n)        OF(MEDIA_OCI_MANIFEST, n, "")
#define I(n)        OF(MEDIA_OCI_INDEX, n, "")
#define P(arch)     ",\"platform\":{\"os\":\"linux\",\"architecture\":\"" arch "\"}"
#define INDEX(list) "{\"schemaVersion\":2,\"manifests\":[" list "]}"
#define IMAGE_FOR(n)                                                                               \
    "{\"schemaVersion\":2,\"config\":" OF(MEDIA_OCI_CONFIG, n, "") ",\"layers\":[]}"
#define AMD64   IMAGE_FOR("0")
#define ARM64   IMAGE_FOR("1")
#define WINDOWS IMAGE_FOR("2")
#define BROKEN  IMAGE_FOR("3")

#define TEXTS_MAX 9

static const struct platform platforms[] = {
    {.os = "linux", .arch = "amd64"},
    {.os = "linux", .arch = "arm64"},
    {.os = "windows", .arch = "amd64"},
};

struct way {
    const char *const *texts;
    size_t asked;
    char found[INDEX_DEPTH_MAX + 2]; /* the numbers of the indexes, and the image's */
};

static char number(const char *digest)
{
    return digest[strlen(digest) - 1];
}

static bool get(void *data, const struct descriptor *manifest, struct buf *text, struct err *err)
{
    struct way *way = data;

    (void)err;
    way->asked++;
    return buf_append_text(text, way->texts[number(manifest->digest) - '0']);
}

static void put_way(const struct descent_place *place, char *way)
{
    if (place->above)
        put_way(place->above, way);
    way[place->depth] = place->entry ? number(place->entry->manifest.digest) : '0';
}

static bool take(void *data, const struct descent_place *place, struct platform *own,
                 struct err *err)
{
    struct way *way = data;
    size_t which = (size_t)(number(place->manifest->config.digest) - '0');
    bool named = place->entry && place->entry->has_platform;

    if (which == COUNT(platforms))
        return err_set(err, ERR_IMAGE_CORRUPT, "broken");
    *own = platforms[which];
    if (!named && platform_rank(&platforms[0], own) < 0)
        return err_set(err, ERR_IMAGE_PLATFORM, "it is one for another");
    put_way(place, way->found);
    return true;
}

static bool go(struct way *way, struct err *err)
{
    const struct descent descent = {
        .what = "it",
        .wanted = &platforms[0],
        .get = get,
        .image = take,
        .data = way,
    };
    autobuf text = BUF_INIT(MANIFEST_MAX);

    assert_true(buf_append_text(&text, way->texts[0]));
    return descend(&descent, &text, NULL, err);
}

/* What linux/amd64 gets. */
static void entries_without_a_platform_are_tried_in_turn(void **state)
{
    static const struct {
        const char *texts[TEXTS_MAX];
        const char *found; /* the way, or NULL: the message */
        size_t asked;
        const char *message;
        enum err_code code;
    } table[] = {
        {{AMD64}, "0", 0, NULL, ERR_NONE},
        {{INDEX(M("1")), AMD64}, "01", 1, NULL, ERR_NONE},
        {{INDEX(M("1") "," M("2")), ARM64, AMD64}, "02", 2, NULL, ERR_NONE},
        {{INDEX(M("2") "," M("1")), ARM64, AMD64}, "02", 1, NULL, ERR_NONE},
        {{INDEX(I("1") "," I("2")), INDEX(M("3")), INDEX(M("4")), WINDOWS, AMD64},
         "024",
         4,
         NULL,
         ERR_NONE},
        {{INDEX(I("1") "," M("2")), INDEX(OF(MEDIA_OCI_MANIFEST, "3", P("arm64"))), AMD64},
         "02",
         2,
         NULL,
         ERR_NONE},
        /* One that names it comes first, and is the last. */
        {{INDEX(M("1") "," OF(MEDIA_OCI_MANIFEST, "2", P("amd64"))), AMD64, ARM64},
         "02",
         1,
         NULL,
         ERR_NONE},
        {{INDEX(M("1") "," OF(MEDIA_OCI_INDEX, "2", P("amd64"))), AMD64, INDEX(M("3")), ARM64},
         NULL,
         2,
         "it offers linux/arm64",
         ERR_IMAGE_PLATFORM},
        {{INDEX(M("1") "," I("2") "," OF(MEDIA_OCI_MANIFEST, "4", P("s390x"))), ARM64,
          INDEX(M("3")), WINDOWS},
         NULL,
         3,
         "it offers linux/s390x, linux/arm64, windows/amd64",
         ERR_IMAGE_PLATFORM},
        /* What else is wrong is no reason to go on. */
        {{INDEX(M("1") "," M("2")), BROKEN, AMD64}, NULL, 1, "broken", ERR_IMAGE_CORRUPT},
        {{INDEX(M("1") "," M("2")), "{}", AMD64}, NULL, 1, "schema version", ERR_IMAGE_CORRUPT},
        /* Four indexes, and five. */
        {{INDEX(I("1")), INDEX(I("2")), INDEX(I("3")), INDEX(M("4")), AMD64},
         "01234",
         4,
         NULL,
         ERR_NONE},
        {{INDEX(I("1")), INDEX(I("2")), INDEX(I("3")), INDEX(I("4")), INDEX(M("5")), AMD64},
         NULL,
         4,
         "nested deeper than 4",
         ERR_IMAGE_CORRUPT},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        struct way way = {.texts = table[i].texts};
        struct err err;

        if (table[i].found) {
            assert_ok(go(&way, &err));
            assert_string_equal(way.found, table[i].found);
        } else {
            assert_refused(go(&way, &err), table[i].code);
            assert_non_null(strstr(err.message, table[i].message));
        }
        assert_int_equal(way.asked, table[i].asked);
    }
}

#define FIVE(of) of "," of "," of "," of "," of

/* Each index names five others: 780 texts. */
static void hostile_indexes_cost_a_bounded_number_of_requests(void **state)
{
    static const char *const texts[TEXTS_MAX] = {INDEX(FIVE(I("1"))), INDEX(FIVE(I("2"))),
                                                 INDEX(FIVE(I("3"))), INDEX(FIVE(M("4"))), ARM64};
    struct way way = {.texts = texts};
    struct err err;

    (void)state;
    assert_refused(go(&way, &err), ERR_IMAGE_CORRUPT);
    assert_non_null(strstr(err.message, "more than 64 manifests"));
    assert_int_equal(way.asked, DESCENT_MANIFESTS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_without_a_platform_are_tried_in_turn),
        cmocka_unit_test(hostile_indexes_cost_a_bounded_number_of_requests),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
