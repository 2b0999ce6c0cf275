#include "shim/outlet.h"

#include "base/path.h"
#include "shim/policy.h"

/* Also when nobody can tell. */
static bool is_guarded(const struct outlets *outlets, int dir, const char *name)
{
    char parent[PATH_MAX];
    autofree char *path = NULL;

    if (!outlets->guarded.count)
        return false;
    if (path_of_open(dir, parent))
        path = text_printf("%s/%s", parent[1] ? parent : "", name);
    return !path || policy_find_guarded(&outlets->guarded, path);
}

int outlet_open_parent(const struct outlets *outlets, const char *path, char **name)
{
    autofree char *found = NULL;
    autofd dir = path_open_parent(path, &outlets->shared, &found);

    if (dir >= 0 && is_guarded(outlets, dir, found)) {
        errno = OUTLET_GUARDED;
        return -1;
    }
    *name = dir < 0 ? NULL : TAKE_PTR(found);
    return TAKE_FD(dir);
}

bool outlet_failed(const struct outlets *outlets, const char *what, const char *subject,
                   struct err *err)
{
    return errno == OUTLET_GUARDED
               ? err_set(err, ERR_OPTION_INVALID, "%s '%s': it lies in the guarded places of '%s'",
                         what, subject, outlets->policy)
               : err_errno(err, ERR_OPTION_INVALID, "%s '%s'", what, subject);
}

void outlets_release(struct outlets *outlets)
{
    strv_release(&outlets->shared);
    strv_release(&outlets->guarded);
}
