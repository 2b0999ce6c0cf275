/* resolv.conf: no server that a cell cannot reach is left. The first byte says what is on the host. */
#include "tests/fuzz/fuzz.h"

#include "runtime/native/resolv.h"

static bool is_own(const char *address)
{
    return address[0] == '1';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t choice = fuzz_choice(&data, &size);
    const struct resolv_host host = {
        .is_own = choice & 1 ? is_own : NULL,
        .has_ipv6 = choice & 2,
        .forward = choice & 4 ? "10.0.2.3" : NULL,
    };
    autofree char *text = fuzz_text(&data, &size);
    autobuf out = BUF_INIT(RESOLV_MAX), again = BUF_INIT(RESOLV_MAX);
    struct resolv_servers asked, none;
    enum resolv_verdict verdict = resolv_make(text, &host, &out, &asked);

    FUZZ_CHECK(asked.count <= RESOLV_SERVERS_MAX);
    FUZZ_CHECK(asked.count == 0 || (verdict != RESOLV_OK && !host.forward));
    /* What a cell has is a resolv.conf from which nothing has to be taken. */
    if (verdict == RESOLV_OK && out.data) {
        FUZZ_CHECK(resolv_make(out.data, &host, &again, &none) == RESOLV_OK);
        FUZZ_CHECK(!again.data || strcmp(out.data, again.data) == 0);
    }
    return 0;
}
