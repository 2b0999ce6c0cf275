#include "shim/abandoned.h"

#include <string.h>

#include "base/child.h"
#include "base/cleanup.h"
#include "shim/helper.h"

#define WORDS_MAX 16

/* An option with its value, where there is one. */
static size_t add(char **words, size_t count, const char *option, const char *value)
{
    if (!value)
        return count;
    words[count++] = (char *)option;
    words[count++] = (char *)value;
    return count;
}

bool abandoned_remove(const char *engine, const json_t *cell, const json_t *accepted,
                      const char *step)
{
    bool cluster = strcmp(engine, "kubernetes") == 0;
    const char *program = cluster ? "stepcell-kubernetes" : "stepcell-docker";
    char *words[WORDS_MAX] = {(char *)program, "sweep"};
    size_t count = add(words, 2, "--step", step);
    autofd report = -1;
    struct err ignored;
    pid_t child;

    if (cluster) {
        count = add(words, count, "--context", json_text(cell, "context"));
        count = add(words, count, "--kubeconfig", json_text(cell, "kubeconfig"));
        add(words, count, "--namespace", json_text(cell, "namespace"));
    } else {
        count = add(words, count, "--engine", engine);
        add(words, count, "--host", json_text(accepted, "engine_host"));
    }
    return helper_start(program, words, -1, &child, &report, &ignored) && child_wait(child) == 0;
}
