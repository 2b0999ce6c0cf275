#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "runtime/image/store_verify.h"
#include "shim/image/command.h"
#include "shim/image/mapped.h"
#include "shim/print.h"

#define STATUS_FOUND 2
#define ID_MAX       INT32_MAX

struct verify {
    bool json;
    json_t *findings;
    struct mapped mapped; /* what map_for handed out last */
};

static const char *const remedies[] = {
    [REMEDY_PULL] = "pull the image again",
    [REMEDY_DONE] = "repaired",
    [REMEDY_AGAIN] = "in use or out of reach: verify again when no cell uses it",
};

static void found(void *data, const struct finding *finding)
{
    struct verify *verify = data;
    autofree char *what = command_escape(finding->what);

    if (verify->json)
        json_array_append_new(verify->findings,
                              json_pack("{s:s, s:s, s:o, s:s}", "part", finding->part, "name",
                                        finding->name, "message",
                                        json_bytes(finding->what, strlen(finding->what)), "remedy",
                                        remedies[finding->remedy]));
    else
        print_out("%s %s: %s; %s\n", finding->part, finding->name, what ? what : "",
                  remedies[finding->remedy]);
}

/* The ids of the step are the last two numbers of a key. */
static bool ids_of_key(const char *key, uid_t *uid, gid_t *gid)
{
    autofree char *copy = strdup(key);
    char *second = copy ? strrchr(copy, '-') : NULL, *first;
    uint64_t numbers[2];

    if (!second)
        return false;
    *second++ = '\0';
    first = strrchr(copy, '-');
    if (!first || !num_parse(first + 1, ID_MAX, &numbers[0]) ||
        !num_parse(second, ID_MAX, &numbers[1]))
        return false;
    *uid = (uid_t)numbers[0];
    *gid = (gid_t)numbers[1];
    return true;
}

static bool map_for(void *data, const char *key, struct layer_map *map)
{
    struct verify *verify = data;
    uid_t uid = 0;
    gid_t gid = 0;
    struct err ignored;

    if (!mapped_for(0, 0, &verify->mapped, &ignored))
        return false;
    if (strcmp(verify->mapped.key, key) != 0 &&
        (!ids_of_key(key, &uid, &gid) || !mapped_for(uid, gid, &verify->mapped, &ignored) ||
         strcmp(verify->mapped.key, key) != 0))
        return false;
    *map = mapped_layers(&verify->mapped);
    return true;
}

static int print_result(const struct verify *verify, const struct store_check *check)
{
    if (verify->json)
        (void)!command_print_json(json_pack("{s:s, s:i, s:i, s:o}", "schema", "stepcell.verify/1",
                                            "blobs", (int)check->blobs, "layers",
                                            (int)check->layers, "findings", verify->findings));
    else
        print_out("%zu blobs and %zu layers verified, %zu findings\n", check->blobs, check->layers,
                  check->findings);
    return check->findings ? STATUS_FOUND : 0;
}

int command_verify(int argc, char **argv)
{
    const char *store_option = NULL;
    struct verify verify = {0};
    struct store_check check = {
        .remover = &mapped_remover, .map_for = map_for, .found = found, .data = &verify};
    const struct option_spec options[] = {
        FLAG("--json", &verify.json, "as JSON"),
        OPTION("--store", "DIR", &store_option, "the image store"),
        OPTIONS_END,
    };
    const struct command command = {
        .usage = "stepcell image verify [OPTIONS]",
        .about =
            "Compares everything in the store with the digests that name it: blobs by their\n"
            "content, unpacked layers with what their blobs hold. Removes damaged blobs, which\n"
            "the next pull gets again, and replaces damaged layers, unless a cell uses them,\n"
            "and what makes the store an OCI layout. Ends with 2 when something was wrong.",
        .options = options,
    };
    autostore store = STORE_INIT;
    struct err err;
    size_t words;
    int status;

    if (!command_begin(argc, argv, &command, &words, &status))
        return status;
    verify.findings = json_array();
    if (!command_open_store(store_option, &store, &err) || !store_verify(&store, &check, &err))
        return command_failed(&err);
    return print_result(&verify, &check);
}
