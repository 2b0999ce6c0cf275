/*
 * Collects what the rules of check.h look at: resolves a reference, reads configurations, and of
 * layers no more than the rules need, from the top one down. Nothing is stored or unpacked.
 */
#ifndef STEPCELL_RUNTIME_IMAGE_CHECK_SUBJECT_H
#define STEPCELL_RUNTIME_IMAGE_CHECK_SUBJECT_H

#include "runtime/image/check.h"
#include "runtime/image/fetch.h"

struct check_subject {
    const struct store *store; /* asked first, and held; what is damaged there is none */
    bool only_store;           /* and nothing else */
    const struct reference *reference;
    const struct platform *platforms;
    size_t platform_count;       /* 1 to CHECK_PLATFORMS_MAX */
    const struct layer_map *map; /* what stands around the child that reads a layer */
    const struct check_profile *profile;
    enum check_level fail_on;
    bool all_layers;
};

/*
 * What cannot be read is a fact, too (facts->unreadable, image->unreadable). False without memory
 * only; `facts` is the caller's to release in any case.
 */
bool check_collect(const struct check_subject *subject, struct check_facts *facts, struct err *err);

#endif
