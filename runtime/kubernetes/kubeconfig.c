#include "runtime/kubernetes/kubeconfig.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/file.h"
#include "base/path.h"
#include "runtime/kubernetes/yaml.h"
#include "runtime/net/url.h"

#define EXEC_API "client.authentication.k8s.io/"

/* One part of the file that is read, for messages: "user 'jo' of '/home/jo/.kube/config'". */
struct part {
    const char *file, *kind, *name;
    const json_t *value;
};

static bool no_memory(struct err *err)
{
    return err_set(err, ERR_CONFIG_INVALID, "not enough memory to read the kubeconfig");
}

static bool refuse(const struct part *part, const char *why, struct err *err)
{
    return err_set(err, ERR_CONFIG_INVALID, "%s '%s' of '%s' %s", part->kind, part->name,
                   part->file, why);
}

bool kube_name_is_valid(const char *name)
{
    static const char inner[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
    size_t len = strlen(name);

    return len > 0 && len <= KUBE_NAMESPACE_MAX && strspn(name, inner) == len && *name != '-' &&
           name[len - 1] != '-';
}

/* A text of the part, which must be one where it is there; NULL and "" are none. */
static bool get_text(const struct part *part, const char *key, const char **text, struct err *err)
{
    const json_t *value = json_object_get(part->value, key);

    *text = NULL;
    if (!value || json_is_null(value))
        return true;
    if (!json_is_string(value))
        return err_set(err, ERR_CONFIG_INVALID, "'%s' in %s '%s' of '%s' is no text", key,
                       part->kind, part->name, part->file);
    if (json_string_length(value) > 0)
        *text = json_string_value(value);
    return true;
}

/* Relative to the file itself, as kubectl has it. */
static char *beside(const struct part *part, const char *path)
{
    const char *end = strrchr(part->file, '/');

    return *path == '/' || !end ? strdup(path)
                                : text_printf("%.*s/%s", (int)(end - part->file), part->file, path);
}

/* What would change who is trusted or who acts, and is not done here. */
struct unknown {
    const char *key, *why;
};

static bool refuse_unknown(const struct part *part, const struct unknown *unknown, size_t count,
                           struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_object_get(part->value, unknown[i].key);

        if (!value || json_is_null(value) || json_is_false(value))
            continue;
        err_set(err, ERR_CONFIG_INVALID, "%s '%s' of '%s' has '%s', which stepcell does not take",
                part->kind, part->name, part->file, unknown[i].key);
        return err_hint(err, "%s", unknown[i].why);
    }
    return true;
}

static bool decode(const struct part *part, const char *key, const char *data, char **bytes,
                   size_t *len, struct err *err)
{
    *bytes = base64_decode(data, len);
    return *bytes || err_set(err, ERR_CONFIG_INVALID, "'%s' in %s '%s' of '%s' is no base64", key,
                             part->kind, part->name, part->file);
}

static bool take_authorities(const struct part *part, struct kube_config *config, struct err *err)
{
    autobuf text = BUF_INIT(KUBECONFIG_MAX);
    autofree char *path = NULL;
    const char *data, *file;
    size_t len;

    if (!get_text(part, "certificate-authority-data", &data, err) ||
        !get_text(part, "certificate-authority", &file, err))
        return false;
    if (data)
        return decode(part, "certificate-authority-data", data, &config->tls.authorities, &len,
                      err);
    if (!file)
        return true;
    path = beside(part, file);
    if (!path)
        return no_memory(err);
    if (!file_read(AT_FDCWD, path, &text, ERR_CONFIG_INVALID, err))
        return err_context(err, "the authorities of cluster '%s'", part->name);
    config->tls.authorities = buf_take(&text);
    return config->tls.authorities || no_memory(err);
}

