#include <stdio.h>
#include <string.h>

#include "runtime/image/store_verify.h"
#include "shim/image/command.h"
#include "shim/image/mapped.h"
#include "shim/print.h"

#define STATUS_FOUND 2

struct verify {
    bool json;
    const char *store;    /* path */
    json_t *findings;     /* borrowed */
    struct mapped mapped; /* what map_for handed out last */
};

static const char *const remedies[] = {
    [REMEDY_PULL] = "pull the image again",
    [REMEDY_DONE] = "repaired",
    [REMEDY_COLLECT] = "'stepcell image gc' removes it",
    [REMEDY_ROOT] = "", /* has the name in it */
    [REMEDY_AGAIN] = "in use or out of reach: verify again when no cell uses it",
};

static void found(void *data, const struct finding *finding)
{
    struct verify *verify = data;
    autofree char *by_root = NULL;
    const char *remedy = remedies[finding->remedy];

    /* Not by gc, which would need the ids for it. */
    if (finding->remedy == REMEDY_ROOT ||
        (finding->remedy == REMEDY_COLLECT && !mapped_is_orphan(finding->name))) {
        by_root = text_printf("as root: rm -r '%s/layers/%s'", verify->store, finding->name);
        remedy = by_root ? by_root : "";
    }
    if (verify->json)
        json_array_append_new(verify->findings,
                              json_pack("{s:s, s:o, s:o, s:s}", "part", finding->part, "name",
                                        json_bytes(finding->name, strlen(finding->name)), "message",
                                        json_bytes(finding->what, strlen(finding->what)), "remedy",
                                        remedy));
    else
        print_fact("%s %s: %s; %s", finding->part, finding->name, finding->what, remedy);
}

static bool map_for(void *data, const char *key, struct layer_map *map)
{
    struct verify *verify = data;

    if (!mapped_for_key(key, &verify->mapped))
        return false;
    *map = mapped_layers(&verify->mapped);
    return true;
}

static int print_result(const struct verify *verify, const struct store_check *check)
{
    if (verify->json)
        (void)!command_print_json(json_pack("{s:s, s:i, s:i, s:O}", "schema", "stepcell.verify/1",
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
    autojson *findings = json_array();
    autostore store = STORE_INIT;
    struct err err;
    size_t words;
    int status;

    if (!command_begin(argc, argv, &command, &words, &status))
        return status;
    verify.findings = findings;
    if (!command_open_store(store_option, &store, &err))
        return command_failed(&err);
    verify.store = store.path;
    if (!store_verify(&store, &check, &err))
        return command_failed(&err);
    return print_result(&verify, &check);
}
