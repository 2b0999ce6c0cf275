#include "tests/unit/unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "runtime/kubernetes/return_apply.h"
#include "runtime/kubernetes/shipped_list.h"
#include "tests/unit/scratch.h"

#define ENTRIES 12

/* ---- streams ---- */

struct record {
    enum return_kind kind; /* 0: no more */
    const char *name;
    const char *text; /* content, or target */
    mode_t mode;
};

static void put(struct buf *stream, const struct return_head *head, const char *name,
                const char *text)
{
    assert_true(buf_append(stream, head, sizeof(*head)));
    assert_true(!*name || buf_append_text(stream, name));
    assert_true(!*text || buf_append_text(stream, text));
}

static void make_stream(const struct record *records, size_t max, struct buf *stream)
{
    struct return_head end = {.mark = RETURN_MARK, .kind = RETURN_END};

    for (size_t i = 0; i < max && records[i].kind; i++) {
        const struct record *record = &records[i];
        const char *text = record->text ? record->text : "";
        bool is_link = record->kind == RETURN_LINK;
        struct return_head head = {.mark = RETURN_MARK,
                                   .kind = record->kind,
                                   .mode = record->mode,
                                   .seconds = 1000000000,
                                   .name_size = (uint32_t)strlen(record->name)};

        if (is_link)
            head.target_size = (uint32_t)strlen(text);
        else
            head.size = strlen(text);
        end.size++;
        end.seconds += (int64_t)head.size;
        put(stream, &head, record->name, text);
    }
    put(stream, &end, "", "");
}

/* Everything in pieces of so many bytes. */
static bool feed(struct return_reader *reader, const struct buf *stream, size_t piece,
                 struct err *err)
{
    for (size_t at = 0; at < stream->len; at += piece) {
        size_t len = stream->len - at < piece ? stream->len - at : piece;

        if (!return_reader_feed(reader, stream->data + at, len, err))
            return false;
    }
    return true;
}

/* ---- what is a stream, and what is none ---- */

#define F  RETURN_FILE
#define D  RETURN_DIRECTORY
#define L  RETURN_LINK
#define K  RETURN_KEPT
#define KD RETURN_KEPT_DIRECTORY

static const struct {
    bool good;
    struct record records[ENTRIES];
} streams[] = {
    {true, {{0}}},
    {true, {{F, "a", "content", 0644}, {D, "b", NULL, 0755}, {F, "b/c", "", 0}, {L, "d", "/x", 0}}},
    {true, {{KD, "a", NULL, 0}, {KD, "a/b", NULL, 0}, {K, "a/b/c", NULL, 0}, {F, "a/d", "x", 0}}},
    {true, {{D, "a", NULL, 0}, {F, "a/b", "x", 0}, {F, "a b\n", "x", 0}, {F, "a-b", "x", 0}}},
    {true, {{F, "...", "x", 0}, {F, "..a", "x", 0}, {F, ".a", "x", 0}, {F, "\377", "x", 0}}},
    /* Names that lead elsewhere. */
    {false, {{F, "/a", "x", 0}}},
    {false, {{F, "..", "x", 0}}},
    {false, {{F, ".", "x", 0}}},
    {false, {{D, "a", NULL, 0}, {F, "a/../b", "x", 0}}},
    {false, {{D, "a", NULL, 0}, {F, "a/..", "x", 0}}},
    {false, {{D, "a", NULL, 0}, {F, "a/./b", "x", 0}}},
    {false, {{D, "a", NULL, 0}, {F, "a//b", "x", 0}}},
    {false, {{D, "a/", NULL, 0}}},
    {false, {{F, "", "x", 0}}},
    /* Below what is no directory, or has not come. */
    {false, {{F, "a/b", "x", 0}}},
    {false, {{F, "a", "x", 0}, {F, "a/b", "x", 0}}},
    {false, {{L, "a", "/etc", 0}, {F, "a/b", "x", 0}}},
    {false, {{K, "a", NULL, 0}, {F, "a/b", "x", 0}}},
    {false, {{D, "a", NULL, 0}, {F, "b", "x", 0}, {F, "a/b", "x", 0}}},
    {false, {{D, "a", NULL, 0}, {D, "a/b", NULL, 0}, {F, "a/c/d", "x", 0}}},
    {false, {{D, "ab", NULL, 0}, {F, "a/b", "x", 0}}},
    /* Twice, or not in order. */
    {false, {{F, "a", "x", 0}, {F, "a", "x", 0}}},
    {false, {{D, "a", NULL, 0}, {L, "a", "/etc", 0}}},
    {false, {{F, "b", "x", 0}, {F, "a", "x", 0}}},
    /* What no entry has. */
    {false, {{L, "a", "", 0}}},
    {false, {{F, "a", "x", 04755}}},
    {false, {{D, "a", NULL, 01777}}},
    {false, {{K, "a", "content", 0}}},
    {false, {{D, "a", "content", 0}}},
    {false, {{RETURN_FAILED, "the disk is broken", NULL, 0}}},
    {false, {{(enum return_kind)9, "a", NULL, 0}}},
};

