#include "base/utf8.h"

#include <stdint.h>
#include <string.h>

#define HIGH_BITS UINT64_C(0x8080808080808080)

/*
 * What the first byte says: the length of the character (0: none begins so) and what its second
 * byte may be (RFC 3629 §4).
 */
struct lead {
    size_t length;
    unsigned char low, high;
};

static struct lead read_lead(unsigned char byte)
{
    if (byte < 0x80)
        return (struct lead){1, 0, 0};
    if (byte >= 0xc2 && byte <= 0xdf)
        return (struct lead){2, 0x80, 0xbf};
    if (byte >= 0xe0 && byte <= 0xef)
        return (struct lead){3, byte == 0xe0 ? 0xa0 : 0x80, byte == 0xed ? 0x9f : 0xbf};
    if (byte >= 0xf0 && byte <= 0xf4)
        return (struct lead){4, byte == 0xf0 ? 0x90 : 0x80, byte == 0xf4 ? 0x8f : 0xbf};
    return (struct lead){0, 0, 0};
}

/* How many bytes of the character at `p` are right, at most `len`; *length is what it should have.
 */
static size_t right_bytes(const unsigned char *p, size_t len, size_t *length)
{
    struct lead lead = read_lead(p[0]);
    size_t n = lead.length > 0;

    *length = lead.length;
    if (n == 1 && lead.length > 1 && len > 1 && p[1] >= lead.low && p[1] <= lead.high)
        n = 2;
    while (n >= 2 && n < lead.length && n < len && (p[n] & 0xc0) == 0x80)
        n++;
    return n;
}

size_t utf8_length(const char *bytes, size_t len)
{
    size_t length;

    return right_bytes((const unsigned char *)bytes, len, &length) == length ? length : 0;
}

size_t utf8_whole(const char *bytes, size_t len)
{
    const unsigned char *p = (const unsigned char *)bytes;
    size_t i = 0, length;

    while (i < len) {
        uint64_t word;

        /* Most output is ASCII: eight bytes at once. */
        while (i + sizeof(word) <= len) {
            memcpy(&word, p + i, sizeof(word));
            if (word & HIGH_BITS)
                break;
            i += sizeof(word);
        }
        if (i == len || right_bytes(p + i, len - i, &length) < length || length == 0)
            break;
        i += length;
    }
    return i;
}

bool utf8_is_cut(const char *bytes, size_t len)
{
    size_t length;

    return len > 0 && right_bytes((const unsigned char *)bytes, len, &length) == len &&
           len < length;
}

bool utf8_valid(const char *bytes, size_t len)
{
    return utf8_whole(bytes, len) == len;
}

/* U+200E, U+200F, U+202A…U+202E, U+2066…U+2069 */
static bool turns_text(const unsigned char *p)
{
    return p[0] == 0xe2 &&
           ((p[1] == 0x80 && (p[2] == 0x8e || p[2] == 0x8f || (p[2] >= 0xaa && p[2] <= 0xae))) ||
            (p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9));
}

size_t utf8_harmless(const unsigned char *text)
{
    size_t length = *text ? utf8_length((const char *)text, strnlen((const char *)text, 4)) : 0;

    if (length == 1)
        return *text >= 0x20 && *text != 0x7f;
    if ((length == 2 && text[0] == 0xc2 && text[1] < 0xa0) || (length == 3 && turns_text(text)))
        return 0;
    return length;
}
