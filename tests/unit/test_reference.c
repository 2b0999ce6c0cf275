#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/image/reference.h"

#define HEX    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DIGEST "sha256:" HEX
#define X50    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X128   X50 X50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static const struct {
    const char *text, *name, *host, *path, *tag, *digest;
} good[] = {
    {"debian", "docker.io/library/debian:latest", "docker.io", "library/debian", "latest", NULL},
    {"debian:12", "docker.io/library/debian:12", "docker.io", "library/debian", "12", NULL},
    {"a/b", "docker.io/a/b:latest", "docker.io", "a/b", "latest", NULL},
    {"docker.io/a", "docker.io/library/a:latest", "docker.io", "library/a", "latest", NULL},
    {"index.docker.io/a", "docker.io/library/a:latest", "docker.io", "library/a", "latest", NULL},
    {"registry-1.docker.io/a/b", "docker.io/a/b:latest", "docker.io", "a/b", "latest", NULL},
    {"localhost", "docker.io/library/localhost:latest", "docker.io", "library/localhost", "latest",
     NULL},
    {"localhost/a", "localhost/a:latest", "localhost", "a", "latest", NULL},
    {"localhost:5000/a:1", "localhost:5000/a:1", "localhost:5000", "a", "1", NULL},
    {"127.0.0.1:5000/a/b/c", "127.0.0.1:5000/a/b/c:latest", "127.0.0.1:5000", "a/b/c", "latest",
     NULL},
    {"[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000", "a", "latest", NULL},
    {"Registry-1.docker.io:443/a", "docker.io/library/a:latest", "docker.io", "library/a", "latest",
     NULL},
    {"registry.example:443/a", "registry.example:443/a:latest", "registry.example:443", "a",
     "latest", NULL},
    {"Reg/a", "Reg/a:latest", "Reg", "a", "latest", NULL},
    {"ghcr.io/x/y@" DIGEST, "ghcr.io/x/y@" DIGEST, "ghcr.io", "x/y", NULL, DIGEST},
    {"ghcr.io/x/y:7@" DIGEST, "ghcr.io/x/y:7@" DIGEST, "ghcr.io", "x/y", "7", DIGEST},
    {"a__b/c--d/e.f_g:T-._1", "docker.io/a__b/c--d/e.f_g:T-._1", "docker.io", "a__b/c--d/e.f_g",
     "T-._1", NULL},
    {"a:" X128, "docker.io/library/a:" X128, "docker.io", "library/a", X128, NULL},
    {"oci:dir", "oci:/base/dir", NULL, "/base/dir", NULL, NULL},
    {"oci:/x//y/./z:1", "oci:/x/y/z:1", NULL, "/x/y/z", "1", NULL},
    {"oci:/x:y/z", "oci:/x:y/z", NULL, "/x:y/z", NULL, NULL},
    {"oci:/x:y/z:docker:t", "oci:/x:y/z:docker:t", NULL, "/x:y/z:docker", "t", NULL},
    {"docker-archive:f.tar", "docker-archive:/base/f.tar", NULL, "/base/f.tar", NULL, NULL},
    {"docker-archive:/f.tar:a/b", "docker-archive:/f.tar:docker.io/a/b:latest", NULL, "/f.tar",
     "docker.io/a/b:latest", NULL},
    {"oci-archive:/a b\n.tar:1", "oci-archive:/a b\n.tar:1", NULL, "/a b\n.tar", "1", NULL},
};

static const char *const bad[] = {
    "",
    "/",
    "a/",
    "/a",
    "a//b",
    ":",
    ":tag",
    "@" DIGEST,
    "A",
    "a/B",
    "a b",
    "a\nb",
    "-a",
    "a-",
    "a..b",
    "a___b",
    "a:",
    "a:-1",
    "a:" X128 "x",
    "a:b:c",
    "a@",
    "a@sha256:123",
    "a@sha512:" HEX HEX,
    "a@SHA256:" HEX,
    "a@sha256:../../x",
    HEX,
    "docker.io/",
    "localhost:/a",
    "localhost:99999/a",
    "localhost:5x/a",
    "-host.x/a",
    "host-.x/a",
    "ho st.x/a",
    "h.x@y/a",
    "[::1/a",
    "[]:1/a",
    "http://x/a",
    "..",
    "../a",
    "a/../b",
    "x.y/" X128 X128,
    "oci:",
    "oci::t",
    "oci:/x:",
    "oci:/\xff",
    "oci:/x:\xff",
    "docker-archive:",
    "docker-archive:/f:A",
    "a\x80",
    "\xc3\xa4",
};