/* Credentials must not go where others can read them. */
static bool take_server(const struct part *part, struct kube_config *config, struct err *err)
{
    autourl url = {0};
    const char *server;
    size_t len;

    if (!get_text(part, "server", &server, err))
        return false;
    if (!server || !url_parse(server, NULL, &url))
        return refuse(part, "has no 'server' that is a URL of https", err);
    if (!url.https && !host_is_loopback(url.host)) {
        refuse(part, "would send credentials by plain HTTP", err);
        return err_hint(err, "give its server as https://HOST:PORT");
    }
    len = strlen(server);
    while (len > 0 && server[len - 1] == '/')
        len--;
    config->server = strndup(server, len);
    return config->server || no_memory(err);
}

static bool take_cluster(const struct part *part, struct kube_config *config, struct err *err)
{
    static const struct unknown unknown[] = {
        {"insecure-skip-tls-verify", "it would trust whoever answers: give certificate-authority "
                                     "or certificate-authority-data"},
        {"tls-server-name", "give a server by a name that its certificate has"},
        {"proxy-url", "the proxy variables of the environment name proxies"},
    };

    return refuse_unknown(part, unknown, ARRAY_SIZE(unknown), err) &&
           take_server(part, config, err) && take_authorities(part, config, err);
}

static int memory_file(const char *bytes, size_t len)
{
    int fd = memfd_create("kubernetes", MFD_CLOEXEC);

    return fd >= 0 && file_write_all(fd, bytes, len) ? fd : close_fd(fd);
}

bool kube_config_set_certificate(struct kube_config *config, const char *certificate,
                                 size_t certificate_len, const char *key, size_t key_len,
                                 struct err *err)
{
    const char *texts[] = {certificate, key};
    size_t lengths[] = {certificate_len, key_len};
    char **paths[] = {&config->tls.certificate, &config->tls.key};

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        close_fd(config->memory[i]);
        free(*paths[i]);
        config->memory[i] = memory_file(texts[i], lengths[i]);
        *paths[i] = text_printf("/proc/self/fd/%d", config->memory[i]);
        if (config->memory[i] < 0 || !*paths[i])
            return no_memory(err);
    }
    return true;
}

static bool take_inline_certificate(const struct part *part, const char *data, const char *key_data,
                                    struct kube_config *config, struct err *err)
{
    autofree char *certificate = NULL, *key = NULL;
    size_t len, key_len;

    return decode(part, "client-certificate-data", data, &certificate, &len, err) &&
           decode(part, "client-key-data", key_data, &key, &key_len, err) &&
           kube_config_set_certificate(config, certificate, len, key, key_len, err);
}

static bool take_certificate(const struct part *part, struct kube_config *config, struct err *err)
{
    const char *data, *file, *key_data, *key_file;

    if (!get_text(part, "client-certificate-data", &data, err) ||
        !get_text(part, "client-certificate", &file, err) ||
        !get_text(part, "client-key-data", &key_data, err) ||
        !get_text(part, "client-key", &key_file, err))
        return false;
    if (!data && !file && !key_data && !key_file)
        return true;
    if (data && key_data)
        return take_inline_certificate(part, data, key_data, config, err);
    if (data || key_data || !file || !key_file) {
        refuse(part, "has a client certificate without its key, or each in another way", err);
        return err_hint(err, "give both as files, or both as data");
    }
    config->tls.certificate = beside(part, file);
    config->tls.key = beside(part, key_file);
    return (config->tls.certificate && config->tls.key) || no_memory(err);
}

static bool take_arguments(const struct part *part, const json_t *list, struct strv *arguments,
                           struct err *err)
{
    const json_t *item;
    size_t i;

    if (list && !json_is_null(list) && !json_is_array(list))
        return refuse(part, "has 'args' that are no list", err);
    json_array_foreach (list, i, item) {
        if (!json_is_string(item))
            return refuse(part, "has 'args' that are no texts", err);
        if (!strv_add(arguments, json_string_value(item)))
            return no_memory(err);
    }
    return true;
}

static bool take_variables(const struct part *part, const json_t *list, struct strv *variables,
                           struct err *err)
{
    const json_t *item;
    size_t i;

    if (list && !json_is_null(list) && !json_is_array(list))
        return refuse(part, "has an 'env' that is no list", err);
    json_array_foreach (list, i, item) {
        const char *name = json_text(item, "name"), *value = json_text(item, "value");

        if (!name || !*name || strchr(name, '=') || !value)
            return refuse(part, "has an 'env' with an item that is no name and value", err);
        if (!strv_take(variables, text_printf("%s=%s", name, value)))
            return no_memory(err);
    }
    return true;
}

