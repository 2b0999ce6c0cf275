#include "runtime/image/registry_pages.h"

#include <string.h>

#include "runtime/net/fields.h"

static bool no_memory(struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot ask a registry");
}

/* The query of the link to the next page, or NULL at the end. */
static bool next_query(const struct pages *pages, const struct http_response *response,
                       char **query, struct err *err)
{
    size_t from = 0;
    const char *value;

    while ((value = http_header(response, "Link", &from))) {
        autofree char *target = link_next(value);
        const char *question = target ? strchr(target, '?') : NULL;

        if (!target)
            continue;
        if (!question || strchr(question, '#') || strlen(question) > URL_MAX / 2)
            return err_set(err, ERR_REGISTRY_UNREACHABLE,
                           "the registry '%s' names no next page of '%s'",
                           registry_primary(pages->client)->host, pages->path);
        *query = strdup(question + 1);
        return *query || no_memory(err);
    }
    *query = NULL;
    return true;
}

static bool get_page(const struct pages *pages, const char *query, char **next, long *status,
                     struct err *err)
{
    struct endpoint *endpoint = registry_primary(pages->client);
    autofree char *url =
        text_printf("%s/%s%s%s", endpoint->base, pages->path, query ? "?" : "", query ? query : "");
    struct http_request request = {.url = url, .accept = pages->accept, .body_max = PAGE_BYTES_MAX};
    autoresponse response = {0};
    autojson *page = NULL;
    bool ok;

    if (!url)
        return no_memory(err);
    ok = registry_get(pages->client, endpoint, &request, &response, err);
    *status = response.status;
    if (!ok)
        return false;
    page = json_parse(response.body.data ? response.body.data : "", response.body.len, pages->path,
                      ERR_REGISTRY_UNREACHABLE, err);
    return page && pages->take(pages->data, page, &response, err) &&
           next_query(pages, &response, next, err);
}

bool pages_get(const struct pages *pages, long *status, struct err *err)
{
    autofree char *query = pages->query ? strdup(pages->query) : NULL;

    *status = 0;
    if (pages->query && !query)
        return no_memory(err);
    for (int i = 0; i < PAGES_MAX; i++) {
        autofree char *next = NULL;

        if (!get_page(pages, query, &next, status, err))
            return false;
        if (!next)
            return true;
        if (query && strcmp(query, next) == 0)
            return err_set(err, ERR_REGISTRY_UNREACHABLE,
                           "the registry '%s' names the same page of '%s' again and again",
                           registry_primary(pages->client)->host, pages->path);
        free(query);
        query = TAKE_PTR(next);
    }
    return err_set(err, ERR_REGISTRY_UNREACHABLE,
                   "the registry '%s' has more than %d pages of '%s'",
                   registry_primary(pages->client)->host, PAGES_MAX, pages->path);
}
