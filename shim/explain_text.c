/* The text of `stepcell explain`: a view of its JSON, so that both say the same. */
#include <inttypes.h>
#include <string.h>

#include "shim/explain.h"
#include "shim/print.h"

#define TEXT_MAX (16 << 20) /* bytes */

/* The words of one line, which are untrusted. */
static void line(struct buf *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void line(struct buf *text, const char *format, ...)
{
    autofree char *words = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&words, format, args) < 0)
        words = NULL;
    va_end(args);
    if (words)
        print_escape(text, words);
    buf_append_text(text, "\n");
}

static void heading(struct buf *text, const char *name)
{
    buf_printf(text, "\n%s\n", name);
}

static const char *text_of(const json_t *json, const char *key)
{
    const char *value = json_text(json, key);

    return value ? value : "-";
}

static void print_violations(struct buf *text, const json_t *facts)
{
    const json_t *list = json_object_get(facts, "violations"), *one;
    size_t i, count = json_array_size(list);

    if (count == 0) {
        line(text, "The step can start.");
        return;
    }
    line(text, "The step cannot start: %zu %s wrong with it.", count,
         count == 1 ? "thing is" : "things are");
    json_array_foreach (list, i, one) {
        line(text, "  %zu. %s: %s", i + 1, text_of(one, "code"), text_of(one, "message"));
        line(text, "     fix: %s", text_of(one, "hint"));
    }
}

static void print_list(struct buf *text, const char *name, const json_t *list)
{
    autofree char *words = list ? json_dumps(list, JSON_COMPACT) : NULL;

    line(text, "  %-14s %s", name, words ? words : "[]");
}

static void print_image(struct buf *text, const json_t *facts)
{
    static const char *const keys[] = {"reference", "digest", "manifest_digest", "platform"};
    const json_t *image = json_object_get(facts, "image");
    const json_t *entrypoint = json_object_get(facts, "entrypoint");
    const json_t *policy = json_object_get(facts, "policy");

    heading(text, "Image");
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        line(text, "  %-16s %s", keys[i], text_of(image, keys[i]));
    line(text, "  %-16s %s (--entrypoint %s)", "entrypoint", text_of(entrypoint, "verdict"),
         text_of(entrypoint, "policy"));
    if (json_text(entrypoint, "set_by"))
        line(text, "  %-16s %s", "", text_of(entrypoint, "set_by"));
    if (json_is_object(policy))
        line(text, "  %-16s %s of %s", "policy", text_of(policy, "rule"), text_of(policy, "file"));
}

static void print_configuration(struct buf *text, const json_t *facts)
{
    const json_t *one;
    size_t i;

    heading(text, "Configuration");
    json_array_foreach (json_object_get(facts, "configuration"), i, one)
        line(text, "  %-16s %s   (%s)", text_of(one, "name"), text_of(one, "value"),
             text_of(one, "from"));
}

static void print_ids(struct buf *text, const json_t *owner)
{
    const json_t *host = json_object_get(owner, "host"), *cell = json_object_get(owner, "cell");
    json_int_t ids[4];

    for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
        ids[i] = json_integer_value(json_array_get(i < 2 ? host : cell, i % 2));
    line(text,
         "  %-14s the owner is %" JSON_INTEGER_FORMAT ":%" JSON_INTEGER_FORMAT
         " here and %" JSON_INTEGER_FORMAT ":%" JSON_INTEGER_FORMAT " in the cell",
         "", ids[0], ids[1], ids[2], ids[3]);
}

static void print_mounts(struct buf *text, const json_t *facts)
{
    const json_t *one;
    size_t i;

    heading(text, "Mounts, in order");
    json_array_foreach (json_object_get(facts, "mounts"), i, one) {
        const char *source = json_text(one, "source"), *alias = json_text(one, "alias_of");

        line(text, "  %-14s %s (%s)", text_of(one, "access"), text_of(one, "target"),
             text_of(one, "role"));
        if (source && strcmp(source, text_of(one, "target")) != 0)
            line(text, "  %-14s is %s", "", source);
        if (alias)
            line(text, "  %-14s is another name of %s", "", alias);
        if (json_object_get(one, "owner"))
            print_ids(text, json_object_get(one, "owner"));
    }
}

