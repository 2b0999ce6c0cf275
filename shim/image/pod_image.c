#include "shim/image/pod_image.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"
#include "base/libexec.h"
#include "runtime/image/tar_write.h"
#include "shim/command.h"

#define PROGRAM     "stepcell-pod"
#define PROGRAM_MAX (4 << 20) /* bytes */
#define CHUNK       65536

static bool no_memory(struct err *err)
{
    return err_set(err, ERR_ENGINE_FAILED, "not enough memory for the init image");
}

static bool unwritten(struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot write a part of the init image");
}

void pod_image_release(struct pod_image *image)
{
    for (size_t i = 0; i < image->count; i++) {
        close_fd(image->layers[i].fd);
        free(image->layers[i].blob.digest);
    }
    free(image->config_blob.digest);
    buf_release(&image->config);
    buf_release(&image->manifest);
}

/* ---- layers ---- */

/* Reads the whole archive. */
static bool describe_layer(struct pod_layer *layer, struct err *err)
{
    autodigest *digest = digest_new();
    char text[DIGEST_TEXT_MAX], chunk[CHUNK];
    uint64_t size = 0;
    ssize_t n;

    if (!digest)
        return no_memory(err);
    while ((n = pread(layer->fd, chunk, sizeof(chunk), (off_t)size)) > 0) {
        digest_update(digest, chunk, (size_t)n);
        size += (uint64_t)n;
    }
    if (n < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot read a part of the init image");
    digest_finish(digest, text);
    layer->blob = (struct descriptor){
        .media_type = (char *)MEDIA_OCI_LAYER_TAR, .digest = strdup(text), .size = size};
    return layer->blob.digest || no_memory(err);
}

bool pod_image_add(struct pod_image *image, int archive, struct err *err)
{
    autofd fd = archive;

    if (image->count == POD_IMAGE_LAYERS_MAX)
        return err_set(err, ERR_OPTION_INVALID, "an image of a step has %d layers at the most",
                       POD_IMAGE_LAYERS_MAX);
    image->layers[image->count].fd = TAKE_FD(fd);
    return describe_layer(&image->layers[image->count++], err);
}

/* Of root's and of no time. */
bool pod_image_begin(struct pod_image *image, struct err *err)
{
    autofree char *path = libexec_path(PROGRAM, err);
    autobuf program = BUF_INIT(PROGRAM_MAX);
    struct tar_entry entry = {.name = PROGRAM, .type = TAR_FILE, .mode = 0755};
    autofd fd = -1;

    if (!path || !file_read(AT_FDCWD, path, &program, ERR_ENGINE_FAILED, err))
        return false;
    entry.size = program.len;
    fd = memfd_create(PROGRAM, MFD_CLOEXEC);
    if (fd < 0 || !tar_write_header(fd, &entry) || !file_write_all(fd, program.data, program.len) ||
        !tar_write_padding(fd, program.len) || !tar_write_end(fd))
        return unwritten(err);
    return pod_image_add(image, TAKE_FD(fd), err);
}

/* ---- what names them ---- */

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

static bool make_config(struct pod_image *image, const struct platform *platform)
{
    char digest[DIGEST_TEXT_MAX];
    json_t *ids = json_array();

    for (size_t i = 0; i < image->count; i++)
        json_array_append_new(ids, json_string(image->layers[i].blob.digest));
    if (!dump(json_pack("{s:s, s:s, s:{s:[s]}, s:{s:s, s:o}}", "architecture", platform->arch, "os",
                        platform->os, "config", "Cmd", "/" PROGRAM, "rootfs", "type", "layers",
                        "diff_ids", ids),
              &image->config))
        return false;
    digest_of(image->config.data, image->config.len, digest);
    image->config_blob = (struct descriptor){.media_type = (char *)MEDIA_OCI_CONFIG,
                                             .digest = strdup(digest),
                                             .size = image->config.len};
    return image->config_blob.digest;
}

static bool make_manifest(struct pod_image *image, const char *mark)
{
    json_t *layers = json_array();

    for (size_t i = 0; i < image->count; i++)
        json_array_append_new(layers, blob_json(&image->layers[i].blob));
    if (!dump(json_pack("{s:i, s:s, s:o, s:o, s:{s:s, s:s, s:s*}}", "schemaVersion", 2, "mediaType",
                        MEDIA_OCI_MANIFEST, "config", blob_json(&image->config_blob), "layers",
                        layers, "annotations", "org.opencontainers.image.title", PROGRAM,
                        "org.opencontainers.image.version", STEPCELL_VERSION, "stepcell.mark",
                        mark),
              &image->manifest))
        return false;
    digest_of(image->manifest.data, image->manifest.len, image->digest);
    return true;
}

bool pod_image_finish(struct pod_image *image, const struct platform *platform, const char *mark,
                      struct err *err)
{
    return (make_config(image, platform) && make_manifest(image, mark)) || no_memory(err);
}

/* ---- pushing ---- */

static const struct pod_layer *find_layer(const struct pod_image *image,
                                          const struct descriptor *blob)
{
    for (size_t i = 0; i < image->count; i++) {
        if (blob == &image->layers[i].blob)
            return &image->layers[i];
    }
    return NULL;
}

static int open_blob(void *data, const struct descriptor *blob, struct err *err)
{
    const struct pod_image *image = data;
    const struct pod_layer *layer = find_layer(image, blob);
    autofd fd = layer ? fcntl(layer->fd, F_DUPFD_CLOEXEC, 3) : memfd_create("blob", MFD_CLOEXEC);

    if (fd >= 0 && (layer || file_write_all(fd, image->config.data, image->config.len)) &&
        lseek(fd, 0, SEEK_SET) == 0)
        return TAKE_FD(fd);
    err_errno(err, ERR_ENGINE_FAILED, "cannot hand over a part of the init image");
    return -1;
}

bool pod_image_push(void *data, struct push *push, struct err *err)
{
    struct pod_image *image = data;
    const struct push_blob_source source = {.open = open_blob, .data = image};

    for (size_t i = 0; i < image->count; i++) {
        if (!push_blob(push, &image->layers[i].blob, &source, err))
            return false;
    }
    return push_blob(push, &image->config_blob, &source, err);
}
