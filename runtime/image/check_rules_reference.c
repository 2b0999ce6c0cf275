/* Rules about what a reference names: platforms, tags, digests. */
#include <stdio.h>
#include <string.h>

#include "runtime/image/check_rules.h"

#define WINDOWS_2019 17763 /* its build */

void check_ask_image(struct check_run *run)
{
    const struct check_facts *facts = run->facts;

    if (facts->unreadable) {
        check_skip(run, CHECK_UNREADABLE, "%s", facts->unreadable);
        return;
    }
    for (size_t i = 0; i < facts->image_count; i++) {
        if (facts->images[i].unreadable)
            check_skip(run, CHECK_UNREADABLE, "%s", facts->images[i].unreadable);
    }
}

/* An index may promise what the configuration does not keep. */
static void compare_platform(struct check_run *run, const struct check_image *image)
{
    const struct platform *own = &image->config.image.platform, *promised = &image->promised;
    char own_text[PLATFORM_TEXT_MAX], promised_text[PLATFORM_TEXT_MAX];

    if (!image->is_promised ||
        (strcmp(own->os, promised->os) == 0 && strcmp(own->arch, promised->arch) == 0))
        return;
    platform_text(own, own_text);
    platform_text(promised, promised_text);
    check_find(run, "build the index again with the platforms of its images",
               "the index says %s, and the image's own configuration %s", promised_text, own_text);
}

void check_ask_os(struct check_run *run)
{
    const struct check_facts *facts = run->facts;

    for (size_t i = 0; i < facts->image_count; i++) {
        const struct check_image *image = &facts->images[i];

        if (image->missing)
            check_find(run, image->missing_hint, "%s", image->missing);
        else
            compare_platform(run, image);
    }
}

static bool is_windows(const struct platform *platform)
{
    return strcmp(platform->os, "windows") == 0;
}

/* Calls `each` for every Windows image: those of the index, and those that were chosen. */
static size_t each_windows(struct check_run *run,
                           void (*each)(struct check_run *run, const struct platform *platform))
{
    const struct check_facts *facts = run->facts;
    size_t count = 0;

    for (size_t i = 0; i < facts->offer_count; i++) {
        if (is_windows(&facts->offers[i])) {
            each(run, &facts->offers[i]);
            count++;
        }
    }
    for (size_t i = 0; i < facts->image_count && !facts->is_index; i++) {
        const struct check_image *image = &facts->images[i];

        if (!image->missing && is_windows(&image->config.image.platform)) {
            each(run, &image->config.image.platform);
            count++;
        }
    }
    if (!count)
        check_skip(run, CHECK_NOT_APPLICABLE, "there is no Windows image");
    return count;
}

static void find_missing_version(struct check_run *run, const struct platform *platform)
{
    if (!platform->os_version[0])
        check_find_at(run, CHECK_WARNING,
                      "add os.version to the index: it decides which host runs it",
                      "the image for windows/%s names no build of Windows", platform->arch);
}

void check_ask_os_version(struct check_run *run)
{
    const struct check_facts *facts = run->facts;

    if (!each_windows(run, find_missing_version))
        return;
    for (size_t i = 0; i < facts->image_count; i++) {
        const struct check_image *image = &facts->images[i];
        const char *own = image->config.image.platform.os_version;

        if (image->missing || !image->is_promised || !is_windows(&image->promised) ||
            strcmp(own, image->promised.os_version) == 0)
            continue;
        check_find(run, "build the index again with the versions of its images",
                   "the index says the build '%s', and the image's own configuration '%s'",
                   image->promised.os_version, own);
    }
}

static void find_old(struct check_run *run, const struct platform *platform)
{
    unsigned int major, minor, build;

    if (sscanf(platform->os_version, "%3u.%3u.%7u", &major, &minor, &build) != 3) {
        check_skip(run, CHECK_NOT_APPLICABLE, "the image for windows/%s names no build",
                   platform->arch);
        return;
    }
    if (major < 10 || (major == 10 && build < WINDOWS_2019))
        check_find(run, "build it on ltsc2019 or later",
                   "an image is for Windows %s, which is older than Windows Server 2019",
                   platform->os_version);
}

void check_ask_win_age(struct check_run *run)
{
    each_windows(run, find_old);
}

static bool is_local(struct check_run *run)
{
    if (run->facts->reference->transport == TRANSPORT_REGISTRY)
        return false;
    check_skip(run, CHECK_NOT_APPLICABLE, "the image is a file, not a registry's");
    return true;
}

void check_ask_latest(struct check_run *run)
{
    const struct reference *reference = run->facts->reference;

    if (is_local(run))
        return;
    if (reference->digest)
        check_skip(run, CHECK_NOT_APPLICABLE, "the digest decides, not the tag");
    else if (strcmp(reference->tag, "latest") == 0 || strncmp(reference->tag, "latest-", 7) == 0)
        check_find(run, "name a version", "the tag '%s' names another image tomorrow",
                   reference->tag);
}

void check_ask_digest(struct check_run *run)
{
    const struct reference *reference = run->facts->reference;

    if (is_local(run) || reference->digest)
        return;
    check_find(run, "write NAME:TAG@DIGEST, or lock the image",
               "the reference names no digest: whoever owns '%s' can change what runs",
               reference->path);
}
