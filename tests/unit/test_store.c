#include "tests/unit/unit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "runtime/image/store_write.h"
#include "tests/unit/scratch.h"

#define HEX    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DIGEST "sha256:" HEX
#define OTHER  "sha256:ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
#define HELLO  "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
#define RECORD "images/" HEX "/image.json"
#define NAMES  "references/registry/docker.io%2Flibrary%2Fdebian:12.json"

struct fixture {
    struct scratch scratch;
    struct store store;
    struct reference reference;
    struct platform platform;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct err err;

    assert_non_null(fixture);
    fixture->store = STORE_INIT;
    scratch_make(&fixture->scratch);
    assert_ok(store_open(fixture->scratch.path, &fixture->store, &err));
    assert_ok(reference_parse("debian:12", "/", &fixture->reference, &err));
    assert_ok(platform_parse("linux/amd64", &fixture->platform, &err));
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    reference_release(&fixture->reference);
    store_close(&fixture->store);
    scratch_remove(&fixture->scratch);
    free(fixture);
    return 0;
}

static bool remove_tree(void *data, int dirfd, const char *name, struct err *err)
{
    (void)data;
    return file_remove_tree(dirfd, name) || err_errno(err, ERR_CONFIG_INVALID, "remove");
}

static const struct tree_remover remover = {.remove = remove_tree};

static void save_name(struct fixture *fixture, const struct store_fingerprint *fingerprint)
{
    const struct image_name name = {
        .reference = fixture->reference.name, .digest = OTHER, .manifest_digest = DIGEST};
    struct err err;

    assert_ok(store_save_name(&fixture->store, &fixture->reference, &fixture->platform, &name,
                              fingerprint, &err));
}

static bool lookup(struct fixture *fixture)
{
    autoname name = {0};
    struct err err;
    bool found;

    assert_ok(store_lookup(&fixture->store, &fixture->reference, &fixture->platform, &found, &name,
                           &err));
    if (found) {
        assert_string_equal(name.digest, OTHER);
        assert_string_equal(name.manifest_digest, DIGEST);
    }
    return found;
}

static void save_image(struct fixture *fixture)
{
    char *env[] = {"A=\xff\x01", NULL}, *layers[] = {DIGEST, NULL}, *entrypoint[] = {"", NULL};
    const struct image image = {
        .manifest_digest = DIGEST,
        .config_digest = OTHER,
        .platform = fixture->platform,
        .entrypoint = {.items = entrypoint, .count = 1},
        .env = {.items = env, .count = 1},
        .user = "app",
        .workdir = "/w",
        .diff_ids = {.items = layers, .count = 1},
        .passwd = "root:x:0:0::/root:\n",
        .group = "",
    };
    struct err err;

    assert_ok(store_save_image(&fixture->store, &image, &err));
}

static bool has_image(struct fixture *fixture)
{
    autoimage image = IMAGE_INIT;
    struct err err;
    bool found;

    assert_ok(store_load_image(&fixture->store, DIGEST, &found, &image, &err));
    if (found) {
        assert_string_equal(image.passwd, "root:x:0:0::/root:\n");
        assert_string_equal(image.group, "");
        assert_int_equal(image.entrypoint.count, 1);
        assert_string_equal(image.user, "app");
        assert_true(image.lock >= 0);
    }
    return found;
}

static void overwrite(struct fixture *fixture, const char *path, const char *text)
{
    struct err err;

    assert_ok(
        file_replace(fixture->store.fd, path, text, strlen(text), 0600, ERR_ENGINE_FAILED, &err));
}