static bool take_plugin(const struct part *user, const struct part *cluster,
                        struct kube_config *config, struct err *err)
{
    struct part part = *user;
    struct kube_plugin *plugin = &config->plugin;
    const char *command, *version, *mode;

    part.value = json_object_get(user->value, "exec");
    if (!part.value || json_is_null(part.value))
        return true;
    if (!get_text(&part, "command", &command, err) ||
        !get_text(&part, "apiVersion", &version, err) ||
        !get_text(&part, "interactiveMode", &mode, err))
        return false;
    if (!command)
        return refuse(&part, "has an 'exec' without a command", err);
    if (!version ||
        (strcmp(version, EXEC_API "v1") != 0 && strcmp(version, EXEC_API "v1beta1") != 0)) {
        refuse(&part, "has an 'exec' of an apiVersion that is not known", err);
        return err_hint(err, EXEC_API "v1 and v1beta1 are");
    }
    if (mode && strcmp(mode, "Always") == 0) {
        refuse(&part, "has an 'exec' that asks somebody at a terminal", err);
        return err_hint(err, "a step has none: use a token or a certificate");
    }
    plugin->command = strchr(command, '/') ? beside(&part, command) : strdup(command);
    plugin->api_version = strdup(version);
    if (json_is_true(json_object_get(part.value, "provideClusterInfo"))) {
        plugin->cluster = json_copy((json_t *)cluster->value);
        json_object_del(plugin->cluster, "certificate-authority");
    }
    if (!plugin->command || !plugin->api_version)
        return no_memory(err);
    return take_arguments(&part, json_object_get(part.value, "args"), &plugin->arguments, err) &&
           take_variables(&part, json_object_get(part.value, "env"), &plugin->environment, err);
}

static bool take_token(const struct part *part, struct kube_config *config, struct err *err)
{
    const char *token, *file;

    if (!get_text(part, "token", &token, err) || !get_text(part, "tokenFile", &file, err))
        return false;
    /* The file wins, as with kubectl: it is the one that is renewed. */
    if (file) {
        config->token_file = beside(part, file);
        return config->token_file || no_memory(err);
    }
    if (!token)
        return true;
    if (strlen(token) > KUBE_TOKEN_MAX || strpbrk(token, " \t\r\n"))
        return refuse(part, "has a token that is none", err);
    config->token = strdup(token);
    return config->token || no_memory(err);
}

static bool take_user(const struct part *part, const struct part *cluster,
                      struct kube_config *config, struct err *err)
{
    static const struct unknown unknown[] = {
        {"username", "clusters have no passwords any more: use a token or a certificate"},
        {"password", "clusters have no passwords any more: use a token or a certificate"},
        {"auth-provider", "use the program that has come in its place, by 'exec'"},
        {"as", "give the step a user of its own"},
        {"as-uid", "give the step a user of its own"},
        {"as-groups", "give the step a user of its own"},
        {"as-user-extra", "give the step a user of its own"},
    };

    return refuse_unknown(part, unknown, ARRAY_SIZE(unknown), err) &&
           take_token(part, config, err) && take_certificate(part, config, err) &&
           take_plugin(part, cluster, config, err);
}

/* The entry of a list {"name", `key`: …}; NULL when there is none of that name. */
static const json_t *find_entry(const json_t *root, const char *list, const char *key,
                                const char *wanted)
{
    const json_t *item;
    size_t i;

    json_array_foreach (json_object_get(root, list), i, item) {
        const char *name = json_text(item, "name");
        const json_t *value = json_object_get(item, key);

        if (name && strcmp(name, wanted) == 0 && json_is_object(value))
            return value;
    }
    return NULL;
}

/* Into part->value, of the first file that has it. */
static bool find_part(const struct kube_file *files, size_t count, const char *list,
                      const char *key, struct part *part, struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        part->file = files[i].path;
        part->value = find_entry(files[i].root, list, key, part->name);
        if (part->value)
            return true;
    }
    return err_set(err, ERR_CONFIG_INVALID, "'%s' has no %s '%s'", files[0].path, part->kind,
                   part->name);
}

