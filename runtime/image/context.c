#include "runtime/image/context.h"

#include <fcntl.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/path.h"
#include "runtime/image/ignore.h"
#include "runtime/image/tar_tree.h"
#include "runtime/image/tar_write.h"

#define IGNORE_FILE ".dockerignore"

struct context {
    const char *directory, *file;
    struct ignore ignore;
};

/* What is left out may still hold something that is let in, or the Containerfile. */
static bool choose(void *data, const char *path, bool is_dir, enum tree_choice *choice,
                   struct err *err)
{
    const struct context *context = data;
    bool left_out = ignore_leaves_out(&context->ignore, path) && strcmp(path, context->file) != 0 &&
                    strcmp(path, IGNORE_FILE) != 0;
    size_t len = strlen(path);
    bool holds_file = strncmp(context->file, path, len) == 0 && context->file[len] == '/';

    (void)err;
    *choice = !left_out                                           ? TREE_TAKE
              : is_dir && (context->ignore.lets_in || holds_file) ? TREE_ENTER
                                                                  : TREE_LEAVE;
    return true;
}

static bool unreadable(const struct context *context, struct err *err)
{
    return err_errno(err, ERR_OPTION_INVALID, "cannot read '%s/" IGNORE_FILE "'",
                     context->directory);
}

static bool read_ignore(struct context *context, struct err *err)
{
    autofree char *path = text_printf("%s/" IGNORE_FILE, context->directory);
    autobuf text = BUF_INIT(IGNORE_MAX);

    if (!path)
        return unreadable(context, err);
    if (access(path, F_OK) < 0 && errno == ENOENT)
        return true;
    return file_read(AT_FDCWD, path, &text, ERR_OPTION_INVALID, err) &&
           ignore_parse(text.data ? text.data : "", text.len, path, &context->ignore, err);
}

bool context_write(const char *directory, const char *file, int archive, struct err *err)
{
    struct context context = {.directory = directory, .file = file};
    const struct tar_tree tree = {.directory = directory, .choose = choose, .data = &context};
    bool ok = read_ignore(&context, err) && tar_tree_write(&tree, archive, err) &&
              (tar_write_end(archive) ||
               err_errno(err, ERR_ENGINE_FAILED, "cannot write the context of '%s'", directory));

    ignore_release(&context.ignore);
    return ok;
}
