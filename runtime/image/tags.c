#include "runtime/image/tags.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/image/registry_pages.h"

#define PAGE_QUERY "n=1000" /* more is refused by some */

bool tag_is_valid(const char *text)
{
    size_t len = 0;

    if (*text == '.' || *text == '-')
        return false;
    while (isalnum((unsigned char)text[len]) || (text[len] && strchr("_.-", text[len])))
        len++;
    return len > 0 && len <= REFERENCE_TAG_MAX && !text[len];
}

static bool take_page(void *data, const json_t *page, const struct http_response *response,
                      struct err *err)
{
    const json_t *list = json_object_get(page, "tags"), *entry;
    struct strv *tags = data;
    size_t i;

    (void)response;
    /* Some say null for a repository that has none any more. */
    if (!json_is_object(page) || !list || (!json_is_array(list) && !json_is_null(list)))
        return err_set(err, ERR_REGISTRY_UNREACHABLE, "a list of tags holds none");
    json_array_foreach (list, i, entry) {
        const char *tag = json_string_value(entry);

        if (tag && tag_is_valid(tag) && !strv_add(tags, tag))
            return err_set(err, ERR_REGISTRY_UNREACHABLE, "there are more than %d tags", TAGS_MAX);
    }
    return true;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort_and_unite(struct strv *tags)
{
    size_t kept = 0;

    if (tags->count == 0)
        return;
    qsort(tags->items, tags->count, sizeof(*tags->items), compare);
    for (size_t i = 1; i < tags->count; i++) {
        if (strcmp(tags->items[kept], tags->items[i]) == 0)
            free(tags->items[i]);
        else
            tags->items[++kept] = tags->items[i];
    }
    tags->count = kept + 1;
    tags->items[tags->count] = NULL;
}

bool tags_list(const struct reference *reference, struct strv *tags, struct err *err)
{
    autostrv found = {.max = TAGS_MAX};
    struct registry_client client;
    struct pages pages = {
        .client = &client,
        .path = "tags/list",
        .query = PAGE_QUERY,
        .accept = "application/json",
        .take = take_page,
        .data = &found,
    };
    long status;
    bool ok;

    if (!registry_client_init(&client, reference, err))
        return false;
    ok = pages_get(&pages, &status, err);
    if (!ok && (status == 400 || status == 405)) {
        /* A registry that refuses a number. */
        pages.query = NULL;
        strv_release(&found);
        found.max = TAGS_MAX;
        ok = pages_get(&pages, &status, err);
    }
    registry_client_release(&client);
    if (!ok)
        return false;
    sort_and_unite(&found);
    *tags = found;
    found = (struct strv){0};
    return true;
}
