/* `sweep`: containers that nobody looks after any more. */
#include <string.h>

#include "runtime/docker/container.h"
#include "shim/command.h"
#include "shim/docker/command.h"

static const char list_path[] =
    "/containers/json?all=1&filters=%7B%22label%22%3A%5B%22" LABEL_OWNER "%22%5D%7D";

/* Docker puts a '/' before each. */
static bool has_name_of_ours(const json_t *names)
{
    const json_t *item;
    size_t i;

    json_array_foreach (names, i, item) {
        const char *name = json_string_value(item);

        if (name && container_name_is_ours(name + (*name == '/')))
            return true;
    }
    return false;
}

/* False only when it should be gone, and may not be. */
static bool remove_abandoned(struct client *client, const json_t *item, const char *step)
{
    const json_t *labels = json_object_get(item, "Labels");
    const char *id = json_text(item, "Id"), *state = json_text(item, "State");
    const char *owner = json_text(labels, LABEL_OWNER), *whose = json_text(labels, LABEL_STEP);
    autofree char *path = NULL;
    struct client_call call = {.method = "DELETE"};
    autoanswer answer = {0};
    struct err ignored;

    if (!id || !owner || strspn(id, "0123456789abcdef") != strlen(id) ||
        !has_name_of_ours(json_object_get(item, "Names")) ||
        (step && (!whose || strcmp(step, whose) != 0)) ||
        container_owner_lives(owner, state && strcmp(state, "running") == 0))
        return true;
    call.path = path = text_printf("/containers/%s?v=1&force=1", id);
    return path && client_call(client, &call, &answer, &ignored) &&
           (answer.status == 204 || answer.status == 404);
}

size_t sweep_containers(struct client *client, const char *step)
{
    const struct client_call call = {.method = "GET", .path = list_path};
    autoanswer answer = {0};
    struct err ignored;
    size_t left = 0, i;
    json_t *item;

    if (!client || !client_call(client, &call, &answer, &ignored) || answer.status != 200 ||
        !json_is_array(answer.json))
        return 1;
    json_array_foreach (answer.json, i, item)
        left += !remove_abandoned(client, item, step);
    return left;
}

int command_sweep(int argc, char **argv)
{
    const struct endpoint_caller caller = endpoint_caller_now();
    const char *engine = "docker", *host = NULL, *step = NULL;
    const struct option_spec options[] = {
        OPTION("--engine", "docker|podman", &engine, "whose daemon"),
        OPTION("--host", "URL", &host, "where it listens"),
        OPTION("--step", "ID", &step, "of this step alone, default of all that are abandoned"),
        OPTIONS_END,
    };
    const struct command command = {
        .usage = "stepcell-docker sweep [OPTIONS]",
        .about = "Removes containers whose stepcell is gone.",
        .options = options,
    };
    autoendpoint endpoint = {0};
    autoclient *client = NULL;
    struct err err;
    size_t words;
    int status;

    if (!command_begin(argc, argv, &command, &words, &status))
        return status;
    if (!endpoint_find(engine, host, &caller, &endpoint, &err) ||
        !client_open(engine, &endpoint, CLIENT_STALL_MS, &client, &err))
        return STATUS_FAILED;
    return sweep_containers(client, step) == 0 ? 0 : STATUS_FAILED;
}
