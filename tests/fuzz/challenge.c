/* WWW-Authenticate: several headers, separated by NUL. */
#include "tests/fuzz/fuzz.h"

#include "runtime/net/challenge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autochallenge challenge = {0};

    do {
        autofree char *header = fuzz_text(&data, &size);

        FUZZ_CHECK(challenge_parse(header, &challenge));
    } while (size);
    FUZZ_CHECK(challenge.bearer == (challenge.realm != NULL));
    FUZZ_CHECK(!challenge.realm || strlen(challenge.realm) <= CHALLENGE_VALUE_MAX);
    return 0;
}