static void test_streams(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(streams); i++) {
        autobuf stream = BUF_INIT(65536);

        make_stream(streams[i].records, ENTRIES, &stream);
        for (size_t piece = 1; piece < 200; piece += 66) {
            struct return_reader reader = {0};
            struct err err = ERR_INIT;
            bool ok = feed(&reader, &stream, piece, &err);

            if (ok != streams[i].good)
                fail_msg("stream %zu: %s", i, err.message);
            assert_true(ok ? reader.ended : err.code == ERR_ENGINE_FAILED);
        }
    }
}

/* Each byte less is no whole stream, and nothing may be behind one. */
static void test_cut(void **state)
{
    autobuf stream = BUF_INIT(65536);
    struct err err;

    (void)state;
    make_stream(streams[1].records, ENTRIES, &stream);
    for (size_t len = 0; len < stream.len; len++) {
        struct return_reader reader = {0};

        assert_ok(return_reader_feed(&reader, stream.data, len, &err));
        assert_false(reader.ended);
    }
    assert_true(buf_append(&stream, "", 1));
    for (size_t piece = 1; piece <= stream.len; piece += stream.len - 1)
        assert_refused(feed(&(struct return_reader){0}, &stream, piece, &err), ERR_ENGINE_FAILED);
}

static void test_heads(void **state)
{
    static const struct return_head good = {
        .mark = RETURN_MARK, .kind = RETURN_FILE, .size = 1, .name_size = 1};
    struct {
        struct return_head head;
        const char *message;
    } heads[] = {
        {good, "a record is none"},
        {good, "a record is none"},
        {good, "a record is none"},
        {good, "a name has a length"},
        {good, "a name has a length"},
        {good, "bytes"},
        {good, "counts"},
        {good, "counts"},
    };

    (void)state;
    heads[0].head.mark[0] = 'R';
    heads[1].head.zero = 1;
    heads[2].head.nanoseconds = 1000000000;
    heads[3].head.name_size = PATH_MAX;
    heads[4].head.target_size = UINT32_MAX;
    heads[5].head.size = RETURN_BYTES_MAX + 1;
    heads[6].head = (struct return_head){.mark = RETURN_MARK, .kind = RETURN_END, .size = 1};
    heads[7].head = (struct return_head){.mark = RETURN_MARK, .kind = RETURN_END, .seconds = -1};
    for (size_t i = 0; i < COUNT(heads); i++) {
        struct return_reader reader = {0};
        struct err err;

        assert_refused(return_reader_feed(&reader, &heads[i].head, sizeof(heads[i].head), &err),
                       ERR_ENGINE_FAILED);
        assert_non_null(strstr(err.message, heads[i].message));
    }
}

/* ---- into a directory ---- */

struct place {
    struct scratch scratch; /* with `work`, and `outside` */
    FILE *list;
    struct strv without, warnings;
    bool keeps;
    char worked_in[RETURN_PLACE_MAX];
};

static void write_file(int dir, const char *name, const char *text, mode_t mode)
{
    autofd fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0 && file_write_all(fd, text, strlen(text)) && fchmod(fd, mode) == 0);
}

static void begin(struct place *place)
{
    *place = (struct place){0};
    scratch_make(&place->scratch);
    assert_int_equal(mkdirat(place->scratch.fd, "work", 0755), 0);
    assert_int_equal(mkdirat(place->scratch.fd, "outside", 0755), 0);
    write_file(place->scratch.fd, "outside/file", "outside", 0644);
    place->list = tmpfile();
}

static void end(struct place *place)
{
    fclose(place->list);
    strv_release(&place->without);
    strv_release(&place->warnings);
    scratch_remove(&place->scratch);
}