static void a_store_is_private_and_a_layout(void **state)
{
    struct fixture *fixture = *state;
    static const char *const dirs[] = {"blobs/sha256", "layers", "images",
                                       "references",   "tmp",    "locks"};
    struct store again = STORE_INIT;
    struct stat st;
    struct err err;

    for (size_t i = 0; i < COUNT(dirs); i++) {
        assert_int_equal(fstatat(fixture->store.fd, dirs[i], &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0700);
    }
    assert_int_equal(faccessat(fixture->store.fd, "oci-layout", F_OK, 0), 0);
    assert_ok(store_open(fixture->scratch.path, &again, &err));
    store_close(&again);
    assert_int_equal(chmod(fixture->scratch.path, 0777), 0);
    assert_refused(store_open(fixture->scratch.path, &again, &err), ERR_CONFIG_INVALID);
}

static void names_are_found_again(void **state)
{
    struct fixture *fixture = *state;

    assert_false(lookup(fixture));
    save_name(fixture, NULL);
    assert_true(lookup(fixture));
    assert_int_equal(faccessat(fixture->store.fd, NAMES, F_OK, 0), 0);
    strcpy(fixture->platform.arch, "s390x");
    assert_false(lookup(fixture));
    save_name(fixture, NULL);
    assert_true(lookup(fixture));
    strcpy(fixture->platform.arch, "amd64");
    assert_true(lookup(fixture));
}

static void damaged_records_are_not_there(void **state)
{
    static const char *const damages[] = {
        "",
        "{",
        "null",
        "[]",
        "{}",
        "{\"schema\":7}",
        "{\"schema\":\"stepcell.reference/2\"}",
        "{\"schema\":\"stepcell.reference/1\"}",
        "{\"schema\":\"stepcell.image-record/1\"}",
        "{\"schema\":\"stepcell.reference/1\",\"reference\":\"other\",\"platforms\":{}}",
        "{\"schema\":\"stepcell.reference/1\",\"reference\":\"docker.io/library/debian:12\","
        "\"platforms\":{\"linux/amd64\":{\"digest\":\"sha256:../x\",\"manifest_digest\":\"" DIGEST
        "\"}}}",
        "{\"schema\":\"stepcell.image-record/1\",\"manifest_digest\":\"" OTHER "\"}",
        "{\"schema\":\"stepcell.image-record/1\",\"manifest_digest\":\"" DIGEST
        "\",\"config_digest\":7}",
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < COUNT(damages); i++) {
        save_name(fixture, NULL);
        save_image(fixture);
        assert_true(lookup(fixture) && has_image(fixture));
        overwrite(fixture, NAMES, damages[i]);
        overwrite(fixture, RECORD, damages[i]);
        assert_false(lookup(fixture));
        assert_false(has_image(fixture));
    }
    save_image(fixture);
    assert_int_equal(unlinkat(fixture->store.fd, "images/" HEX "/passwd", 0), 0);
    assert_false(has_image(fixture));
}

static void damaged_accounts_are_not_there(void **state)
{
    static const struct {
        const char *path, *text;
    } damages[] = {
        {"images/" HEX "/passwd", "root:x:1:0::/root:\n"},
        {"images/" HEX "/passwd", ""},
        {"images/" HEX "/group", "root:x:0:\n"},
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < COUNT(damages); i++) {
        save_image(fixture);
        assert_true(has_image(fixture));
        overwrite(fixture, damages[i].path, damages[i].text);
        assert_false(has_image(fixture));
    }
    save_image(fixture);
    assert_true(has_image(fixture));
}

static void long_references_do_not_collide(void **state)
{
    static const char *const texts[] = {
        "oci:/a/b",      "oci:/a%2Fb",       "oci:/a+/b", "oci:/a/b.json",
        "oci:/a/b:json", "oci-archive:/a/b", "a/b",
    };
    char *paths[COUNT(texts)], text[1200] = "oci:/";
    autoreference long_one = {0};
    autofree char *long_path = NULL;
    struct err err;

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        autoreference reference = {0};

        assert_ok(reference_parse(texts[i], "/", &reference, &err));
        paths[i] = store_reference_path(&reference);
        assert_non_null(paths[i]);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(paths[i], paths[j]);
    }
    for (size_t i = 0; i < COUNT(texts); i++)
        free(paths[i]);
    memset(text + strlen(text), 'a', 250);
    strcat(text, "/");
    memset(text + strlen(text), 'b', 250);
    assert_ok(reference_parse(text, "/", &long_one, &err));
    long_path = store_reference_path(&long_one);
    for (const char *p = long_path; *p; p += strcspn(p, "/") + (p[strcspn(p, "/")] == '/'))
        assert_true(strcspn(p, "/") <= 255);
}