static void print_user(struct buf *text, const json_t *facts)
{
    const json_t *user = json_object_get(facts, "user");

    heading(text, "User");
    if (!json_is_object(user)) {
        line(text, "  not known");
        return;
    }
    line(text, "  %" JSON_INTEGER_FORMAT ":%" JSON_INTEGER_FORMAT " %s",
         json_integer_value(json_object_get(user, "uid")),
         json_integer_value(json_object_get(user, "gid")),
         json_text(user, "name") ? json_text(user, "name") : "(not in the passwd of the image)");
    print_list(text, "groups", json_object_get(user, "groups"));
}

static void print_environment(struct buf *text, const json_t *facts)
{
    const json_t *one;
    size_t i;

    heading(text, "Environment");
    json_array_foreach (json_object_get(facts, "environment"), i, one) {
        bool hidden = json_is_true(json_object_get(one, "withheld"));

        line(text, "  %s%s%s   (%s)", text_of(one, "name"), hidden ? "" : "=",
             hidden ? " is withheld" : text_of(one, "value"), text_of(one, "from"));
    }
}

/* Those that no other part of the text says more of. */
static void print_options(struct buf *text, const json_t *step)
{
    static const char *const elsewhere[] = {"schema",  "image",   "command",     "env",
                                            "workdir", "package", "package_cow", "package_rw",
                                            "mount",   "explain"};
    const char *key;
    json_t *value;

    heading(text, "Options");
    json_object_foreach ((json_t *)step, key, value) {
        autofree char *words = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
        bool shown = false;

        for (size_t i = 0; i < ARRAY_SIZE(elsewhere); i++)
            shown = shown || strcmp(key, elsewhere[i]) == 0;
        if (!shown)
            line(text, "  %-16s %s", key, words ? words : "");
    }
}

static void print_limits(struct buf *text, const json_t *facts)
{
    const char *key;
    json_t *value;

    heading(text, "Limits");
    json_object_foreach (json_object_get(facts, "limits"), key, value) {
        autofree char *words = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

        line(text, "  %-14s %s", key, json_is_null(value) ? "none" : words ? words : "");
    }
}

static void print_docker(struct buf *text, const json_t *facts)
{
    const json_t *docker = json_object_get(facts, "docker"), *one;
    size_t i;

    heading(text, "Nearly the same by hand");
    if (!json_is_object(docker)) {
        line(text, "  not known");
        return;
    }
    /* Quoted already. */
    buf_printf(text, "%s\n", text_of(docker, "line"));
    json_array_foreach (json_object_get(docker, "differs"), i, one)
        line(text, "  differs: %s", json_string_value(one));
}

char *explain_text(const json_t *step)
{
    const json_t *facts = json_object_get(step, "explain");
    struct buf text = BUF_INIT(TEXT_MAX);

    print_violations(&text, facts);
    if (!json_is_true(json_object_get(facts, "looked_inside")))
        line(&text,
             "What only a cell shows (its shell, its home, what is in the way of mounts) was "
             "not looked at.");
    print_image(&text, facts);
    print_configuration(&text, facts);
    heading(&text, "Command");
    print_list(&text, "words", json_object_get(facts, "command"));
    if (json_is_false(json_object_get(facts, "command_found")))
        line(&text, "  warning        there is no such program in the cell: the step would end "
                    "with 127 or 126");
    print_mounts(&text, facts);
    print_user(&text, facts);
    print_environment(&text, facts);
    print_limits(&text, facts);
    print_options(&text, step);
    print_docker(&text, facts);
    return buf_take(&text);
}
