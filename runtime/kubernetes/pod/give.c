#include "runtime/kubernetes/pod/give.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "runtime/kubernetes/pod/walk.h"
#include "runtime/kubernetes/return_stream.h"

#define CHUNK 65536

struct giving {
    const struct changes *changes;
    bool all;
    int to;
    const char *trouble; /* why it cannot be given; NULL: it cannot be written */
    bool in_file;        /* what is written now is its content */
    uint64_t entries, bytes;
    size_t used; /* of the chunk */
    char chunk[CHUNK];
};

static bool flush(struct giving *giving)
{
    for (size_t done = 0; done < giving->used;) {
        ssize_t n = write(giving->to, giving->chunk + done, giving->used - done);

        if (n < 0 && errno != EINTR)
            return false;
        done += n > 0 ? (size_t)n : 0;
    }
    giving->used = 0;
    return true;
}

static bool put(struct giving *giving, const void *bytes, size_t len)
{
    const char *at = bytes;

    while (len > 0) {
        size_t room = CHUNK - giving->used, part = len < room ? len : room;

        memcpy(giving->chunk + giving->used, at, part);
        giving->used += part;
        at += part;
        len -= part;
        if (giving->used == CHUNK && !flush(giving))
            return false;
    }
    return true;
}

static bool put_record(struct giving *giving, const struct return_head *record, const char *name,
                       const char *target)
{
    struct return_head head = *record;

    memcpy(head.mark, RETURN_MARK, sizeof(head.mark));
    head.name_size = (uint32_t)strlen(name);
    head.target_size = (uint32_t)strlen(target);
    return put(giving, &head, sizeof(head)) && put(giving, name, head.name_size) &&
           put(giving, target, head.target_size);
}

static bool cannot(struct giving *giving, const char *why)
{
    giving->trouble = why;
    return false;
}

/* ---- one entry ---- */

static struct return_head head_of(enum return_kind kind, const struct stat *st)
{
    return (struct return_head){
        .kind = kind,
        .mode = st->st_mode & 0777,
        .size = kind == RETURN_FILE ? (uint64_t)st->st_size : 0,
        .seconds = st->st_mtim.tv_sec,
        .nanoseconds = (uint32_t)st->st_mtim.tv_nsec,
    };
}

/* Nothing of the step runs, so that nobody changes it. */
static bool give_file(struct giving *giving, const char *path, int dir, const char *name,
                      const struct stat *seen)
{
    autofd fd = walk_open(dir, name, seen, 0);
    struct return_head head;
    char chunk[CHUNK];
    uint64_t done = 0;
    struct stat st;
    ssize_t n = 0;

    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return cannot(giving, fd < 0 ? strerror(errno) : "it changes");
    head = head_of(RETURN_FILE, seen);
    if (head.size > RETURN_BYTES_MAX - giving->bytes)
        return cannot(giving, "it is too large");
    giving->bytes += head.size;
    if (!put_record(giving, &head, path, ""))
        return false;
    giving->in_file = true;
    while (done < head.size && (n = read(fd, chunk, sizeof(chunk))) > 0) {
        uint64_t part = head.size - done < (uint64_t)n ? head.size - done : (uint64_t)n;

        if (!put(giving, chunk, (size_t)part))
            return false;
        done += part;
    }
    giving->in_file = done < head.size;
    return !giving->in_file;
}

static bool give_link(struct giving *giving, const char *path, int dir, const char *name,
                      const struct stat *st)
{
    struct return_head head = head_of(RETURN_LINK, st);
    char target[PATH_MAX];
    ssize_t len = readlinkat(dir, name, target, sizeof(target) - 1);

    if (len <= 0)
        return cannot(giving, "it cannot be read");
    target[len] = '\0';
    return put_record(giving, &head, path, target);
}

static bool give_one(void *data, const struct walk *walk, int dir, const char *name,
                     const struct stat *st)
{
    struct giving *giving = data;
    bool changed =
        !walk_is_hidden(walk) && (giving->all || !changes_has(giving->changes, walk->path, st));
    bool is_dir = S_ISDIR(st->st_mode);
    struct return_head head;

    if (++giving->entries > RETURN_ENTRIES_MAX)
        return cannot(giving, "there are too many files");
    if (changed && S_ISREG(st->st_mode))
        return give_file(giving, walk->path, dir, name, st);
    if (changed && S_ISLNK(st->st_mode))
        return give_link(giving, walk->path, dir, name, st);
    head = head_of(changed ? RETURN_DIRECTORY : is_dir ? RETURN_KEPT_DIRECTORY : RETURN_KEPT, st);
    return put_record(giving, &head, walk->path, "");
}

/* ---- all of them ---- */

static bool give_end(struct giving *giving)
{
    const struct return_head head = {
        .kind = RETURN_END, .size = giving->entries, .seconds = (int64_t)giving->bytes};

    return put_record(giving, &head, "", "") && flush(giving);
}

static void give_trouble(struct giving *giving, const char *path)
{
    const struct return_head head = {.kind = RETURN_FAILED};
    char text[PATH_MAX];

    snprintf(text, sizeof(text), "'%.3000s/%.600s': %s", giving->changes->directory, path,
             giving->trouble);
    (void)(put_record(giving, &head, text, "") && flush(giving));
}

bool give_changes(const struct changes *changes, bool all, int to)
{
    static struct giving giving;
    struct walk walk = {.hidden = changes->hidden, .each = give_one, .data = &giving};

    giving = (struct giving){.changes = changes, .all = all, .to = to};
    errno = 0;
    if (walk_directory(&walk, changes->directory))
        return give_end(&giving);
    if (!giving.trouble && errno && errno != EPIPE)
        giving.trouble = strerror(errno);
    /* Who has begun a file and cannot end it has no place for a word. */
    if (giving.trouble && !giving.in_file)
        give_trouble(&giving, walk.path);
    return false;
}