static void a_local_source_counts_while_it_is_the_same(void **state)
{
    struct fixture *fixture = *state;
    autofree char *path = text_printf("docker-archive:%s/oci-layout", fixture->scratch.path);
    struct store_fingerprint fingerprint = {0};
    struct err err;

    reference_release(&fixture->reference);
    assert_ok(reference_parse(path, "/", &fixture->reference, &err));
    assert_ok(store_fingerprint(&fixture->reference, &fingerprint, &err));
    save_name(fixture, &fingerprint);
    assert_true(lookup(fixture));
    overwrite(fixture, "oci-layout", "{}");
    assert_false(lookup(fixture));
    assert_int_equal(unlinkat(fixture->store.fd, "oci-layout", 0), 0);
    assert_false(lookup(fixture));
}

static void blobs_are_verified(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *digest, *bytes;
        uint64_t size;
        bool ok;
    } table[] = {
        {HELLO, "hellp", 5, false}, {HELLO, "hell", 5, false},  {HELLO, "hello!", 5, false},
        {HELLO, "hello", 4, false}, {HELLO, "hello", 6, false}, {HELLO, "hello", 5, true},
    };
    struct err err;

    for (size_t i = 0; i < COUNT(table); i++) {
        const struct descriptor blob = {.digest = (char *)table[i].digest, .size = table[i].size};
        autoblobwriter writer = BLOB_WRITER_INIT;
        bool present;

        assert_ok(blob_begin(&fixture->store, &blob, &writer, &present, &err));
        assert_false(present);
        assert_int_equal(blob_write(&writer, table[i].bytes, strlen(table[i].bytes), &err) &&
                             blob_commit(&writer, &err),
                         table[i].ok);
        blob_writer_release(&writer);
        assert_int_equal(store_has_blob(&fixture->store, &blob), table[i].ok);
    }
    assert_int_equal(unlinkat(fixture->store.fd, "tmp", AT_REMOVEDIR), 0);
}

static void what_is_in_use_stays(void **state)
{
    struct fixture *fixture = *state;
    autoimage image = IMAGE_INIT;
    struct err err;
    bool found;

    save_name(fixture, NULL);
    save_image(fixture);
    assert_int_equal(mkdirat(fixture->store.fd, "layers/map", 0700), 0);
    assert_int_equal(mkdirat(fixture->store.fd, "layers/map/" HEX, 0700), 0);
    assert_ok(store_load_image(&fixture->store, DIGEST, &found, &image, &err));
    assert_true(found && store_has_layers(&fixture->store, "map", &image));
    assert_refused(store_remove(&fixture->store, &fixture->reference, &remover, &err),
                   ERR_STORE_BUSY);
    assert_true(lookup(fixture) && store_has_layers(&fixture->store, "map", &image));
    image_release(&image);
    assert_ok(store_remove(&fixture->store, &fixture->reference, &remover, &err));
    assert_false(lookup(fixture) || has_image(fixture));
    assert_int_not_equal(faccessat(fixture->store.fd, "layers/map/" HEX, F_OK, 0), 0);
    assert_refused(store_remove(&fixture->store, &fixture->reference, &remover, &err),
                   ERR_IMAGE_NOT_FOUND);
}

