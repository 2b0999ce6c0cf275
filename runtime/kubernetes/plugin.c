#include "runtime/kubernetes/plugin.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <unistd.h>

#include "base/child.h"
#include "base/clock.h"

#define INFO_VARIABLE "KUBERNETES_EXEC_INFO"
#define CHUNK         4096

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

static int spawn(const struct strv *words, const struct strv *environment, int out, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, usual;
    int error;

    sigemptyset(&none);
    sigemptyset(&usual);
    sigaddset(&usual, SIGPIPE);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                              POSIX_SPAWN_SETPGROUP);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &usual);
    error = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (!error)
        error = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    if (!error)
        error = posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    if (!error)
        error = posix_spawnp(pid, words->items[0], &actions, &attributes, words->items,
                             environment->items);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

/* To the end of its output: *fault says what kept it from that. */
static bool read_answer(int out, struct buf *text, const char **fault)
{
    int64_t deadline = clock_now() + PLUGIN_TIMEOUT_MS * NS_PER_MS;
    struct pollfd polled = {.fd = out, .events = POLLIN};
    char chunk[CHUNK];

    for (;;) {
        int64_t left = (deadline - clock_now()) / NS_PER_MS;
        ssize_t n;

        if (left <= 0 || poll(&polled, 1, (int)left) == 0) {
            *fault = "does not end in time";
            return false;
        }
        n = read(out, chunk, sizeof(chunk));
        if (n == 0)
            return true;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 || !buf_append(text, chunk, (size_t)n)) {
            *fault = "says too much";
            return false;
        }
    }
}

bool plugin_run(const struct kube_plugin *plugin, struct plugin_answer *answer, struct err *err)
{
    autobuf text = BUF_INIT(PLUGIN_ANSWER_MAX);
    autostrv environment = {0}, words = {0};
    autofd reader = -1, writer = -1;
    const char *fault = NULL;
    int ends[2], error, status;
    pid_t pid;

    if (!make_environment(plugin, &environment) || !make_words(plugin, &words) ||
        pipe2(ends, O_CLOEXEC) < 0)
        return err_errno(err, ERR_CONFIG_INVALID, "cannot run the credential program '%s'",
                         plugin->command);
    reader = ends[0];
    writer = ends[1];
    error = spawn(&words, &environment, writer, &pid);
    writer = close_fd(writer);
    if (error) {
        errno = error;
        err_errno(err, ERR_CONFIG_INVALID, "cannot run the credential program '%s'",
                  plugin->command);
        return err_hint(err, "install it, or give its path in the kubeconfig");
    }
    if (!read_answer(reader, &text, &fault))
        kill(-pid, SIGKILL);
    status = child_wait(pid);
    if (fault)
        return refuse(plugin->command, fault, err);
    if (status != 0)
        return refuse(plugin->command, "fails", err);
    return plugin_take(plugin->command, plugin->api_version, text.data ? text.data : "", text.len,
                       answer, err);
}
