#include "shim/limits.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>

#include "base/cleanup.h"
#include "base/num.h"

#define MEMORY_MIN   (UINT64_C(6) << 20)
#define MEMORY_MAX   (UINT64_C(1) << 60)
#define CPUS_MAX     8192
#define CPU_MIN      (LIMITS_CPU_PERIOD / 100)
#define DECIMALS_MAX 9
#define PIDS_MIN     2       /* stepcell-init and the command */
#define PIDS_MAX     4194304 /* the kernel's PID_MAX_LIMIT */
#define NUMBER_MAX   24      /* bytes of a number with the NUL */

static const struct {
    const char *name;
    int resource;
} resources[] = {
    {"core", RLIMIT_CORE},         {"cpu", RLIMIT_CPU},
    {"data", RLIMIT_DATA},         {"fsize", RLIMIT_FSIZE},
    {"locks", RLIMIT_LOCKS},       {"memlock", RLIMIT_MEMLOCK},
    {"msgqueue", RLIMIT_MSGQUEUE}, {"nice", RLIMIT_NICE},
    {"nofile", RLIMIT_NOFILE},     {"nproc", RLIMIT_NPROC},
    {"rss", RLIMIT_RSS},           {"rtprio", RLIMIT_RTPRIO},
    {"rttime", RLIMIT_RTTIME},     {"sigpending", RLIMIT_SIGPENDING},
    {"stack", RLIMIT_STACK},
};

/* A number of the first `len` bytes. */
static bool parse_part(const char *text, size_t len, uint64_t max, uint64_t *out)
{
    char part[NUMBER_MAX];

    if (len >= sizeof(part))
        return false;
    memcpy(part, text, len);
    part[len] = '\0';
    return num_parse(part, max, out);
}

/* The decimals of `len` bytes as parts of `unit`, cut. */
static bool parse_decimals(const char *text, size_t len, uint64_t unit, uint64_t *out)
{
    uint64_t digits, tens = 1;

    if (len == 0 || len > DECIMALS_MAX || strspn(text, "0123456789") < len)
        return false;
    for (digits = 0; len; len--, text++, tens *= 10)
        digits = digits * 10 + (uint64_t)(*text - '0');
    *out = (uint64_t)((unsigned __int128)digits * unit / tens);
    return true;
}

/* "1.5", "2", ".5" of `len` bytes in units of `unit`; at most `max` whole ones. */
static bool parse_decimal(const char *text, size_t len, uint64_t unit, uint64_t max, uint64_t *out)
{
    const char *point = memchr(text, '.', len);
    size_t whole_len = point ? (size_t)(point - text) : len;
    uint64_t whole = 0, parts = 0;

    /* docker's own example is ".5" */
    if ((whole_len || !point) && !parse_part(text, whole_len, max, &whole))
        return false;
    if (point && !parse_decimals(point + 1, len - whole_len - 1, unit, &parts))
        return false;
    *out = whole * unit + parts;
    return true;
}

const char *limits_parse_memory(const char *text, struct limits *limits)
{
    static const char *const hint = "give bytes, or a number with k, m, g or t (KiB to TiB); 6m at "
                                    "least, 0 for no limit";
    static const struct {
        const char *unit;
        unsigned int shift;
    } units[] = {{"", 0},     {"b", 0},   {"k", 10},   {"kb", 10}, {"kib", 10},
                 {"m", 20},   {"mb", 20}, {"mib", 20}, {"g", 30},  {"gb", 30},
                 {"gib", 30}, {"t", 40},  {"tb", 40},  {"tib", 40}};
    size_t len = strspn(text, "0123456789.");
    uint64_t value;

    for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
        if (strcasecmp(text + len, units[i].unit) != 0)
            continue;
        if (!parse_decimal(text, len, UINT64_C(1) << units[i].shift, MEMORY_MAX >> units[i].shift,
                           &value))
            return hint;
        if (value && value < MEMORY_MIN)
            return hint;
        limits->memory = value;
        return NULL;
    }
    return hint;
}

const char *limits_parse_cpus(const char *text, struct limits *limits)
{
    static const char *const hint =
        "give a number of processors such as 2 or 0.5; 0.01 at least, 0 for no limit";
    uint64_t us;

    if (!parse_decimal(text, strlen(text), LIMITS_CPU_PERIOD, CPUS_MAX, &us))
        return hint;
    if (us < CPU_MIN && strspn(text, "0.") != strlen(text))
        return hint;
    limits->cpu = us;
    return NULL;
}

const char *limits_parse_pids(const char *text, struct limits *limits)
{
    uint64_t value = 0;

    if (strcmp(text, "-1") != 0 &&
        (!num_parse(text, PIDS_MAX, &value) || (value && value < PIDS_MIN)))
        return "give a number of processes and threads, 2 at least (one is stepcell's pid 1); -1 "
               "or 0 for no limit";
    limits->pids = value;
    return NULL;
}

static bool parse_resource(const char *text, size_t len, uint64_t *out)
{
    if ((len == 2 && memcmp(text, "-1", 2) == 0) ||
        (len == 9 && memcmp(text, "unlimited", 9) == 0)) {
        *out = LIMITS_UNLIMITED;
        return true;
    }
    return parse_part(text, len, INT64_MAX, out);
}

const char *limits_parse_ulimit(const char *text, struct limits *limits)
{
    static const char *const hint =
        "give NAME=SOFT[:HARD] with a name out of core cpu data fsize locks memlock msgqueue nice "
        "nofile nproc rss rtprio rttime sigpending stack, -1 for no limit, SOFT at most HARD";
    size_t len = strcspn(text, "=");
    const char *soft = text + len + 1;
    const char *colon = text[len] ? strchr(soft, ':') : NULL;
    struct ulimit made;

    for (size_t i = 0; text[len] && i < ARRAY_SIZE(resources); i++) {
        size_t at = 0;

        if (strlen(resources[i].name) != len || memcmp(resources[i].name, text, len) != 0)
            continue;
        made = (struct ulimit){.name = resources[i].name, .resource = resources[i].resource};
        if (!parse_resource(soft, colon ? (size_t)(colon - soft) : strlen(soft), &made.soft))
            return hint;
        made.hard = made.soft;
        if (colon && !parse_resource(colon + 1, strlen(colon + 1), &made.hard))
            return hint;
        if (made.soft > made.hard)
            return hint;
        while (at < limits->ulimit_count && limits->ulimits[at].resource != made.resource)
            at++;
        limits->ulimits[at] = made;
        limits->ulimit_count += at == limits->ulimit_count;
        return NULL;
    }
    return hint;
}
