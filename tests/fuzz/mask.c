/* Masking: secrets and a text in pieces, compared with a model that tries everything everywhere. */
#include "tests/fuzz/fuzz.h"

#include "shim/relay/mask.h"
#include "shim/relay/mask_forms.h"
#include "tests/unit/mask_model.h"

#define SECRETS_MAX 4
#define SECRET_MAX  48   /* bytes: the model is slow */
#define TEXT_MAX    1024 /* bytes */

/* The next secret, for both. The length is the first byte, so that it may hold anything. */
static void add(struct mask *mask, struct model *model, const uint8_t **data, size_t *size)
{
    size_t len = fuzz_choice(data, size) % (SECRET_MAX + 1);
    struct err err = ERR_INIT;
    bool ignored;

    if (len > *size)
        len = *size;
    FUZZ_CHECK(mask_add(mask, (const char *)*data, len, &ignored, &err));
    if (!ignored)
        FUZZ_CHECK(mask_forms((const char *)*data, len, model_add, model));
    *data += len;
    *size -= len;
}

static void check(const struct model *model, const char *text, size_t len, size_t certain,
                  const struct buf *masked)
{
    autobuf expected = BUF_INIT(SIZE_MAX / 2);

    model_mask(model, text, len, certain, &expected);
    FUZZ_CHECK(expected.len == masked->len);
    FUZZ_CHECK(masked->len == 0 || memcmp(expected.data, masked->data, masked->len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mask *mask = mask_new();
    CLEANUP(model_release) struct model model = {0};
    CLEANUP(mask_stream_release) struct mask_stream stream = {.mask = mask};
    uint8_t secrets = 1 + fuzz_choice(&data, &size) % SECRETS_MAX;
    uint8_t late = fuzz_choice(&data, &size); /* secrets that come when this much was fed */
    uint8_t piece = fuzz_choice(&data, &size);
    autobuf masked = BUF_INIT(SIZE_MAX / 2), whole = BUF_INIT(SIZE_MAX / 2);
    struct err err = ERR_INIT;
    const char *text, *out;
    size_t len, out_len;

    for (uint8_t i = 0; i < secrets; i++)
        add(mask, &model, &data, &size);
    text = (const char *)data;
    len = size < TEXT_MAX ? size : TEXT_MAX;

    FUZZ_CHECK(mask_text(mask, text, len, &whole, &err));
    check(&model, text, len, len, &whole);

    for (size_t at = 0, n; at < len; at += n) {
        n = 1 + (piece + at / 3) % 37;
        n = n < len - at ? n : len - at;
        FUZZ_CHECK(mask_feed(&stream, text + at, n, &out, &out_len, &err));
        FUZZ_CHECK(buf_append(&masked, out, out_len));
        check(&model, text, at + n, model_certain(&model, text, at + n), &masked);
        if (at <= late && late < at + n) {
            model.since = model_certain(&model, text, at + n);
            /* From the text itself, so that it is found there. */
            data = (const uint8_t *)text;
            size = len;
            add(mask, &model, &data, &size);
        }
    }
    FUZZ_CHECK(mask_end(&stream, &out, &out_len, &err));
    FUZZ_CHECK(buf_append(&masked, out, out_len));
    check(&model, text, len, len, &masked);
    mask_free(mask);
    return 0;
}
