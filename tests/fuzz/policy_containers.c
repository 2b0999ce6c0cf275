/* /etc/containers/policy.json, and what it says of an image. */
#include "tests/fuzz/fuzz.h"

#include "shim/policy.h"

static char *read_key(const char *path, struct err *err)
{
    err_set(err, ERR_CONFIG_INVALID, "there is no key '%s'", path);
    return NULL;
}

static void judge(const struct policy *policy, const char *image)
{
    autoreference reference = {0};
    autofree char *name = NULL;
    autoverdict verdict = {0};
    struct policy_facts facts = {.only_image = true};
    struct err err = ERR_INIT;

    FUZZ_CHECK(reference_parse(image, "/", &reference, &err));
    name = policy_image_name(&reference);
    facts.reference = &reference;
    facts.image = name;
    if (!policy_check(policy, &facts, read_key, &verdict, &err))
        FUZZ_SAID(err);
    FUZZ_CHECK(verdict.file && verdict.rule[0]);
    for (size_t i = 0; i < verdict.demand_count; i++)
        FUZZ_CHECK(verdict.demands[i]->identity != IDENTITY_ANY && verdict.demands[i]->name);
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
    policy.containers = policy_parse_containers(text, size, "policy.json", &err);
    if (!policy.containers) {
        FUZZ_SAID(err);
        return 0;
    }
    judge(&policy, "registry.example/team/app:1");
    judge(&policy,
          "debian@sha256:634a8f35b5f16dcf4aaa0822adc0b1964bb786fca12f6831de8ddc45e5986a00");
    judge(&policy, "oci:/nowhere/layout");
    return 0;
}
