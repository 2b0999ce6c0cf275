/* Image references: what is accepted is normal, and is read in one way only. */
#include "tests/fuzz/fuzz.h"

#include "runtime/image/reference.h"

static void check(const struct reference *reference)
{
    autoreference again = {0};
    struct err err;

    FUZZ_CHECK(reference->name && reference->path);
    FUZZ_CHECK(!reference->digest || digest_is_valid(reference->digest));
    FUZZ_CHECK((reference->transport == TRANSPORT_REGISTRY) == (reference->host != NULL));
    if (reference->transport != TRANSPORT_REGISTRY)
        return;
    FUZZ_CHECK(reference->tag || reference->digest);
    FUZZ_CHECK(reference_parse(reference->name, "/", &again, &err));
    FUZZ_CHECK(strcmp(reference->name, again.name) == 0);
    FUZZ_CHECK(strcmp(reference->host, again.host) == 0);
    FUZZ_CHECK(strcmp(reference->path, again.path) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autofree char *text = fuzz_text(&data, &size);
    autoreference reference = {0};
    struct err err = ERR_INIT;

    if (reference_parse(text, "/work", &reference, &err))
        check(&reference);
    else
        FUZZ_SAID(err);
    return 0;
}
