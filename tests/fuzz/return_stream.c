/* What a Pod gives back, in two pieces: the first byte says where it is cut. */
#include "tests/fuzz/fuzz.h"

#include "runtime/kubernetes/return_stream.h"

struct seen {
    uint64_t entries, bytes, expected;
    bool ended;
};

static bool take(void *data, const struct return_entry *entry, struct err *err)
{
    struct seen *seen = data;
    const char *name = entry->name;

    (void)err;
    FUZZ_CHECK(!seen->ended && seen->bytes == seen->expected);
    seen->ended = entry->kind == RETURN_END;
    if (seen->ended)
        return true;
    seen->entries++;
    seen->expected += entry->size;
    FUZZ_CHECK(*name && *name != '/' && strlen(name) < PATH_MAX && !(entry->mode & ~0777U));
    FUZZ_CHECK(strcmp(name, "..") != 0 && strncmp(name, "../", 3) != 0 && !strstr(name, "/../"));
    FUZZ_CHECK((entry->target != NULL) == (entry->kind == RETURN_LINK));
    FUZZ_CHECK(!entry->target || (*entry->target && strlen(entry->target) < PATH_MAX));
    return true;
}

static bool take_content(void *data, const void *bytes, size_t len, struct err *err)
{
    struct seen *seen = data;

    (void)bytes, (void)err;
    seen->bytes += len;
    FUZZ_CHECK(seen->bytes <= seen->expected);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t choice = fuzz_choice(&data, &size);
    size_t cut = size * choice / 255;
    struct seen seen = {0};
    struct return_reader reader = {.entry = take, .content = take_content, .data = &seen};
    struct err err = ERR_INIT;
    bool ok = return_reader_feed(&reader, data, cut, &err) &&
              return_reader_feed(&reader, data + cut, size - cut, &err);

    if (!ok)
        FUZZ_SAID(err);
    if (ok && reader.ended)
        FUZZ_CHECK(seen.ended && seen.entries == reader.entries && seen.bytes == reader.bytes);
    return 0;
}
