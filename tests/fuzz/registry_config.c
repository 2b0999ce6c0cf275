/* stepcell's own configuration of registries. */
#include "tests/fuzz/fuzz.h"

#include "runtime/image/registry_config.h"

static const char *const hosts[] = {"r.example", "docker.io", "127.0.0.1:5000"};

static void look_up(const struct registry_config *config, const char *host)
{
    struct registry_mirror mirrors[REGISTRY_MIRRORS_MAX];
    size_t count = 0;

    registry_config_plain_http(config, host);
    FUZZ_CHECK(registry_config_mirrors(config, host, mirrors, &count));
    FUZZ_CHECK(count <= REGISTRY_MIRRORS_MAX);
    for (size_t i = 0; i < count; i++) {
        FUZZ_CHECK(*mirrors[i].host && !strchr(mirrors[i].host, '/'));
        FUZZ_CHECK(!strchr("/.", *mirrors[i].prefix) || !*mirrors[i].prefix);
        FUZZ_CHECK(!strstr(mirrors[i].prefix, "/."));
        registry_mirror_release(&mirrors[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autoregistryconfig config = {0};
    struct err err = ERR_INIT;

    if (!registry_config_parse((const char *)data, size, "config.json", &config, &err)) {
        FUZZ_SAID(err);
        FUZZ_CHECK(err.code == ERR_CONFIG_INVALID);
        return 0;
    }
    FUZZ_CHECK(registry_config_stall_ms(&config) <= REGISTRY_STALL_MAX_MS);
    for (size_t i = 0; i < ARRAY_SIZE(hosts); i++)
        look_up(&config, hosts[i]);
    return 0;
}
