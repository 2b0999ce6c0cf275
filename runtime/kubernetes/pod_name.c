#include "runtime/kubernetes/pod_name.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/file.h"

#define NAME_PREFIX "stepcell-"
#define NAME_BYTES  10
#define HOST_MAX    256
#define LOWER       "abcdefghijklmnopqrstuvwxyz0123456789"
#define UPPER       "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

bool pod_name_make(char name[POD_NAME_MAX], struct err *err)
{
    unsigned char random[NAME_BYTES];
    char *at = stpcpy(name, NAME_PREFIX);

    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return err_errno(err, ERR_ENGINE_FAILED, "cannot make a name for the Pod");
    for (size_t i = 0; i < sizeof(random); i++)
        at += sprintf(at, "%02x", random[i]);
    return true;
}

static void label_of(const char *text, char label[POD_LABEL_MAX])
{
    char digest[DIGEST_TEXT_MAX];

    digest_of(text, strlen(text), digest);
    memcpy(label, strchr(digest, ':') + 1, POD_LABEL_MAX - 1);
    label[POD_LABEL_MAX - 1] = '\0';
}

void pod_name_of_step(const char *step, char name[POD_NAME_MAX])
{
    char label[POD_LABEL_MAX];

    label_of(step, label);
    snprintf(name, POD_NAME_MAX, NAME_PREFIX "%s", label);
}

void pod_label_step(const char *step, char label[POD_LABEL_MAX])
{
    label_of(step, label);
}

bool pod_label_owner(char label[POD_LABEL_MAX], struct err *err)
{
    autobuf machine = BUF_INIT(HOST_MAX);
    char host[HOST_MAX] = "";
    autofree char *text = NULL;
    struct err ignored;

    /* A container may have no number of its machine; then its name has to do. */
    if (!file_read(AT_FDCWD, "/etc/machine-id", &machine, ERR_ENGINE_FAILED, &ignored))
        buf_release(&machine);
    gethostname(host, sizeof(host) - 1);
    text = text_printf("%s %s %u", machine.len ? machine.data : "", host, geteuid());
    if (!text)
        return err_set(err, ERR_ENGINE_FAILED, "not enough memory for the Pod");
    label_of(text, label);
    return true;
}

/* Bytes of `inner`, of which the first and the last are of `outer`. */
static bool is_word(const char *text, size_t len, size_t max, const char *outer, const char *inner)
{
    return len > 0 && len <= max && strspn(text, inner) >= len && strchr(outer, text[0]) &&
           strchr(outer, text[len - 1]);
}

bool pod_is_name(const char *name)
{
    size_t len = strlen(name);

    if (len > POD_OBJECT_MAX)
        return false;
    for (const char *part = name;; part++) {
        size_t size = strcspn(part, ".");

        if (!is_word(part, size, POD_OBJECT_MAX, LOWER, LOWER "-"))
            return false;
        part += size;
        if (!*part)
            return true;
    }
}

bool pod_is_label(const char *key, const char *value)
{
    static const char outer[] = LOWER UPPER, inner[] = LOWER UPPER "-_.";
    const char *slash = strchr(key, '/'), *word = slash ? slash + 1 : key;
    autofree char *prefix = slash ? strndup(key, (size_t)(slash - key)) : NULL;

    return (!slash || (prefix && pod_is_name(prefix))) &&
           is_word(word, strlen(word), POD_WORD_MAX, outer, inner) &&
           (!*value || is_word(value, strlen(value), POD_WORD_MAX, outer, inner));
}

bool pod_label_is_own(const char *key)
{
    return strncmp(key, LABEL_POD_OWN, strlen(LABEL_POD_OWN)) == 0 ||
           strcmp(key, LABEL_POD_MANAGER) == 0;
}

bool pod_selector_is_own(const char *key)
{
    return strcmp(key, SELECTOR_OS) == 0 || strcmp(key, SELECTOR_ARCH) == 0;
}
