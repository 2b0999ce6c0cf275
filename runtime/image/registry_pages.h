/* Lists that registries hand out page by page: tags and referrers. */
#ifndef STEPCELL_RUNTIME_IMAGE_REGISTRY_PAGES_H
#define STEPCELL_RUNTIME_IMAGE_REGISTRY_PAGES_H

#include "base/json.h"
#include "runtime/image/registry_client.h"

#define PAGES_MAX      1000      /* of one list */
#define PAGE_BYTES_MAX (4 << 20) /* of one page */

struct pages {
    struct registry_client *client;
    const char *path;   /* below the repository: "tags/list" */
    const char *query;  /* of the first page, without "?", or NULL */
    const char *accept; /* or NULL */
    /* Takes one page; false with err set ends it. */
    bool (*take)(void *data, const json_t *page, const struct http_response *response,
                 struct err *err);
    void *data;
};

/*
 * Asks the registry itself for one page after the other. Of a link to the next one only the query
 * is used. False with err set; *status is that of the answer that was none, or 0.
 */
bool pages_get(const struct pages *pages, long *status, struct err *err);

#endif
