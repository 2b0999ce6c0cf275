/*
 * A command beside the first process of a container: the API's `exec`, over a WebSocket with the
 * protocol v4.channel.k8s.io, whose messages begin with the number of their stream.
 *
 * The API carries bytes and no more. There is no end of stdin, and a command whose connection is
 * lost runs on, or gets a SIGPIPE: who needs more has to frame it. That the connection is lost is
 * an error here, and never an end.
 *
 *   pod_exec_open, then poll pod_exec_fd for pod_exec_events and call pod_exec_work, until
 *   pod_exec_has_ended; or pod_exec_wait, which does that.
 *
 * Whoever uses it ignores SIGPIPE.
 */
#ifndef STEPCELL_RUNTIME_KUBERNETES_POD_EXEC_H
#define STEPCELL_RUNTIME_KUBERNETES_POD_EXEC_H

#include "runtime/kubernetes/client.h"

#define POD_EXEC_WRITE_MAX (WEBSOCKET_SEND_MAX - 1) /* bytes of stdin at once */

enum pod_stream { POD_STDIN, POD_STDOUT, POD_STDERR, POD_STATUS, POD_SIZE };

struct pod_exec_call {
    const char *pod;
    const char *container;
    const char *const *command; /* ended by NULL; its first word is an absolute path */
    bool has_stdin;
    bool has_terminal; /* stdout and stderr are one: stdout */
    /* Takes what the command writes to POD_STDOUT or POD_STDERR; false, with an error, ends it. */
    bool (*take)(void *data, enum pod_stream stream, const void *bytes, size_t len,
                 struct err *err);
    void *data;
    struct http_stop stop; /* asked about once a second while it waits */
};

struct pod_exec;

/*
 * Asks whether the caller may, before a Pod is made that would be of no use. False with an error
 * that says it may not, and what that is for: `what` completes "does not let stepcell".
 */
bool pod_exec_is_allowed(struct kube_client *client, const struct kube_config *config,
                         const char *what, struct err *err);

/* `config` and the call's `data` are borrowed as long as it lives. */
bool pod_exec_open(const struct kube_config *config, const struct pod_exec_call *call,
                   struct pod_exec **exec, struct err *err);

/* Also in the middle: the command runs on, without anybody who reads it. */
void pod_exec_close(struct pod_exec *exec);

int pod_exec_fd(const struct pod_exec *exec);
short pod_exec_events(const struct pod_exec *exec);
bool pod_exec_work(struct pod_exec *exec, struct err *err);

/* Instead, for who has no room for what the command writes: sends what waits, and takes nothing. */
bool pod_exec_push(struct pod_exec *exec, struct err *err);

/* To stdin: POD_EXEC_WRITE_MAX bytes at the most, all of which are taken, when it may write. */
bool pod_exec_may_write(const struct pod_exec *exec);
bool pod_exec_write(struct pod_exec *exec, const void *bytes, size_t len, struct err *err);

/* The size of the terminal, with the same condition. */
bool pod_exec_resize(struct pod_exec *exec, unsigned int columns, unsigned int rows,
                     struct err *err);

/* Whether the command has ended, and with which status. */
bool pod_exec_has_ended(const struct pod_exec *exec, int *status);

/* Takes what comes until the command has ended. */
bool pod_exec_wait(struct pod_exec *exec, int *status, struct err *err);

/* What the last message says (pure): the status; false with an error when it could not be run. */
bool pod_exec_parse_status(const char *text, size_t len, int *status, struct err *err);

static inline void cleanup_pod_exec(struct pod_exec **exec)
{
    pod_exec_close(*exec);
}
#define autopodexec CLEANUP(cleanup_pod_exec) struct pod_exec

#endif