static void same(const char *found, const char *expected)
{
    if (expected)
        assert_string_equal(found, expected);
    else
        assert_null(found);
}

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        autoreference reference = {0};
        struct err err;

        if (!reference_parse(good[i].text, "/base", &reference, &err))
            fail_msg("'%s': %s", good[i].text, err.message);
        same(reference.given, good[i].text);
        same(reference.name, good[i].name);
        same(reference.host, good[i].host);
        same(reference.path, good[i].path);
        same(reference.tag, good[i].tag);
        same(reference.digest, good[i].digest);
    }
}

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        autoreference reference = {0};
        struct err err;

        if (reference_parse(bad[i], "/base", &reference, &err))
            fail_msg("'%s' is taken for '%s'", bad[i], reference.name);
        assert_int_equal(err.code, ERR_OPTION_INVALID);
    }
}

/* What is normal stays as it is. */
static void test_stable(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        autoreference reference = {0};
        struct err err;

        assert_true(reference_parse(good[i].name, "/elsewhere", &reference, &err));
        assert_string_equal(reference.name, good[i].name);
    }
}

/* Links are gone from a local reference, and nothing of its real path becomes a tag. */
static void test_resolve(void **state)
{
    char dir[] = "/tmp/stepcell-unit-XXXXXX";
    autofree char *real = NULL, *link = NULL, *odd = NULL, *text = NULL, *expected = NULL;
    autoreference reference = {0}, registry = {0}, missing = {0}, tagged = {0}, split = {0};
    struct err err;

    (void)state;
    assert_non_null(mkdtemp(dir));
    assert_true(asprintf(&real, "%s/real", dir) > 0 && asprintf(&link, "%s/link", dir) > 0 &&
                asprintf(&odd, "%s/odd:1", dir) > 0 && asprintf(&text, "oci:%s:tag", link) > 0 &&
                asprintf(&expected, "oci:%s:tag", real) > 0);
    assert_int_equal(mkdir(real, 0700) | mkdir(odd, 0700) | symlink(real, link), 0);
    assert_ok(reference_parse(text, "/", &reference, &err));
    assert_ok(reference_resolve(&reference, &err));
    same(reference.path, real);
    same(reference.name, expected);
    same(reference.given, expected);
    assert_ok(reference_parse("debian:12", "/", &registry, &err));
    assert_ok(reference_resolve(&registry, &err));
    same(registry.given, "debian:12");
    assert_int_equal(unlink(link) | symlink(odd, link), 0);
    text[strlen(text) - strlen(":tag")] = '\0';
    assert_ok(reference_parse(text, "/", &tagged, &err));
    assert_refused(reference_resolve(&tagged, &err), ERR_OPTION_INVALID);
    assert_int_equal(unlink(link) | rmdir(odd) | rmdir(real) | rmdir(dir), 0);
    assert_ok(reference_parse(text, "/", &missing, &err));
    assert_refused(reference_resolve(&missing, &err), ERR_IMAGE_NOT_FOUND);
    assert_ok(reference_parse("docker-archive:/no:where/f.tar", "/", &split, &err));
    assert_refused(reference_resolve(&split, &err), ERR_IMAGE_NOT_FOUND);
    assert_non_null(strstr(err.hint, "first ':'"));
}

static void test_too_long(void **state)
{
    char text[REFERENCE_MAX + 2];
    autoreference reference = {0};
    struct err err;

    (void)state;
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_false(reference_parse(text, "/", &reference, &err));
}

static void test_digest(void **state)
{
    (void)state;
    assert_true(digest_is_valid(DIGEST));
    assert_string_equal(digest_hex(DIGEST), HEX);
    assert_false(digest_is_valid(NULL));
    assert_false(digest_is_valid(HEX));
    assert_false(digest_is_valid(DIGEST "0"));
    assert_false(digest_is_valid("sha256:" X50 "xxxxxxxxxxxxxx"));
    assert_false(digest_is_valid("sha256:0123456789ABCDEF" HEX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),   cmocka_unit_test(test_bad),
        cmocka_unit_test(test_stable), cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_digest), cmocka_unit_test(test_resolve),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
