#include "runtime/image/credential_helper.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/caller.h"
#include "base/program.h"
#include "runtime/image/registry_users.h"

#define NOT_FOUND "credentials not found" /* how all helpers begin to say it */

bool helper_name_is_valid(const char *name)
{
    size_t len = strlen(name);

    if (len == 0 || len > HELPER_NAME_MAX || *name == '.')
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!isalnum((unsigned char)name[i]) && !strchr("-_.", name[i]))
            return false;
    }
    return true;
}

/* The caller's own, or a fixed one: see the header. */
static bool ask(const char *program, const char *line, struct buf *answer, const char **fault)
{
    bool own = registry_users_configure();
    autofree char *home = own ? NULL : caller_home();
    autofree char *home_variable = home ? text_printf("HOME=%s", home) : NULL;
    char *const fixed[] = {(char *)"PATH=" PROGRAM_SEARCH, home_variable, NULL};
    char path[PROGRAM_PATH_MAX];
    const char *found = own ? program : program_find(program, path);
    char *const words[] = {(char *)found, (char *)"get", NULL};
    const struct program_question question = {
        .words = words,
        .environment = own ? environ : fixed,
        .input = line,
        .timeout_ms = HELPER_TIMEOUT_MS,
    };

    if (found)
        return program_ask(&question, answer, fault);
    errno = ENOENT;
    return false;
}

bool helper_get(const char *name, const char *server, struct buf *answer, struct err *err)
{
    autofree char *program = text_printf("docker-credential-%s", name);
    autofree char *line = text_printf("%s\n", server);
    const char *fault = NULL;

    if (!program || !line)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot ask a credential helper");
    if (ask(program, line, answer, &fault))
        return true;
    if (!fault) {
        err_errno(err, ERR_REGISTRY_AUTH, "cannot start the credential helper '%s'", program);
        return err_hint(err, "install it, or take it out of 'credsStore' and 'credHelpers'");
    }
    if (answer->data && strncasecmp(answer->data, NOT_FOUND, strlen(NOT_FOUND)) == 0) {
        buf_release(answer);
        return true;
    }
    err_set(err, ERR_REGISTRY_AUTH, "the credential helper '%s' %s", program, fault);
    return err_hint(err, "try it by hand: echo HOST | %s get", program);
}
