#include "base/base64.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(const void *bytes, size_t len)
{
    const unsigned char *in = bytes;
    char *text = malloc((len + 2) / 3 * 4 + 1), *out = text;

    if (!text)
        return NULL;
    for (size_t i = 0; i < len; i += 3) {
        size_t left = len - i;
        uint32_t group = (uint32_t)in[i] << 16;

        if (left > 1)
            group |= (uint32_t)in[i + 1] << 8;
        if (left > 2)
            group |= in[i + 2];
        *out++ = alphabet[group >> 18];
        *out++ = alphabet[group >> 12 & 63];
        *out++ = left > 1 ? alphabet[group >> 6 & 63] : '=';
        *out++ = left > 2 ? alphabet[group & 63] : '=';
    }
    *out = '\0';
    return text;
}

static uint32_t value_of(char digit)
{
    if (digit >= 'a')
        return (uint32_t)(digit - 'a' + 26);
    if (digit >= 'A')
        return (uint32_t)(digit - 'A');
    if (digit >= '0')
        return (uint32_t)(digit - '0' + 52);
    return digit == '+' ? 62 : 63;
}

bool base64_decode_in_place(char *text, size_t *len)
{
    size_t digits = strspn(text, alphabet), padding = strspn(text + digits, "="), bits = 0;
    char *out = text;
    uint32_t group = 0;

    if (text[digits + padding] || digits % 4 == 1 || padding > 2 ||
        (padding && (digits + padding) % 4 != 0))
        return false;
    for (size_t i = 0; i < digits; i++) {
        group = group << 6 | value_of(text[i]);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            *out++ = (char)(group >> bits & 255);
        }
    }
    *out = '\0';
    *len = (size_t)(out - text);
    return true;
}

char *base64_decode(const char *text, size_t *len)
{
    autofree char *bytes = strdup(text);

    return bytes && base64_decode_in_place(bytes, len) ? TAKE_PTR(bytes) : NULL;
}
