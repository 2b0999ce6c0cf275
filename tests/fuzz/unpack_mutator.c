/*
 * Changes what is in a compressed layer: bytes of a compressed one that are changed at random hardly ever get
 * past its checksum. The first byte, which chooses the compression, is kept.
 */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/layer.h"

#include <isa-l/igzip_lib.h>
#include <sys/mman.h>
#include <zstd.h>

#include "base/file.h"
#include "runtime/image/inflate.h"

#define PLAIN_MAX  (64 << 10)
#define PACKED_MAX (128 << 10)

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);

/* What decompresses of it, as far as there is room. */
static size_t plain_of(const uint8_t *packed, size_t size, enum compression compression,
                       uint8_t *plain)
{
    autofd blob = memfd_create("layer", MFD_CLOEXEC);
    size_t len = 0;
    struct err err;
    autoinflater *inflater = NULL;

    FUZZ_CHECK(blob >= 0 && file_write_all(blob, packed, size) && lseek(blob, 0, SEEK_SET) == 0);
    inflater = inflater_new(blob, -1, compression, &err);
    FUZZ_CHECK(inflater);
    return inflater_read(inflater, plain, PLAIN_MAX, &len, &err) ? len : 0;
}

static size_t gzip(const uint8_t *plain, size_t len, uint8_t *packed)
{
    static uint8_t levels[ISAL_DEF_LVL1_DEFAULT];
    struct isal_zstream stream;

    isal_deflate_stateless_init(&stream);
    stream.gzip_flag = IGZIP_GZIP;
    stream.level = 1;
    stream.level_buf = levels;
    stream.level_buf_size = sizeof(levels);
    stream.next_in = (uint8_t *)plain;
    stream.avail_in = (uint32_t)len;
    stream.next_out = packed;
    stream.avail_out = PACKED_MAX;
    return isal_deflate_stateless(&stream) == COMP_OK ? stream.total_out : 0;
}

static size_t zstd(const uint8_t *plain, size_t len, uint8_t *packed)
{
    size_t result = ZSTD_compress(packed, PACKED_MAX, plain, len, 1);

    return ZSTD_isError(result) ? 0 : result;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
    static uint8_t plain[PLAIN_MAX], packed[PACKED_MAX];
    enum compression compression;
    size_t len = 0;

    if (size > 1 && seed % 4) {
        compression = fuzz_layer_compression(data[0]);
        len = plain_of(data + 1, size - 1, compression, plain);
    }
    if (len == 0)
        return LLVMFuzzerMutate(data, size, max_size);
    len = LLVMFuzzerMutate(plain, len, sizeof(plain));
    fuzz_put_checksums_right(plain, len);
    len = (compression == COMPRESSION_ZSTD ? zstd : gzip)(plain, len, packed);
    if (len == 0 || len >= max_size)
        return LLVMFuzzerMutate(data, size, max_size);
    memcpy(data + 1, packed, len);
    return len + 1;
}
