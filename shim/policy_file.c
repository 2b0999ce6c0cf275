/* Reading what a policy consists of: files of root's that nobody else may write to. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/path.h"
#include "base/public_key.h"
#include "shim/policy.h"

static bool refuse(const char *path, const char *why, struct err *err)
{
    err_set(err, ERR_CONFIG_INVALID, "'%s' %s, and so nothing runs", path, why);
    return err_hint(err, "it has to belong to root, with mode 0644 or stricter, and every user of "
                         "stepcell has to be able to read it");
}

/*
 * What is not there is none; what is there and cannot be read is not. A link that leads nowhere is
 * there, so the name is opened first, which costs a warm start without a policy nothing else.
 */
static int open_file(const char *path, bool *missing, struct err *err)
{
    autofd name = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC), fd = -1;
    struct stat st;

    *missing = name < 0 && errno == ENOENT;
    if (*missing)
        return -1;
    if (name >= 0)
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) < 0)
        refuse(path, "cannot be read", err);
    else if (!S_ISREG(st.st_mode))
        refuse(path, "is no file", err);
    else if (st.st_uid != 0)
        refuse(path, "does not belong to root", err);
    else if (st.st_mode & 022)
        refuse(path, "can be written by others than root", err);
    else
        return TAKE_FD(fd);
    return -1;
}

bool policy_check_file(const char *path, struct err *err)
{
    bool missing;
    autofd fd = open_file(path, &missing, err);

    return fd >= 0 || (missing && refuse(path, "is named by the policy and not there", err));
}

char *policy_read_key_file(const char *path, struct err *err)
{
    autobuf text = BUF_INIT(PUBLIC_KEY_MAX);
    bool missing;
    autofd fd = open_file(path, &missing, err);

    if (missing)
        refuse(path, "is named by the policy and not there", err);
    if (fd < 0 || !file_read_fd(fd, path, &text, ERR_CONFIG_INVALID, err))
        return NULL;
    if (!text.len || strlen(text.data) != text.len) {
        refuse(path, "is no key", err);
        return NULL;
    }
    return buf_take(&text);
}

/* Where the tree leads, when a link on its way leads elsewhere. */
static bool resolve_trees(struct policy *policy, struct err *err)
{
    for (size_t i = 0; i < policy->mount_count; i++) {
        struct policy_mount_rule *rule = &policy->mounts[i];
        autofree char *resolved = realpath(rule->tree, NULL);

        if (!resolved && errno == ENOMEM)
            return err_errno(err, ERR_ENGINE_FAILED, "cannot read the policy");
        if (resolved && strcmp(resolved, rule->tree) != 0)
            rule->resolved = TAKE_PTR(resolved);
    }
    return true;
}

bool policy_resolve_socket(char **host)
{
    size_t scheme = strlen(POLICY_UNIX);
    autofree char *path = NULL;
    char *resolved;

    if (strncmp(*host, POLICY_UNIX, scheme) != 0)
        return true;
    path = path_resolve(*host + scheme, NULL);
    resolved = path ? text_printf(POLICY_UNIX "%s", path) : NULL;
    if (!resolved)
        return false;
    free(*host);
    *host = resolved;
    return true;
}

/* Daemons are asked, and judged, by where their paths lead: /var/run is a link. */
static bool resolve_sockets(struct policy *policy, struct err *err)
{
    for (size_t engine = 0; engine < POLICY_ENGINES; engine++) {
        struct strv *hosts = &policy->hosts[engine];

        for (size_t i = 0; i < hosts->count; i++) {
            if (!strpbrk(hosts->items[i], "*?") && !policy_resolve_socket(&hosts->items[i]))
                return err_set(err, ERR_ENGINE_FAILED, "not enough memory for the policy");
        }
    }
    return true;
}

static bool load_own(struct policy *policy, struct err *err)
{
    autobuf text = BUF_INIT(POLICY_MAX);
    bool missing;
    autofd fd = open_file(POLICY_FILE, &missing, err);

    if (fd < 0)
        return missing;
    return file_read_fd(fd, POLICY_FILE, &text, ERR_CONFIG_INVALID, err) &&
           policy_parse(text.data ? text.data : "", text.len, POLICY_FILE, policy_read_key_file,
                        policy, err) &&
           resolve_trees(policy, err) && resolve_sockets(policy, err);
}

static bool load_containers(struct policy *policy, struct err *err)
{
    autobuf text = BUF_INIT(POLICY_MAX);
    bool missing;
    autofd fd = open_file(POLICY_CONTAINERS_FILE, &missing, err);

    if (fd < 0)
        return missing;
    if (!file_read_fd(fd, POLICY_CONTAINERS_FILE, &text, ERR_CONFIG_INVALID, err))
        return false;
    policy->containers =
        policy_parse_containers(text.data ? text.data : "", text.len, POLICY_CONTAINERS_FILE, err);
    return policy->containers;
}

bool policy_load(struct policy *policy, struct err *err)
{
    autopolicy loaded = {0};

    if (!load_own(&loaded, err) || !load_containers(&loaded, err))
        return false;
    *policy = loaded;
    loaded = (struct policy){0};
    return true;
}
