/*
 * `stepcell image build`: one build, the builders that can do it, and what goes around
 * (docs/design/build.md). build.c is the command.
 */
#ifndef STEPCELL_SHIM_IMAGE_BUILD_H
#define STEPCELL_SHIM_IMAGE_BUILD_H

#include "base/json.h"
#include "runtime/image/containerfile.h"
#include "runtime/image/offer.h"
#include "shim/print.h"
#include "shim/relay/mask.h"

#define LABEL_PREFIX "org.opencontainers.image."

struct build {
    char *directory, *file; /* the context and its Containerfile, absolute */
    const char *platform;   /* as given, or NULL */
    const char *host;       /* of a daemon, as given, or NULL */
    struct strv arguments;  /* "NAME=VALUE" */
    struct strv labels;     /* "KEY=VALUE" */
    const char *epoch;      /* SOURCE_DATE_EPOCH, a number, or NULL */
    const char *place;      /* an empty directory of this build's own */
    enum verbosity verbosity;
    struct mask *secrets; /* values of arguments that may not be shown */
    struct containerfile parsed;
    struct reference base; /* what it is built on; no name while that is not known */
    struct offer offer;    /* what that stands for in its registry, before the build */
};

/* A builder of others. */
struct builder {
    const char *name;
    /* Whether it can be asked at all. */
    bool (*is_there)(const struct build *build);
    /* Builds; *reference, owned by the caller, is the image in build->place. */
    bool (*run)(const struct build *build, char **reference, struct err *err);
};

extern const struct builder buildah_builder, docker_builder;

/* The one of this name, or with NULL the first that is there; NULL with err. */
const struct builder *builder_choose(const char *name, const struct build *build, struct err *err);

/* Learns which arguments are secrets. */
bool build_hide_secrets(struct build *build, struct err *err);

/* Shows a line of a builder where that is wanted, without the values of secrets. */
void build_say(const struct build *build, const char *line);

/* Adds the labels that are known and not given; `version` may be NULL. */
bool build_add_labels(struct build *build, const char *version, struct err *err);

/* Asks the registry what the base is now; without an answer the base is not known. */
void build_resolve_base(struct build *build);

/* Whether the image is on the layers of the base, unless that is not known. */
bool build_check_base(const struct build *build, const char *reference, struct err *err);

#endif
