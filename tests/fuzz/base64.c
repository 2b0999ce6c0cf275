/* Base64: any text, and any bytes there and back. */
#include "tests/fuzz/fuzz.h"

#include "base/base64.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autofree char *encoded = base64_encode(data, size);
    size_t len = 0;
    autofree char *back = encoded ? base64_decode(encoded, &len) : NULL;
    autofree char *text = fuzz_text(&data, &size);
    autofree char *decoded = base64_decode(text, &len);

    FUZZ_CHECK(encoded && back);
    if (decoded) {
        autofree char *again = base64_encode(decoded, len);

        /* Padding and unused bits aside it is the same text. */
        FUZZ_CHECK(again && len <= strlen(text));
        FUZZ_CHECK(len < 3 || strncmp(again, text, len / 3 * 4) == 0);
    }
    return 0;
}
