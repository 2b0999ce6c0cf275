#include "runtime/image/platform.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/cleanup.h"
#include "base/num.h"

#define VARIANT_NUMBER_MAX 99
#define ARM_OLDEST         5 /* containerd falls back to arm/v5 at the most */
#define ARM_NEWEST_32BIT   8
#define VECTOR_MAX         64

static const struct {
    const char *name, *canonical;
} os_aliases[] = {
    {"macos", "darwin"},
};

/* `variant` replaces the one that was given, unless it is NULL. */
static const struct {
    const char *name, *canonical, *variant;
} arch_aliases[] = {
    {"i386", "386", ""},       {"i686", "386", ""},        {"x86_64", "amd64", NULL},
    {"x86-64", "amd64", NULL}, {"aarch64", "arm64", NULL}, {"armhf", "arm", "v7"},
    {"armv7l", "arm", "v7"},   {"armel", "arm", "v6"},     {"armv6l", "arm", "v6"},
};

/* Variants that are another spelling, or what the architecture means without one. */
static const struct {
    const char *arch, *variant, *canonical;
} variant_aliases[] = {
    {"amd64", "v1", ""},  {"arm64", "8", ""},     {"arm64", "v8", ""},     {"arm64", "v8.0", ""},
    {"arm64", "9", "v9"}, {"arm64", "9.0", "v9"}, {"arm64", "v9.0", "v9"}, {"arm", "", "v7"},
    {"arm", "5", "v5"},   {"arm", "6", "v6"},     {"arm", "7", "v7"},      {"arm", "8", "v8"},
};

static void lower(char *text)
{
    for (; *text; text++)
        *text = (char)tolower((unsigned char)*text);
}

static void set(char part[PLATFORM_PART_MAX], const char *text)
{
    snprintf(part, PLATFORM_PART_MAX, "%s", text);
}

void platform_normalise(struct platform *platform)
{
    lower(platform->os);
    lower(platform->arch);
    lower(platform->variant);
    for (size_t i = 0; i < ARRAY_SIZE(os_aliases); i++) {
        if (strcmp(platform->os, os_aliases[i].name) == 0)
            set(platform->os, os_aliases[i].canonical);
    }
    for (size_t i = 0; i < ARRAY_SIZE(arch_aliases); i++) {
        if (strcmp(platform->arch, arch_aliases[i].name) != 0)
            continue;
        set(platform->arch, arch_aliases[i].canonical);
        if (arch_aliases[i].variant)
            set(platform->variant, arch_aliases[i].variant);
    }
    for (size_t i = 0; i < ARRAY_SIZE(variant_aliases); i++) {
        if (strcmp(platform->arch, variant_aliases[i].arch) == 0 &&
            strcmp(platform->variant, variant_aliases[i].variant) == 0) {
            set(platform->variant, variant_aliases[i].canonical);
            break;
        }
    }
}

bool platform_take_part(const char *text, size_t len, char part[PLATFORM_PART_MAX])
{
    if (len >= PLATFORM_PART_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!isalnum((unsigned char)text[i]) && !strchr("._-", text[i]))
            return false;
    }
    memcpy(part, text, len);
    part[len] = '\0';
    return true;
}

/* The part before `end`, which must not be empty. */
static bool take_part(const char *text, const char *end, char part[PLATFORM_PART_MAX])
{
    return end > text && platform_take_part(text, (size_t)(end - text), part);
}

/* OS or OS(VERSION); moves *text behind it. */
static bool take_os(const char **text, struct platform *platform)
{
    const char *end = *text + strcspn(*text, "(/");
    const char *close;

    if (!take_part(*text, end, platform->os))
        return false;
    if (*end == '(') {
        close = strchr(end, ')');
        if (!close || !take_part(end + 1, close, platform->os_version))
            return false;
        end = close + 1;
    }
    *text = end;
    return true;
}

static bool parse(const char *text, struct platform *platform)
{
    const char *end;

    if (!take_os(&text, platform) || *text++ != '/')
        return false;
    end = strchrnul(text, '/');
    if (!take_part(text, end, platform->arch))
        return false;
    return !*end || take_part(end + 1, end + strlen(end), platform->variant);
}

bool platform_parse(const char *text, struct platform *platform, struct err *err)
{
    struct platform parsed = {0};

    if (!parse(text, &parsed)) {
        err_set(err, ERR_OPTION_INVALID, "'%s' is not a platform", text);
        return err_hint(err, "write OS/ARCH or OS/ARCH/VARIANT, such as linux/amd64");
    }
    platform_normalise(&parsed);
    *platform = parsed;
    return true;
}

void platform_host(struct platform *platform)
{
    struct utsname name;
    struct platform host = {.os = "linux"};

    if (uname(&name) == 0)
        snprintf(host.arch, sizeof(host.arch), "%.*s", PLATFORM_PART_MAX - 1, name.machine);
    platform_normalise(&host);
    *platform = host;
}

/* What a machine runs, best first. */
struct vector {
    struct {
        const char *arch;
        char variant[PLATFORM_PART_MAX];
    } items[VECTOR_MAX];
    int count;
};

