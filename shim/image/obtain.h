/* Getting an image and its layers: what `pull` and `ensure` have in common. */
#ifndef STEPCELL_SHIM_IMAGE_OBTAIN_H
#define STEPCELL_SHIM_IMAGE_OBTAIN_H

#include "runtime/image/fetch.h"

struct obtain {
    const char *store;    /* as given, or NULL */
    const char *platform; /* as given, or NULL */
    const char *progress; /* "auto", "plain", "none", or NULL */
    const char *user;     /* USER[:GROUP] of the step; NULL or "" is the image's own */
    const char *map_user; /* UID:GID of the step where they are known, "config" or NULL */
    bool describes;       /* no layers, which others get, but to look the user up in them */
    bool without_step;    /* nobody runs it now: its own user may be one that it does not know */
    const char *reference;
    const char *name_as;  /* the name in the store, or NULL for the reference */
    const char *manifest; /* the digest of the platform's manifest where it is known; or NULL */
    enum fetch_policy policy;
    int lock;   /* the store's, opened, which the caller shares; 0 when there is none */
    int report; /* a descriptor for lines about the progress (progress.h), or -1 */
};

#define OBTAIN_INIT ((struct obtain){.report = -1})

/*
 * Makes the image and its layers for the step's user present. *report, owned by the caller, is what
 * `ensure` answers: {"digest", "manifest_digest", "signatures", "phases"}, and of one that was only
 * to be described what its configuration says. The policy is asked
 * before anything is fetched, and signatures are verified before anything is unpacked.
 */
bool obtain_image(const struct obtain *obtain, json_t **report, struct err *err);

#endif