static const char *current_context(const struct kube_file *files, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *name = json_text(files[i].root, "current-context");

        if (name && *name)
            return name;
    }
    return NULL;
}

static bool take_space(const char *asked, const char *given, struct kube_config *config,
                       struct err *err)
{
    const char *space = asked ? asked : given ? given : "default";

    if (!kube_name_is_valid(space)) {
        err_set(err, ERR_CONFIG_INVALID, "'%.100s' is no name of a namespace", space);
        return err_hint(err, "small letters, digits and '-', %d at the most", KUBE_NAMESPACE_MAX);
    }
    config->space = strdup(space);
    return config->space || no_memory(err);
}

bool kube_config_take(const struct kube_file *files, size_t count, const char *context,
                      const char *space, struct kube_config *config, struct err *err)
{
    struct part around = {.kind = "context", .name = context};
    struct part cluster = {.kind = "cluster"}, user = {.kind = "user"};
    const char *given;

    if (!around.name)
        around.name = current_context(files, count);
    if (!around.name) {
        err_set(err, ERR_CONFIG_INVALID, "'%s' has no current context", files[0].path);
        return err_hint(err, "choose one with --kubernetes-context");
    }
    if (!find_part(files, count, "contexts", "context", &around, err) ||
        !get_text(&around, "cluster", &cluster.name, err) ||
        !get_text(&around, "user", &user.name, err) || !get_text(&around, "namespace", &given, err))
        return false;
    if (!cluster.name || !user.name)
        return refuse(&around, "names no cluster, or no user", err);
    return find_part(files, count, "clusters", "cluster", &cluster, err) &&
           find_part(files, count, "users", "user", &user, err) &&
           take_cluster(&cluster, config, err) && take_user(&user, &cluster, config, err) &&
           take_space(space, given, config, err);
}

static bool read_file(const char *path, struct kube_file *file, struct err *err)
{
    autobuf text = BUF_INIT(KUBECONFIG_MAX);
    autofree char *what = text_printf("'%s'", path);

    if (!what)
        return no_memory(err);
    if (!file_read(AT_FDCWD, path, &text, ERR_CONFIG_INVALID, err))
        return err_hint(err, "KUBECONFIG names the file that says where the cluster is");
    file->path = path;
    file->root = yaml_parse(text.data ? text.data : "", text.len, what, err);
    return file->root;
}

/* Several have colons between them; empty names are none. */
static bool add_paths(const char *given, struct strv *paths)
{
    while (*given) {
        size_t len = strcspn(given, ":");

        if (len > 0 && !strv_take(paths, strndup(given, len)))
            return false;
        given += len + (given[len] == ':');
    }
    return true;
}

/* Of several, those that are not there are left out, as kubectl does. */
static bool read_list(const struct strv *paths, struct kube_file *files, size_t *count,
                      struct err *err)
{
    for (size_t i = 0; i < paths->count; i++) {
        const char *path = paths->items[i];

        if (paths->count > 1 && access(path, F_OK) < 0 && errno == ENOENT)
            continue;
        if (!read_file(path, &files[*count], err))
            return false;
        ++*count;
    }
    if (*count > 0)
        return true;
    err_set(err, ERR_CONFIG_INVALID, "there is none of the files that KUBECONFIG names");
    return err_hint(err, "they say where the cluster is, as '~/.kube/config' does");
}

static bool read_files(const struct strv *paths, const char *context, const char *space,
                       struct kube_config *config, struct err *err)
{
    struct kube_file files[KUBECONFIG_FILES_MAX] = {0};
    size_t count = 0;
    bool ok;

    if (paths->count > ARRAY_SIZE(files))
        return err_set(err, ERR_CONFIG_INVALID, "KUBECONFIG names more than %d files",
                       KUBECONFIG_FILES_MAX);
    ok = read_list(paths, files, &count, err) &&
         kube_config_take(files, count, context, space, config, err);
    for (size_t i = 0; i < count; i++)
        json_decref((json_t *)files[i].root);
    return ok;
}

