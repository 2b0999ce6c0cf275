/*
 * A cell as a Pod and a Secret: what is sent to the API (pure).
 *
 * What a cluster cannot do is refused here, before anything is made, with an error that names it.
 */
#ifndef STEPCELL_RUNTIME_KUBERNETES_POD_SPEC_H
#define STEPCELL_RUNTIME_KUBERNETES_POD_SPEC_H

#include "base/errs.h"
#include "base/json.h"
#include "runtime/run_spec.h"

#define LABEL_POD_OWN     "stepcell." /* what nobody else's label begins with */
#define LABEL_POD_MANAGER "app.kubernetes.io/managed-by"
#define SELECTOR_OS       "kubernetes.io/os"
#define SELECTOR_ARCH     "kubernetes.io/arch"

#define LABEL_POD_STEP  "stepcell.step"  /* pod_label_of the id of the step */
#define LABEL_POD_OWNER "stepcell.owner" /* pod_label_of this machine and user */

/* Of the Secret of a step that is not durable: the process_text of who removes it. */
#define ANNOTATION_POD_PROCESS "stepcell.process"
#define ANNOTATION_POD_CALL    "stepcell.call" /* random, of a Secret and of its Pod */

#define POD_NAME_MAX  64 /* bytes with the NUL */
#define POD_LABEL_MAX 33

#define POD_OBJECT_MAX 253 /* bytes of a name of an object */
#define POD_WORD_MAX   63  /* of a label, and of a namespace */

#define POD_CONTAINER "step"
#define POD_INIT      "place"

/* One of --kubernetes-volume: PATH, which worker and nodes share. */
struct pod_volume {
    char *path;  /* clean, absolute */
    char *claim; /* of a PersistentVolumeClaim; NULL: the same path of each node */
};

/* "PATH=pvc:NAME" or "PATH=hostPath"; option.invalid. */
bool pod_volume_parse(const char *text, struct pod_volume *volume, struct err *err);
void pod_volume_release(struct pod_volume *volume);

struct pod_request {
    const char *name;
    const char *image; /* "NAME@sha256:…" */
    const char *owner; /* value of LABEL_POD_OWNER */
    const char *step;  /* value of LABEL_POD_STEP */
    const struct pod_volume *volumes;
    size_t volume_count;
    bool image_volume; /* the init image as a volume of the step's container */
};

/* The volume in which the source of a mount lies: the deepest one. Or NULL. */
const struct pod_volume *pod_volume_find(const struct pod_volume *volumes, size_t count,
                                         const struct mount *mount);

/*
 * Whether a mount is shipped, where that is asked for: a working directory or a package that only
 * this host has, or a package that the step has a copy of.
 */
bool pod_is_shipped(const struct pod_volume *volumes, size_t count, const struct mount *mount);

/* Adds the names below the directory `mount` at which something else is mounted. */
bool pod_hidden(const struct mount_plan *plan, const struct mount *mount, struct strv *names);

/* The working directory, where it is shipped; or NULL. */
const struct mount *pod_shipped_workdir(const struct pod_volume *volumes, size_t count,
                                        const struct mount_plan *plan);

/* What it is called on the way: the same for the same target. */
#define POD_SHIPPED_NAME_MAX 33
void pod_shipped_name(const struct mount *mount, char name[POD_SHIPPED_NAME_MAX]);

/* Adds to `refused` all of the step that a cluster cannot do; false where that cannot be told. The
 * request needs its volumes alone. */
bool pod_check(const struct run_spec *spec, const struct pod_request *request, struct errs *refused,
               struct err *err);

/* The body of the Pod, of a step that passes pod_check. */
bool pod_body(const struct run_spec *spec, const struct pod_request *request, json_t **body,
              struct err *err);

/* The script of the plan, when it has to be handed over: it lies in no volume. Or NULL. */
const struct mount *pod_script(const struct pod_request *request, const struct mount_plan *plan);

/* Whether the first program has to be handed over: no image brings it. */
bool pod_program_is_sent(const struct run_spec *spec);

/* Where it lies in the step's container, by what the API says of a Pod; NULL when it is no step's.
 */
const char *pod_program_of(const json_t *pod);

/* Whether the step has an image that a cluster which can mount one as a volume may mount. */
bool pod_fits_image_volume(const struct run_spec *spec);

/*
 * Whether a server of this /version may know such volumes; and whether one whose answer to the
 * creation of a Pod with one is `pod` has kept it: others drop what they do not know.
 */
bool pod_server_may_have_image_volumes(const json_t *version);
bool pod_keeps_image_volume(const json_t *pod);

/* The body of its Secret: what is handed over, in base64, and POD_DIGEST, by which another worker
 * knows the same step. */
json_t *pod_secret(const struct pod_request *request, json_t *entries);

#define autopodvolume CLEANUP(pod_volume_release) struct pod_volume

#endif
