#include "base/num.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

/* Reads digits at *text and moves it behind them. */
static bool digits(const char **text, uint64_t max, uint64_t *out)
{
    const char *p = *text;
    uint64_t value = 0;

    if (!isdigit((unsigned char)*p))
        return false;
    if (p[0] == '0' && isdigit((unsigned char)p[1]))
        return false;
    for (; isdigit((unsigned char)*p); p++) {
        uint64_t digit = (uint64_t)(*p - '0');
        if (digit > max || value > (max - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *text = p;
    *out = value;
    return true;
}

bool num_parse(const char *text, uint64_t max, uint64_t *out)
{
    uint64_t value;

    if (!digits(&text, max, &value) || *text)
        return false;
    *out = value;
    return true;
}

bool num_parse_duration(const char *text, uint64_t *ms)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"h", 3600000}, {"ms", 1}, {"m", 60000}, {"s", 1000}};
    uint64_t total = 0, value, last = UINT64_MAX;
    size_t i;

    if (num_parse(text, DURATION_MAX_MS / 1000, &value)) {
        *ms = value * 1000;
        return true;
    }
    do {
        if (!digits(&text, DURATION_MAX_MS, &value))
            return false;
        for (i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
            if (strncmp(text, units[i].unit, strlen(units[i].unit)) == 0)
                break;
        }
        if (i == sizeof(units) / sizeof(units[0]) || units[i].ms >= last)
            return false;
        if (value > DURATION_MAX_MS / units[i].ms)
            return false;
        last = units[i].ms;
        total += value * units[i].ms;
        text += strlen(units[i].unit);
    } while (*text);
    if (total > DURATION_MAX_MS)
        return false;
    *ms = total;
    return true;
}

bool num_parse_age(const char *text, uint64_t *seconds)
{
    const char *rest = text;
    uint64_t days, ms;

    if (digits(&rest, AGE_DAYS_MAX, &days) && strcmp(rest, "d") == 0) {
        *seconds = days * 24 * 3600;
        return true;
    }
    if (!num_parse_duration(text, &ms))
        return false;
    *seconds = ms / 1000;
    return true;
}