/* Of a Pod: its token is renewed, and so is read again. */
static bool read_service_account(const struct kube_caller *caller, const char *space,
                                 struct kube_config *config, struct err *err)
{
    const char *folder = caller->service_folder;
    autofree char *authorities = text_printf("%s/ca.crt", folder);
    autofree char *own_space = text_printf("%s/namespace", folder);
    autobuf certificates = BUF_INIT(KUBECONFIG_MAX), name = BUF_INIT(KUBE_NAMESPACE_MAX);
    const char *bracket = strchr(caller->service_host, ':') ? "[" : "";

    config->server = text_printf("https://%s%s%s:%s", bracket, caller->service_host,
                                 *bracket ? "]" : "", caller->service_port);
    config->token_file = text_printf("%s/token", folder);
    if (!authorities || !own_space || !config->server || !config->token_file)
        return no_memory(err);
    if (!file_read(AT_FDCWD, authorities, &certificates, ERR_CONFIG_INVALID, err))
        return err_hint(err, "give this Pod a service account that may make Pods");
    config->tls.authorities = buf_take(&certificates);
    if (!space && !file_read(AT_FDCWD, own_space, &name, ERR_CONFIG_INVALID, err))
        return false;
    return config->tls.authorities ? take_space(space, name.data, config, err) : no_memory(err);
}

static bool no_place(struct err *err)
{
    err_set(err, ERR_CONFIG_INVALID, "there is no kubeconfig, and this is no Pod of a cluster");
    return err_hint(err, "KUBECONFIG names the file that says where the cluster is; its default is "
                         "~/.kube/config");
}

/* The file that is looked for where none is named; "" when it is not there, NULL without memory. */
static char *usual_file(const struct kube_caller *caller)
{
    autofree char *path = caller->home ? text_printf("%s/.kube/config", caller->home) : strdup("");

    if (path && *path && access(path, F_OK) < 0)
        *path = '\0';
    return TAKE_PTR(path);
}

static bool is_in_cluster(const struct kube_caller *caller)
{
    return caller->service_host && caller->service_port;
}

bool kube_caller_has_cluster(const struct kube_caller *caller)
{
    autofree char *usual = usual_file(caller);

    return (caller->kubeconfig && *caller->kubeconfig) || (usual && *usual) ||
           is_in_cluster(caller);
}

bool kube_config_find(const struct kube_caller *caller, const char *context, const char *space,
                      struct kube_config *config, struct err *err)
{
    autofree char *usual = usual_file(caller);
    const char *given = caller->kubeconfig;
    autostrv paths = {0};

    if (given && *given)
        return add_paths(given, &paths) ? read_files(&paths, context, space, config, err)
                                        : no_memory(err);
    if (!usual)
        return no_memory(err);
    if (*usual)
        return strv_add(&paths, usual) ? read_files(&paths, context, space, config, err)
                                       : no_memory(err);
    if (!is_in_cluster(caller) || context)
        return no_place(err);
    return read_service_account(caller, space, config, err);
}

struct kube_caller kube_caller_now(const char *file)
{
    if (file)
        return (struct kube_caller){.kubeconfig = file};
    return (struct kube_caller){
        .kubeconfig = getenv("KUBECONFIG"),
        .home = getenv("HOME"),
        .service_host = getenv("KUBERNETES_SERVICE_HOST"),
        .service_port = getenv("KUBERNETES_SERVICE_PORT"),
        .service_folder = KUBE_SERVICE_FOLDER,
    };
}

void kube_config_release(struct kube_config *config)
{
    free(config->server);
    free(config->space);
    free(config->token);
    free(config->token_file);
    free(config->plugin.command);
    free(config->plugin.api_version);
    strv_release(&config->plugin.arguments);
    strv_release(&config->plugin.environment);
    json_decref(config->plugin.cluster);
    http_tls_release(&config->tls);
    close_fd(config->memory[0]);
    close_fd(config->memory[1]);
    *config = KUBE_CONFIG_INIT;
}
