/*
 * `ship`: directories of this host on their way to a step's Pod, as layers of the image that its
 * first container is made of; and `unship`, when the step is over (docs/design/kubernetes.md).
 */
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/file.h"
#include "base/num.h"
#include "base/path.h"
#include "runtime/image/tar_tree.h"
#include "runtime/image/tar_write.h"
#include "runtime/kubernetes/pod_setup.h"
#include "runtime/kubernetes/shipped_list.h"
#include "shim/helper_report.h"
#include "shim/image/command.h"
#include "shim/image/pod_image.h"

#define SHIP_BYTES_MAX  (8ULL << 30) /* of the files of one directory */
#define SHIP_TEMPORARY  "tmp/ship"   /* below the store */
#define WHITEOUT_PREFIX ".wh."       /* what a name of a layer must not begin with */

struct ship_call {
    const char *owner, *store_path, *list_path;
    struct strv without; /* directories whose contents stay here */
    struct strv same;    /* "DEV:INO=DIR" */
    uint64_t uid, gid;
    struct store store;
    struct reference reference;
    struct push push;
    struct pod_image image;
};

static void call_release(struct ship_call *call)
{
    push_close(&call->push);
    pod_image_release(&call->image);
    reference_release(&call->reference);
    store_close(&call->store);
    strv_release(&call->without);
    strv_release(&call->same);
}

static bool no_memory(struct err *err)
{
    return err_set(err, ERR_ENGINE_FAILED, "not enough memory to ship");
}

/* ---- one directory ---- */

struct parcel {
    const struct ship_call *call;
    const char *directory;
    FILE *list; /* of what is shipped, or NULL */
};

/* What a layer would take for the removal of a file cannot be one of its files. */
static bool choose(void *data, const char *path, bool is_dir, enum tree_choice *choice,
                   struct err *err)
{
    const struct parcel *parcel = data;
    const char *slash = strrchr(path, '/');
    autofree char *whole = is_dir ? text_printf("%s/%s", parcel->directory, path) : NULL;

    if (strncmp(slash ? slash + 1 : path, WHITEOUT_PREFIX, strlen(WHITEOUT_PREFIX)) == 0) {
        err_set(err, ERR_MOUNT_DENIED, "'%s/%s' cannot be shipped: no image holds such a name",
                parcel->directory, path);
        return err_hint(err, "rename it, or put the directory on a volume: --kubernetes-volume");
    }
    if (is_dir && !whole)
        return no_memory(err);
    *choice = whole && strv_contains(&parcel->call->without, whole) ? TREE_EMPTY : TREE_TAKE;
    return true;
}

static bool add_to_list(void *data, const char *path, const struct stat *st, struct err *err)
{
    const struct parcel *parcel = data;

    return !parcel->list || shipped_list_add(parcel->list, path, st) ||
           err_errno(err, ERR_ENGINE_FAILED, "cannot write a list of '%s'", parcel->directory);
}

/* A file without a name in the store. */
static int open_temporary(const struct ship_call *call, struct err *err)
{
    autofree char *name = NULL;
    autofd fd = file_create_beside(call->store.fd, SHIP_TEMPORARY, 0600, &name);
    autofd both = fd < 0 ? -1 : openat(call->store.fd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);

    if (fd >= 0)
        unlinkat(call->store.fd, name, 0);
    if (both < 0)
        err_errno(err, ERR_ENGINE_FAILED, "cannot make a file in the store to ship from");
    return TAKE_FD(both);
}

/* Whoever has put another directory into its place meanwhile does not get that shipped. */
static bool is_same(void *data, const struct stat *st)
{
    const struct parcel *parcel = data;
    const struct strv *same = &parcel->call->same;
    autofree char *word = text_printf("%llu:%llu=%s", (unsigned long long)st->st_dev,
                                      (unsigned long long)st->st_ino, parcel->directory);

    return !same->count || (word && strv_contains(same, word));
}

