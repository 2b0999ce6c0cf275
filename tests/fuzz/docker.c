/* What a daemon answers: the first byte chooses which answer it is. */
#include "tests/fuzz/fuzz.h"

#include "runtime/docker/answers.h"
#include "runtime/docker/container.h"
#include "runtime/docker/endpoint.h"

static void try_json(uint8_t choice, const uint8_t *data, size_t size)
{
    struct err err = ERR_INIT;
    autojson *json = json_parse((const char *)data, size, "an answer", ERR_ENGINE_FAILED, &err);
    autodaemonimage image = {0};
    struct daemon_state state;
    char message[ANSWER_MESSAGE_MAX];
    bool rootless;
    int code;

    answer_message(json, message);
    FUZZ_CHECK(!strpbrk(message, "\n\033"));
    switch (choice) {
    case 0:
        if (answer_image(json, &image, &err))
            FUZZ_CHECK(strlen(image.id) == 71 && image.os[0] && image.arch[0]);
        else
            FUZZ_SAID(err);
        break;
    case 1:
        if (answer_state(json, &state, &err))
            FUZZ_CHECK(state.exit_code >= 0 && state.exit_code <= 255);
        else
            FUZZ_SAID(err);
        break;
    case 2:
        if (answer_wait(json, &code, &err))
            FUZZ_CHECK(code >= 0 && code <= 255);
        break;
    case 3:
        FUZZ_CHECK(!answer_container_id(json, &err) ||
                   strlen(answer_container_id(json, &err)) == 64);
        break;
    case 4:
        (void)answer_entrypoint_history(json);
        break;
    case 5:
        if (!answer_rootless(json, &rootless, &err))
            FUZZ_SAID(err);
        break;
    default:
        FUZZ_CHECK(!answer_limit_missing(json, json_object_get(json, "HostConfig")) ||
                   json_object_get(json, "HostConfig"));
        break;
    }
}

static void try_text(uint8_t choice, const uint8_t *data, size_t size)
{
    autofree char *text = fuzz_text(&data, &size);
    const struct endpoint_caller caller = {.home = "/home/me", .docker_tls_verify = "1"};
    autoendpoint endpoint = {0};
    struct api_version version;
    struct err err = ERR_INIT;

    switch (choice) {
    case 0:
        if (api_version_choose(text, &version, &err))
            FUZZ_CHECK(version.major == 1 && version.minor <= API_MINOR_NEWEST);
        else
            FUZZ_SAID(err);
        break;
    case 1:
        if (endpoint_find("docker", text, &caller, &endpoint, &err))
            FUZZ_CHECK(!strpbrk(endpoint.url, " \n@"));
        else
            FUZZ_SAID(err);
        break;
    default:
        (void)container_owner_lives(text, false);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t choice = fuzz_choice(&data, &size);
    struct daemon_progress progress;
    struct daemon_build build = {0};
    struct buf file = {.max = ANSWER_FILE_MAX};

    if (choice < 64) {
        try_json(choice % 7, data, size);
    } else if (choice < 128) {
        try_text(choice % 3, data, size);
    } else if (choice < 192) {
        (void)answer_progress((const char *)data, size, &progress);
        FUZZ_CHECK(!answer_build((const char *)data, size, &build) || !build.id[0] ||
                   strlen(build.id) == DAEMON_ID_MAX - 1);
        free(build.text);
    } else if (answer_file((const char *)data, size, &file)) {
        FUZZ_CHECK(file.len <= ANSWER_FILE_MAX && file.len <= size);
    }
    buf_release(&file);
    return 0;
}