/* Makes it (text NULL: a directory), and puts it into the list of what was shipped. */
static void ship(struct place *place, const char *name, const char *text, mode_t mode)
{
    autofree char *path = text_printf("work/%s", name);
    struct stat st;

    if (text)
        write_file(place->scratch.fd, path, text, mode);
    else
        assert_int_equal(mkdirat(place->scratch.fd, path, mode), 0);
    assert_int_equal(fstatat(place->scratch.fd, path, &st, AT_SYMLINK_NOFOLLOW), 0);
    assert_true(shipped_list_add(place->list, name, &st));
}

static bool apply_to(struct place *place, const struct stat *work, const struct record *records,
                     struct err *err)
{
    autofree char *path = text_printf("%s/work", place->scratch.path);
    const struct return_plan plan = {.path = path,
                                     .dev = work->st_dev,
                                     .ino = work->st_ino,
                                     .list = place->list,
                                     .without = &place->without,
                                     .keeps = place->keeps,
                                     .place = place->worked_in};
    autofd fd = memfd_create("stream", MFD_CLOEXEC);
    autobuf stream = BUF_INIT(1 << 20);

    make_stream(records, SIZE_MAX, &stream);
    assert_true(file_write_all(fd, stream.data, stream.len));
    rewind(place->list);
    assert_true(return_check(fd, err));
    return return_apply(&plan, fd, &place->warnings, err);
}

static struct stat stat_of(const struct place *place, const char *path)
{
    struct stat st;

    assert_int_equal(fstatat(place->scratch.fd, path, &st, AT_SYMLINK_NOFOLLOW), 0);
    return st;
}

static bool apply(struct place *place, const struct record *records, struct err *err)
{
    const struct stat work = stat_of(place, "work");

    return apply_to(place, &work, records, err);
}