/* The owner, who is the user of the step, copies it in the Pod. */
static bool add_directory(struct ship_call *call, const char *name, const char *directory,
                          FILE *list, struct err *err)
{
    autofree char *top = text_printf("%s/%s", POD_SHIPPED_DIR, name);
    const struct tar_entry around = {.name = POD_SHIPPED_DIR, .type = TAR_DIRECTORY, .mode = 0755};
    struct parcel parcel = {call, directory, list};
    const struct tar_tree tree = {
        .directory = directory,
        .top = top,
        .uid = call->uid,
        .gid = call->gid,
        .file_mode = 0400,
        .dir_mode = 0700,
        .bytes_max = SHIP_BYTES_MAX,
        .is_it = is_same,
        .choose = choose,
        .taken = add_to_list,
        .data = &parcel,
    };
    autofd fd = open_temporary(call, err);

    if (fd < 0 || !top)
        return top ? false : no_memory(err);
    if (!tar_write_header(fd, &around))
        return err_errno(err, ERR_ENGINE_FAILED, "cannot write an archive of '%s'", directory);
    if (!tar_tree_write(&tree, fd, err))
        return false;
    if (!tar_write_end(fd))
        return err_errno(err, ERR_ENGINE_FAILED, "cannot write an archive of '%s'", directory);
    return pod_image_add(&call->image, TAKE_FD(fd), err);
}

/* ---- all of them ---- */

/* "NAME=DIR". */
static bool add_word(struct ship_call *call, const char *word, FILE *list, struct err *err)
{
    const char *directory = strchr(word, '=');
    autofree char *name = directory ? strndup(word, (size_t)(directory - word)) : NULL;

    return name ? add_directory(call, name, directory + 1, list, err)
                : err_set(err, ERR_OPTION_INVALID, "'%s' is no NAME=DIR", word);
}

/* The last one is the working directory. */
static bool add_words(struct ship_call *call, char **words, int count, struct err *err)
{
    autofile *list = call->list_path ? fopen(call->list_path, "wxe") : NULL;

    if (call->list_path && !list)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot write '%s'", call->list_path);
    for (int i = 0; i < count; i++) {
        if (!add_word(call, words[i], i + 1 == count ? list : NULL, err))
            return false;
    }
    return !list || fflush(list) == 0 ||
           err_errno(err, ERR_ENGINE_FAILED, "cannot write '%s'", call->list_path);
}

/* Of this call's own: when the step is over it goes, and nobody else's with it. */
static bool make_mark(char mark[17], struct err *err)
{
    uint64_t random;

    if (getrandom(&random, sizeof(random), 0) != sizeof(random))
        return err_errno(err, ERR_ENGINE_FAILED, "cannot get random bytes");
    snprintf(mark, 17, "%016llx", (unsigned long long)random);
    return true;
}

static bool parse_owner(struct ship_call *call, struct err *err)
{
    const char *colon = strchr(call->owner, ':');
    autofree char *uid = colon ? strndup(call->owner, (size_t)(colon - call->owner)) : NULL;

    return (uid && num_parse(uid, UINT32_MAX, &call->uid) &&
            num_parse(colon + 1, UINT32_MAX, &call->gid)) ||
           err_set(err, ERR_OPTION_INVALID, "'%s' is no UID:GID", call->owner);
}

static bool open_repository(struct ship_call *call, const char *text, struct err *err)
{
    if (!reference_is_repository(text)) {
        err_set(err, ERR_OPTION_INVALID, "'%s' is no repository to ship to", text);
        return err_hint(err, "--kubernetes-ship takes HOST/PATH, without a tag");
    }
    return reference_parse(text, "/", &call->reference, err) &&
           push_open(&call->push, &call->reference, err);
}

