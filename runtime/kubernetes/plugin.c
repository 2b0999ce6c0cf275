#include "runtime/kubernetes/plugin.h"

#include <string.h>
#include <unistd.h>

#include "base/program.h"

#define INFO_VARIABLE "KUBERNETES_EXEC_INFO"

static bool refuse(const char *command, const char *why, struct err *err)
{
    err_set(err, ERR_CONFIG_INVALID, "the credential program '%s' %s", command, why);
    return err_hint(err,
                    "run it by hand to see what it says; the kubeconfig names it under 'exec'");
}

static bool take_text(const json_t *status, const char *key, char **out, bool *ok)
{
    const char *text = json_text(status, key);

    if (!text || !*text)
        return false;
    *out = strdup(text);
    *ok = *ok && *out;
    return true;
}

/* RFC 3339, with or without a fraction of a second. */
static bool parse_time(const char *text, time_t *time)
{
    struct tm parts = {0};
    long offset;
    const char *at = strptime(text, "%Y-%m-%dT%H:%M:%S", &parts);

    if (at && *at == '.')
        at += 1 + strspn(at + 1, "0123456789");
    at = at ? strptime(at, "%z", &parts) : NULL;
    if (!at || *at)
        return false;
    offset = parts.tm_gmtoff;
    *time = timegm(&parts) - offset;
    return true;
}

/* Only what comes from it is of the version that it was asked for. */
static bool take_status(const char *command, const json_t *status, struct plugin_answer *answer,
                        struct err *err)
{
    const char *expires = json_text(status, "expirationTimestamp");
    bool ok = true;
    bool token = take_text(status, "token", &answer->token, &ok);
    bool certificate = take_text(status, "clientCertificateData", &answer->certificate, &ok);
    bool key = take_text(status, "clientKeyData", &answer->key, &ok);

    if (!ok)
        return err_set(err, ERR_CONFIG_INVALID, "not enough memory for credentials");
    if (certificate != key || (!token && !key))
        return refuse(command, "gives neither a token nor a certificate with its key", err);
    if (token && (strpbrk(answer->token, " \t\r\n") || strlen(answer->token) > KUBE_TOKEN_MAX))
        return refuse(command, "gives a token that is none", err);
    if (expires && !parse_time(expires, &answer->expires))
        return refuse(command, "gives a time of expiry that is none", err);
    return true;
}

bool plugin_take(const char *command, const char *api_version, const char *text, size_t len,
                 struct plugin_answer *answer, struct err *err)
{
    autojson *root =
        json_parse(text, len, "what a credential program says", ERR_CONFIG_INVALID, err);
    const char *kind = json_text(root, "kind"), *version = json_text(root, "apiVersion");

    if (!root || !kind || strcmp(kind, "ExecCredential") != 0)
        return refuse(command, "gives no ExecCredential", err);
    if (!version || strcmp(version, api_version) != 0)
        return refuse(command, "answers in another version than the kubeconfig says", err);
    return take_status(command, json_object_get(root, "status"), answer, err);
}

void plugin_answer_release(struct plugin_answer *answer)
{
    free(answer->token);
    free(answer->certificate);
    free(answer->key);
    *answer = (struct plugin_answer){0};
}

/* The caller's environment, the plugin's own variables, and what it is asked for. */
static bool make_environment(const struct kube_plugin *plugin, struct strv *environment)
{
    autojson *info = json_pack("{s:s, s:s, s:{s:b}}", "apiVersion", plugin->api_version, "kind",
                               "ExecCredential", "spec", "interactive", 0);
    autofree char *text = NULL;

    if (plugin->cluster)
        json_object_set(json_object_get(info, "spec"), "cluster", plugin->cluster);
    text = info ? json_dump_line(info) : NULL;
    for (char **one = environ; *one; one++) {
        if (strncmp(*one, INFO_VARIABLE "=", sizeof(INFO_VARIABLE)) != 0 &&
            !strv_add(environment, *one))
            return false;
    }
    for (size_t i = 0; i < plugin->environment.count; i++) {
        if (!strv_add(environment, plugin->environment.items[i]))
            return false;
    }
    return text && strv_take(environment, text_printf(INFO_VARIABLE "=%s", text));
}

static bool make_words(const struct kube_plugin *plugin, struct strv *words)
{
    bool ok = strv_add(words, plugin->command);

    for (size_t i = 0; ok && i < plugin->arguments.count; i++)
        ok = strv_add(words, plugin->arguments.items[i]);
    return ok;
}

bool plugin_run(const struct kube_plugin *plugin, struct plugin_answer *answer, struct err *err)
{
    autobuf text = BUF_INIT(PLUGIN_ANSWER_MAX);
    autostrv environment = {0}, words = {0};
    bool made = make_environment(plugin, &environment) && make_words(plugin, &words);
    const struct program_question question = {
        .words = words.items,
        .environment = environment.items,
        .timeout_ms = PLUGIN_TIMEOUT_MS,
    };
    const char *fault = NULL;

    if (made && program_ask(&question, &text, &fault))
        return plugin_take(plugin->command, plugin->api_version, text.data ? text.data : "",
                           text.len, answer, err);
    if (fault)
        return refuse(plugin->command, fault, err);
    err_errno(err, ERR_CONFIG_INVALID, "cannot run the credential program '%s'", plugin->command);
    return err_hint(err, "install it, or give its path in the kubeconfig");
}
