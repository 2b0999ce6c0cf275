/* `stepcell image base`: what an image was built on. */
#include <string.h>

#include "runtime/image/base_image.h"
#include "shim/image/command.h"
#include "shim/image/lock.h"
#include "shim/print.h"

#define SCHEMA    "stepcell.image-base/1"
#define BASES_MAX 16

struct candidate {
    char *wrong; /* what the label has instead of a base, which `answer` tells; or NULL */
    struct reference reference;
    struct base_answer answer;
};

struct base_call {
    struct reference reference;
    struct offer image;
    struct candidate candidates[BASES_MAX];
    size_t count;
};

static const struct {
    const char *word;
    int exit;
} statuses[] = {
    [BASE_SAME] = {"same", LOCK_EXIT_SAME},
    [BASE_MOVED] = {"moved", LOCK_EXIT_DIFFERS},
    [BASE_UNKNOWN] = {"unknown", LOCK_EXIT_FAILED},
    [BASE_OTHER] = {"other", LOCK_EXIT_DIFFERS},
};

static void base_call_release(struct base_call *call)
{
    for (size_t i = 0; i < call->count; i++) {
        base_answer_release(&call->candidates[i].answer);
        reference_release(&call->candidates[i].reference);
        free(call->candidates[i].wrong);
    }
    offer_release(&call->image);
    reference_release(&call->reference);
}

static bool parse_base(const char *text, struct reference *reference, struct err *err)
{
    return command_parse_reference(text, reference, err) &&
           (reference->transport == TRANSPORT_REGISTRY ||
            err_set(err, ERR_OPTION_INVALID, "the base '%s' is in no registry", text));
}

static bool is_among(const struct base_call *call, const char *name)
{
    for (size_t i = 0; i < call->count; i++) {
        const struct candidate *candidate = &call->candidates[i];

        if (!candidate->wrong && strcmp(candidate->reference.name, name) == 0)
            return true;
    }
    return false;
}

static bool add_candidate(struct base_call *call, const char *text, struct err *err)
{
    autoreference reference = {0};

    if (call->count == BASES_MAX)
        return err_set(err, ERR_OPTION_INVALID, "there are more than %d bases", BASES_MAX);
    if (!parse_base(text, &reference, err))
        return false;
    if (is_among(call, reference.name))
        return true;
    call->candidates[call->count++].reference = reference;
    reference = (struct reference){0};
    return true;
}

/* A label that names no base is one that is unknown: the image may still be on another. */
static void add_label(struct base_call *call, char *label)
{
    struct candidate *candidate = &call->candidates[call->count++];
    struct base_answer *answer = &candidate->answer;

    if (parse_base(label, &candidate->reference, &answer->err)) {
        free(label);
        return;
    }
    candidate->wrong = label;
    answer->status = BASE_UNKNOWN;
    answer->labelled = true;
    err_context(&answer->err, "the label " LABEL_BASE_NAME " of '%s'", call->reference.given);
    err_hint(&answer->err, "name what it may be: --base HOST/PATH[:TAG]");
}

/* The label's first, then those of the caller. */
static bool find_candidates(struct base_call *call, const struct strv *bases, struct err *err)
{
    autofree char *label = NULL;

    if (!base_label(&call->image, &label, err))
        return false;
    if (label)
        add_label(call, TAKE_PTR(label));
    for (size_t i = 0; i < bases->count; i++) {
        if (!add_candidate(call, bases->items[i], err))
            return false;
    }
    if (call->count > 0)
        return true;
    err_set(err, ERR_OPTION_INVALID, "'%s' does not say what it was built on",
            call->reference.given);
    return err_hint(err, "name what it may be: --base HOST/PATH[:TAG]");
}

static json_t *text_or_null(const char *text)
{
    return *text ? json_string(text) : json_null();
}

static json_t *candidate_json(const struct candidate *candidate)
{
    const struct base_answer *answer = &candidate->answer;
    json_t *missing = json_array();

    for (size_t i = 0; i < answer->missing.count; i++)
        json_array_append_new(missing, json_string(answer->missing.items[i]));
    return json_pack("{s:s, s:b, s:o, s:o, s:s, s:o, s:o}", "name",
                     candidate->wrong ? candidate->wrong : candidate->reference.name, "labelled",
                     answer->labelled, "digest", text_or_null(answer->digest), "built_on",
                     text_or_null(answer->was_on), "status", statuses[answer->status].word,
                     "missing", missing, "message",
                     json_bytes(answer->err.message, strlen(answer->err.message)));
}

static int print_json(const struct base_call *call, const struct candidate *best)
{
    json_t *list = json_array();
    bool found = best->answer.status == BASE_SAME || best->answer.status == BASE_MOVED;

    for (size_t i = 0; i < call->count; i++)
        json_array_append_new(list, candidate_json(&call->candidates[i]));
    return command_print_json(json_pack(
        "{s:s, s:s, s:s, s:s, s:o, s:o}", "schema", SCHEMA, "reference", call->reference.name,
        "digest", call->image.top.digest, "status", statuses[best->answer.status].word, "base",
        text_or_null(found ? best->reference.name : ""), "candidates", list));
}

/* What is unknown is an error, unless another candidate is it. */
static void print_text(const struct base_call *call, const struct candidate *best)
{
    for (size_t i = 0; i < call->count; i++) {
        const struct base_answer *answer = &call->candidates[i].answer;
        autofree char *message = command_escape(answer->err.message);

        print_out("%s: %s\n", statuses[answer->status].word, message ? message : "");
    }
    if (best->answer.status == BASE_UNKNOWN)
        print_err(&best->answer.err);
}

static int tell(struct base_call *call, bool json)
{
    const struct candidate *best = &call->candidates[0];
    int status;

    for (size_t i = 0; i < call->count; i++) {
        struct candidate *candidate = &call->candidates[i];

        if (!candidate->wrong)
            base_look(&call->image, &candidate->reference, &candidate->answer);
        if (candidate->answer.status < best->answer.status)
            best = candidate;
    }
    status = statuses[best->answer.status].exit;
    if (json)
        return print_json(call, best) ? STATUS_FAILED : status;
    print_text(call, best);
    return status;
}

int command_base(int argc, char **argv)
{
    CLEANUP(base_call_release) struct base_call call = {0};
    autostrv bases = {0};
    bool json = false;
    const struct option_spec options[] = {
        OPTION_LIST("--base", "REFERENCE", &bases, "what it may have been built on; repeatable"),
        FLAG("--json", &json, "as JSON"),
        OPTIONS_END,
    };
    const struct command command = {
        .usage = "stepcell image base [OPTIONS] REFERENCE",
        .about =
            "Tells which base an image was built on, by its layers, and whether the base has\n"
            "moved since. The base that its label names is looked at first. REFERENCE is\n"
            "[HOST/]PATH[:TAG][@DIGEST], oci:DIR[:TAG], docker-archive:FILE[:REF] or\n"
            "oci-archive:FILE[:TAG]. Exit status: 0 on the base as it is now, 2 when the base\n"
            "has moved or it is another one, 1 unknown.",
        .missing = "one image reference is needed",
        .words_min = 1,
        .words_max = 1,
        .options = options,
    };
    struct err err;
    size_t words;
    int status;

    if (!command_begin(argc, argv, &command, &words, &status))
        return status;
    if (!command_parse_reference(argv[0], &call.reference, &err))
        return command_failed(&err);
    if (!offer_load(&call.reference, &call.image, &err) || !find_candidates(&call, &bases, &err)) {
        print_err(&err);
        return LOCK_EXIT_FAILED;
    }
    return tell(&call, json);
}
