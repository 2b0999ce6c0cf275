/* Entries of a tar archive, looked into instead of unpacked. Checksums of headers are put right. */
#include "tests/fuzz/fuzz.h"

#include <sys/mman.h>

#include "base/digest.h"
#include "base/file.h"
#include "runtime/image/check_scan.h"
#include "tests/fuzz/layer.h"

static const struct unpack_limits limits = {.entries = 64,
                                            .depth = 16,
                                            .path = 512,
                                            .file = 65536,
                                            .total = 128 << 10,
                                            .ratio = 64,
                                            .grace = 65536};

static void look_into(const uint8_t *tar, size_t size)
{
    struct err err = ERR_INIT;
    autochecktree *tree = check_tree_new(&err);
    autofd blob = memfd_create("layer", MFD_CLOEXEC), records = check_records_new(&err);
    char diff_id[DIGEST_TEXT_MAX];

    FUZZ_CHECK(tree && records >= 0 && blob >= 0);
    FUZZ_CHECK(file_write_all(blob, tar, size) && lseek(blob, 0, SEEK_SET) == 0);
    digest_of(tar, size, diff_id);
    if (!check_scan_layer(blob, COMPRESSION_NONE, diff_id, records, &limits, &err)) {
        FUZZ_SAID(err);
        return;
    }
    /* What the child writes its parent understands; only a limit of the tree can be in the way. */
    if (!check_records_read(records, tree, &err))
        FUZZ_CHECK(err.code == ERR_IMAGE_CORRUPT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *bytes = malloc(size + 1);

    FUZZ_CHECK(bytes);
    memcpy(bytes, data, size);
    fuzz_put_checksums_right(bytes, size);
    look_into(bytes, size);
    free(bytes);
    return 0;
}
