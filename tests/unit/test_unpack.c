/* Layers that attack whoever unpacks them: each must fail, or land inside. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "base/digest.h"
#include "base/file.h"
#include "base/path.h"
#include "runtime/image/unpack.h"
#include "tests/unit/scratch.h"
#include "tests/unit/tar.h"

#define TAR_MAX  (4 << 20)
#define ENTRIES  6
#define WHITEOUT ".wh."
#define X64      "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X256     X64 X64 X64 X64
#define D16      "d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/"
#define DEEP     D16 D16 D16 D16 D16 D16 D16 D16 D16 D16 D16 D16 D16 D16 D16 D16 D16

/* root/ is the target; canary, beside it, is what no layer may touch. */
struct place {
    struct scratch scratch;
    int root;
};

static void make_place(struct place *place)
{
    struct err err;

    scratch_make(&place->scratch);
    assert_int_equal(mkdirat(place->scratch.fd, "root", 0755), 0);
    assert_ok(file_replace(place->scratch.fd, "canary", "alive", 5, 0600, ERR_ENGINE_FAILED, &err));
    place->root = openat(place->scratch.fd, "root", O_RDONLY | O_DIRECTORY);
    assert_true(place->root >= 0);
}

static void check_outside(const struct place *place)
{
    autobuf text = BUF_INIT(16);
    struct stat st;
    struct err err;

    assert_ok(file_read(place->scratch.fd, "canary", &text, ERR_ENGINE_FAILED, &err));
    assert_string_equal(text.data, "alive");
    assert_int_equal(fstatat(place->scratch.fd, "canary", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(st.st_nlink, 1);
    /* canary, root, "." and ".." of two directories */
    assert_int_equal(fstat(place->scratch.fd, &st), 0);
    assert_int_equal(st.st_nlink, 3);
    assert_int_not_equal(faccessat(place->scratch.fd, "escaped", F_OK, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_not_equal(access("/escaped", F_OK), 0);
}

static void free_place(struct place *place)
{
    check_outside(place);
    close(place->root);
    scratch_remove(&place->scratch);
}

static int blob_of(const void *bytes, size_t len)
{
    FILE *file = tmpfile();
    int fd;

    assert_non_null(file);
    fd = dup(fileno(file));
    fclose(file);
    assert_true(file_write_all(fd, bytes, len));
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

static bool unpack(const struct place *place, const struct buf *tar, struct err *err)
{
    char diff_id[DIGEST_TEXT_MAX];
    autofd blob = blob_of(tar->data, tar->len);

    digest_of(tar->data, tar->len, diff_id);
    return unpack_layer(blob, COMPRESSION_NONE, diff_id, place->root, &UNPACK_LIMITS, false, err);
}

static bool unpack_entries(const struct place *place, const struct tar_entry *entries,
                           struct err *err)
{
    autobuf tar = BUF_INIT(TAR_MAX);

    for (size_t i = 0; i < ENTRIES && entries[i].name; i++)
        tar_add(&tar, &entries[i]);
    tar_end(&tar);
    return unpack(place, &tar, err);
}

/* What lies at a path of the tree: 'f' file, 'd' directory, 'o' opaque directory, 'l', 'w', 'p', 0.
 */
static char kind_at(const struct place *place, const char *path)
{
    autofd fd = path_open_in_nofollow(place->root, path, O_PATH | O_NOFOLLOW, 0);
    autofd dir = -1;
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return 0;
    switch (st.st_mode & S_IFMT) {
    case S_IFREG:
        return 'f';
    case S_IFLNK:
        return 'l';
    case S_IFIFO:
        return 'p';
    case S_IFCHR:
        return st.st_rdev == makedev(0, 0) ? 'w' : 'c';
    default:
        dir = path_open_in_nofollow(place->root, path, O_RDONLY | O_DIRECTORY, 0);
        return fgetxattr(dir, "user.overlay.opaque", NULL, 0) > 0 ? 'o' : 'd';
    }
}

struct expectation {
    const char *path;
    char kind;
};

struct attack {
    const char *name;
    struct tar_entry entries[ENTRIES];
    bool refused;
    struct expectation expect[4];
};

static const struct attack attacks[] = {
    {"link to a parent",
     {{'2', "l", "../..", 0, 0, 0}, {'0', "l/escaped", 0, "x", 0, 0}},
     false,
     {{"escaped", 'f'}}},
    {"absolute link",
     {{'5', "etc", 0, 0, 0, 0}, {'2', "l", "/etc", 0, 0, 0}, {'0', "l/x", 0, "x", 0, 0}},
     false,
     {{"etc/x", 'f'}}},
    {"chain of links",
     {{'5', "etc", 0, 0, 0, 0},
      {'2', "a", "/etc", 0, 0, 0},
      {'2', "b", "a", 0, 0, 0},
      {'0', "b/x", 0, "x", 0, 0}},
     false,
     {{"etc/x", 'f'}}},
    {"loop of links",
     {{'2', "a", "b", 0, 0, 0}, {'2', "b", "a", 0, 0, 0}, {'0', "a/x", 0, "x", 0, 0}},
     true,
     {{0}}},
    {"dead link as a parent",
     {{'2', "a", "/none", 0, 0, 0}, {'0', "a/x", 0, "x", 0, 0}},
     true,
     {{0}}},
    {"link then file",
     {{'2', "a", "../canary", 0, 0, 0}, {'0', "a", 0, "dead", 0, 0}},
     false,
     {{"a", 'f'}}},
    {"directory then link then file",
     {{'5', "foo", 0, 0, 0, 0},
      {'2', "foo", "/", 0, 0, 0},
      {'0', "foo/escaped", 0, "x", 0, 0},
      {'5', "foo", 0, 0, 0, 0}},
     false,
     {{"escaped", 'f'}, {"foo", 'd'}}},
    {"full directory then link",
     {{'0', "foo/a", 0, "x", 0, 0},
      {'2', "foo", "..", 0, 0, 0},
      {'0', "foo/escaped", 0, "x", 0, 0}},
     false,
     {{"foo", 'l'}, {"escaped", 'f'}}},
    {"file then directory",
     {{'0', "a", 0, "x", 0, 0}, {'5', "a", 0, 0, 0, 0}},
     false,
     {{"a", 'd'}}},
    {"directory again",
     {{'0', "a/x", 0, "x", 0, 0}, {'5', "a", 0, 0, 0, 0700}},
     false,
     {{"a/x", 'f'}}},
    {"file as a parent", {{'0', "a", 0, "x", 0, 0}, {'0', "a/x", 0, "x", 0, 0}}, true, {{0}}},
    {"dots above", {{'0', "../../../escaped", 0, "x", 0, 0}}, false, {{"escaped", 'f'}}},
    {"dots inside", {{'0', "no/../etc/x", 0, "x", 0, 0}}, false, {{"etc/x", 'f'}}},
    {"absolute name", {{'0', "/escaped", 0, "x", 0, 0}}, false, {{"escaped", 'f'}}},
    {"dots at the end", {{'5', "a/b/..", 0, 0, 0, 0}}, false, {{"a", 'd'}}},
    {"strange names",
     {{'0', "a\n\x1b\\b\xff c", 0, "x", 0, 0}, {'0', "-rf", 0, "x", 0, 0}},
     false,
     {{"a\n\x1b\\b\xff c", 'f'}, {"-rf", 'f'}}},
    {"long component", {{'0', X256, 0, "x", 0, 0}}, true, {{0}}},
    {"deep path", {{'0', DEEP "x", 0, "x", 0, 0}}, true, {{0}}},
    {"root is a link", {{'2', "./", "/etc", 0, 0, 0}}, true, {{0}}},
    {"root is a file", {{'0', "/", 0, "x", 0, 0}}, true, {{0}}},
    {"root is a directory", {{'5', "./", 0, 0, 0, 0}}, false, {{".", 'd'}}},
    {"link to nothing", {{'2', "a", "", 0, 0, 0}}, true, {{0}}},
    {"hard link to the outside", {{'1', "a", "../canary", 0, 0, 0}}, true, {{0}}},
    {"hard link through a link",
     {{'2', "l", "..", 0, 0, 0}, {'1', "a", "l/canary", 0, 0, 0}},
     true,
     {{0}}},
    {"hard link by an absolute name", {{'1', "a", "/etc/passwd", 0, 0, 0}}, true, {{0}}},
    {"hard link to a link, then a mode",
     {{'2', "l", "../canary", 0, 0, 0}, {'1', "h", "l", 0, 0, 04777}},
     false,
     {{"h", 'l'}, {"l", 'l'}}},
    {"hard link to a directory", {{'5', "d", 0, 0, 0, 0}, {'1', "h", "d", 0, 0, 0}}, true, {{0}}},
    {"hard link to a lower layer", {{'1', "h", "later", 0, 0, 0}}, true, {{0}}},
    {"hard link to itself",
     {{'0', "a", 0, "x", 0, 0}, {'1', "a", "a", 0, 0, 0}},
     false,
     {{"a", 'f'}}},
    {"hard link over a file",
     {{'0', "a", 0, "x", 0, 0}, {'0', "b", 0, "y", 0, 0}, {'1', "b", "a", 0, 0, 0}},
     false,
     {{"b", 'f'}}},
    {"whiteout", {{'0', "d/.wh.x", 0, 0, 0, 0}}, false, {{"d/x", 'w'}, {"d/.wh.x", 0}}},
    {"whiteout of nothing", {{'0', ".wh.", 0, 0, 0, 0}}, true, {{0}}},
    {"whiteout of itself", {{'0', "etc/.wh..", 0, 0, 0, 0}}, true, {{0}}},
    {"whiteout of its parent", {{'0', "etc/.wh...", 0, 0, 0, 0}}, true, {{0}}},
    {"whiteout behind a file",
     {{'0', "a", 0, "x", 0, 0}, {'0', ".wh.a", 0, 0, 0, 0}},
     false,
     {{"a", 'f'}}},
    {"whiteout before a file",
     {{'0', ".wh.a", 0, 0, 0, 0}, {'0', "a", 0, "x", 0, 0}},
     false,
     {{"a", 'f'}}},
    {"whiteout of a new directory",
     {{'0', ".wh.a", 0, 0, 0, 0}, {'0', "a/b", 0, "x", 0, 0}},
     false,
     {{"a", 'o'}, {"a/b", 'f'}}},
    {"whiteout of a new link",
     {{'2', "a", "..", 0, 0, 0}, {'0', ".wh.a", 0, 0, 0, 0}},
     false,
     {{"a", 'l'}}},
    {"whiteout through a link",
     {{'5', "etc", 0, 0, 0, 0}, {'2', "l", "/etc", 0, 0, 0}, {'0', "l/.wh.x", 0, 0, 0, 0}},
     false,
     {{"etc/x", 'w'}}},
    {"whiteout through a dead link",
     {{'2', "l", "/none", 0, 0, 0}, {'0', "l/.wh.x", 0, 0, 0, 0}},
     false,
     {{"l", 'l'}}},
    {"whiteout as a directory", {{'5', ".wh.x", 0, 0, 0, 0}}, false, {{"x", 'w'}}},
    {"whiteout as a device", {{'3', ".wh.x", 0, 0, 0, 0}}, false, {{"x", 'w'}}},
    {"whiteout prefix on a directory",
     {{'0', ".wh.etc/x", 0, "x", 0, 0}},
     false,
     {{".wh.etc/x", 'f'}}},
    {"opaque first",
     {{'0', "d/.wh..wh..opq", 0, 0, 0, 0}, {'0', "d/x", 0, "x", 0, 0}},
     false,
     {{"d", 'o'}, {"d/x", 'f'}}},
    {"opaque last",
     {{'0', "d/x", 0, "x", 0, 0}, {'0', "d/.wh..wh..opq", 0, 0, 0, 0}},
     false,
     {{"d", 'o'}, {"d/x", 'f'}}},
    {"whiteout in an opaque directory",
     {{'0', "d/.wh.x", 0, 0, 0, 0}, {'0', "d/.wh..wh..opq", 0, 0, 0, 0}},
     false,
     {{"d", 'o'}, {"d/x", 0}}},
    {"records of aufs",
     {{'0', ".wh..wh.plnk/x", 0, "x", 0, 0}, {'0', ".wh..wh.aufs", 0, 0, 0, 0}},
     false,
     {{".wh..wh.aufs", 0}}},
    {"raw whiteout device", {{'3', "x", 0, 0, 0, 0}}, false, {{"x", 0}}},
    {"block device", {{'4', "x", 0, 0, 0, 0}}, false, {{"x", 0}}},
    {"FIFO", {{'6', "x", 0, 0, 0, 0}}, false, {{"x", 'p'}}},
    {"opaque by an attribute", {{'5', "d", 0, 0, "user.overlay.opaque=y", 0}}, false, {{"d", 'd'}}},
    {"empty layer", {{0}}, false, {{0}}},
};

static void attacks_stay_inside(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(attacks); i++) {
        const struct attack *attack = &attacks[i];
        struct place place;
        struct err err = ERR_INIT;
        bool ok;

        make_place(&place);
        ok = unpack_entries(&place, attack->entries, &err);
        if (ok == attack->refused)
            fail_msg("%s: %s", attack->name, ok ? "was accepted" : err.message);
        if (!ok)
            assert_int_equal(err.code, ERR_IMAGE_CORRUPT);
        for (size_t j = 0; j < COUNT(attack->expect) && attack->expect[j].path; j++) {
            char kind = kind_at(&place, attack->expect[j].path);

            if (kind != attack->expect[j].kind)
                fail_msg("%s: '%s' is '%c'", attack->name, attack->expect[j].path,
                         kind ? kind : '0');
        }
        free_place(&place);
    }
}

static void attributes_are_set(void **state)
{
    const struct tar_entry entries[ENTRIES] = {
        {'5', "d", 0, 0, "user.kept=1", 01750},
        {'0', "d/f", 0, "content", "user.mine=yes", 04711},
        {'0', "d/g", 0, "x", "trusted.overlay.redirect=/etc", 0},
        {'0', "d/h", 0, "x", "user.overlay.metacopy=", 0},
    };
    struct place place;
    struct stat st;
    char value[16];
    struct err err;
    autofd file = -1;

    (void)state;
    make_place(&place);
    assert_ok(unpack_entries(&place, entries, &err));
    assert_int_equal(fstatat(place.root, "d", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 01750);
    assert_int_equal(st.st_mtime, 1000000000);
    assert_int_equal(fstatat(place.root, "d/f", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 04711);
    assert_int_equal(st.st_mtime, 1000000000);
    file = openat(place.root, "d/f", O_RDONLY);
    assert_int_equal(fgetxattr(file, "user.mine", value, sizeof(value)), 3);
    close_fd(file);
    file = openat(place.root, "d/g", O_RDONLY);
    assert_true(fgetxattr(file, "trusted.overlay.redirect", value, sizeof(value)) < 0);
    close_fd(file);
    file = openat(place.root, "d/h", O_RDONLY);
    assert_true(fgetxattr(file, "user.overlay.metacopy", value, sizeof(value)) < 0);
    free_place(&place);
}

/* Whatever the mode was that a file was made with, or that it had before. */
static void modes_are_exact(void **state)
{
    const struct tar_entry entries[ENTRIES] = {
        {'5', "d", 0, 0, 0, 02777},     {'0', "d/f", 0, "x", 0, 0777},
        {'0', "d/none", 0, "x", 0, 01}, {'0', "d/sgid", 0, "x", 0, 02755},
        {'5', "e", 0, 0, 0, 06775},     {'5', "e", 0, 0, 0, 0555},
    };
    const mode_t modes[] = {02777, 0777, 01, 02755, 0555};
    const char *const names[] = {"d", "d/f", "d/none", "d/sgid", "e"};
    struct place place;
    struct stat st;
    struct err err;

    (void)state;
    make_place(&place);
    assert_ok(unpack_entries(&place, entries, &err));
    for (size_t i = 0; i < COUNT(names); i++) {
        assert_int_equal(fstatat(place.root, names[i], &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, modes[i]);
    }
    free_place(&place);
}

/* A tar of one large file of zeros, which compresses well. */
static void make_bomb(struct buf *tar, size_t len)
{
    autofree char *zeros = calloc(1, len + 1);

    assert_non_null(zeros);
    memset(zeros, '0', len);
    tar_add(tar, &(struct tar_entry){'0', "bomb", NULL, zeros, NULL, 0});
    tar_end(tar);
}

static void gzip(const struct buf *plain, struct buf *out)
{
    z_stream stream = {0};
    size_t room = plain->len + 1024;
    autofree unsigned char *bytes = malloc(room);

    assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY), Z_OK);
    stream.next_in = (unsigned char *)plain->data;
    stream.avail_in = (unsigned int)plain->len;
    stream.next_out = bytes;
    stream.avail_out = (unsigned int)room;
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    assert_true(buf_append(out, bytes, stream.total_out));
    deflateEnd(&stream);
}

static void zstd(const struct buf *plain, struct buf *out)
{
    size_t room = ZSTD_compressBound(plain->len), len;
    autofree char *bytes = malloc(room);

    len = ZSTD_compress(bytes, room, plain->data, plain->len, 3);
    assert_false(ZSTD_isError(len));
    assert_true(buf_append(out, bytes, len));
}

static bool unpack_blob(const struct buf *blob, enum compression compression,
                        const struct buf *plain, const struct unpack_limits *limits,
                        struct err *err)
{
    char diff_id[DIGEST_TEXT_MAX];
    struct place place;
    autofd fd = blob_of(blob->data, blob->len);
    bool ok;

    make_place(&place);
    digest_of(plain->data, plain->len, diff_id);
    ok = unpack_layer(fd, compression, diff_id, place.root, limits, false, err);
    free_place(&place);
    return ok;
}

static void compressed_layers_end_where_they_should(void **state)
{
    static const struct {
        enum compression compression, real;
        int cut;  /* bytes that are missing at the end */
        int more; /* bytes of garbage behind it */
        bool ok;
    } table[] = {
        {COMPRESSION_NONE, COMPRESSION_NONE, 0, 0, true},
        {COMPRESSION_GZIP, COMPRESSION_GZIP, 0, 0, true},
        {COMPRESSION_ZSTD, COMPRESSION_ZSTD, 0, 0, true},
        {COMPRESSION_GZIP, COMPRESSION_GZIP, 1, 0, false},
        {COMPRESSION_GZIP, COMPRESSION_GZIP, 9, 0, false},
        {COMPRESSION_ZSTD, COMPRESSION_ZSTD, 1, 0, false},
        {COMPRESSION_NONE, COMPRESSION_NONE, 4000, 0, false},
        {COMPRESSION_GZIP, COMPRESSION_GZIP, 0, 9, false},
        {COMPRESSION_ZSTD, COMPRESSION_ZSTD, 0, 9, false},
        {COMPRESSION_GZIP, COMPRESSION_ZSTD, 0, 0, false},
        {COMPRESSION_ZSTD, COMPRESSION_GZIP, 0, 0, false},
        {COMPRESSION_NONE, COMPRESSION_GZIP, 0, 0, false},
    };
    autobuf plain = BUF_INIT(TAR_MAX);

    (void)state;
    make_bomb(&plain, 100000);
    for (size_t i = 0; i < COUNT(table); i++) {
        autobuf blob = BUF_INIT(TAR_MAX);
        struct err err;

        if (table[i].real == COMPRESSION_GZIP)
            gzip(&plain, &blob);
        else if (table[i].real == COMPRESSION_ZSTD)
            zstd(&plain, &blob);
        else
            assert_true(buf_append(&blob, plain.data, plain.len));
        blob.len -= (size_t)table[i].cut;
        assert_true(buf_append(&blob, "123456789", (size_t)table[i].more));
        if (unpack_blob(&blob, table[i].compression, &plain, &UNPACK_LIMITS, &err) != table[i].ok)
            fail_msg("line %zu: %s", i, err.message);
        if (!table[i].ok)
            assert_int_equal(err.code, ERR_IMAGE_CORRUPT);
    }
}

/* pigz and others write one member after another. */
static void members_are_joined(void **state)
{
    autobuf first = BUF_INIT(TAR_MAX), second = BUF_INIT(TAR_MAX), plain = BUF_INIT(TAR_MAX);
    autobuf blob = BUF_INIT(TAR_MAX);
    struct err err;

    (void)state;
    make_bomb(&plain, 3000);
    assert_true(buf_append(&first, plain.data, 700));
    assert_true(buf_append(&second, plain.data + 700, plain.len - 700));
    gzip(&first, &blob);
    gzip(&second, &blob);
    assert_ok(unpack_blob(&blob, COMPRESSION_GZIP, &plain, &UNPACK_LIMITS, &err));
    blob.len = 0;
    zstd(&first, &blob);
    zstd(&second, &blob);
    assert_ok(unpack_blob(&blob, COMPRESSION_ZSTD, &plain, &UNPACK_LIMITS, &err));
}

static void a_window_too_large_is_refused(void **state)
{
    /* The header of a frame with its window, and an empty raw block that is the last. */
    static const struct {
        unsigned char window;
        bool refused;
    } table[] = {{0x78, false}, {0x80, true}, {0xa8, true}}; /* 32 MiB, 64 MiB, 2 GiB */

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        const unsigned char frame[] = {0x28, 0xb5, 0x2f, 0xfd, 0, table[i].window, 1, 0, 0};
        autobuf blob = BUF_INIT(64), plain = BUF_INIT(64);
        struct err err;
        bool ok;

        assert_true(buf_append(&blob, frame, sizeof(frame)) && buf_append(&plain, "", 0));
        ok = unpack_blob(&blob, COMPRESSION_ZSTD, &plain, &UNPACK_LIMITS, &err);
        assert_int_equal(ok, !table[i].refused);
        if (!ok)
            assert_non_null(strstr(err.message, "the limit of 32 MiB"));
    }
}

static void limits_are_named(void **state)
{
    static const struct {
        const char *word;
        struct unpack_limits limits;
    } table[] = {
        {"entries",
         {.entries = 0, .depth = 9, .path = 99, .file = 1 << 30, .total = 1 << 30, .ratio = 99999}},
        {"99 bytes of a file",
         {.entries = 9, .depth = 9, .path = 99, .file = 99, .total = 1 << 30, .ratio = 99999}},
        {"3 bytes of a path",
         {.entries = 9, .depth = 9, .path = 3, .file = 1 << 30, .total = 1 << 30, .ratio = 99999}},
        {"0 directories",
         {.entries = 9, .depth = 0, .path = 99, .file = 1 << 30, .total = 1 << 30, .ratio = 9999}},
        {"1000 bytes",
         {.entries = 9, .depth = 9, .path = 99, .file = 1 << 30, .total = 1000, .ratio = 99999}},
        {"10 times",
         {.entries = 9, .depth = 9, .path = 99, .file = 1 << 30, .total = 1 << 30, .ratio = 10}},
    };
    autobuf plain = BUF_INIT(TAR_MAX), blob = BUF_INIT(TAR_MAX);

    (void)state;
    make_bomb(&plain, 1000000);
    gzip(&plain, &blob);
    for (size_t i = 0; i < COUNT(table); i++) {
        struct err err;

        assert_refused(unpack_blob(&blob, COMPRESSION_GZIP, &plain, &table[i].limits, &err),
                       ERR_IMAGE_CORRUPT);
        if (!strstr(err.message, table[i].word))
            fail_msg("'%s' is not in '%s'", table[i].word, err.message);
    }
}

/* They become lists in memory. */
static void headers_of_one_entry_are_limited(void **state)
{
    static const struct {
        size_t len;
        const char *word;
    } table[] = {
        {200000, "a component is longer"},
        {1000000, "headers are larger than the limit of 524288 bytes"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        autofree char *name = calloc(1, table[i].len + 1);
        const struct tar_entry entry = {.type = '0', .name = name};
        struct unpack_limits limits = UNPACK_LIMITS;
        autobuf tar = BUF_INIT(TAR_MAX);
        struct err err;

        assert_non_null(name);
        memset(name, 'x', table[i].len);
        tar_add(&tar, &entry);
        tar_end(&tar);
        limits.path = 2 * table[i].len;
        assert_refused(unpack_blob(&tar, COMPRESSION_NONE, &tar, &limits, &err), ERR_IMAGE_CORRUPT);
        if (!strstr(err.message, table[i].word))
            fail_msg("'%s' is not in '%s'", table[i].word, err.message);
    }
}

#define NAMES_TAR_MAX (32 << 20)
#define NAMES         1700 /* of 3800 bytes, of each of two kinds: together they are too many */

static void names_of_all_kinds_have_one_limit(void **state)
{
    static const char *const kinds[] = {WHITEOUT "name", WHITEOUT WHITEOUT ".opq"};

    (void)state;
    for (size_t count = 1; count <= COUNT(kinds); count++) {
        const struct unpack_limits limits = UNPACK_LIMITS;
        autobuf tar = BUF_INIT(NAMES_TAR_MAX);
        char path[4096];
        struct err err;

        memset(path, 'x', sizeof(path));
        for (size_t i = 200; i < 4000; i += 200)
            path[i] = '/';
        for (size_t i = 0; i < count * NAMES; i++) {
            const struct tar_entry entry = {.type = '0', .name = path};

            strcpy(path + 3801, kinds[i / NAMES]);
            tar_add(&tar, &entry);
        }
        tar_end(&tar);
        if (count == 1) {
            assert_ok(unpack_blob(&tar, COMPRESSION_NONE, &tar, &limits, &err));
            continue;
        }
        assert_refused(unpack_blob(&tar, COMPRESSION_NONE, &tar, &limits, &err), ERR_IMAGE_CORRUPT);
        assert_non_null(strstr(err.message, "names of a layer are larger than 12582912 bytes"));
    }
}

/* No name is long, but each leads through the one before. */
static void links_do_not_lead_deeper(void **state)
{
    static const struct tar_entry entries[] = {
        {.type = '5', .name = "d/d/d"},
        {.type = '2', .name = "x", .link = "d/d/d"},
        {.type = '5', .name = "x/d"},
        {.type = '5', .name = "x/d/d"},
    };
    struct unpack_limits limits = UNPACK_LIMITS;
    autobuf tar = BUF_INIT(TAR_MAX);
    struct err err;

    (void)state;
    for (size_t i = 0; i < COUNT(entries); i++)
        tar_add(&tar, &entries[i]);
    tar_end(&tar);
    limits.depth = 5;
    assert_ok(unpack_blob(&tar, COMPRESSION_NONE, &tar, &limits, &err));
    limits.depth = 4;
    assert_refused(unpack_blob(&tar, COMPRESSION_NONE, &tar, &limits, &err), ERR_IMAGE_CORRUPT);
    assert_non_null(strstr(err.message, "deeper than the limit of 4 directories"));
}

static void implied_directories_count(void **state)
{
    static const struct tar_entry entry = {.type = '0', .name = "a/b/c/d/e/f", .content = "x"};
    struct unpack_limits limits = UNPACK_LIMITS;
    autobuf tar = BUF_INIT(TAR_MAX);
    struct err err;

    (void)state;
    tar_add(&tar, &entry);
    tar_end(&tar);
    limits.entries = 4;
    assert_refused(unpack_blob(&tar, COMPRESSION_NONE, &tar, &limits, &err), ERR_IMAGE_CORRUPT);
    assert_non_null(strstr(err.message, "limit of 4 directories"));
    limits.entries = 5;
    assert_ok(unpack_blob(&tar, COMPRESSION_NONE, &tar, &limits, &err));
}

static void impossible_sizes_are_refused(void **state)
{
    static const unsigned long long sizes[] = {1ULL << 60, 1ULL << 63, ~0ULL, 1ULL << 40};

    (void)state;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        autobuf tar = BUF_INIT(TAR_MAX);
        struct place place;
        struct err err;

        make_place(&place);
        tar_add_huge(&tar, "x", sizes[i]);
        tar_end(&tar);
        assert_refused(unpack(&place, &tar, &err), ERR_IMAGE_CORRUPT);
        free_place(&place);
    }
}

/* The sum of a header is wrong: libarchive would go on with the next one. */
static void a_damaged_header_is_refused(void **state)
{
    static const struct tar_entry entries[] = {
        {.type = '0', .name = "first", .content = "x"},
        {.type = '0', .name = "second", .content = "y"},
    };
    autobuf tar = BUF_INIT(TAR_MAX);
    struct err err;

    (void)state;
    tar_add(&tar, &entries[0]);
    tar.data[0] ^= 1;
    tar_add(&tar, &entries[1]);
    tar_end(&tar);
    assert_refused(unpack_blob(&tar, COMPRESSION_NONE, &tar, &UNPACK_LIMITS, &err),
                   ERR_IMAGE_CORRUPT);
    assert_non_null(strstr(err.message, "not a valid tar archive"));
}

static void another_content_is_refused(void **state)
{
    autobuf plain = BUF_INIT(TAR_MAX), other = BUF_INIT(TAR_MAX);
    struct err err;

    (void)state;
    make_bomb(&plain, 1000);
    make_bomb(&other, 1001);
    assert_refused(unpack_blob(&plain, COMPRESSION_NONE, &other, &UNPACK_LIMITS, &err),
                   ERR_IMAGE_CORRUPT);
}

/* umoci insert ends its archives with the last byte of the last file. */
static void an_archive_without_its_end_is_read(void **state)
{
    autobuf tar = BUF_INIT(TAR_MAX);
    struct place place;
    struct err err;

    (void)state;
    make_place(&place);
    tar_add(&tar, &(struct tar_entry){'0', "f", NULL, "seventeen bytes..", NULL, 0});
    tar.len -= 512 - 17;
    assert_ok(unpack(&place, &tar, &err));
    assert_int_equal(kind_at(&place, "f"), 'f');
    free_place(&place);
}

/* The archive of no bytes, not even the blocks that end it. */
static void an_archive_of_nothing_is_read(void **state)
{
    autobuf nothing = BUF_INIT(64);
    struct err err;

    (void)state;
    assert_true(buf_append(&nothing, "", 0));
    assert_ok(unpack_blob(&nothing, COMPRESSION_NONE, &nothing, &UNPACK_LIMITS, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attacks_stay_inside),
        cmocka_unit_test(attributes_are_set),
        cmocka_unit_test(modes_are_exact),
        cmocka_unit_test(compressed_layers_end_where_they_should),
        cmocka_unit_test(members_are_joined),
        cmocka_unit_test(a_window_too_large_is_refused),
        cmocka_unit_test(limits_are_named),
        cmocka_unit_test(headers_of_one_entry_are_limited),
        cmocka_unit_test(names_of_all_kinds_have_one_limit),
        cmocka_unit_test(links_do_not_lead_deeper),
        cmocka_unit_test(implied_directories_count),
        cmocka_unit_test(impossible_sizes_are_refused),
        cmocka_unit_test(a_damaged_header_is_refused),
        cmocka_unit_test(another_content_is_refused),
        cmocka_unit_test(an_archive_without_its_end_is_read),
        cmocka_unit_test(an_archive_of_nothing_is_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
