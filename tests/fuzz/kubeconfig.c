/* A kubeconfig, or what a credential program says. */
#include "tests/fuzz/fuzz.h"

#include "runtime/kubernetes/plugin.h"
#include "runtime/kubernetes/yaml.h"

static void try_config(const uint8_t *data, size_t size)
{
    struct err err = ERR_INIT;
    autojson *root = yaml_parse((const char *)data, size, "'config'", &err);
    const struct kube_file file = {"/none/config", root};
    autokubeconfig config = KUBE_CONFIG_INIT;

    if (!root) {
        FUZZ_SAID(err);
    } else if (kube_config_take(&file, 1, NULL, NULL, &config, &err)) {
        FUZZ_CHECK(config.server && config.space && kube_name_is_valid(config.space));
        FUZZ_CHECK(!config.tls.certificate == !config.tls.key);
    } else {
        FUZZ_SAID(err);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t choice = fuzz_choice(&data, &size);
    autopluginanswer answer = {0};
    struct err err = ERR_INIT;

    if (choice < 192)
        try_config(data, size);
    else if (plugin_take("p", "client.authentication.k8s.io/v1", (const char *)data, size, &answer,
                         &err))
        FUZZ_CHECK(answer.token || (answer.certificate && answer.key));
    else
        FUZZ_SAID(err);
    return 0;
}
