#include "runtime/image/layer_files.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/file.h"
#include "base/path.h"

enum sight { SIGHT_NONE, SIGHT_FILE, SIGHT_HIDDEN };

static bool is_opaque(int directory)
{
    char value;

    return fgetxattr(directory, "user.overlay.opaque", &value, 1) == 1 && value == 'y';
}

/* What one layer has to say about the file; *file is a descriptor of it. */
static enum sight look(int layer, const char *directory, const char *name, int *file)
{
    autofd dir = path_open_in_nofollow(layer, directory, O_RDONLY | O_DIRECTORY, 0);
    struct stat st;

    /* A whiteout, a file or a link in the directory's place hides what is below. */
    if (dir < 0)
        return errno == ENOENT ? SIGHT_NONE : SIGHT_HIDDEN;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT && !is_opaque(dir) ? SIGHT_NONE : SIGHT_HIDDEN;
    if (!S_ISREG(st.st_mode))
        return SIGHT_HIDDEN;
    *file = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    return SIGHT_FILE;
}

bool layer_file_read(const int *layers, size_t count, const char *directory, const char *name,
                     struct buf *text, struct err *err)
{
    for (size_t i = count; i-- > 0;) {
        autofd file = -1;
        enum sight sight = look(layers[i], directory, name, &file);

        if (sight == SIGHT_NONE)
            continue;
        if (sight == SIGHT_HIDDEN)
            break;
        if (file < 0)
            return err_errno(err, ERR_IMAGE_CORRUPT, "cannot read '/%s/%s' of the image", directory,
                             name);
        return file_read_fd(file, name, text, ERR_IMAGE_CORRUPT, err);
    }
    return buf_append(text, "", 0) || err_errno(err, ERR_ENGINE_FAILED, "cannot read '%s'", name);
}
