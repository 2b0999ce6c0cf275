/* Configurations of images. The first byte is the number of layers. */
#include "tests/fuzz/fuzz.h"

#include "runtime/image/image_config.h"
#include "runtime/image/reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t layers = fuzz_choice(&data, &size) % 8;
    struct image image = IMAGE_INIT;
    struct err err = ERR_INIT;

    if (image_config_parse((const char *)data, size, "a configuration", layers, &image, &err)) {
        FUZZ_CHECK(image.diff_ids.count == layers);
        for (size_t i = 0; i < layers; i++)
            FUZZ_CHECK(digest_is_valid(image.diff_ids.items[i]));
        for (size_t i = 0; i < image.env.count; i++)
            FUZZ_CHECK(strchr(image.env.items[i], '='));
    } else {
        FUZZ_SAID(err);
    }
    image_release(&image);
    return 0;
}
