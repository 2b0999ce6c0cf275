#include "base/utf8.h"

size_t utf8_length(const char *bytes, size_t len)
{
    const unsigned char *s = (const unsigned char *)bytes;
    unsigned int point;
    size_t need;

    if (s[0] < 0x80)
        return 1;
    if (s[0] >= 0xc2 && s[0] <= 0xdf)
        need = 2, point = s[0] & 0x1f;
    else if ((s[0] & 0xf0) == 0xe0)
        need = 3, point = s[0] & 0x0f;
    else if (s[0] >= 0xf0 && s[0] <= 0xf4)
        need = 4, point = s[0] & 0x07;
    else
        return 0;
    if (need > len)
        return 0;
    for (size_t i = 1; i < need; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (s[i] & 0x3f);
    }
    if ((need == 3 && (point < 0x800 || (point >= 0xd800 && point <= 0xdfff))) ||
        (need == 4 && (point < 0x10000 || point > 0x10ffff)))
        return 0;
    return need;
}

bool utf8_valid(const char *bytes, size_t len)
{
    for (size_t i = 0, n; i < len; i += n) {
        n = utf8_length(bytes + i, len - i);
        if (!n)
            return false;
    }
    return true;
}
