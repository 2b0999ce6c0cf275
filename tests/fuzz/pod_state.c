/* What the API says of a Pod and of its events. */
#include "tests/fuzz/fuzz.h"

#include "runtime/kubernetes/pod_spec.h"
#include "runtime/kubernetes/pod_state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t choice = fuzz_choice(&data, &size);
    struct err err = ERR_INIT;
    autojson *json = NULL;
    struct pod_state state;
    char text[256];

    if (choice < 64) {
        autofree char *volume = fuzz_text(&data, &size);
        autopodvolume parsed = {0};

        if (pod_volume_parse(volume, &parsed, &err))
            FUZZ_CHECK(parsed.path[0] == '/' && parsed.path[1]);
        else
            FUZZ_SAID(err);
        return 0;
    }
    json = json_parse((const char *)data, size, "a Pod", ERR_ENGINE_FAILED, &err);
    pod_events_text(json, text, sizeof(text));
    FUZZ_CHECK(!strpbrk(text, "\n\033"));
    if (pod_keeps_image_volume(json))
        FUZZ_CHECK(json_object_get(json, "spec"));
    (void)pod_server_may_have_image_volumes(json);
    if (pod_state_take(json, &state, &err)) {
        pod_state_explain(&state, &err);
        FUZZ_CHECK(!strpbrk(state.message, "\n\033"));
    }
    FUZZ_SAID(err);
    return 0;
}
