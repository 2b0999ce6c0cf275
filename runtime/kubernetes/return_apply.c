#include "runtime/kubernetes/return_apply.h"

#include <fcntl.h>
#include <search.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/path.h"
#include "runtime/kubernetes/shipped_list.h"

#define CHUNK    65536
#define OPEN_DIR (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* A directory that is worked in. */
struct level {
    int fd;      /* -1: it is not there */
    size_t len;  /* of its path, in apply.path */
    bool gone;   /* the step has deleted it */
    bool opened; /* for changes in it */
    /* What it gets when all in it is done. */
    bool has_mode, has_time;
    mode_t mode;
    struct timespec mtime;
};

struct apply {
    const struct return_plan *plan;
    struct strv *warnings;
    size_t unsaid;
    struct level levels[RETURN_DEPTH_MAX + 2];
    size_t depth;                       /* of the last level */
    char path[PATH_MAX];                /* of it */
    struct shipped_entry next, shipped; /* of the list; of the entry that is there */
    bool has_shipped;
    void *linked; /* tsearch(3) */
    /* The file that is being written. */
    int file;
    char *temporary;
    char name[PATH_MAX];
    mode_t file_mode;
    struct timespec mtime;
};

static bool failed(const struct apply *apply, const char *name, const char *what, struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot %s '%s/%s'", what, apply->plan->path, name);
}

static void warn(struct apply *apply, const char *name, const char *what)
{
    if (apply->warnings->count < RETURN_WARNINGS_MAX)
        strv_take(apply->warnings, text_printf("'%s/%s' %s", apply->plan->path, name, what));
    else
        apply->unsaid++;
}

static bool is_below(const char *name, const char *directory)
{
    size_t len = strlen(directory);

    return strncmp(name, directory, len) == 0 && (!name[len] || name[len] == '/');
}

static bool is_hidden(const struct apply *apply, const char *name)
{
    const struct strv *without = apply->plan->without;

    for (size_t i = 0; i < without->count; i++) {
        if (is_below(name, without->items[i]))
            return true;
    }
    return false;
}

/*
 * For what was made and then opened by its name: where somebody has put something else there in
 * between, it is not this process's, and does not become the owner's.
 */
static bool own(const struct apply *apply, int fd)
{
    struct stat st;

    if (!apply->plan->may_chown)
        return true;
    if (fstat(fd, &st) < 0)
        return false;
    if (st.st_uid != geteuid()) {
        errno = EPERM;
        return false;
    }
    return fchownat(fd, "", apply->plan->uid, apply->plan->gid, AT_EMPTY_PATH) == 0;
}

/* ---- directories ---- */

static struct level *top(struct apply *apply)
{
    return &apply->levels[apply->depth];
}

static const char *name_at(const struct level *above, const char *name)
{
    return name + above->len + (above->len > 0);
}

static int open_dir(struct apply *apply, const char *below)
{
    return top(apply)->fd < 0 ? -1 : openat(top(apply)->fd, below, OPEN_DIR);
}

/* Others have removed it meanwhile, and the step has changed what was in it. */
static bool make_level(struct apply *apply, size_t index)
{
    struct level *level = &apply->levels[index];
    char name[PATH_MAX];

    if (level->fd >= 0)
        return true;
    if (!make_level(apply, index - 1))
        return false;
    memcpy(name, apply->path, level->len);
    name[level->len] = '\0';
    if (mkdirat(level[-1].fd, name_at(&level[-1], name), 0700) < 0)
        return false;
    level->fd = openat(level[-1].fd, name_at(&level[-1], name), OPEN_DIR);
    level->has_mode = level->fd >= 0 && own(apply, level->fd);
    return level->has_mode;
}

/*
 * Before a change in a directory, which its owner may have closed to himself. The working directory
 * itself gets the time of the change.
 */
