/* What config.json says of clusters. */
#include "tests/fuzz/fuzz.h"

#include "runtime/kubernetes/cluster_config.h"
#include "runtime/kubernetes/pod_name.h"

static void check_pairs(const json_t *pairs, bool (*is_own)(const char *key))
{
    const char *key;
    json_t *value;

    FUZZ_CHECK(json_object_size(pairs) <= CLUSTER_PAIRS_MAX);
    json_object_foreach ((json_t *)pairs, key, value)
        FUZZ_CHECK(!is_own(key) && pod_is_label(key, json_string_value(value)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = ERR_INIT;
    autoclusterconfig config = {0};
    autojson *settings =
        json_parse((const char *)data, size, "config.json", ERR_CONFIG_INVALID, &err);
    autojson *files = json_is_object(settings)
                          ? json_pack("[{s:s, s:O}]", "file", "config.json", "settings", settings)
                          : NULL;

    if (!files)
        return 0;
    if (!cluster_config_take(files, &config, &err)) {
        FUZZ_SAID(err);
        FUZZ_CHECK(err.code == ERR_CONFIG_INVALID);
        return 0;
    }
    FUZZ_CHECK(!config.space || !strpbrk(config.space, "/?#%. "));
    FUZZ_CHECK(config.volumes.count <= CLUSTER_VOLUMES_MAX);
    check_pairs(config.labels, pod_label_is_own);
    check_pairs(config.node_selector, pod_selector_is_own);
    return 0;
}
