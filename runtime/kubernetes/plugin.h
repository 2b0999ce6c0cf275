/*
 * Programs that give credentials for a cluster (client-go credential plugins): their answer is an
 * ExecCredential on standard output. They are run with an empty standard input, and not for longer
 * than PLUGIN_TIMEOUT_MS; what they write to standard error may be anything, and is not handed on.
 */
#ifndef STEPCELL_RUNTIME_KUBERNETES_PLUGIN_H
#define STEPCELL_RUNTIME_KUBERNETES_PLUGIN_H

#include "runtime/kubernetes/kubeconfig.h"

#define PLUGIN_TIMEOUT_MS 30000
#define PLUGIN_ANSWER_MAX (1 << 20) /* bytes */

struct plugin_answer {
    char *token;             /* or NULL */
    char *certificate, *key; /* texts in PEM, or NULL */
    time_t expires;          /* 0: it does not say */
};

/* Runs it; config.invalid names it when it gives none. */
bool plugin_run(const struct kube_plugin *plugin, struct plugin_answer *answer, struct err *err);

/* The pure part: what it wrote. */
bool plugin_take(const char *command, const char *api_version, const char *text, size_t len,
                 struct plugin_answer *answer, struct err *err);
void plugin_answer_release(struct plugin_answer *answer);

#define autopluginanswer CLEANUP(plugin_answer_release) struct plugin_answer

#endif
