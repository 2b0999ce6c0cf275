/* URLs: an absolute one, then one relative to it. What is accepted is normal. */
#include "tests/fuzz/fuzz.h"

#include "runtime/net/url.h"

static void check(const struct url *url)
{
    autourl again = {0};

    FUZZ_CHECK(url->host && *url->host && url->port <= 65535);
    FUZZ_CHECK(strncmp(url->text, url->https ? "https://" : "http://", url->https ? 8 : 7) == 0);
    FUZZ_CHECK(url_parse(url->text, NULL, &again));
    FUZZ_CHECK(url_same_origin(url, &again));
    if (host_is_loopback(url->host))
        FUZZ_CHECK(host_is_private(url->host));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autofree char *first = fuzz_text(&data, &size), *second = fuzz_text(&data, &size);
    autourl base = {0}, url = {0};

    if (!url_parse(first, NULL, &base))
        return 0;
    check(&base);
    if (url_parse(second, &base, &url))
        check(&url);
    return 0;
}
