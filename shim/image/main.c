/* stepcell-image: everything that fetches, hashes or unpacks images. `stepcell image` becomes it.
 */
#include <string.h>

#include "runtime/image/store_write.h"
#include "shim/image/command.h"
#include "shim/image/mapped.h"
#include "shim/image/supervise.h"

static const struct subcommand commands[] = {
    {"pull", command_pull, true, "get an image into the store"},
    {"list", command_list, false, "list the images in the store"},
    {"inspect", command_inspect, false, "show an image of the store"},
    {"check", command_check, false, "tell whether an image is fit to be an execution container"},
    {"build", command_build, true, "build an image by an existing builder, check it, push it"},
    {"base", command_base, false, "tell what an image was built on, and whether that has moved"},
    {"remove", command_remove, false, "remove images from the store"},
    {"import", command_import, true, "get an image out of a layout or an archive"},
    {"export", command_export, false, "write an image as a layout or an archive"},
    {"push", command_push, false, "push an image to a registry"},
    {"init", command_init, false, "push an image with the first program of steps in a cluster"},
    {"gc", command_gc, true, "remove what is not needed, or not used any more"},
    {"verify", command_verify, true, "find and repair what is damaged in the store"},
    {"ensure", command_ensure, true, NULL},
    {"lock", command_lock, false, NULL},         /* stepcell lock */
    {"manifest", command_manifest, false, NULL}, /* stepcell manifest */
    {"upstream", command_upstream, false, NULL}, /* stepcell upstream */
    {"attest", command_attest, false, NULL},
    {"ship", command_ship, false, NULL},
    {"unship", command_unship, false, NULL},
    {"return", command_return, false, NULL},
    {"reach", command_reach, false, NULL},
    {0},
};

static const struct command_group group = {
    .name = "image",
    .about = "Keeps images, and tells what they are.",
    .commands = commands,
};

/* The value of --store among words that a command has looked at already, or has not. */
static const char *find_store(int argc, char **argv)
{
    static const char option[] = "--store";
    size_t len = strlen(option);

    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], option, len) != 0)
            continue;
        if (argv[i][len] == '=')
            return argv[i] + len + 1;
        if (argv[i][len] == '\0' && i + 1 < argc)
            return argv[i + 1];
    }
    return NULL;
}

/* Where somebody removes things just now, the next pull clears away. */
static void clear_away(int argc, char **argv)
{
    autostore store = STORE_INIT;
    autofd lock = -1;
    struct err err;

    if (!command_open_store(find_store(argc, argv), &store, &err))
        return;
    lock = store_lock(&store, "store", LOCK_SH | LOCK_NB, &err);
    if (lock >= 0)
        (void)!store_sweep(&store, &mapped_remover, NULL, &err);
}

int main(int argc, char **argv)
{
    const struct subcommand *command;
    struct err err;
    int status;

    if (!subcommand_begin(&err))
        return command_failed(&err);
    command = command_group_choose(&group, argv[1], &status);
    if (!command)
        return command_end(status);
    if (command->supervised)
        return supervise(command->run, argc - 2, argv + 2, clear_away);
    return command_end(command->run(argc - 2, argv + 2));
}