static void add(struct vector *vector, const char *arch, const char *variant)
{
    struct platform platform = {0};

    if (vector->count == VECTOR_MAX)
        return;
    set(platform.arch, arch);
    set(platform.variant, variant);
    platform_normalise(&platform);
    vector->items[vector->count].arch = arch;
    set(vector->items[vector->count++].variant, platform.variant);
}

static void add_range(struct vector *vector, const char *arch, const char *prefix,
                      unsigned int from, unsigned int to)
{
    char variant[PLATFORM_PART_MAX];

    for (unsigned int n = from + 1; n-- > to;) {
        snprintf(variant, sizeof(variant), "%s%u", prefix, n);
        add(vector, arch, variant);
    }
}

/* "v8.3" is 8 and 3, "v9" is 9 and 0. */
static bool parse_variant(const char *variant, unsigned int *major, unsigned int *minor)
{
    char text[PLATFORM_PART_MAX], *dot;
    uint64_t a, b = 0;

    if (*variant != 'v')
        return false;
    set(text, variant + 1);
    dot = strchr(text, '.');
    if (dot)
        *dot++ = '\0';
    if (!num_parse(text, VARIANT_NUMBER_MAX, &a) || (dot && !num_parse(dot, 9, &b)))
        return false;
    *major = (unsigned int)a;
    *minor = (unsigned int)b;
    return true;
}

static void add_amd64(struct vector *vector, unsigned int major)
{
    if (major > 1 && major < VECTOR_MAX / 2)
        add_range(vector, "amd64", "v", major - 1, 1);
    add(vector, "386", "");
}

static void add_arm(struct vector *vector, unsigned int major)
{
    if (major > ARM_OLDEST && major < VECTOR_MAX / 2)
        add_range(vector, "arm", "v", major - 1, ARM_OLDEST);
}

/* v9.x runs v8.(x+5), and all of them run 32-bit code up to v8. */
static void add_arm64(struct vector *vector, unsigned int major, unsigned int minor)
{
    if (minor > 0)
        add_range(vector, "arm64", major == 9 ? "v9." : "v8.", minor - 1, 0);
    if (major == 9)
        add_range(vector, "arm64", "v8.", minor + 5, 0);
    add_range(vector, "arm", "v", ARM_NEWEST_32BIT, ARM_OLDEST);
}

static void make_vector(const struct platform *wanted, struct vector *vector)
{
    unsigned int major = 0, minor = 0;
    bool numbered = parse_variant(wanted->variant, &major, &minor);

    add(vector, wanted->arch, wanted->variant);
    if (strcmp(wanted->arch, "amd64") == 0)
        add_amd64(vector, major);
    else if (strcmp(wanted->arch, "arm") == 0)
        add_arm(vector, major);
    else if (strcmp(wanted->arch, "arm64") == 0)
        add_arm64(vector, numbered ? major : 8, minor);
}

/* "10.0.20348.1" is 10.0 and 20348. */
static bool parse_build(const char *version, unsigned int *release, unsigned int *build)
{
    unsigned int major, minor;

    if (sscanf(version, "%3u.%3u.%7u", &major, &minor, build) != 3)
        return false;
    *release = major * 1000 + minor;
    return true;
}

/*
 * Process isolation: from build 20348 on, a host also runs what was built for the long-term release
 * before it; an older one runs its own build only.
 */
static bool windows_runs(const char *host, const char *image)
{
    static const unsigned int long_term[] = {20348, 26100};
    unsigned int host_release, host_build, image_release, image_build, oldest = 0;

    if (!*host || !*image)
        return true;
    if (!parse_build(host, &host_release, &host_build) ||
        !parse_build(image, &image_release, &image_build))
        return strcmp(host, image) == 0;
    if (host_release != image_release)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(long_term); i++) {
        if (long_term[i] < host_build || (i == 0 && long_term[i] == host_build))
            oldest = long_term[i];
    }
    return oldest ? image_build >= oldest && image_build <= host_build : image_build == host_build;
}

int platform_rank(const struct platform *wanted, const struct platform *offered)
{
    struct vector vector = {.count = 0};

    if (strcmp(wanted->os, offered->os) != 0)
        return -1;
    if (strcmp(wanted->os, "windows") == 0 &&
        !windows_runs(wanted->os_version, offered->os_version))
        return -1;
    make_vector(wanted, &vector);
    for (int i = 0; i < vector.count; i++) {
        if (strcmp(vector.items[i].arch, offered->arch) == 0 &&
            strcmp(vector.items[i].variant, offered->variant) == 0)
            return i;
    }
    return -1;
}

void platform_text(const struct platform *platform, char text[PLATFORM_TEXT_MAX])
{
    bool version = platform->os_version[0] != '\0';
    bool variant = platform->variant[0] != '\0';

    snprintf(text, PLATFORM_TEXT_MAX, "%s%s%s%s/%s%s%s", platform->os, version ? "(" : "",
             platform->os_version, version ? ")" : "", platform->arch, variant ? "/" : "",
             platform->variant);
}

bool platform_has_32_bits(const struct platform *platform)
{
    return strcmp(platform->arch, "386") == 0 || strcmp(platform->arch, "arm") == 0;
}
