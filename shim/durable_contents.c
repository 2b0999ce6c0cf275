#include "shim/durable_contents.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "shim/environment.h"
#include "shim/script.h"

/* Members of the record. */
#define SCRIPT    "script_hmac"
#define ENV       "env_hmac"
#define ENV_FILES "env_file_hmac"

static const struct {
    const char *member, *name;
} digests[] = {
    {SCRIPT, "script"},
    {ENV, "env"},
    {ENV_FILES, "env_file"},
    {"script_sha256", "script"}, /* of older records, which nobody writes any more */
};

static bool no_memory(struct err *err)
{
    return err_set(err, ERR_ENGINE_FAILED, "not enough memory for the step");
}

/* Copies stdin to its end. */
static bool copy_stdin(int to, struct digest *digest, size_t *len, struct err *err)
{
    char chunk[65536];
    ssize_t n;

    for (*len = 0; (n = read(STDIN_FILENO, chunk, sizeof(chunk))) != 0;) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(err, ERR_SCRIPT_MISSING, "cannot read the script from stdin");
        *len += (size_t)n;
        if (*len > SCRIPT_MAX)
            return err_set(err, ERR_SCRIPT_MISSING, "the script is larger than %d bytes",
                           SCRIPT_MAX);
        if (!file_write_all(to, chunk, (size_t)n))
            return err_errno(err, ERR_ENGINE_FAILED, "cannot keep the script");
        digest_update(digest, chunk, (size_t)n);
    }
    return true;
}

static bool take_stdin(struct contents *contents, struct err *err)
{
    autofd file = memfd_create("script", MFD_CLOEXEC);
    autodigest *digest = digest_new();
    size_t len;

    if (!digest)
        return no_memory(err);
    if (file < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot keep the script");
    if (!copy_stdin(file, digest, &len, err))
        return false;
    if (lseek(file, 0, SEEK_SET) < 0 || dup2(file, STDIN_FILENO) < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot keep the script");
    if (len > 0)
        digest_finish(digest, contents->script);
    return true;
}

static bool take_script(const char *script, struct contents *contents, struct err *err)
{
    autobuf text = BUF_INIT(SCRIPT_MAX);
    struct err ignored;

    if (strcmp(script, "-") == 0)
        return take_stdin(contents, err);
    if (file_read(AT_FDCWD, script, &text, ERR_SCRIPT_MISSING, &ignored))
        digest_of(text.data ? text.data : "", text.len, contents->script);
    return true;
}

/* The variables that `give` gives, one behind the other. */
static bool take_variables(bool (*give)(const struct run_options *options, char **caller,
                                        struct strv *env, struct err *err),
                           const struct run_options *options, char **caller,
                           char text[DIGEST_TEXT_MAX], struct err *err)
{
    autodigest *digest = digest_new();
    struct strv env = {0};
    struct err ignored;

    if (!digest)
        return no_memory(err);
    if (give(options, caller, &env, &ignored)) {
        for (size_t i = 0; i < env.count; i++)
            digest_update(digest, env.items[i], strlen(env.items[i]) + 1);
        digest_finish(digest, text);
    }
    environment_wipe(&env);
    return true;
}

bool contents_take(const struct run_options *options, char **caller, struct contents *contents,
                   struct err *err)
{
    *contents = (struct contents){.script = ""};
    return (!options->script || take_script(options->script, contents, err)) &&
           (!options->env.count ||
            take_variables(environment_of_options, options, caller, contents->env, err)) &&
           (!options->env_files.count ||
            take_variables(environment_of_files, options, caller, contents->env_file, err));
}

bool contents_are_known(const struct contents *contents)
{
    return *contents->script || *contents->env || *contents->env_file;
}

static bool note(const char *digest, const char *member, const struct step_key *key, json_t *asked,
                 struct err *err)
{
    char keyed[DIGEST_TEXT_MAX];

    if (!*digest)
        return true;
    digest_keyed(key->bytes, sizeof(key->bytes), digest, strlen(digest), keyed);
    return json_object_set_new(asked, member, json_string(keyed)) == 0 || no_memory(err);
}

bool contents_note(const struct contents *contents, const struct step_key *key, json_t *asked,
                   struct err *err)
{
    return note(contents->script, SCRIPT, key, asked, err) &&
           note(contents->env, ENV, key, asked, err) &&
           note(contents->env_file, ENV_FILES, key, asked, err);
}

const char *contents_name(const char *member, bool *is_digest)
{
    size_t i = 0;

    while (i < ARRAY_SIZE(digests) && strcmp(digests[i].member, member) != 0)
        i++;
    *is_digest = i < ARRAY_SIZE(digests);
    return *is_digest ? digests[i].name : member;
}
