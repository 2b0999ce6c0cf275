/*
 * Errors: one plain structure, owned by the caller, passed as the last parameter.
 *
 * It is set where the cause is known, with a code, one sentence (lower case, what went wrong first,
 * the subject in single quotes) and, where there is one, the fix as a hint. What another program
 * said of it is no part of the sentence: it is the detail. Each layer above may put one phrase of
 * context in front. A function that can fail returns false (or -1, or NULL) and
 * has set `err`; outputs are written only on success.
 */
#ifndef STEPCELL_BASE_ERR_H
#define STEPCELL_BASE_ERR_H

#include <stdbool.h>
#include <stddef.h>

/* The stable dotted codes of docs/errors.md. */
#define ERR_CODES(X)                                                                               \
    X(NONE, "none")                                                                                \
    X(IMAGE_ENTRYPOINT, "image.entrypoint")                                                        \
    X(IMAGE_NOT_FOUND, "image.not-found")                                                          \
    X(IMAGE_PLATFORM, "image.platform")                                                            \
    X(IMAGE_SHELL_MISSING, "image.shell-missing")                                                  \
    X(IMAGE_CORRUPT, "image.corrupt")                                                              \
    X(IMAGE_DENIED, "image.denied")                                                                \
    X(IMAGE_UNPINNED, "image.unpinned")                                                            \
    X(IMAGE_SIGNATURE, "image.signature")                                                          \
    X(POLICY_DENIED, "policy.denied")                                                              \
    X(REGISTRY_AUTH, "registry.auth")                                                              \
    X(REGISTRY_UNREACHABLE, "registry.unreachable")                                                \
    X(REGISTRY_RATE_LIMITED, "registry.rate-limited")                                              \
    X(MOUNT_SOURCE_MISSING, "mount.source-missing")                                                \
    X(MOUNT_CONFLICT, "mount.conflict")                                                            \
    X(MOUNT_DENIED, "mount.denied")                                                                \
    X(WORKDIR_MISSING, "workdir.missing")                                                          \
    X(SCRIPT_MISSING, "script.missing")                                                            \
    X(USER_UNKNOWN, "user.unknown")                                                                \
    X(ENGINE_UNAVAILABLE, "engine.unavailable")                                                    \
    X(ENGINE_FAILED, "engine.failed")                                                              \
    X(POD_UNSCHEDULED, "pod.unscheduled")                                                          \
    X(POD_IMAGE, "pod.image-not-pulled")                                                           \
    X(POD_EVICTED, "pod.evicted")                                                                  \
    X(POD_DELETED, "pod.deleted")                                                                  \
    X(POD_NODE_LOST, "pod.node-lost")                                                              \
    X(POD_OUT_OF_MEMORY, "pod.out-of-memory")                                                      \
    X(STORE_FULL, "store.full")                                                                    \
    X(STORE_BUSY, "store.busy")                                                                    \
    X(STEP_CONFLICT, "step.conflict")                                                              \
    X(CONFIG_INVALID, "config.invalid")                                                            \
    X(OPTION_INVALID, "option.invalid")                                                            \
    X(COMMAND_NOT_FOUND, "command.not-found")                                                      \
    X(COMMAND_NOT_EXECUTABLE, "command.not-executable")

enum err_code {
#define X(name, text) ERR_##name,
    ERR_CODES(X)
#undef X
        ERR_COUNT
};

#define ERR_MESSAGE_MAX 2048 /* bytes with the final NUL; longer texts are cut */
#define ERR_HINT_MAX    1024
#define ERR_DETAIL_MAX  1000

/* Less than PIPE_BUF, so that it goes through a pipe in one piece. */
struct err {
    enum err_code code;
    char message[ERR_MESSAGE_MAX];
    char hint[ERR_HINT_MAX];
    char detail[ERR_DETAIL_MAX]; /* raw text of a daemon or a tool, or "" */
};

#define ERR_INIT ((struct err){.code = ERR_NONE})

/* Sets code and message, clears hint and detail, returns false. `err` must not be NULL. */
bool err_set(struct err *err, enum err_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As err_set, with ": " and the text of errno at the end. ENOSPC and EDQUOT become store.full. */
bool err_errno(struct err *err, enum err_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Sets the hint of an error that is already set, returns false. */
bool err_hint(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Sets the detail of an error that is already set, returns false. */
bool err_detail(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts "context: " in front of the message, returns false. */
bool err_context(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The fix: the hint, or where there is none what docs/errors.md says of the code. */
const char *err_fix(const struct err *err);

/* The dotted text of a code, and the code of a text (ERR_COUNT when it is none). */
const char *err_code_text(enum err_code code);
enum err_code err_code_parse(const char *text);

#endif