static bool open_level(struct apply *apply)
{
    struct level *level = top(apply);
    struct stat st;

    if (level->opened)
        return true;
    if (!make_level(apply, apply->depth) || fstat(level->fd, &st) < 0)
        return false;
    if (!level->has_time)
        level->mtime = st.st_mtim;
    level->has_time = apply->depth > 0;
    if (!level->has_mode)
        level->mode = st.st_mode & 07777;
    if ((st.st_mode & 0700) != 0700) {
        if (fchmod(level->fd, (st.st_mode & 07777) | 0700) < 0)
            return false;
        level->has_mode = true;
    }
    level->opened = true;
    return true;
}

/* Its mode and time are the last that it gets, as far as its file system has such. */
static void finish_level(struct level *level)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, level->mtime};

    if (level->fd >= 0 && !level->gone) {
        if (level->has_mode)
            (void)!fchmod(level->fd, level->mode);
        if (level->has_time)
            (void)!futimens(level->fd, times);
    }
    level->fd = close_fd(level->fd);
}

static void leave(struct apply *apply)
{
    bool gone = top(apply)->gone;
    char name[PATH_MAX];

    finish_level(top(apply));
    strcpy(name, apply->path);
    apply->depth--;
    apply->path[top(apply)->len] = '\0';
    if (gone && top(apply)->fd >= 0 &&
        (!open_level(apply) ||
         unlinkat(top(apply)->fd, name_at(top(apply), name), AT_REMOVEDIR) < 0) &&
        errno != ENOENT)
        warn(apply, name,
             "stays: the step has deleted it, but others have changed something there");
}

/* Goes up to the directory that `name` is in; what it is called there. */
static const char *go_to(struct apply *apply, const char *name)
{
    while (apply->depth > 0 && !(strlen(name) > top(apply)->len && is_below(name, apply->path)))
        leave(apply);
    return name_at(top(apply), name);
}

static void enter(struct apply *apply, const char *name, int fd)
{
    apply->levels[++apply->depth] = (struct level){.fd = fd, .len = strlen(name)};
    strcpy(apply->path, name);
}

/* ---- several names of one file ---- */

/* A file that has lost a name here and has others: its ctime before that, and since. */
struct linked {
    dev_t dev;
    ino_t ino;
    struct timespec before, after, mtime;
};

static int compare_linked(const void *one, const void *other)
{
    const struct linked *a = one, *b = other;

    return a->dev != b->dev   ? (a->dev < b->dev ? -1 : 1)
           : a->ino != b->ino ? (a->ino < b->ino ? -1 : 1)
                              : 0;
}

static bool is_same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static struct linked *find_linked(const struct apply *apply, const struct stat *st)
{
    const struct linked key = {.dev = st->st_dev, .ino = st->st_ino};
    struct linked **found = tfind(&key, &apply->linked, compare_linked);

    return found ? *found : NULL;
}

/* Without memory for it, the other names of the file count as changed by others. */
static void remember(struct apply *apply, const struct stat *before, const struct stat *after)
{
    struct linked *linked = find_linked(apply, before);

    if (linked) {
        if (is_same_time(linked->after, before->st_ctim))
            linked->after = after->st_ctim;
        return;
    }
    linked = malloc(sizeof(*linked));
    if (!linked)
        return;
    *linked = (struct linked){.dev = before->st_dev,
                              .ino = before->st_ino,
                              .before = before->st_ctim,
                              .after = after->st_ctim,
                              .mtime = before->st_mtim};
    if (!tsearch(linked, &apply->linked, compare_linked))
        free(linked);
}

/*
 * Like fstatat, but what was done here to other names of a file has not changed it. What others
 * write in that very moment has: nothing that is done here changes its mtime.
 */
static bool look(struct apply *apply, const char *below, struct stat *st)
{
    const struct linked *linked;

    if (fstatat(top(apply)->fd, below, st, AT_SYMLINK_NOFOLLOW) < 0)
        return false;
    linked = find_linked(apply, st);
    if (linked && is_same_time(linked->after, st->st_ctim) &&
        is_same_time(linked->mtime, st->st_mtim))
        st->st_ctim = linked->before;
    return true;
}

