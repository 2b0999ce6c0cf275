/*
 * `init`: the image of the init container of a step in a cluster (docs/design/kubernetes.md). One
 * layer with one static program, always the same bytes for the same program.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"
#include "base/libexec.h"
#include "shim/image/command.h"
#include "shim/image/target.h"
#include "shim/print.h"

#define PROGRAM     "stepcell-pod"
#define PROGRAM_MAX (4 << 20) /* bytes */
#define TAR_BLOCK   512
#define TAR_END     (2 * TAR_BLOCK)

struct init_call {
    bool json;
    struct target target;
    struct push push;
    struct buf layer, config, manifest;
    struct descriptor layer_blob, config_blob;
};

static void call_release(struct init_call *call)
{
    push_close(&call->push);
    target_release(&call->target);
    buf_release(&call->layer);
    buf_release(&call->config);
    buf_release(&call->manifest);
    free(call->layer_blob.digest);
    free(call->config_blob.digest);
}

static bool no_memory(struct err *err)
{
    return err_set(err, ERR_ENGINE_FAILED, "not enough memory for the init image");
}

/* A header of ustar, of root's and of no time. */
static void write_header(char header[TAR_BLOCK], size_t size)
{
    unsigned int sum = 0;

    memset(header, 0, TAR_BLOCK);
    strcpy(header, PROGRAM);
    sprintf(header + 100, "%07o", 0755);
    sprintf(header + 108, "%07o", 0);
    sprintf(header + 116, "%07o", 0);
    sprintf(header + 124, "%011zo", size);
    sprintf(header + 136, "%011o", 0);
    memset(header + 148, ' ', 8);
    header[156] = '0';
    memcpy(header + 257, "ustar\00000", 8);
    for (size_t i = 0; i < TAR_BLOCK; i++)
        sum += (unsigned char)header[i];
    sprintf(header + 148, "%06o", sum);
}

static bool make_layer(struct init_call *call, struct err *err)
{
    static const char zeros[TAR_BLOCK + TAR_END];
    autofree char *path = libexec_path(PROGRAM, err);
    autobuf program = BUF_INIT(PROGRAM_MAX);
    char header[TAR_BLOCK];
    size_t fill;

    if (!path || !file_read(AT_FDCWD, path, &program, ERR_ENGINE_FAILED, err))
        return false;
    fill = (TAR_BLOCK - program.len % TAR_BLOCK) % TAR_BLOCK;
    write_header(header, program.len);
    return (buf_append(&call->layer, header, sizeof(header)) &&
            buf_append(&call->layer, program.data, program.len) &&
            buf_append(&call->layer, zeros, fill + TAR_END)) ||
           no_memory(err);
}

static bool describe(const struct buf *text, const char *media_type, struct descriptor *blob)
{
    char digest[DIGEST_TEXT_MAX];

    digest_of(text->data, text->len, digest);
    *blob = (struct descriptor){
        .media_type = (char *)media_type, .digest = strdup(digest), .size = text->len};
    return blob->digest;
}

/* Takes the value over. */
static bool dump(json_t *json, struct buf *text)
{
    autofree char *page = json ? json_dump_sorted(json) : NULL;

    json_decref(json);
    return page && buf_append_text(text, page);
}

static json_t *blob_json(const struct descriptor *blob)
{
    return json_pack("{s:s, s:s, s:I}", "mediaType", blob->media_type, "digest", blob->digest,
                     "size", (json_int_t)blob->size);
}

/* For the platform that this program was built for. */
static bool make_image(struct init_call *call, const struct platform *platform, struct err *err)
{
    json_t *config, *manifest;

    if (!make_layer(call, err))
        return false;
    if (!describe(&call->layer, MEDIA_OCI_LAYER_TAR, &call->layer_blob))
        return no_memory(err);
    config = json_pack("{s:s, s:s, s:{s:[s]}, s:{s:s, s:[s]}}", "architecture", platform->arch,
                       "os", platform->os, "config", "Cmd", "/" PROGRAM, "rootfs", "type", "layers",
                       "diff_ids", call->layer_blob.digest);
    if (!dump(config, &call->config) ||
        !describe(&call->config, MEDIA_OCI_CONFIG, &call->config_blob))
        return no_memory(err);
    manifest =
        json_pack("{s:i, s:s, s:o, s:[o], s:{s:s, s:s}}", "schemaVersion", 2, "mediaType",
                  MEDIA_OCI_MANIFEST, "config", blob_json(&call->config_blob), "layers",
                  blob_json(&call->layer_blob), "annotations", "org.opencontainers.image.title",
                  PROGRAM, "org.opencontainers.image.version", STEPCELL_VERSION);
    return dump(manifest, &call->manifest) || no_memory(err);
}

static int open_blob(void *data, const struct descriptor *blob, struct err *err)
{
    const struct init_call *call = data;
    const struct buf *text = blob == &call->layer_blob ? &call->layer : &call->config;
    autofd fd = memfd_create("blob", MFD_CLOEXEC);

    if (fd >= 0 && file_write_all(fd, text->data, text->len) && lseek(fd, 0, SEEK_SET) == 0)
        return TAKE_FD(fd);
    err_errno(err, ERR_ENGINE_FAILED, "cannot hand over a part of the init image");
    return -1;
}

static bool push_contents(void *data, struct push *push, struct err *err)
{
    struct init_call *call = data;
    const struct push_blob_source source = {.open = open_blob, .data = call};

    return push_blob(push, &call->layer_blob, &source, err) &&
           push_blob(push, &call->config_blob, &source, err);
}

static bool push_init(struct init_call *call, int *status, struct err *err)
{
    char digest[DIGEST_TEXT_MAX];
    struct publication publication = {.text = &call->manifest,
                                      .media_type = MEDIA_OCI_MANIFEST,
                                      .digest = digest,
                                      .tags = &call->target.tags,
                                      .contents = push_contents,
                                      .data = call};
    struct platform platform;

    platform_host(&platform);
    if (!make_image(call, &platform, err) || !push_open(&call->push, &call->target.reference, err))
        return false;
    digest_of(call->manifest.data, call->manifest.len, digest);
    if (!publish(&call->push, &publication, &call->target.pushed, err))
        return false;
    if (call->json) {
        *status = command_print_json(
            target_json("stepcell.push/1", &call->target, &publication, &call->push));
        return true;
    }
    print_out("%s/%s@%s %s\n", call->target.reference.host, call->target.reference.path, digest,
              target_status(&call->target));
    *status = 0;
    return true;
}

int command_init(int argc, char **argv)
{
    CLEANUP(call_release)
    struct init_call call = {.layer = BUF_INIT(PROGRAM_MAX + 65536),
                             .config = BUF_INIT(65536),
                             .manifest = BUF_INIT(65536)};
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
