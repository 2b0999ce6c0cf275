/*
 * A cell as a container: the body of POST /containers/create (pure).
 *
 * What an engine cannot do is refused here, before anything is made, with an error that names it.
 * The command, its environment and its secrets are not in the body: see join_setup.h.
 */
#ifndef STEPCELL_RUNTIME_DOCKER_CONTAINER_H
#define STEPCELL_RUNTIME_DOCKER_CONTAINER_H

#include "base/json.h"
#include "runtime/run_spec.h"

#define LABEL_STEP  "stepcell.step"  /* the id of the step */
#define LABEL_OWNER "stepcell.owner" /* the process that made it: see process_text */

/* Of a package that is mounted copy-on-write, by its index in the plan: what the step changes. */
#define CONTAINER_UPPER "upper-"
#define CONTAINER_WORK  "work-"

/* In the scratch, for STEP_PATH: there lies STEP_OUTPUT. */
#define CONTAINER_STEP "step"

#define CONTAINER_NAME_MAX 40 /* bytes of a container's name, with the NUL */

struct container_request {
    const char *engine; /* for messages */
    const char *image_id;
    const char *hostname;
    const char *directory; /* on the host, of JOIN_DIR */
    const char *scratch;   /* on the host, of CONTAINER_UPPER and CONTAINER_WORK */
    const char *owner;     /* value of LABEL_OWNER */
};

/* option.invalid where the engine cannot do what the spec asks for. */
bool container_body(const struct run_spec *spec, const struct container_request *request,
                    json_t **body, struct err *err);

/*
 * A name that nobody else has, and whether one is such a name. Labels do not say whose a container
 * is: it has those of its image, too, and whoever commits a container of ours gives them away.
 */
bool container_name(char name[CONTAINER_NAME_MAX], struct err *err);
bool container_name_is_ours(const char *name);

/* Whether the process of such a LABEL_OWNER still lives, of a container that runs or does not. */
bool container_owner_lives(const char *owner, bool running);

#endif
