/*
 * Platforms (pure): OS/ARCH[/VARIANT], normalised and matched by containerd's rules
 * (containerd/platforms: `Only` for the default match).
 */
#ifndef STEPCELL_RUNTIME_IMAGE_PLATFORM_H
#define STEPCELL_RUNTIME_IMAGE_PLATFORM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define PLATFORM_PART_MAX 32
#define PLATFORM_TEXT_MAX (4 * PLATFORM_PART_MAX + 8)

struct platform {
    char os[PLATFORM_PART_MAX];
    char arch[PLATFORM_PART_MAX];
    char variant[PLATFORM_PART_MAX];    /* "" when there is none */
    char os_version[PLATFORM_PART_MAX]; /* Windows only, "" otherwise */
};

/* Normalises: lower case, x86_64 is amd64, aarch64 is arm64, arm64/v8 is arm64, arm is arm/v7, … */
bool platform_parse(const char *text, struct platform *platform, struct err *err);
void platform_normalise(struct platform *platform);

/*
 * Copies one part as an image or an index gives it. False when it is too long or has anything but
 * what platforms are spelt with: letters, digits, '.', '_' and '-'. Parts are printed.
 */
bool platform_take_part(const char *text, size_t len, char part[PLATFORM_PART_MAX]);

/* What this machine runs. */
void platform_host(struct platform *platform);

/* How well `offered` serves `wanted`: 0 is best, larger is worse, -1 is not at all. */
int platform_rank(const struct platform *wanted, const struct platform *offered);

/* "linux/arm/v7"; with the version in brackets behind the OS for Windows:
 * "windows(10.0.20348)/amd64". */
void platform_text(const struct platform *platform, char text[PLATFORM_TEXT_MAX]);

/* Whether it is the 32-bit mode of x86_64 or arm64. */
bool platform_has_32_bits(const struct platform *platform);

#endif