/* Of two pulls of one image the second ends while a cell runs already. */
static void a_record_that_is_held_is_not_replaced(void **state)
{
    struct fixture *fixture = *state;
    autoimage image = IMAGE_INIT;
    struct err err;
    bool found;

    save_name(fixture, NULL);
    save_image(fixture);
    assert_ok(store_load_image(&fixture->store, DIGEST, &found, &image, &err));
    assert_true(found);
    save_image(fixture);
    assert_refused(store_remove(&fixture->store, &fixture->reference, &remover, &err),
                   ERR_STORE_BUSY);
    assert_true(has_image(fixture));
}

/* Its lock would be that of a file which nobody sees any more. */
static void a_damaged_record_that_is_held_stays_the_same_file(void **state)
{
    char longer[4096] = "";
    const char *const damages[] = {"", "{", longer};
    struct fixture *fixture = *state;
    autoimage image = IMAGE_INIT;
    struct err err;
    bool found;

    memset(longer, '{', sizeof(longer) - 1);
    save_name(fixture, NULL);
    save_image(fixture);
    assert_ok(store_load_image(&fixture->store, DIGEST, &found, &image, &err));
    assert_true(found);
    for (size_t i = 0; i < COUNT(damages); i++) {
        autofd fd = openat(fixture->store.fd, RECORD, O_WRONLY | O_TRUNC | O_CLOEXEC);

        assert_true(file_write_all(fd, damages[i], strlen(damages[i])));
        assert_false(has_image(fixture));
        save_image(fixture);
        assert_true(has_image(fixture));
        assert_refused(store_remove(&fixture->store, &fixture->reference, &remover, &err),
                       ERR_STORE_BUSY);
    }
}

static void an_image_with_another_name_stays(void **state)
{
    struct fixture *fixture = *state;
    struct err err;

    save_name(fixture, NULL);
    save_image(fixture);
    reference_release(&fixture->reference);
    assert_ok(reference_parse("debian:other", "/", &fixture->reference, &err));
    save_name(fixture, NULL);
    assert_ok(store_remove(&fixture->store, &fixture->reference, &remover, &err));
    assert_false(lookup(fixture));
    assert_true(has_image(fixture));
}

static void unfinished_work_is_cleared_unless_it_goes_on(void **state)
{
    struct fixture *fixture = *state;
    struct err err;
    int lock;

    assert_int_equal(mkdirat(fixture->store.fd, "layers/map", 0700), 0);
    assert_int_equal(mkdirat(fixture->store.fd, "layers/map/" HEX ".part", 0700), 0);
    overwrite(fixture, "tmp/blob-" HEX, "x");
    lock = store_lock(&fixture->store, "blob-" HEX, LOCK_EX, &err);
    assert_true(lock >= 0);
    assert_ok(store_sweep(&fixture->store, &remover, NULL, &err));
    assert_int_equal(faccessat(fixture->store.fd, "tmp/blob-" HEX, F_OK, 0), 0);
    assert_int_not_equal(faccessat(fixture->store.fd, "layers/map/" HEX ".part", F_OK, 0), 0);
    close(lock);
    assert_ok(store_sweep(&fixture->store, &remover, NULL, &err));
    assert_int_not_equal(faccessat(fixture->store.fd, "tmp/blob-" HEX, F_OK, 0), 0);
}

#define IN_STORE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_STORE(a_store_is_private_and_a_layout),
        IN_STORE(names_are_found_again),
        IN_STORE(damaged_records_are_not_there),
        IN_STORE(damaged_accounts_are_not_there),
        IN_STORE(long_references_do_not_collide),
        IN_STORE(a_local_source_counts_while_it_is_the_same),
        IN_STORE(blobs_are_verified),
        IN_STORE(what_is_in_use_stays),
        IN_STORE(a_record_that_is_held_is_not_replaced),
        IN_STORE(a_damaged_record_that_is_held_stays_the_same_file),
        IN_STORE(an_image_with_another_name_stays),
        IN_STORE(unfinished_work_is_cleared_unless_it_goes_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