static void assert_file(const struct place *place, const char *path, const char *text, mode_t mode)
{
    autobuf found = BUF_INIT(4096);
    struct err err;
    struct stat st;

    assert_ok(file_read(place->scratch.fd, path, &found, ERR_ENGINE_FAILED, &err));
    assert_true(strlen(text) == found.len &&
                memcmp(found.data ? found.data : "", text, found.len) == 0);
    assert_int_equal(fstatat(place->scratch.fd, path, &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, mode);
}

static bool exists(const struct place *place, const char *path)
{
    struct stat st;

    return fstatat(place->scratch.fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static time_t time_of(const struct place *place, const char *path)
{
    return stat_of(place, path).st_mtim.tv_sec;
}

/* Shipping gives the owner all rights: where the mode is what came of that, it stays what it was. */
static void test_changes(void **state)
{
    static const struct record records[] = {
        {D, "closed", NULL, 0700},       {K, "closed/f", NULL, 0},
        {F, "closed/new", "new", 0640},  {F, "directory", "now", 0755},
        {F, "edited", "2", 0400},        {D, "file", NULL, 0710},
        {F, "file/below", "deep", 0600}, {L, "link", "/else", 0},
        {F, "mode", "3", 0711},          {0}};
    char target[16] = "";
    struct place place;
    struct err err;

    (void)state;
    begin(&place);
    ship(&place, "closed", NULL, 0755);
    ship(&place, "closed/f", "f", 0644);
    assert_int_equal(fchmodat(place.scratch.fd, "work/closed", 0500, 0), 0);
    ship(&place, "directory", NULL, 0755);
    ship(&place, "directory/a", NULL, 0755);
    ship(&place, "directory/a/b", "b", 0644);
    ship(&place, "edited", "1", 0000);
    ship(&place, "file", "f", 0644);
    ship(&place, "gone", NULL, 0755);
    ship(&place, "gone/gone", NULL, 0755);
    ship(&place, "gone/gone/f", "f", 0644);
    ship(&place, "mode", "1", 0644);
    assert_ok(apply(&place, records, &err));
    assert_int_equal(place.warnings.count, 0);
    assert_file(&place, "work/closed/new", "new", 0640);
    assert_file(&place, "work/directory", "now", 0755);
    assert_file(&place, "work/file/below", "deep", 0600);
    assert_file(&place, "work/mode", "3", 0711);
    assert_int_equal(readlinkat(place.scratch.fd, "work/link", target, sizeof(target) - 1), 5);
    assert_string_equal(target, "/else");
    assert_false(exists(&place, "work/gone"));
    assert_int_equal(time_of(&place, "work/closed"), 1000000000);
    assert_int_equal(time_of(&place, "work/file"), 1000000000);
    assert_int_equal(time_of(&place, "work/mode"), 1000000000);
    assert_int_equal(fchmodat(place.scratch.fd, "work/edited", 0600, 0), 0);
    assert_file(&place, "work/edited", "2", 0600);
    end(&place);
}

/* What others have made of the directory meanwhile leads nowhere, and is not deleted. */
static void test_others(void **state)
{
    static const struct record records[] = {
        {KD, "dir", NULL, 0755},        {F, "dir/f", "step", 0644},
        {F, "file", "step", 0644},      {KD, "kept", NULL, 0755},
        {F, "kept/f", "step", 0644},    {D, "link", NULL, 0755},
        {F, "link/file", "step", 0644}, {0}};
    struct place place;
    struct err err;

    (void)state;
    begin(&place);
    ship(&place, "dir", NULL, 0755);
    ship(&place, "dir/f", "f", 0644);
    ship(&place, "file", "f", 0644);
    ship(&place, "gone", NULL, 0755);
    ship(&place, "gone/file", "f", 0644);
    ship(&place, "gone2", NULL, 0755);
    ship(&place, "gone2/f", "f", 0644);
    ship(&place, "gone3", "f", 0644);
    ship(&place, "kept", NULL, 0755);
    ship(&place, "link", NULL, 0755);
    /* A directory is gone, others are links now. */
    assert_int_equal(unlinkat(place.scratch.fd, "work/dir/f", 0), 0);
    assert_int_equal(unlinkat(place.scratch.fd, "work/dir", AT_REMOVEDIR), 0);
    assert_int_equal(unlinkat(place.scratch.fd, "work/gone/file", 0), 0);
    assert_int_equal(unlinkat(place.scratch.fd, "work/gone", AT_REMOVEDIR), 0);
    assert_int_equal(symlinkat("../outside", place.scratch.fd, "work/gone"), 0);
    assert_int_equal(unlinkat(place.scratch.fd, "work/link", AT_REMOVEDIR), 0);
    assert_int_equal(symlinkat("../outside", place.scratch.fd, "work/link"), 0);
    write_file(place.scratch.fd, "work/file", "theirs", 0644);
    write_file(place.scratch.fd, "work/gone2/theirs", "theirs", 0644);
    write_file(place.scratch.fd, "work/gone3", "theirs", 0644);
    assert_ok(apply(&place, records, &err));
    assert_file(&place, "outside/file", "outside", 0644);
    assert_file(&place, "work/dir/f", "step", 0644);
    assert_file(&place, "work/file", "step", 0644);
    assert_file(&place, "work/link/file", "step", 0644);
    assert_file(&place, "work/gone2/theirs", "theirs", 0644);
    assert_false(exists(&place, "work/gone2/f"));
    assert_file(&place, "work/gone3", "theirs", 0644);
    assert_true(exists(&place, "work/gone"));
    assert_int_equal(place.warnings.count, 5);
    end(&place);
}

static void ship_link(struct place *place, const char *first, const char *name)
{
    autofree char *from = text_printf("work/%s", first), *to = text_printf("work/%s", name);

    assert_int_equal(linkat(place->scratch.fd, from, place->scratch.fd, to, 0), 0);
}

/* All have to be there before the first is listed: a new name changes the time of a file. */
static void list(struct place *place, const char *const *names)
{
    for (; *names; names++) {
        autofree char *path = text_printf("work/%s", *names);
        const struct stat st = stat_of(place, path);

        assert_true(shipped_list_add(place->list, *names, &st));
    }
}

/* What the step does to one name of a file is no change of others to the next ones. */
static void test_hard_links(void **state)
{
    static const char *const names[] = {
        "a", "b",   "becomes-dir", "becomes-dir2", "c",      "d",    "e",
        "f", "sub", "sub/z",       "sub2",         "sub2/z", "tail", NULL};
    static const struct record records[] = {{D, "becomes-dir", NULL, 0755},
                                            {F, "c", "step", 0644},
                                            {F, "e", "1", 0644},
                                            {F, "f", "2", 0644},
                                            {KD, "sub2", NULL, 0},
                                            {K, "sub2/z", NULL, 0},
                                            {0}};
    struct place place;
    struct err err;

    (void)state;
    begin(&place);
    write_file(place.scratch.fd, "work/a", "one", 0644);
    assert_int_equal(mkdirat(place.scratch.fd, "work/sub", 0755), 0);
    assert_int_equal(mkdirat(place.scratch.fd, "work/sub2", 0755), 0);
    ship_link(&place, "a", "b");
    ship_link(&place, "a", "sub/z");
    ship_link(&place, "a", "sub2/z");
    ship_link(&place, "a", "tail");
    write_file(place.scratch.fd, "work/c", "two", 0644);
    ship_link(&place, "c", "d");
    write_file(place.scratch.fd, "work/e", "three", 0644);
    ship_link(&place, "e", "f");
    write_file(place.scratch.fd, "work/becomes-dir", "four", 0644);
    ship_link(&place, "becomes-dir", "becomes-dir2");
    list(&place, names);
    assert_ok(apply(&place, records, &err));
    assert_int_equal(place.warnings.count, 0);
    for (size_t i = 0; names[i]; i++) {
        static const char *const left[] = {"becomes-dir", "c", "e", "f", "sub2", "sub2/z"};
        autofree char *path = text_printf("work/%s", names[i]);
        bool stays = false;

        for (size_t at = 0; at < COUNT(left); at++)
            stays = stays || strcmp(left[at], names[i]) == 0;
        assert_int_equal(exists(&place, path), stays);
    }
    assert_file(&place, "work/c", "step", 0644);
    assert_file(&place, "work/e", "1", 0644);
    assert_file(&place, "work/f", "2", 0644);
    assert_file(&place, "work/sub2/z", "one", 0644);
    end(&place);
}

/* What others have changed by any name stays by all that the step has deleted. */
static void test_hard_links_of_others(void **state)
{
    static const char *const names[] = {"a", "b", "c", NULL};
    static const struct record records[] = {{F, "a", "step", 0644}, {0}};
    struct place place;
    struct err err;

    (void)state;
    begin(&place);
    write_file(place.scratch.fd, "work/a", "one", 0644);
    ship_link(&place, "a", "b");
    ship_link(&place, "a", "c");
    list(&place, names);
    write_file(place.scratch.fd, "work/b", "two", 0644);
    assert_ok(apply(&place, records, &err));
    assert_int_equal(place.warnings.count, 3);
    assert_file(&place, "work/a", "step", 0644);
    assert_file(&place, "work/b", "two", 0644);
    assert_file(&place, "work/c", "two", 0644);
    end(&place);
}

/* A directory that was kept, and is a link by now, is not gone through. */
static void test_kept_link(void **state)
{
    static const struct record records[] = {
        {KD, "dir", NULL, 0755}, {F, "dir/file", "step", 0644}, {0}};
    struct place place;
    struct err err;

    (void)state;
    begin(&place);
    ship(&place, "dir", NULL, 0755);
    assert_int_equal(unlinkat(place.scratch.fd, "work/dir", AT_REMOVEDIR), 0);
    assert_int_equal(symlinkat("../outside", place.scratch.fd, "work/dir"), 0);
    assert_refused(apply(&place, records, &err), ERR_ENGINE_FAILED);
    assert_file(&place, "outside/file", "outside", 0644);
    end(&place);
}

/* What lies at its path is another directory by now: nothing is changed there. */
static void test_replaced(void **state)
{
    static const struct record records[] = {
        {F, "file", "step", 0644}, {F, "new", "step", 0644}, {0}};
    struct place place;
    struct stat work;
    struct err err;

    (void)state;
    begin(&place);
    ship(&place, "file", "f", 0644);
    ship(&place, "gone", "f", 0644);
    work = stat_of(&place, "work");
    assert_int_equal(renameat(place.scratch.fd, "work", place.scratch.fd, "old"), 0);
    assert_int_equal(renameat(place.scratch.fd, "outside", place.scratch.fd, "work"), 0);
    assert_refused(apply_to(&place, &work, records, &err), ERR_MOUNT_CONFLICT);
    assert_non_null(strstr(err.message, "has become another directory"));
    assert_string_equal(place.worked_in, "");
    assert_file(&place, "work/file", "outside", 0644);
    assert_false(exists(&place, "work/new"));
    assert_file(&place, "old/gone", "f", 0644);
    end(&place);
}

static const struct {
    struct record records[ENTRIES];
} unfit[] = {
    {{{K, "new", NULL, 0}}},
    {{{K, "dir", NULL, 0}}},
    {{{KD, "file", NULL, 0}, {F, "file/x", "x", 0644}}},
};

/* What was not shipped cannot have been kept. */
static void test_unfit(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(unfit); i++) {
        struct place place;
        struct err err;

        begin(&place);
        ship(&place, "dir", NULL, 0755);
        ship(&place, "file", "f", 0644);
        assert_refused(apply(&place, unfit[i].records, &err), ERR_ENGINE_FAILED);
        end(&place);
    }
}

/* What other mounts hide is neither looked at nor touched, and without a list of one's own nothing
 * is deleted. */
static void test_hidden_and_kept(void **state)
{
    static const struct record records[] = {{KD, "hidden", NULL, 0755},
                                            {F, "hidden/f", "step", 0644},
                                            {D, "hidden2", NULL, 0755},
                                            {KD, "made-by-the-mount", NULL, 0755},
                                            {0}};
    struct place place;
    struct err err;

    (void)state;
    begin(&place);
    place.keeps = true;
    assert_true(strv_add(&place.without, "hidden") && strv_add(&place.without, "hidden2"));
    ship(&place, "gone", NULL, 0755);
    ship(&place, "gone/f", "f", 0644);
    ship(&place, "hidden", NULL, 0755);
    write_file(place.scratch.fd, "work/hidden/f", "host", 0644);
    assert_ok(apply(&place, records, &err));
    assert_file(&place, "work/hidden/f", "host", 0644);
    assert_file(&place, "work/gone/f", "f", 0644);
    assert_false(exists(&place, "work/hidden2"));
    end(&place);
    begin(&place);
    assert_true(strv_add(&place.without, "hidden"));
    ship(&place, "hidden", NULL, 0755);
    write_file(place.scratch.fd, "work/hidden/f", "host", 0644);
    assert_ok(apply(&place, &records[4], &err));
    assert_file(&place, "work/hidden/f", "host", 0644);
    end(&place);
}

/* RETURN_STOP comes when something is made there, as a temporary is. */
static int stop_when_made(const struct place *place, const char *path)
{
    int fd = openat(place->scratch.fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    assert_true(fd >= 0 && fcntl(fd, F_SETSIG, RETURN_STOP) == 0 &&
                fcntl(fd, F_NOTIFY, DN_CREATE) == 0);
    return fd;
}

/* Between two files: what was begun is not there, and what was opened for it is closed again. */
static void test_stopped(void **state)
{
    static char big[150000];
    static const struct record records[] = {{F, "before", "step", 0644},  {KD, "closed", NULL, 0},
                                            {F, "closed/big", big, 0644}, {K, "closed/f", NULL, 0},
                                            {F, "later", "step", 0644},   {0}};
    struct place place;
    sigset_t stop;
    struct err err;
    int fd, number;

    (void)state;
    memset(big, 'x', sizeof(big) - 1);
    sigemptyset(&stop);
    sigaddset(&stop, RETURN_STOP);
    sigprocmask(SIG_BLOCK, &stop, NULL);
    begin(&place);
    ship(&place, "before", "f", 0644);
    ship(&place, "closed", NULL, 0755);
    ship(&place, "closed/f", "f", 0644);
    ship(&place, "later", "f", 0644);
    assert_int_equal(fchmodat(place.scratch.fd, "work/closed", 0500, 0), 0);
    fd = stop_when_made(&place, "work/closed");
    assert_refused(apply(&place, records, &err), ERR_ENGINE_FAILED);
    assert_non_null(strstr(err.hint, "a part of"));
    assert_string_equal(place.worked_in, "./closed");
    assert_file(&place, "work/before", "step", 0644);
    assert_file(&place, "work/later", "f", 0644);
    assert_int_equal(stat_of(&place, "work/closed").st_mode & 07777, 0500);
    /* As who is not root, too. Nothing but f is in it. */
    assert_int_equal(fchmodat(place.scratch.fd, "work/closed", 0700, 0), 0);
    assert_int_equal(unlinkat(place.scratch.fd, "work/closed/f", 0), 0);
    assert_int_equal(unlinkat(place.scratch.fd, "work/closed", AT_REMOVEDIR), 0);
    assert_int_equal(sigwait(&stop, &number), 0);
    close_fd(fd);
    end(&place);
    sigprocmask(SIG_UNBLOCK, &stop, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streams),    cmocka_unit_test(test_cut),
        cmocka_unit_test(test_heads),      cmocka_unit_test(test_changes),
        cmocka_unit_test(test_others),     cmocka_unit_test(test_kept_link),
        cmocka_unit_test(test_unfit),      cmocka_unit_test(test_hidden_and_kept),
        cmocka_unit_test(test_replaced),   cmocka_unit_test(test_stopped),
        cmocka_unit_test(test_hard_links), cmocka_unit_test(test_hard_links_of_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
