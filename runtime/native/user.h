/*
 * The user of a step, looked up in the image's own passwd and group (pure). The texts are
 * untrusted: lines that are no entries are passed over, and numbers are parsed strictly. All digits
 * are a number, never a name (CVE-2024-40635), and a number above 2^31-1 is an error
 * (CVE-2026-46680).
 */
#ifndef STEPCELL_RUNTIME_NATIVE_USER_H
#define STEPCELL_RUNTIME_NATIVE_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/err.h"

#define CELL_GROUPS_MAX 64 /* supplementary groups; more in the image's group file are left out */

struct cell_user {
    uid_t uid;
    gid_t gid;
    gid_t groups[CELL_GROUPS_MAX]; /* supplementary, without gid */
    size_t group_count;
    bool listed; /* the uid has an entry in passwd */
    char *name;  /* of the entry, or NULL */
    char *home;  /* of the entry, or NULL */
};

/*
 * `text` is USER[:GROUP], each a name or a number; "" is root. Without GROUP the group and the
 * supplementary groups come from the files; with GROUP it is the only one (image-spec config.md).
 */
bool user_resolve(const char *text, const char *passwd, const char *group, struct cell_user *user,
                  struct err *err);
void cell_user_release(struct cell_user *user);

/* Whether its ids depend on the files: a name, or a number that is not root's and without GROUP. */
bool user_is_looked_up(const char *text);

#define autocelluser CLEANUP(cell_user_release) struct cell_user

#endif