static bool ship(struct ship_call *call, char **words, int count, json_t **report, struct err *err)
{
    struct pod_image *image = &call->image;
    struct platform platform;
    char mark[17];

    platform_host(&platform);
    if (!parse_owner(call, err) || !open_repository(call, words[0], err) ||
        !command_open_store(call->store_path, &call->store, err) || !pod_image_begin(image, err) ||
        !add_words(call, words + 1, count - 1, err))
        return false;
    if (!make_mark(mark, err) || !pod_image_finish(image, &platform, mark, err) ||
        !pod_image_push(image, &call->push, err) ||
        !push_manifest(&call->push, image->digest, &image->manifest, MEDIA_OCI_MANIFEST, err))
        return false;
    *report = json_pack(
        "{s:o, s:I}", "image",
        json_sprintf("%s/%s@%s", call->reference.host, call->reference.path, image->digest),
        "bytes", (json_int_t)call->push.bytes);
    return *report || no_memory(err);
}

int command_ship(int argc, char **argv)
{
    CLEANUP(call_release)
    struct ship_call call = {.owner = "0:0", .store = STORE_INIT, .image = POD_IMAGE_INIT};
    const char *report_fd = "1";
    const struct option_spec options[] = {
        OPTION("--store", "DIR", &call.store_path, "the image store"),
        OPTION("--owner", "UID:GID", &call.owner, "the user of the step"),
        OPTION_LIST("--without", "DIR", &call.without,
                    "ship this directory empty: something else is mounted there; repeatable"),
        OPTION_LIST("--same", "DEV:INO=DIR", &call.same,
                    "what each directory has to be, once one is given; repeatable"),
        OPTION("--list", "FILE", &call.list_path,
               "make FILE, a list of what is shipped of the last directory"),
        OPTION("--report", "FD", &report_fd, "the descriptor for the line, default stdout"),
        OPTIONS_END,
    };
    const struct command command = {
        .usage = "stepcell-image ship [OPTIONS] REPOSITORY [NAME=DIR...]",
        .about = "Pushes an image of stepcell's first program of a Pod and of directories, by\n"
                 "digest alone, and writes a line of JSON about it.",
        .missing = "a repository is needed",
        .words_min = 1,
        .words_max = POD_IMAGE_LAYERS_MAX,
        .options = options,
    };
    autojson *report = NULL;
    struct err err;
    size_t words;
    bool ok;
    int status, fd = -1;

    if (!command_begin(argc, argv, &command, &words, &status))
        return status;
    if (!helper_report_parse_fd(report_fd, &fd, &err))
        return command_failed(&err);
    ok = ship(&call, argv, (int)words, &report, &err);
    return helper_report_end(fd, ok ? TAKE_PTR(report) : NULL, &err);
}

static bool unship(struct ship_call *call, const char *text, struct err *err)
{
    if (!command_parse_reference(text, &call->reference, err))
        return false;
    if (call->reference.transport != TRANSPORT_REGISTRY || !call->reference.digest)
        return err_set(err, ERR_OPTION_INVALID, "'%s' is no HOST/PATH@DIGEST", text);
    return push_open(&call->push, &call->reference, err) &&
           push_delete(&call->push, call->reference.digest, err);
}

int command_unship(int argc, char **argv)
{
    CLEANUP(call_release)
    struct ship_call call = {.store = STORE_INIT, .image = POD_IMAGE_INIT};
    const char *report_fd = "1";
    const struct option_spec options[] = {
        OPTION("--report", "FD", &report_fd, "the descriptor for the line, default stdout"),
        OPTIONS_END,
    };
    const struct command command = {
        .usage = "stepcell-image unship [OPTIONS] HOST/PATH@DIGEST",
        .about = "Deletes what 'ship' has pushed, where the registry allows it, and writes a line\n"
                 "of JSON about it.",
        .missing = "an image by digest is needed",
        .words_min = 1,
        .words_max = 1,
        .options = options,
    };
    struct err err;
    size_t words;
    int status, fd = -1;

    if (!command_begin(argc, argv, &command, &words, &status))
        return status;
    if (!helper_report_parse_fd(report_fd, &fd, &err))
        return command_failed(&err);
    return helper_report_end(fd, unship(&call, argv[0], &err) ? json_object() : NULL, &err);
}
