/* /etc/stepcell/policy.json, and what it says of a step. */
#include "tests/fuzz/fuzz.h"

#include "shim/policy.h"

static char *read_key(const char *path, struct err *err)
{
    FUZZ_CHECK(*path == '/');
    err_set(err, ERR_CONFIG_INVALID, "there is no key '%s'", path);
    return NULL;
}

static void judge(const struct policy *policy, const char *image)
{
    static const struct policy_source source = {"/srv/work", true};
    autoreference reference = {0};
    autofree char *name = NULL;
    autoverdict verdict = {0};
    struct policy_facts facts = {
        .store = "/var/lib/stepcell",
        .home = "/root",
        .sources = &source,
        .source_count = 1,
        .guarded = &policy->locks,
        .knows_user = true,
    };
    struct err err = ERR_INIT;

    FUZZ_CHECK(reference_parse(image, "/", &reference, &err));
    name = policy_image_name(&reference);
    facts.reference = &reference;
    facts.image = name;
    if (!policy_check(policy, &facts, read_key, &verdict, &err))
        FUZZ_SAID(err);
    FUZZ_CHECK(verdict.file && verdict.rule[0]);
    FUZZ_CHECK(verdict.demand_count <= SIGNATURE_DEMANDS_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autofree char *text = malloc(size + 1);
    autopolicy policy = {0};
    struct err err = ERR_INIT;

    if (!text)
        abort();
    memcpy(text, data, size);
    text[size] = '\0';
    if (!policy_parse(text, size, "policy.json", read_key, &policy, &err)) {
        FUZZ_SAID(err);
        FUZZ_CHECK(err.code == ERR_CONFIG_INVALID && !policy.exists);
        return 0;
    }
    FUZZ_CHECK(policy.exists);
    judge(&policy, "debian:12");
    judge(&policy, "oci:/nowhere/layout");
    return 0;
}
