/* The proxy variables: no_proxy, a host, and a proxy's URL, separated by NUL. */
#include "tests/fuzz/fuzz.h"

#include "runtime/net/proxy.h"

#define PORT     443
#define HOST_MAX 253 /* bytes of a name that DNS knows */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autofree char *no_proxy = fuzz_text(&data, &size);
    autofree char *host = fuzz_text(&data, &size);
    autofree char *proxy = fuzz_text(&data, &size);
    autofree char *url_text = malloc(strlen(host) + sizeof("https:///"));
    autourl url = {0};

    FUZZ_CHECK(url_text);
    sprintf(url_text, "https://%s/", host);
    no_proxy_covers(no_proxy, host, PORT);
    FUZZ_CHECK(!*host || strlen(host) > HOST_MAX || no_proxy_covers("*", host, PORT));
    FUZZ_CHECK(!no_proxy_covers("", host, PORT));
    url_is_proxy(proxy);
    setenv("no_proxy", no_proxy, 1);
    setenv("https_proxy", proxy, 1);
    if (url_parse(url_text, NULL, &url)) {
        const char *chosen = proxy_for(&url);

        FUZZ_CHECK(!chosen || strcmp(chosen, proxy) == 0);
        FUZZ_CHECK(!chosen || !host_is_loopback(url.host));
    }
    return 0;
}
