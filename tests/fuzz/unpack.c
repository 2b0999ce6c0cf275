/* The whole way of a layer: the first byte chooses gzip or zstd. */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/layer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum compression compression = fuzz_layer_compression(fuzz_choice(&data, &size));

    fuzz_layer(data, size, compression);
    return 0;
}
