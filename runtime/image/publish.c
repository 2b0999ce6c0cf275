#include "runtime/image/publish.h"

#include <string.h>

/* Says which tag it is, and which ones are something else now all the same. */
static bool not_pushed(const struct strv *tags, size_t which, struct err *err)
{
    autobuf done = BUF_INIT(ERR_MESSAGE_MAX);

    for (size_t i = tags->count; i-- > which + 1;)
        (void)!buf_printf(&done, "%s'%s'", done.len ? ", " : " (pushed already: ", tags->items[i]);
    return err_context(err, "cannot push the tag '%s'%s%s", tags->items[which],
                       done.len ? done.data : "", done.len ? ")" : "");
}

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
    /* Also behind tags that are right: what they name may be gone. */
    if (!publication->contents(publication->data, push, err))
        return false;
    for (size_t i = pushed->count; i-- > 0;) {
        if (!push_tag(push, pushed->items[i], publication->text, publication->media_type,
                      publication->digest, err))
            return not_pushed(pushed, i, err);
    }
    return true;
}
