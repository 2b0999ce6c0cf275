/*
 * What an engine gets: a resolved root file system and a resolved run spec, two plain structures
 * that the shim fills. Nothing in them is looked up or guessed again.
 */
#ifndef STEPCELL_RUNTIME_RUN_SPEC_H
#define STEPCELL_RUNTIME_RUN_SPEC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/json.h"
#include "mounts/mount_plan.h"

struct seccomp_filter; /* runtime/confine/seccomp_profile.h */

enum network_mode { NETWORK_HOST, NETWORK_NONE, NETWORK_PRIVATE };

#define RUN_GROUPS_MAX 64
#define HOME_FALLBACK  "/home/step"

#define LIMITS_CPU_PERIOD 100000 /* µs */
#define LIMITS_ULIMITS    16     /* more than there are resources */
#define LIMITS_UNLIMITED  UINT64_MAX

struct ulimit {
    const char *name; /* for messages; static */
    int resource;     /* RLIMIT_* */
    uint64_t soft, hard;
};

/* What a cell may use; 0 for no limit. */
struct limits {
    uint64_t memory; /* bytes, memory and swap together */
    uint64_t cpu;    /* µs of processor time in each LIMITS_CPU_PERIOD */
    uint64_t pids;   /* tasks, pid 1 of the cell included */
    struct ulimit ulimits[LIMITS_ULIMITS];
    size_t ulimit_count;
};

#define SECRETS_PATH     "/run/secrets"
#define STEP_PATH        "/run/stepcell"
#define STEP_OUTPUT      "output"
#define STEP_OUTPUT_PATH STEP_PATH "/" STEP_OUTPUT
#define STEP_OUTPUT_MAX  (16 << 20) /* bytes of the step's output file that are read */

/* A file of mode 0400 in SECRETS_PATH, owned by the step's user. */
struct secret_file {
    const char *name; /* no path */
    const void *bytes;
    size_t len;
};

/* Where a step runs that is a Pod; any text but the image may be NULL. */
struct cluster_spec {
    bool durable;                /* the Pod's name is the step's, for other workers to find it */
    const char *kubeconfig;      /* no other is looked for; NULL: the caller's */
    const char *context, *space; /* of the kubeconfig; the namespace */
    const char *init_image;
    const char *shipped;         /* an init image with what is shipped, "NAME@sha256:…" */
    const char *changes;         /* a file to make of what the step changes in a working directory
                                    that is shipped: return_stream.h; NULL: it stays there */
    const char *arch;            /* of the image, as Kubernetes names it */
    const struct strv *volumes;  /* "PATH=pvc:NAME" or "PATH=hostPath" */
    bool host_network;           /* it was asked for */
    bool no_image_volumes;       /* even where the cluster has them */
    bool groups_judged;          /* by a policy: with a group that is not the step's nothing runs */
    const char *service_account; /* whose token the step gets */
    const json_t *node_selector, *labels; /* objects of texts, or NULL */
    const struct strv *registries; /* "HOST/PATH" of the images whose credentials the nodes get */
    uint64_t grace_ms;
};

/* All borrowed from the caller for the life of the cell. */
struct run_spec {
    const struct mount_plan *plan;
    struct strv argv; /* the command; argv[0] is looked up on the PATH of `env` in the cell */
    struct strv env;  /* "NAME=VALUE", complete but for HOME */
    struct strv interpreters; /* programs that the image must have, or it is image.shell-missing */
    bool proves_command;      /* argv[0] as well, or it is command.not-found: for no real start */
    const char *workdir;      /* in the cell */
    uid_t uid;                /* in the cell */
    gid_t gid;
    gid_t groups[RUN_GROUPS_MAX];
    size_t group_count;
    bool user_listed; /* the image's passwd has the uid; otherwise the cell's gets an entry */
    bool seeks_home;  /* the home is a guess where the image's passwd has not been read */
    const char *home; /* HOME, made when it is missing; HOME_FALLBACK when it is not writable.
                         NULL: the caller set HOME and it stays as it is */
    enum network_mode network;
    const json_t *labels;  /* an array of "KEY=VALUE", for an engine that keeps them; or NULL */
    const char *hostname;  /* NULL: the host's */
    bool read_only;        /* the root; what is mounted in it is as the plan says */
    uint64_t capabilities; /* of the bounding set, and of a command that is root in the cell */
    bool pass_stdin;
    bool terminal;                /* the command's streams are one */
    unsigned short rows, columns; /* its size; 0 for unknown */
    bool stays; /* the cell outlives its command, until it is cleaned: see exit_record.stays */
    bool with_32_bits; /* the image is of a 32-bit platform: its system calls are allowed */
    const struct seccomp_filter *seccomp; /* instead of the default; NULL for the default */
    bool hides_store; /* in a mount: in a user namespace of its own the step could uncover it */
    struct limits limits;
    const struct secret_file *secrets; /* what the plan's MOUNT_SECRETS holds */
    size_t secret_count;
    const char *scratch;     /* a directory of the cell's own on the host, see scratch_take */
    const char *step;        /* its id */
    const char *engine_host; /* where the engine's daemon listens; NULL: where it usually does */
    bool rootless;           /* that daemon is an ordinary user's */
    const struct cluster_spec *cluster;
    uid_t owner; /* with a daemon: of the host, whose what the step writes has to be */
};

/* An image: unpacked, as directories, lowest first; or one that a daemon or a registry has. */
struct root_filesystem {
    const char *const *layers;
    size_t count;
    const char *image_id;       /* "sha256:…", or of a registry "NAME@sha256:…"; or NULL */
    const struct strv *volumes; /* that a daemon mounts for it, or NULL */
};

#endif
