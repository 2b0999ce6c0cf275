#include "shim/image/target.h"

#include <string.h>

#include "runtime/image/tags.h"
#include "shim/image/command.h"

void target_release(struct target *target)
{
    reference_release(&target->reference);
    strv_release(&target->tags);
    strv_release(&target->pushed);
}

/* The parser adds "latest" where there is none. */
static bool names_tag(const char *text)
{
    const char *slash = strrchr(text, '/');

    return strchr(slash ? slash : text, ':');
}

static bool add_tag(struct target *target, const char *tag, struct err *err)
{
    if (!tag_is_valid(tag)) {
        err_set(err, ERR_OPTION_INVALID, "'%s' is not a tag", tag);
        return err_hint(err, "a tag is made of letters, digits, '_', '.' and '-', 128 at the most");
    }
    return strv_contains(&target->tags, tag) || strv_add(&target->tags, tag) ||
           err_errno(err, ERR_ENGINE_FAILED, "cannot push");
}

/* Instead of the parser's, which is not pushed. */
static bool take_first_tag(const char *text, struct target *target, struct err *err)
{
    autofree char *tagged = text_printf("%s:%s", text, target->tags.items[0]);

    reference_release(&target->reference);
    return tagged ? command_parse_reference(tagged, &target->reference, err)
                  : err_errno(err, ERR_ENGINE_FAILED, "cannot push");
}

bool target_parse(const char *text, const struct strv *more, struct target *target, struct err *err)
{
    if (!command_parse_reference(text, &target->reference, err))
        return false;
    if (target->reference.transport != TRANSPORT_REGISTRY) {
        err_set(err, ERR_OPTION_INVALID, "'%s' is not a place in a registry", text);
        return err_hint(err, "write HOST/PATH[:TAG]; for files there is 'stepcell image export'");
    }
    if (target->reference.digest) {
        err_set(err, ERR_OPTION_INVALID, "'%s' names a digest, which nobody can choose", text);
        return err_hint(err, "write HOST/PATH[:TAG]");
    }
    if ((names_tag(text) || more->count == 0) && !add_tag(target, target->reference.tag, err))
        return false;
    for (size_t i = 0; i < more->count; i++) {
        if (!add_tag(target, more->items[i], err))
            return false;
    }
    return names_tag(text) || more->count == 0 || take_first_tag(text, target, err);
}

const char *target_status(const struct target *target)
{
    return target->pushed.count ? "pushed" : "unchanged";
}

json_t *target_json(const char *schema, const struct target *target,
                    const struct publication *publication, const struct push *push)
{
    const struct reference *reference = &target->reference;
    autofree char *repository = text_printf("%s/%s", reference->host, reference->path);
    json_t *tags = json_array();

    for (size_t i = 0; i < target->tags.count; i++) {
        const char *tag = target->tags.items[i];

        json_array_append_new(
            tags, json_pack("{s:s, s:s}", "tag", tag, "status",
                            strv_contains(&target->pushed, tag) ? "pushed" : "unchanged"));
    }
    return json_pack("{s:s, s:s, s:s, s:s, s:I, s:s, s:o, s:{s:I, s:I, s:I, s:I}}", "schema",
                     schema, "repository", repository, "digest", publication->digest, "media_type",
                     publication->media_type, "size", (json_int_t)publication->text->len, "status",
                     target_status(target), "tags", tags, "blobs", "present",
                     (json_int_t)push->present, "mounted", (json_int_t)push->mounted, "sent",
                     (json_int_t)push->sent, "bytes", (json_int_t)push->bytes);
}
