/* Manifests and indexes. The first byte chooses what the source called the text. */
#include "tests/fuzz/fuzz.h"

#include "runtime/image/manifest.h"
#include "runtime/image/reference.h"

static void check(const struct manifest *manifest)
{
    struct platform host;
    struct err err = ERR_INIT;

    FUZZ_CHECK(manifest->layer_count == 0 || !manifest->is_index);
    FUZZ_CHECK(manifest->entry_count == 0 || manifest->is_index);
    FUZZ_CHECK(manifest->is_index || digest_is_valid(manifest->config.digest));
    for (size_t i = 0; i < manifest->layer_count; i++) {
        FUZZ_CHECK(digest_is_valid(manifest->layers[i].blob.digest));
        FUZZ_CHECK(manifest->layers[i].blob.size <= BLOB_MAX);
    }
    for (size_t i = 0; i < manifest->entry_count; i++)
        FUZZ_CHECK(manifest->entries[i].fault ||
                   digest_is_valid(manifest->entries[i].manifest.digest));
    platform_host(&host);
    if (manifest->is_index && !manifest_choose(manifest, &host, "an index", &err))
        FUZZ_SAID(err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const types[] = {
        NULL,        MEDIA_OCI_MANIFEST, MEDIA_OCI_INDEX, MEDIA_DOCKER_LIST, MEDIA_DOCKER_MANIFEST,
        "text/plain"};
    const char *type = types[fuzz_choice(&data, &size) % ARRAY_SIZE(types)];
    automanifest manifest = {0};
    struct err err = ERR_INIT;

    if (manifest_parse((const char *)data, size, type, "a manifest", &manifest, &err))
        check(&manifest);
    else
        FUZZ_SAID(err);
    return 0;
}
