#include "runtime/image/publish.h"

#include <string.h>

bool publish(struct push *push, const struct publication *publication, struct strv *pushed,
             struct err *err)
{
    const struct strv *tags = publication->tags;

    for (size_t i = 0; i < tags->count; i++) {
        char now[DIGEST_TEXT_MAX];
        bool found;

        if (!push_look(push, tags->items[i], &found, now, err))
            return false;
        if ((!found || strcmp(now, publication->digest) != 0) && !strv_add(pushed, tags->items[i]))
            return err_errno(err, ERR_ENGINE_FAILED, "cannot push");
    }
    if (pushed->count && !publication->contents(publication->data, push, err))
        return false;
    for (size_t i = 0; i < pushed->count; i++) {
        if (!push_tag(push, pushed->items[i], publication->text, publication->media_type,
                      publication->digest, err))
            return false;
    }
    return true;
}
