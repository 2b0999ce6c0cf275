#include "base/errs.h"

#include <string.h>

static bool is_there(const struct errs *errs, const struct err *err)
{
    for (size_t i = 0; i < errs->count; i++) {
        if (errs->items[i].code == err->code && strcmp(errs->items[i].message, err->message) == 0)
            return true;
    }
    return false;
}

bool errs_add(struct errs *errs, const struct err *err)
{
    struct err *items;

    if (errs->count >= ERRS_MAX || is_there(errs, err))
        return true;
    items = realloc(errs->items, (errs->count + 1) * sizeof(*items));
    if (!items)
        return false;
    items[errs->count++] = *err;
    errs->items = items;
    return true;
}

bool errs_pass(struct errs *errs, bool ok, const struct err *err)
{
    return ok || (err->code != ERR_ENGINE_FAILED && errs_add(errs, err));
}

void errs_release(struct errs *errs)
{
    free(errs->items);
    *errs = (struct errs){0};
}
