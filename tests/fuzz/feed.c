/* Feeds of every kind: names, documents, and what becomes of their versions. */
#include "tests/fuzz/fuzz.h"

#include "runtime/image/tags.h"
#include "runtime/image/upstream.h"

static const char *const feeds[] = {
    "maven:file:///f",    "github:file:///f",    "npm:file:///f",           "pypi:file:///f",
    "apt:file:///f#tool", "json:file:///f#/*/v", "text:file:///f#v([^ ]+)",
};

/* Whatever a feed says: what is chosen of it is a version, and its tag is one. */
static void choose(const struct feed *feed, const struct strv *versions, uint8_t choice)
{
    const struct upstream upstream = {
        .feed = *feed,
        .rules = {.scheme = choice & 64 ? VERSION_LOOSE : feed_scheme(feed->kind),
                  .prereleases = choice & 128 ? PRERELEASES_YES : PRERELEASES_NO},
        .template = "{version}",
    };
    struct upstream_answer answer = {.err = ERR_INIT};

    if (!upstream_choose(&upstream, versions, &answer)) {
        FUZZ_SAID(answer.err);
        FUZZ_CHECK(upstream_decision(answer.reason) == UPSTREAM_UNKNOWN);
        return;
    }
    FUZZ_CHECK(feed_version_is_valid(answer.version));
    if (!upstream_name(&upstream, &answer))
        return;
    FUZZ_CHECK(tag_is_valid(answer.tag));
    /* A repository with the same texts as tags: no decision here, only an order. */
    if (!upstream_compare(&upstream, versions, &answer))
        FUZZ_SAID(answer.err);
}

/* The first byte chooses the kind, or a name of one's own in front of a NUL. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t choice = fuzz_choice(&data, &size);
    size_t kind = (choice & 63) % (ARRAY_SIZE(feeds) + 1);
    autofree char *own = kind == ARRAY_SIZE(feeds) ? fuzz_text(&data, &size) : NULL;
    autofree char *text = malloc(size + 1);
    autofeed feed = {0};
    autostrv versions = {0};
    struct err err = ERR_INIT;

    if (!text)
        abort();
    memcpy(text, data, size);
    text[size] = '\0';
    if (!feed_parse(own ? own : feeds[kind], &feed, &err)) {
        FUZZ_CHECK(own);
        FUZZ_SAID(err);
        return 0;
    }
    if (feed.kind == FEED_TAGS)
        return 0;
    feed.prereleases = choice & 128;
    if (!feed_read(&feed, text, size, &versions, &err)) {
        FUZZ_SAID(err);
        return 0;
    }
    for (size_t i = 0; i < versions.count; i++)
        FUZZ_CHECK(feed_version_is_valid(versions.items[i]));
    choose(&feed, &versions, choice);
    return 0;
}
