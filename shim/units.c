#include "shim/units.h"

#include <stddef.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/clock.h"

const char *units_size(uint64_t bytes, char text[UNITS_MAX])
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    double value = (double)bytes;
    size_t unit = 0;

    while (value >= 1000 && unit + 1 < ARRAY_SIZE(units)) {
        value /= 1000;
        unit++;
    }
    snprintf(text, UNITS_MAX, value < 10 && unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return text;
}

const char *units_time(int64_t ns, char text[UNITS_MAX])
{
    double ms = (double)(ns > 0 ? ns : 0) / (double)NS_PER_MS;
    long seconds = (long)(ms / 1000);

    if (ms < 10)
        snprintf(text, UNITS_MAX, "%.1f ms", ms);
    else if (ms < 1000)
        snprintf(text, UNITS_MAX, "%.0f ms", ms);
    else if (seconds < 60)
        snprintf(text, UNITS_MAX, "%.1f s", ms / 1000);
    else if (seconds < 3600)
        snprintf(text, UNITS_MAX, "%ld min %02ld s", seconds / 60, seconds % 60);
    else
        snprintf(text, UNITS_MAX, "%ld h %02ld min", seconds / 3600, seconds / 60 % 60);
    return text;
}
