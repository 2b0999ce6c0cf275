/* What `manifest create` and `image push` have in common: where it goes, and what is said of it. */
#ifndef STEPCELL_SHIM_IMAGE_TARGET_H
#define STEPCELL_SHIM_IMAGE_TARGET_H

#include "runtime/image/publish.h"

struct target {
    struct reference reference;
    struct strv
        tags; /* the reference's own, if it names one or there is no other; then the others */
    struct strv pushed; /* those that were not what they had to be */
};

void target_release(struct target *target);

/* `more` are further tags. */
bool target_parse(const char *text, const struct strv *more, struct target *target,
                  struct err *err);

/* Whether the publication was pushed or was there. */
const char *target_status(const struct target *target);

/* An object with what there is to say; NULL without memory. */
json_t *target_json(const char *schema, const struct target *target,
                    const struct publication *publication, const struct push *push);

/* What `image push` is given: texts as written; store and platform may be NULL. */
struct push_request {
    const char *store, *platform, *reference, *target;
    const struct strv *tags; /* further ones */
};

/* Pushes an image of the store, of a layout or of an archive; *report is target_json's. */
bool push_image(const struct push_request *request, json_t **report, struct err *err);

#define autotarget CLEANUP(target_release) struct target

#endif
