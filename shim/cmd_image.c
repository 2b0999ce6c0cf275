/*
 * `stepcell image`, `lock`, `manifest` and `upstream`: what hashes, inflates or fetches lives in
 * stepcell-image, with the libraries that it needs; this program becomes it, as git becomes
 * git-remote-https.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/libexec.h"
#include "shim/commands.h"
#include "shim/print.h"

/* Becomes the program, with `command` in front of the words unless it is NULL. */
static int become_image(const char *command, int argc, char **argv)
{
    struct err err;
    autofree char *path = libexec_path("stepcell-image", &err);
    autofree char **words = calloc((size_t)argc + 3, sizeof(*words));
    autofree char **environment = libexec_environment();

    if (path && words && environment) {
        words[0] = "stepcell-image";
        words[1] = (char *)command;
        memcpy(words + (command ? 2 : 1), argv, (size_t)argc * sizeof(*words));
        execve(path, words, environment);
        err_errno(&err, ERR_ENGINE_FAILED, "cannot start '%s'", path);
    }
    print_err(&err);
    return STATUS_FAILED;
}

int cmd_image(int argc, char **argv)
{
    return become_image(NULL, argc, argv);
}

int cmd_lock(int argc, char **argv)
{
    return become_image("lock", argc, argv);
}

int cmd_manifest(int argc, char **argv)
{
    return become_image("manifest", argc, argv);
}

int cmd_upstream(int argc, char **argv)
{
    return become_image("upstream", argc, argv);
}