/* Takes the name `below` away, or gives it to the file `by`. */
static bool replace(struct apply *apply, const char *below, const char *by)
{
    int dir = top(apply)->fd;
    autofd file = openat(dir, below, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct stat before, after;
    bool known = file >= 0 && fstat(file, &before) == 0 && before.st_nlink > 1;

    if ((by ? renameat(dir, by, dir, below) : unlinkat(dir, below, 0)) < 0)
        return false;
    if (known && fstat(file, &after) == 0)
        remember(apply, &before, &after);
    return true;
}

/* ---- what is not there any more ---- */

static void delete_entry(struct apply *apply, const struct shipped_entry *entry)
{
    const char *below = go_to(apply, entry->name);
    bool hidden = is_hidden(apply, entry->name);
    struct stat st;

    if (S_ISDIR(entry->state.mode)) {
        enter(apply, entry->name, hidden ? -1 : open_dir(apply, below));
        top(apply)->gone = !hidden;
        return;
    }
    if (hidden || top(apply)->fd < 0 || !look(apply, below, &st))
        return;
    if (!shipped_is_same(entry, &st))
        warn(apply, entry->name, "stays: the step has deleted it, but others have changed it");
    else if (!open_level(apply) || !replace(apply, below, NULL))
        warn(apply, entry->name, "cannot be deleted, as the step has done");
}

static bool next_shipped(struct apply *apply, struct err *err)
{
    return shipped_list_next(apply->plan->list, &apply->next, err);
}

/* What was shipped, comes before `name` ("": all the rest), and has not come back. */
static bool delete_before(struct apply *apply, const char *name, struct err *err)
{
    while (apply->next.name[0] && (!*name || path_compare(apply->next.name, name) < 0)) {
        if (!apply->plan->keeps)
            delete_entry(apply, &apply->next);
        if (!next_shipped(apply, err))
            return false;
    }
    return true;
}

/* A directory that was shipped has become something else: what was in it goes first. */
static bool delete_directory(struct apply *apply, struct err *err)
{
    const char *name = apply->shipped.name;

    delete_entry(apply, &apply->shipped);
    while (apply->next.name[0] && is_below(apply->next.name, name)) {
        delete_entry(apply, &apply->next);
        if (!next_shipped(apply, err))
            return false;
    }
    go_to(apply, name);
    return true;
}

/* ---- what is new ---- */

static bool was_shipped_as(const struct apply *apply, mode_t type)
{
    return apply->has_shipped && (apply->shipped.state.mode & S_IFMT) == type;
}

/* Others may have been there meanwhile. */
static void compare_with_now(struct apply *apply, const char *name, const char *below)
{
    struct stat st;

    if (!look(apply, below, &st) || S_ISDIR(st.st_mode) ||
        (apply->has_shipped && shipped_is_same(&apply->shipped, &st)))
        return;
    warn(apply, name, "was changed by others, too, and is now what the step has made of it");
}

/* In the place of what is no directory. */
static bool make_directory(struct apply *apply, const struct return_entry *entry, const char *below,
                           struct err *err)
{
    int fd = -1;

    if (open_level(apply)) {
        compare_with_now(apply, entry->name, below);
        if ((replace(apply, below, NULL) || errno == ENOENT) &&
            mkdirat(top(apply)->fd, below, 0700) == 0)
            fd = open_dir(apply, below);
    }
    if (fd < 0)
        return failed(apply, entry->name, "make", err);
    enter(apply, entry->name, fd);
    top(apply)->has_mode = own(apply, fd);
    return top(apply)->has_mode || failed(apply, entry->name, "make", err);
}

/* Shipping has given the owner all rights: a mode that comes of that is no change. */
static bool has_new_mode(const struct apply *apply, const struct return_entry *entry, mode_t type,
                         mode_t added)
{
    return !was_shipped_as(apply, type) ||
           entry->mode != ((apply->shipped.state.mode & 0777) | added);
}

static bool take_directory(struct apply *apply, const struct return_entry *entry, struct err *err)
{
    const char *below = go_to(apply, entry->name);
    bool changed = entry->kind == RETURN_DIRECTORY;
    int fd = open_dir(apply, below);

    if (fd < 0 && changed) {
        if (!make_directory(apply, entry, below, err))
            return false;
    } else {
        enter(apply, entry->name, fd);
        top(apply)->has_mode = changed && has_new_mode(apply, entry, S_IFDIR, 0700);
    }
    top(apply)->mode = entry->mode;
    top(apply)->has_time = changed;
    top(apply)->mtime = entry->mtime;
    return true;
}

static void tell_place(const struct apply *apply)
{
    if (apply->plan->place)
        snprintf(apply->plan->place, RETURN_PLACE_MAX, "./%s", apply->path);
}

/* What a file or link is written as, beside its place. */
static bool make_temporary(struct apply *apply, const struct return_entry *entry, struct err *err)
{
    if (was_shipped_as(apply, S_IFDIR) && !apply->plan->keeps && !delete_directory(apply, err))
        return false;
    go_to(apply, entry->name);
    tell_place(apply);
    if (open_level(apply))
        apply->file = file_create_beside(top(apply)->fd, RETURN_TEMPORARY, 0600, &apply->temporary);
    strcpy(apply->name, entry->name);
    apply->mtime = entry->mtime;
    return apply->file >= 0 || failed(apply, entry->name, "write", err);
}

static bool put_in_place(struct apply *apply, struct err *err)
{
    const char *below = name_at(top(apply), apply->name);

    compare_with_now(apply, apply->name, below);
    if (!replace(apply, below, apply->temporary))
        return failed(apply, apply->name, "write", err);
    free(apply->temporary);
    apply->temporary = NULL;
    apply->file = close_fd(apply->file);
    return true;
}

/* Where only the content is new, the mode is the one that the file has. */
static bool begin_file(struct apply *apply, const struct return_entry *entry, struct err *err)
{
    struct stat st;

    if (!make_temporary(apply, entry, err))
        return false;
    apply->file_mode = entry->mode;
    if (!has_new_mode(apply, entry, S_IFREG, 0400) &&
        fstatat(top(apply)->fd, name_at(top(apply), entry->name), &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISREG(st.st_mode))
        apply->file_mode = st.st_mode & 0777;
    return true;
}

static bool finish_file(struct apply *apply, struct err *err)
{
    const struct timespec times[2] = {apply->mtime, apply->mtime};

    if (apply->file < 0)
        return true;
    if (!own(apply, apply->file) || fchmod(apply->file, apply->file_mode) < 0 ||
        futimens(apply->file, times) < 0)
        return failed(apply, apply->name, "write", err);
    return put_in_place(apply, err);
}

/* By a descriptor: who may write to the directory could put something else there. */
static bool take_link(struct apply *apply, const struct return_entry *entry, struct err *err)
{
    const struct timespec times[2] = {entry->mtime, entry->mtime};
    struct stat st;

    if (!make_temporary(apply, entry, err))
        return false;
    apply->file = close_fd(apply->file);
    if (unlinkat(top(apply)->fd, apply->temporary, 0) == 0 &&
        symlinkat(entry->target, top(apply)->fd, apply->temporary) == 0)
        apply->file = openat(top(apply)->fd, apply->temporary, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (apply->file < 0 || fstat(apply->file, &st) < 0 || !S_ISLNK(st.st_mode) ||
        !own(apply, apply->file))
        return failed(apply, entry->name, "make", err);
    /* Linux 5.8 */
    (void)!utimensat(apply->file, "", times, AT_EMPTY_PATH);
    return put_in_place(apply, err);
}

/* What is as it was shipped has to be among what was shipped; where another mount was laid over a
 * path there may be further directories. */
static bool take_kept(struct apply *apply, const struct return_entry *entry, struct err *err)
{
    bool is_dir = entry->kind == RETURN_KEPT_DIRECTORY;

    if (apply->has_shipped ? S_ISDIR(apply->shipped.state.mode) != is_dir : !is_dir)
        return err_set(err, ERR_ENGINE_FAILED, "'%s' comes back as it was shipped, but was not",
                       entry->name);
    return !is_dir || take_directory(apply, entry, err);
}

/* ---- the stream ---- */

static bool take_entry(void *data, const struct return_entry *entry, struct err *err)
{
    struct apply *apply = data;

    if (!finish_file(apply, err) || !delete_before(apply, entry->name, err))
        return false;
    apply->has_shipped = entry->name[0] && strcmp(apply->next.name, entry->name) == 0;
    if (apply->has_shipped) {
        apply->shipped = apply->next;
        if (!next_shipped(apply, err))
            return false;
    }
    if (is_hidden(apply, entry->name))
        return true;
    switch (entry->kind) {
    case RETURN_KEPT:
    case RETURN_KEPT_DIRECTORY:
        return take_kept(apply, entry, err);
    case RETURN_FILE:
        return begin_file(apply, entry, err);
    case RETURN_DIRECTORY:
        return take_directory(apply, entry, err);
    case RETURN_LINK:
        return take_link(apply, entry, err);
    case RETURN_FAILED:
    case RETURN_END:
        break;
    }
    return true;
}

static bool take_content(void *data, const void *bytes, size_t len, struct err *err)
{
    struct apply *apply = data;

    return apply->file < 0 || file_write_all(apply->file, bytes, len) ||
           failed(apply, apply->name, "write", err);
}

static bool is_stopped(void)
{
    sigset_t pending;

    return sigpending(&pending) == 0 && sigismember(&pending, RETURN_STOP) == 1;
}

/* From the beginning to the end, which has to come. */
static bool read_stream(struct return_reader *reader, int stream, struct err *err)
{
    static char chunk[CHUNK];
    off_t at = 0;
    ssize_t n;

    while ((n = pread(stream, chunk, sizeof(chunk), at)) > 0) {
        if (is_stopped())
            return err_set(err, ERR_ENGINE_FAILED,
                           "told to stop before all that the step has changed was back");
        if (!return_reader_feed(reader, chunk, (size_t)n, err))
            return false;
        at += n;
    }
    if (n < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot read what the Pod has given back");
    return reader->ended ||
           err_set(err, ERR_ENGINE_FAILED, "what the Pod has given back has no end");
}

bool return_check(int stream, struct err *err)
{
    struct return_reader reader = {0};

    return read_stream(&reader, stream, err);
}

/* Whatever has come of it: modes and times of the directories are set, and nothing lies about. */
static void finish(struct apply *apply)
{
    if (apply->temporary)
        (void)unlinkat(top(apply)->fd, apply->temporary, 0);
    free(apply->temporary);
    close_fd(apply->file);
    while (apply->depth > 0)
        leave(apply);
    finish_level(top(apply));
    tdestroy(apply->linked, free);
    if (apply->unsaid)
        strv_take(apply->warnings, text_printf("%zu more of the same kind", apply->unsaid));
}

/* Others may have moved every component of the path: what it leads to is looked at once open. */
static bool open_top(struct apply *apply, struct err *err)
{
    const struct return_plan *plan = apply->plan;
    struct stat st;
    int fd = open(plan->path, OPEN_DIR);

    apply->levels[0].fd = fd;
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot open '%s'", plan->path);
    if (st.st_dev == plan->dev && st.st_ino == plan->ino)
        return true;
    err_set(err, ERR_MOUNT_CONFLICT, "'%s' has become another directory", plan->path);
    return err_hint(err,
                    "nothing in it was touched, and what the step has changed is lost: look at "
                    "what else it has done before it is run again");
}

bool return_apply(const struct return_plan *plan, int stream, struct strv *warnings,
                  struct err *err)
{
    autofree struct apply *apply = calloc(1, sizeof(*apply));
    struct return_reader reader = {.entry = take_entry, .content = take_content, .data = apply};
    bool ok;

    if (!apply)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot take back what the step has changed");
    apply->plan = plan;
    apply->warnings = warnings;
    apply->file = -1;
    ok = open_top(apply, err);
    if (ok) {
        tell_place(apply);
        ok = next_shipped(apply, err) && read_stream(&reader, stream, err);
        if (!ok)
            err_hint(err, RETURN_PART_HINT, plan->path);
    }
    finish(apply);
    return ok;
}
