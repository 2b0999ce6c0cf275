#include <inttypes.h>
#include <string.h>

#include "base/num.h"
#include "runtime/image/store_gc.h"
#include "shim/image/command.h"
#include "shim/image/mapped.h"
#include "shim/image/progress.h"
#include "shim/print.h"
#include "shim/units.h"

struct listing {
    bool json, dry_run;
    json_t *removed;
};

static void removed(void *data, const char *kind, const char *name)
{
    struct listing *listing = data;
    autofree char *escaped = command_escape(name);

    if (listing->json)
        json_array_append_new(listing->removed, json_pack("{s:s, s:o}", "kind", kind, "name",
                                                          json_bytes(name, strlen(name))));
    else
        print_out("%s\t%s\t%s\n", listing->dry_run ? "would remove" : "removed", kind,
                  escaped ? escaped : "");
}

/* A number and a unit out of `units`, each with its factor. */
struct unit {
    char letter;
    uint64_t factor;
};

static bool parse_unit(const char *text, const struct unit *units, uint64_t *value)
{
    size_t len = strlen(text);
    autofree char *digits = len ? strndup(text, len - 1) : NULL;

    for (; digits && units->letter; units++) {
        if (text[len - 1] != units->letter || !num_parse(digits, INT64_MAX / units->factor, value))
            continue;
        *value *= units->factor;
        return true;
    }
    return false;
}

static bool parse_size(const char *text, uint64_t *bytes)
{
    static const struct unit sizes[] = {
        {'k', 1000}, {'M', 1000000}, {'G', 1000000000}, {'T', 1000000000000}, {0, 0}};

    return parse_unit(text, sizes, bytes) || num_parse(text, INT64_MAX, bytes);
}

static bool parse(const char *age, const char *size, struct gc_options *options, struct err *err)
{
    options->has_age = age;
    options->has_size = size;
    if (age && !num_parse_age(age, &options->age_s))
        return err_set(err, ERR_OPTION_INVALID, "'%s' is not a duration such as 12h or 30d", age);
    if (size && !parse_size(size, &options->size_max))
        return err_set(err, ERR_OPTION_INVALID, "'%s' is not a size such as 500M or 20G", size);
    return true;
}

static bool is_orphan(void *data, const char *map)
{
    (void)data;
    return mapped_is_orphan(map);
}

/* Of a gc that did not get to its end nobody knows what it had before. */
static json_t *bytes_json(bool done, uint64_t bytes)
{
    return done ? json_integer((json_int_t)bytes) : json_null();
}

static int print_json(const struct listing *listing, const struct gc_result *result, bool done)
{
    return command_print_json(json_pack(
        "{s:s, s:b, s:O, s:o, s:o, s:i}", "schema", "stepcell.gc/1", "dry_run", listing->dry_run,
        "removed", listing->removed, "bytes_before", bytes_json(done, result->before),
        "bytes_after", bytes_json(done, result->after), "busy", (int)result->busy));
}

static int print_text(const struct listing *listing, const struct gc_result *result)
{
    char before[UNITS_MAX], after[UNITS_MAX];

    print_out("%s %s, %s\n", units_size(result->before, before),
              listing->dry_run ? "now" : "before", units_size(result->after, after));
    if (result->busy)
        print_out("%zu stay because cells run them\n", result->busy);
    return 0;
}

int command_gc(int argc, char **argv)
{
    const char *store_option = NULL, *age = NULL, *size = NULL;
    autojson *list = json_array();
    struct listing listing = {.removed = list};
    struct gc_options gc = {.removed = removed, .is_orphan = is_orphan, .data = &listing};
    struct gc_result result;
    const struct option_spec options[] = {
        OPTION("--unused-for", "DUR", &age, "images that were not used for so long: 90s, 12h, 30d"),
        OPTION("--max-size", "SIZE", &size,
               "then those not used for longest, until all takes 500M, 20G"),
        FLAG("--dry-run", &listing.dry_run, "says what would go, and removes nothing"),
        FLAG("--json", &listing.json, "as JSON"),
        OPTION("--store", "DIR", &store_option, "the image store"),
        OPTIONS_END,
    };
    const struct command command = {
        .usage = "stepcell image gc [OPTIONS]",
        .about =
            "Removes what no image needs any more, and with --unused-for and --max-size images\n"
            "too, never one that a cell runs.",
        .options = options,
    };
    autostore store = STORE_INIT;
    struct err err;
    size_t words;
    int status;
    bool done;

    if (!command_begin(argc, argv, &command, &words, &status))
        return status;
    gc.dry_run = listing.dry_run;
    if (!parse(age, size, &gc, &err) || !command_open_store(store_option, &store, &err))
        return command_failed(&err);
    done = store_gc(&store, &mapped_remover, &gc, &result, &err);
    if (listing.json)
        status = print_json(&listing, &result, done);
    else if (done)
        status = print_text(&listing, &result);
    if (!done)
        return command_failed(&err);
    if (result.left.code == ERR_NONE)
        return status;
    err_context(&result.left, "everything else is removed");
    return command_failed(&result.left);
}
