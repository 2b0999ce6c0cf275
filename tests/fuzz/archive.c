/* Archives with a whole image: the first byte chooses docker's or OCI's kind. */
#include "tests/fuzz/fuzz.h"

#include <sys/mman.h>

#include "base/file.h"
#include "runtime/image/source.h"

#define FILE_MAX (1 << 20)

static bool take(void *data, const void *bytes, size_t len, struct err *err)
{
    size_t *total = data;

    (void)bytes;
    *total += len;
    return *total <= FILE_MAX || err_set(err, ERR_IMAGE_CORRUPT, "more than is looked at here");
}

static void read_blob(struct source *source, const struct descriptor *blob)
{
    size_t total = 0;
    const struct source_sink sink = {.write = take, .data = &total};
    struct err err = ERR_INIT;

    if (!source->ops->blob(source, blob, &sink, &err))
        FUZZ_SAID(err);
}

static void read_image(struct source *source)
{
    autotop top = SOURCE_TOP_INIT;
    automanifest manifest = {0};
    autobuf text = BUF_INIT(MANIFEST_MAX);
    struct err err = ERR_INIT;

    if (!source->ops->top(source, &top, &err) ||
        !manifest_parse(top.text.data, top.text.len, top.media_type, "an archive", &manifest,
                        &err)) {
        FUZZ_SAID(err);
        return;
    }
    if (manifest.is_index) {
        if (manifest.entry_count && !manifest.entries[0].fault)
            source->ops->manifest(source, &manifest.entries[0].manifest, &text, &err);
        return;
    }
    read_blob(source, &manifest.config);
    for (size_t i = 0; i < manifest.layer_count; i++)
        read_blob(source, &manifest.layers[i].blob);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *kind = fuzz_choice(&data, &size) & 1 ? "oci" : "docker";
    autofd fd = memfd_create("archive", MFD_CLOEXEC);
    autofree char *text = text_printf("%s-archive:/proc/self/fd/%d", kind, fd);
    autoreference reference = {0};
    struct platform platform;
    struct err err = ERR_INIT;

    platform_host(&platform);
    FUZZ_CHECK(fd >= 0 && text && file_write_all(fd, data, size));
    FUZZ_CHECK(reference_parse(text, "/", &reference, &err));
    {
        autosource *source = source_open(&reference, &platform, &err);

        if (source)
            read_image(source);
        else
            FUZZ_SAID(err);
    }
    return 0;
}
