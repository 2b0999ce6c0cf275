#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/base64.h"
#include "base/file.h"
#include "shim/image/upstream.h"
#include "shim/print.h"

#define OUTPUT_MAX 4096 /* bytes of both variables */
#define FILE_NAME  "GITHUB_OUTPUT"

static bool add_assignment(struct buf *text, const char *name, const char *value)
{
    return buf_printf(text, "%s=%s\n", name, value);
}

/* Without isOutput for later steps of the job, with it for later jobs. */
static bool add_azure(struct buf *text, const char *name, const char *value)
{
    return buf_printf(text,
                      "##vso[task.setvariable variable=%s]%s\n"
                      "##vso[task.setvariable variable=%s;isOutput=true]%s\n",
                      name, value, name, value);
}

static bool add_teamcity(struct buf *text, const char *name, const char *value)
{
    return buf_printf(text, "##teamcity[setParameter name='%s' value='%s']\n", name, value);
}

static bool add_octopus(struct buf *text, const char *name, const char *value)
{
    autofree char *coded_name = base64_encode(name, strlen(name));
    autofree char *coded_value = base64_encode(value, strlen(value));

    return coded_name && coded_value &&
           buf_printf(text, "##octopus[setVariable name='%s' value='%s']\n", coded_name,
                      coded_value);
}

static const struct upstream_output outputs[] = {
    {"github", true, false, add_assignment}, {"azure", false, false, add_azure},
    {"gitlab", false, true, add_assignment}, {"teamcity", false, false, add_teamcity},
    {"octopus", false, false, add_octopus},
};

const struct upstream_output *upstream_output_find(const char *word)
{
    for (size_t i = 0; i < ARRAY_SIZE(outputs); i++) {
        if (strcmp(outputs[i].word, word) == 0)
            return &outputs[i];
    }
    return NULL;
}

bool upstream_name_is_valid(const char *name)
{
    size_t len = 0;

    while (isalnum((unsigned char)name[len]) || name[len] == '_')
        len++;
    return len > 0 && len <= UPSTREAM_NAME_MAX && !name[len] && !isdigit((unsigned char)*name);
}

/* Whether the last line of a file has no end: what is appended would be a part of it. */
static bool is_cut(const char *path)
{
    autofd fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    struct stat st;
    char last;

    return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 &&
           pread(fd, &last, 1, st.st_size - 1) == 1 && last != '\n';
}

/* In one write behind what is there: other commands of the step may have written, too. */
static bool append_to_file(const struct buf *variables, struct err *err)
{
    autobuf text = BUF_INIT(OUTPUT_MAX + 1);
    const char *path = getenv(FILE_NAME);
    autofd fd = -1;

    if (!path || !*path) {
        err_set(err, ERR_OPTION_INVALID, "$%s names no file", FILE_NAME);
        return err_hint(err, "it is set in the steps of GitHub's workflows");
    }
    if (!buf_printf(&text, "%s%s", is_cut(path) ? "\n" : "", variables->data))
        return err_errno(err, ERR_ENGINE_FAILED, "cannot write the output");
    fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0 || !file_write_all(fd, text.data, text.len))
        return err_errno(err, ERR_ENGINE_FAILED, "cannot write to '%s'", path);
    return true;
}

bool upstream_output_write(const struct upstream_output *output, const char *name_version,
                           const char *name_continue, const struct upstream_answer *answer,
                           struct err *err)
{
    bool yes = upstream_decision(answer->reason) == UPSTREAM_YES;
    autobuf text = BUF_INIT(OUTPUT_MAX);

    if ((*answer->version && !output->add(&text, name_version, answer->version)) ||
        !output->add(&text, name_continue, yes ? "Yes" : "No"))
        return err_errno(err, ERR_ENGINE_FAILED, "cannot write the output");
    if (output->to_file)
        return append_to_file(&text, err);
    print_out("%s", text.data);
    return true;
}
