#include "runtime/kubernetes/pod/setup.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

/* What has not been read. */
struct rest {
    char *at, *end;
};

static bool is_wrong(struct err *err)
{
    return err_set(err, ERR_ENGINE_FAILED, "the setup of the Pod is not complete");
}

/* `count` things of `size` bytes; NULL when there are not so many. */
static char *take(struct rest *rest, size_t count, size_t size)
{
    char *taken = rest->at;

    if (size && count > (size_t)(rest->end - rest->at) / size)
        return NULL;
    rest->at += count * size;
    return taken;
}

static char *take_text(struct rest *rest)
{
    char *text = rest->at;
    char *end = memchr(text, '\0', (size_t)(rest->end - text));

    if (!end)
        return NULL;
    rest->at = end + 1;
    return text;
}

static char **take_list(struct rest *rest, size_t count)
{
    char **list = count > POD_SETUP_MAX ? NULL : calloc(count + 2, sizeof(*list));

    for (size_t i = 0; list && i < count; i++) {
        if (!(list[i] = take_text(rest)))
            return NULL;
    }
    return list;
}

static bool take_texts(struct rest *rest, struct setup *setup)
{
    const struct pod_setup *head = &setup->head;

    return (setup->workdir = take_text(rest)) && (setup->home = take_text(rest)) &&
           (setup->spare_home = take_text(rest)) && (setup->returned = take_text(rest)) &&
           (setup->arguments = take_list(rest, head->argument_count)) &&
           (setup->environment = take_list(rest, head->environment_count)) &&
           (setup->probes = take_list(rest, 2 * (size_t)head->probe_count)) &&
           (setup->interpreters = take_list(rest, head->interpreter_count)) &&
           (setup->secrets = take_list(rest, head->secret_count)) &&
           (setup->hidden = take_list(rest, head->hidden_count)) && rest->at == rest->end;
}

static bool take_all(struct rest *rest, bool with_bytes, struct setup *setup, struct err *err)
{
    struct pod_setup *head = &setup->head;
    const char *begin = rest->at, *first = take(rest, 1, sizeof(*head));
    struct rest texts;
    size_t bytes = 0;

    if (!first)
        return is_wrong(err);
    memcpy(head, first, sizeof(*head));
    if (memcmp(head->version, POD_VERSION, sizeof(POD_VERSION)) != 0) {
        err_set(err, ERR_ENGINE_FAILED, "the init image is of another version than stepcell");
        return err_hint(err, "push one of this version: stepcell image init TARGET");
    }
    setup->secret_sizes = (const void *)take(rest, head->secret_count, sizeof(uint32_t));
    setup->filter = (const void *)take(rest, head->config.filter_count, sizeof(struct sock_filter));
    texts.at = take(rest, head->text_size, 1);
    texts.end = rest->at;
    if (!setup->secret_sizes || !setup->filter || !texts.at || !take_texts(&texts, setup) ||
        head->argument_count == 0)
        return is_wrong(err);
    setup->bytes = rest->at;
    setup->kept = (size_t)(rest->at - begin);
    for (uint32_t i = 0; i < head->secret_count; i++)
        bytes += setup->secret_sizes[i];
    return !with_bytes || bytes == (size_t)(rest->end - rest->at) || is_wrong(err);
}

bool setup_read(const char *path, bool with_bytes, struct setup *setup, struct err *err)
{
    autofd fd = open(path, O_RDONLY | O_CLOEXEC);
    /* Never freed: the lists point into it. */
    char *text = malloc(POD_SETUP_MAX + 1);
    struct rest rest = {text, text};
    ssize_t n = 0;

    while (fd >= 0 && text && rest.end - text <= POD_SETUP_MAX &&
           (n = read(fd, rest.end, (size_t)(POD_SETUP_MAX + 1 - (rest.end - text)))) > 0)
        rest.end += n;
    if (fd < 0 || !text || n < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot read the setup of the Pod");
    return rest.end - text <= POD_SETUP_MAX ? take_all(&rest, with_bytes, setup, err)
                                            : is_wrong(err);
}
