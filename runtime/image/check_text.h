/*
 * Texts of an image that rules ask about (pure): os-release, the data bases of dpkg and apk,
 * passwd, start-up files of shells. All are untrusted: `len` bytes with any content, and a NUL
 * behind them.
 */
#ifndef STEPCELL_RUNTIME_IMAGE_CHECK_TEXT_H
#define STEPCELL_RUNTIME_IMAGE_CHECK_TEXT_H

#include "base/buf.h"

#define CHECK_VALUE_MAX    256   /* bytes of a value of os-release with its NUL */
#define CHECK_PACKAGES_MAX 20000 /* of one image */

/*
 * The value of a variable of os-release, without its quotes (os-release(5)); the last assignment
 * counts. False when there is none, or it is too long or has control characters.
 */
bool check_os_release(const char *text, size_t len, const char *key, char value[CHECK_VALUE_MAX]);

/* Installed packages: names, and the version of each at the same index. */
struct check_packages {
    struct strv names, versions;
};

#define CHECK_PACKAGES_INIT                                                                        \
    ((struct check_packages){{.max = CHECK_PACKAGES_MAX}, {.max = CHECK_PACKAGES_MAX}})

/*
 * Adds what dpkg's status (deb822) says is installed. `stated`: a stanza without a Status counts as
 * installed, as in the files of status.d. What is no stanza is passed over. False when there are
 * too many, or without memory.
 */
bool check_packages_dpkg(const char *text, size_t len, bool stated,
                         struct check_packages *packages);

/* The same for apk's "installed". */
bool check_packages_apk(const char *text, size_t len, struct check_packages *packages);

/*
 * The version of the first package that matches, or NULL. In a pattern '#' stands for one digit or
 * more, everything else for itself.
 */
const char *check_packages_find(const struct check_packages *packages, const char *pattern);
void check_packages_release(struct check_packages *packages);

/* Whether a line of passwd or group has this name in front. */
bool check_has_account(const char *text, size_t len, const char *name);

/*
 * Adds the directories that a start-up file of a shell puts into PATH: absolute ones, "~" and $HOME
 * as `home`; and to `tools` the managers of versions that it starts (nvm, rbenv, …). False without
 * memory.
 */
bool check_shell_paths(const char *text, size_t len, const char *home, struct strv *directories,
                       struct strv *tools);

/*
 * Whether two spellings may be one version: equal, or one goes on where the other ends with '.',
 * '-', '_' or '+', after a "v" in front of either: "v7.7.2-ubuntu.2204" and "7.7.2", "7.7" and
 * "7.7.2".
 */
bool check_versions_agree(const char *a, const char *b);

/* Upstream's part of a version of dpkg's or apk's: without epoch and revision (owned). */
char *check_upstream_version(const char *version);

#define autopackages CLEANUP(check_packages_release) struct check_packages

#endif
