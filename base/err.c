#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const texts[ERR_COUNT] = {
#define X(name, text) [ERR_##name] = text,
    ERR_CODES(X)
#undef X
};

#define LOOK_FIRST "look at what the step has done before it is run again"

/* For errors that have no better one: the line "Fix:" of docs/errors.md. */
static const char *const fixes[ERR_COUNT] = {
    [ERR_IMAGE_ENTRYPOINT] = "rebuild it with 'ENTRYPOINT []', or run with '--entrypoint clear'",
    [ERR_IMAGE_NOT_FOUND] = "check the reference; 'stepcell image list' shows what the store has",
    [ERR_IMAGE_PLATFORM] = "build it for this platform, or choose another with '--platform'",
    [ERR_IMAGE_SHELL_MISSING] = "install it in the image, or name another with '--shell'",
    [ERR_IMAGE_CORRUPT] = "pull or build it again",
    [ERR_IMAGE_DENIED] = "ask for the right to it, or choose another image",
    [ERR_IMAGE_UNPINNED] =
        "'stepcell lock add', ask for what 'stepcell lock list' shows, or name the "
        "image as 'NAME@sha256:…'",
    [ERR_IMAGE_SIGNATURE] = "'cosign sign --key' with the key that the hint names",
    [ERR_POLICY_DENIED] = "follow the hint; 'stepcell policy test' tries other options",
    [ERR_REGISTRY_AUTH] =
        "log in ('~/.docker/config.json', '$DOCKER_CONFIG' or a credential helper)",
    [ERR_REGISTRY_UNREACHABLE] =
        "check the name, the network and the proxy; certificates belong into 'certs.d'",
    [ERR_REGISTRY_RATE_LIMITED] = "log in, or use a mirror",
    [ERR_MOUNT_SOURCE_MISSING] = "check the path, or create it: stepcell never does",
    [ERR_MOUNT_CONFLICT] = "remove one of them",
    [ERR_MOUNT_DENIED] = "choose another source or target",
    [ERR_WORKDIR_MISSING] = "check '--workdir', the directory's owner and its mode",
    [ERR_SCRIPT_MISSING] = "check '--script': a file that the caller can read, or '-'",
    [ERR_USER_UNKNOWN] = "use a number, or a name that the image has",
    [ERR_ENGINE_UNAVAILABLE] = "'stepcell doctor' says what is missing and how to get it; a daemon "
                               "has to run, and to let the caller in",
    [ERR_ENGINE_FAILED] = "'stepcell doctor' looks for what this machine lacks; '--verbose' shows "
                          "what an engine said",
    [ERR_POD_UNSCHEDULED] = "give it what the scheduler misses: room (ask for less with "
                            "'--memory' and '--cpus', or add nodes), a node that the node selector "
                            "fits, or the claim of a volume",
    [ERR_POD_IMAGE] = "nodes have to reach its registry, and to be let in there",
    [ERR_POD_EVICTED] = LOOK_FIRST,
    [ERR_POD_DELETED] = LOOK_FIRST,
    [ERR_POD_NODE_LOST] = LOOK_FIRST,
    [ERR_POD_OUT_OF_MEMORY] = "give more with '--memory'",
    [ERR_STORE_FULL] = "'stepcell image gc', or another place with '--store'",
    [ERR_STORE_BUSY] = "try again when the other one has ended",
    [ERR_STEP_CONFLICT] = "give the step an id of its own, or ask for exactly the same",
    [ERR_CONFIG_INVALID] = "correct what the message names",
    [ERR_OPTION_INVALID] = "the command's '--help' lists its options",
    [ERR_COMMAND_NOT_FOUND] = "install it in the image, or give its path",
    [ERR_COMMAND_NOT_EXECUTABLE] = "'chmod +x', or run it by its interpreter",
};

bool err_set(struct err *err, enum err_code code, const char *format, ...)
{
    va_list args;

    err->code = code;
    err->hint[0] = err->detail[0] = '\0';
    va_start(args, format);
    vsnprintf(err->message, sizeof(err->message), format, args);
    va_end(args);
    return false;
}

bool err_errno(struct err *err, enum err_code code, const char *format, ...)
{
    int number = errno;
    va_list args;
    size_t used;

    err->code = number == ENOSPC || number == EDQUOT ? ERR_STORE_FULL : code;
    err->hint[0] = err->detail[0] = '\0';
    va_start(args, format);
    vsnprintf(err->message, sizeof(err->message), format, args);
    va_end(args);
    used = strlen(err->message);
    snprintf(err->message + used, sizeof(err->message) - used, ": %s", strerror(number));
    return false;
}

bool err_hint(struct err *err, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(err->hint, sizeof(err->hint), format, args);
    va_end(args);
    return false;
}

bool err_detail(struct err *err, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(err->detail, sizeof(err->detail), format, args);
    va_end(args);
    return false;
}

const char *err_fix(const struct err *err)
{
    return err->hint[0] || !fixes[err->code] ? err->hint : fixes[err->code];
}

bool err_context(struct err *err, const char *format, ...)
{
    char message[ERR_MESSAGE_MAX];
    va_list args;
    size_t used;

    memcpy(message, err->message, sizeof(message));
    va_start(args, format);
    vsnprintf(err->message, sizeof(err->message), format, args);
    va_end(args);
    used = strlen(err->message);
    snprintf(err->message + used, sizeof(err->message) - used, ": %s", message);
    return false;
}

const char *err_code_text(enum err_code code)
{
    return code < ERR_COUNT ? texts[code] : texts[ERR_NONE];
}

enum err_code err_code_parse(const char *text)
{
    for (size_t i = 0; i < ERR_COUNT; i++) {
        if (strcmp(texts[i], text) == 0)
            return (enum err_code)i;
    }
    return ERR_COUNT;
}
