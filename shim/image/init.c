/* `init`: the image of the container `place` of a step in a cluster, which many steps share. */
#include "shim/image/command.h"
#include "shim/image/pod_image.h"
#include "shim/image/target.h"
#include "shim/print.h"

struct init_call {
    bool json;
    struct target target;
    struct push push;
    struct pod_image image;
};

static void call_release(struct init_call *call)
{
    push_close(&call->push);
    target_release(&call->target);
    pod_image_release(&call->image);
}

/* For the platform that this program was built for. */
static bool push_init(struct init_call *call, int *status, struct err *err)
{
    struct publication publication = {.text = &call->image.manifest,
                                      .media_type = MEDIA_OCI_MANIFEST,
                                      .digest = call->image.digest,
                                      .tags = &call->target.tags,
                                      .contents = pod_image_push,
                                      .data = &call->image};
    struct platform platform;

    platform_host(&platform);
    if (!pod_image_begin(&call->image, err) ||
        !pod_image_finish(&call->image, &platform, NULL, err) ||
        !push_open(&call->push, &call->target.reference, err) ||
        !publish(&call->push, &publication, &call->target.pushed, err))
        return false;
    if (call->json) {
        *status = command_print_json(
            target_json("stepcell.push/1", &call->target, &publication, &call->push));
        return true;
    }
    print_out("%s/%s@%s %s\n", call->target.reference.host, call->target.reference.path,
              call->image.digest, target_status(&call->target));
    *status = 0;
    return true;
}

int command_init(int argc, char **argv)
{
    CLEANUP(call_release)
    struct init_call call = {.image = POD_IMAGE_INIT};
    autostrv tags = {0};
    const struct option_spec options[] = {
        FLAG("--json", &call.json, "as JSON"),
        OPTION_LIST("--tag", "TAG", &tags, "a further tag in the same repository; repeatable"),
        OPTIONS_END,
    };
    const struct command command = {
        .usage = "stepcell image init [OPTIONS] TARGET",
        .about = "Makes the image that --kubernetes-init names, with the one static program that\n"
                 "is the first of a step's Pod, and pushes it to TARGET, HOST/PATH[:TAG]. It is\n"
                 "for this machine's platform, and the same bytes for the same stepcell. Prints\n"
                 "its name with the digest, and 'pushed' or 'unchanged'.",
        .missing = "a target is needed",
        .words_min = 1,
        .words_max = 1,
        .options = options,
    };
    struct err err;
    size_t words;
    int status;

    if (!command_begin(argc, argv, &command, &words, &status))
        return status;
    if (!target_parse(argv[0], &tags, &call.target, &err) || !push_init(&call, &status, &err))
        return command_failed(&err);
    return status;
}
