#include "runtime/image/registry_users.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* Read by shim/policy.h; here it counts that they are there, and that the second asks for more than
 * it does where nobody has changed it. */
#define POLICY_FILE     "/etc/stepcell/policy.json"
#define CONTAINERS_FILE "/etc/containers/policy.json"
#define CONTAINERS_MAX  (1 << 20) /* bytes of it */
#define ACCEPTING       "insecureAcceptAnything"

static bool is_missing(const char *path)
{
    return faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT;
}

static bool accepts_all(json_t *requirements)
{
    json_t *item;
    size_t i;

    json_array_foreach (requirements, i, item) {
        const char *type = json_text(item, "type");

        if (!type || strcmp(type, ACCEPTING) != 0)
            return false;
    }
    return json_array_size(requirements) > 0;
}

bool registry_policy_accepts_all(json_t *containers)
{
    bool ok = accepts_all(json_object_get(containers, "default"));
    json_t *scopes, *requirements;
    const char *key, *scope;

    json_object_foreach (json_object_get(containers, "transports"), key, scopes) {
        json_object_foreach (scopes, scope, requirements)
            ok = ok && accepts_all(requirements);
    }
    return ok;
}

/* Of a file that is not understood nothing is run, whatever is said here. */
static bool containers_accept_all(void)
{
    struct err ignored;
    autojson *file =
        json_read_file(AT_FDCWD, CONTAINERS_FILE, CONTAINERS_MAX, ERR_CONFIG_INVALID, &ignored);

    return registry_policy_accepts_all(file);
}

bool registry_users_configure(void)
{
    return is_missing(POLICY_FILE) && (is_missing(CONTAINERS_FILE) || containers_accept_all());
}
