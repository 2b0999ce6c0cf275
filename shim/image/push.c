#include "runtime/image/copy.h"
#include "runtime/image/manifest_parts.h"
#include "runtime/image/store_write.h"
#include "shim/image/command.h"
#include "shim/image/target.h"
#include "shim/print.h"

struct push_call {
    struct target target;
    struct reference reference;
    struct source *source;
    struct source_top top;
    struct push push;
};

static void call_release(struct push_call *call)
{
    push_close(&call->push);
    source_top_release(&call->top);
    cleanup_source(&call->source);
    reference_release(&call->reference);
    target_release(&call->target);
}

static bool copy_image(void *data, struct push *push, struct err *err)
{
    struct push_call *call = data;

    return copy_contents(push, call->source, &call->top.text, call->top.media_type, err);
}

/* What the store has of it, or what a layout or an archive holds. */
static bool open_source(struct push_call *call, const struct store *store,
                        const struct platform *platform, struct err *err)
{
    if (call->reference.transport == TRANSPORT_REGISTRY)
        call->source = store_source_open(store, &call->reference, err);
    else
        call->source = source_open(&call->reference, platform, err);
    if (call->source)
        call->source->platform = platform;
    return call->source;
}

/* A manifest of the store has no type beside its text. */
static bool read_top(struct push_call *call, char digest[DIGEST_TEXT_MAX], const char **media_type,
                     struct err *err)
{
    autoparts parts = {0};

    if (!source_top_text(call->source, &call->top, digest, err) ||
        !manifest_parts_parse(call->top.text.data, call->top.text.len, call->top.media_type,
                              call->reference.given, &parts, err))
        return false;
    *media_type = parts.media_type;
    return true;
}

static bool send(struct push_call *call, const struct push_request *request, json_t **report,
                 struct err *err)
{
    autostore store = STORE_INIT;
    autofd lock = -1;
    struct platform platform;
    char digest[DIGEST_TEXT_MAX];
    struct publication publication = {.text = &call->top.text,
                                      .digest = digest,
                                      .tags = &call->target.tags,
                                      .contents = copy_image,
                                      .data = call};

    if (!command_parse_platform(request->platform, &platform, err) ||
        !command_open_store(request->store, &store, err))
        return false;
    lock = store_lock(&store, "store", LOCK_SH, err);
    if (lock < 0 || !open_source(call, &store, &platform, err) ||
        !read_top(call, digest, &publication.media_type, err) ||
        !push_open(&call->push, &call->target.reference, err) ||
        !publish(&call->push, &publication, &call->target.pushed, err))
        return false;
    *report = target_json("stepcell.push/1", &call->target, &publication, &call->push);
    return *report || err_set(err, ERR_ENGINE_FAILED, "there is not enough memory");
}

bool push_image(const struct push_request *request, json_t **report, struct err *err)
{
    CLEANUP(call_release) struct push_call call = {.top = SOURCE_TOP_INIT};

    return command_parse_reference(request->reference, &call.reference, err) &&
           target_parse(request->target, request->tags, &call.target, err) &&
           send(&call, request, report, err);
}

static int print_report(json_t *report, bool json)
{
    if (json)
        return command_print_json(report);
    print_out("%s %s\n", json_text(report, "digest"), json_text(report, "status"));
    json_decref(report);
    return 0;
}

int command_push(int argc, char **argv)
{
    autostrv tags = {0};
    struct push_request request = {.tags = &tags};
    bool json = false;
    const struct option_spec options[] = {
        FLAG("--json", &json, "as JSON"),
        OPTION("--platform", "OS/ARCH[/VARIANT]", &request.platform, "default this machine's"),
        OPTION("--store", "DIR", &request.store, "the image store"),
        OPTION_LIST("--tag", "TAG", &tags, "a further tag in the same repository; repeatable"),
        OPTIONS_END,
    };
    const struct command command = {
        .usage = "stepcell image push [OPTIONS] REFERENCE [TARGET]",
        .about = "Pushes an image of the store, or of oci:DIR[:TAG], oci-archive:FILE[:TAG] or\n"
                 "docker-archive:FILE[:REF], to a registry; what is there already is not sent.\n"
                 "TARGET is HOST/PATH[:TAG], by default what REFERENCE names. Prints the digest,\n"
                 "and 'pushed' or 'unchanged'.",
        .missing = "an image reference, and at the most a target, are needed",
        .words_min = 1,
        .words_max = 2,
        .options = options,
    };
    json_t *report;
    struct err err;
    size_t words;
    int status;

    if (!command_begin(argc, argv, &command, &words, &status))
        return status;
    request.reference = argv[0];
    request.target = argv[words - 1];
    return push_image(&request, &report, &err) ? print_report(report, json) : command_failed(&err);
}
