/* Lock files: what is accepted is found again, and written as a text that reads the same. */
#include "tests/fuzz/fuzz.h"

#include "runtime/image/lock.h"

static void check_entry(const struct lock_file *lock, const char *name, const json_t *entry)
{
    const struct version_rules rules = lock_rules(entry);
    autoreference want = {0};
    struct platform host;
    struct err err;
    const char *found;

    FUZZ_CHECK(lock_name_is_valid(name));
    FUZZ_CHECK(reference_parse(json_text(entry, "want"), "/", &want, &err));
    found = lock_find(lock, &want);
    FUZZ_CHECK(found && strcmp(found, name) == 0);
    FUZZ_CHECK(!version_rules_check(&rules));
    FUZZ_CHECK(!version_follows(&rules, json_text(entry, "tag"), json_text(entry, "tag")));
    lock_min_age(entry);
    platform_host(&host);
    found = lock_platform_digest(entry, &host);
    FUZZ_CHECK(!found || digest_is_valid(found));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autolockfile lock = {0}, again = {0};
    autofree char *text = NULL, *same = NULL;
    struct err err = ERR_INIT;
    const char *name;
    json_t *entry;

    if (!lock_parse((const char *)data, size, "stepcell.lock", &lock, &err)) {
        FUZZ_SAID(err);
        FUZZ_CHECK(err.code == ERR_CONFIG_INVALID);
        FUZZ_CHECK(strstr(err.message, "line "));
        return 0;
    }
    json_object_foreach (lock_images(&lock), name, entry)
        check_entry(&lock, name, entry);
    text = lock_text(&lock);
    FUZZ_CHECK(text && lock_parse(text, strlen(text), "stepcell.lock", &again, &err));
    same = lock_text(&again);
    FUZZ_CHECK(same && strcmp(text, same) == 0);
    return 0;
}
