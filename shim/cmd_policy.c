/* `stepcell policy test`: what the administrator's policy says of a step, which is not run. */
#include <string.h>
#include <sys/stat.h>

#include "shim/commands.h"
#include "shim/options_table.h"
#include "shim/session.h"

#define TEST_SCHEMA "stepcell.policy-test/1"

#define HELP_MAX 65536

/* The options are those of run. */
static int print_test_help(void)
{
    size_t count;
    const struct option *table = options_table(&count);
    autobuf text = BUF_INIT(HELP_MAX);

    buf_append_text(
        &text,
        "Usage: stepcell policy test [OPTIONS] IMAGE [[--] COMMAND [ARG...]]\n\n"
        "Tells what the policy of this machine says of a step, and which rule decides. Nothing\n"
        "is fetched or started. What only the image knows, its user and its signatures, counts\n"
        "when the image is in the store. Exits with 0 when the step is allowed, and with 125\n"
        "when it is refused or cannot be judged.\n\n");
    for (size_t i = 0; i < count; i++) {
        autofree char *name = text_printf("--%s", table[i].name);
        char letter[] = {'-', table[i].letter, '\0'};

        command_add_option_help(&text, table[i].letter ? letter : NULL, name ? name : "",
                                table[i].value,
                                option_is(&table[i], "json") ? "as JSON" : table[i].help);
    }
    print_out("%s", text.data ? text.data : "");
    return 0;
}

/* The image, as far as the store has it; a store that is not there is not made. */
static bool look_into_store(struct session *session, bool *found, struct err *err)
{
    autofree char *path = store_path(session->options.store, err);
    autofree char *layout = path ? text_printf("%s/oci-layout", path) : NULL;
    struct stat st;

    *found = false;
    if (!layout)
        return false;
    if (stat(layout, &st) < 0)
        return true;
    if (!store_open(path, &session->store, err) ||
        !store_lookup(&session->store, &session->reference, &session->platform, found,
                      &session->name, err) ||
        (*found && !store_load_image(&session->store, session->name.manifest_digest, found,
                                     &session->image, err)))
        return false;
    return !*found || session_take_user(session, err);
}

static bool judge(struct session *session, bool *is_signed, struct err *err)
{
    bool found;

    *is_signed = false;
    /* What is written outside of the step is judged when it is opened, as by explain. */
    if (!session_open(session, err) || !session_name_image(session, err) ||
        !session_open_result(session, err) || !session_settle(session, err) ||
        !session_open_target(session, err) || !session_find_sources(session, err) ||
        !look_into_store(session, &found, err) || !session_allow(session, err))
        return false;
    /* What could not be found was not judged. */
    if (session->violations.count) {
        *err = session->violations.items[0];
        return false;
    }
    *is_signed = found && session_is_signed(session);
    return true;
}

/* The files of the keys of each demand. */
static json_t *demands_json(const struct policy_verdict *verdict)
{
    json_t *list = json_array();

    for (size_t i = 0; i < verdict->demand_count; i++) {
        const struct signature_demand *demand = verdict->demands[i];
        json_t *keys = json_array();

        for (size_t k = 0; k < demand->key_count; k++)
            json_array_append_new(keys, json_pack("{s:s, s:s}", "file", demand->keys[k].file, "key",
                                                  demand->keys[k].id));
        json_array_append_new(list, keys);
    }
    return list;
}

static json_t *error_json(const struct err *err)
{
    const char *fix = err_fix(err);

    return json_pack("{s:s, s:o, s:o}", "code", err_code_text(err->code), "message",
                     json_bytes(err->message, strlen(err->message)), "hint",
                     fix[0] ? json_bytes(fix, strlen(fix)) : json_null());
}

static json_t *verdict_json(const struct session *session, bool allowed, bool is_signed,
                            const struct err *err)
{
    const struct policy_verdict *verdict = &session->verdict;
    const char *name = session->reference.name;

    return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "schema", TEST_SCHEMA, "verdict",
                     allowed ? "allowed" : "refused", "image",
                     name ? json_bytes(name, strlen(name)) : json_null(), "policy",
                     policy_verdict_json(verdict), "signed_by", demands_json(verdict), "signed",
                     verdict->demand_count ? json_boolean(is_signed) : json_null(), "error",
                     allowed ? json_null() : error_json(err));
}

static void print_verdict(const struct session *session, bool is_signed)
{
    const struct policy_verdict *verdict = &session->verdict;

    if (!verdict->file) {
        print_out("allowed: there is no policy\n");
        return;
    }
    print_out("allowed by %s of '%s'\n", verdict->rule, verdict->file);
    for (size_t i = 0; i < verdict->demand_count; i++) {
        const struct signature_demand *demand = verdict->demands[i];

        for (size_t k = 0; k < demand->key_count; k++)
            print_out("%s '%s'\n", k ? "  or" : "if signed by", demand->keys[k].file);
    }
    if (verdict->demand_count)
        print_out("%s\n", is_signed ? "it is known to be signed so"
                                    : "that is verified before the image is unpacked");
}

static int test(int argc, char **argv)
{
    struct session session = SESSION_INIT;
    bool allowed, is_signed = false, json;
    struct err err = ERR_INIT;
    int status;

    session.options.explains = session.options.image_is_enough = true;
    allowed =
        session_make_id(session.id, &err) && options_parse(argc, argv, &session.options, &err);
    json = session.options.json;
    if (session.options.help) {
        session_close(&session);
        return print_test_help();
    }
    allowed = allowed && judge(&session, &is_signed, &err);
    status = allowed ? 0 : STATUS_FAILED;
    if (json && command_print_json(verdict_json(&session, allowed, is_signed, &err)) != 0)
        status = STATUS_FAILED;
    else if (!json && allowed)
        print_verdict(&session, is_signed);
    else if (!json)
        command_failed(&err);
    session_close(&session);
    return status;
}

static const struct subcommand commands[] = {
    {"test", test, false, "tell what the policy says of a step, and which rule decides"},
    {0},
};

int cmd_policy(int argc, char **argv)
{
    static const struct command_group group = {
        .name = "policy",
        .about = "Tells about the administrator's policy.",
        .commands = commands,
    };
    int status;
    const struct subcommand *command = command_group_choose(&group, argv[0], &status);

    return command ? command->run(argc - 1, argv + 1) : status;
}
