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
