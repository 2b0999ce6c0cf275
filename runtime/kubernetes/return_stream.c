#include "runtime/kubernetes/return_stream.h"

#include <string.h>

#include "base/path.h"

static bool wrong(struct err *err, const char *why)
{
    return err_set(err, ERR_ENGINE_FAILED, "what the Pod gives back is damaged: %s", why);
}

static bool is_directory(uint32_t kind)
{
    return kind == RETURN_DIRECTORY || kind == RETURN_KEPT_DIRECTORY;
}

/* ---- the head ---- */

static bool check_end(const struct return_reader *reader, struct err *err)
{
    const struct return_head *head = &reader->head;

    if (head->size != reader->entries || head->seconds != (int64_t)reader->bytes)
        return wrong(err, "the counts at its end differ from what has come");
    return (!head->name_size && !head->target_size) || wrong(err, "its end has a name");
}

static bool check_head(struct return_reader *reader, struct err *err)
{
    const struct return_head *head = &reader->head;

    if (memcmp(head->mark, RETURN_MARK, sizeof(head->mark)) != 0 || head->zero ||
        head->kind < RETURN_KEPT || head->kind > RETURN_END || (head->mode & ~0777U) ||
        head->nanoseconds >= 1000000000)
        return wrong(err, "a record is none");
    if (head->kind == RETURN_END)
        return check_end(reader, err);
    if (!head->name_size || head->name_size >= PATH_MAX || head->target_size >= PATH_MAX ||
        (head->target_size > 0) != (head->kind == RETURN_LINK))
        return wrong(err, "a name has a length that none has");
    if (head->size && head->kind != RETURN_FILE)
        return wrong(err, "something has contents that is no file");
    if (++reader->entries > RETURN_ENTRIES_MAX)
        return err_set(err, ERR_ENGINE_FAILED, "the Pod gives back more than %d files",
                       RETURN_ENTRIES_MAX);
    if (head->size > RETURN_BYTES_MAX - reader->bytes)
        return err_set(err, ERR_ENGINE_FAILED, "the Pod gives back more than %llu bytes",
                       RETURN_BYTES_MAX);
    reader->bytes += head->size;
    return true;
}

/* ---- the name ---- */

/* Every component is one, and there are not too many. */
static bool is_relative(const char *name)
{
    size_t depth = 0;

    for (;;) {
        size_t len = strcspn(name, "/");

        if (len == 0 || len > NAME_MAX || (len == 1 && name[0] == '.') ||
            (len == 2 && name[0] == '.' && name[1] == '.'))
            return false;
        if (!name[len])
            return true;
        if (++depth > RETURN_DEPTH_MAX)
            return false;
        name += len + 1;
    }
}

/* The directory that it is in was the last record, or is one of those that the last one is in. */
static bool is_in_place(const struct return_reader *reader, const char *name)
{
    const char *slash = strrchr(name, '/');
    size_t len = slash ? (size_t)(slash - name) : 0;

    if (path_compare(reader->last, name) >= 0)
        return false;
    return !slash || (strncmp(reader->last, name, len) == 0 &&
                      (reader->last[len] == '/' || (!reader->last[len] && reader->last_is_dir)));
}

/* For a message: the words of who may be anybody. */
static bool take_failure(struct return_reader *reader, struct err *err)
{
    char *text = reader->text;

    reader->failed = true;
    for (size_t i = 0; i < reader->head.name_size; i++) {
        if (text[i] < ' ' || text[i] > '~')
            text[i] = '?';
    }
    return err_set(err, ERR_ENGINE_FAILED, "the Pod cannot give the working directory back: %.*s",
                   (int)reader->head.name_size, text);
}

static bool take_record(struct return_reader *reader, struct err *err)
{
    const struct return_head *head = &reader->head;
    char *target = reader->text + head->name_size + 1;
    struct return_entry entry = {.kind = (enum return_kind)head->kind,
                                 .name = reader->name,
                                 .mode = head->mode,
                                 .mtime = {head->seconds, head->nanoseconds},
                                 .size = head->size};

    if (head->kind == RETURN_FAILED)
        return take_failure(reader, err);
    memmove(target, target - 1, head->target_size);
    target[head->target_size] = '\0';
    memcpy(reader->name, reader->text, head->name_size);
    reader->name[head->name_size] = '\0';
    if (strlen(reader->name) != head->name_size || strlen(target) != head->target_size)
        return wrong(err, "a name has a NUL");
    if (head->kind == RETURN_END) {
        reader->ended = true;
    } else if (!is_relative(reader->name)) {
        return wrong(err, "a name leads elsewhere, or too deep");
    } else if (!is_in_place(reader, reader->name)) {
        return wrong(err, "a name is not in its place");
    }
    entry.target = head->target_size ? target : NULL;
    strcpy(reader->last, reader->name);
    reader->last_is_dir = is_directory(head->kind);
    reader->left = head->size;
    reader->used = 0;
    return !reader->entry || reader->entry(reader->data, &entry, err);
}

/* ---- pieces ---- */

/* Part of a file's contents; how much. */
static size_t take_content(struct return_reader *reader, const char *bytes, size_t len, bool *ok,
                           struct err *err)
{
    size_t taken = reader->left < len ? (size_t)reader->left : len;

    reader->left -= taken;
    *ok = !reader->content || reader->content(reader->data, bytes, taken, err);
    return taken;
}

/* Part of a record; how much. */
static size_t take_part(struct return_reader *reader, const char *bytes, size_t len, bool *ok,
                        struct err *err)
{
    const struct return_head *head = &reader->head;
    bool in_head = reader->used < sizeof(*head);
    char *to = in_head ? (char *)&reader->head + reader->used
                       : reader->text + (reader->used - sizeof(*head));
    size_t whole = sizeof(*head) + (in_head ? 0 : (size_t)head->name_size + head->target_size);
    size_t taken = whole - reader->used < len ? whole - reader->used : len;

    memcpy(to, bytes, taken);
    reader->used += taken;
    if (in_head && reader->used == sizeof(*head))
        *ok = check_head(reader, err);
    if (*ok && reader->used >= sizeof(*head) &&
        reader->used == sizeof(*head) + (size_t)head->name_size + head->target_size)
        *ok = take_record(reader, err);
    return taken;
}

bool return_reader_feed(struct return_reader *reader, const void *bytes, size_t len,
                        struct err *err)
{
    const char *at = bytes;
    bool ok = true;

    while (ok && len > 0) {
        size_t taken;

        if (reader->ended)
            return wrong(err, "something is behind its end");
        taken = reader->left ? take_content(reader, at, len, &ok, err)
                             : take_part(reader, at, len, &ok, err);
        at += taken;
        len -= taken;
    }
    return ok;
}
