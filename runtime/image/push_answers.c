#include "runtime/image/push_answers.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/num.h"
#include "runtime/net/url.h"

/* The end of "SCHEME://HOST[:PORT]" in a normalised URL. */
static const char *path_of(const struct url *url)
{
    const char *host = strstr(url->text, "://");

    return host ? host + 3 + strcspn(host + 3, "/?#") : "";
}

char *push_location(const char *base, const char *location)
{
    autourl from = {0}, to = {0};
    const char *path;

    if (!*location || !url_parse(base, NULL, &from) || !url_parse(location, &from, &to) ||
        strcasecmp(from.host, to.host) != 0)
        return NULL;
    path = path_of(&to);
    if (*path != '/' || strchr(path, '#'))
        return NULL;
    return text_printf("%.*s%s", (int)(path_of(&from) - from.text), from.text, path);
}

bool push_range(const char *value, uint64_t size, uint64_t *have)
{
    static const char unit[] = "bytes=";
    const char *text = strncmp(value, unit, strlen(unit)) == 0 ? value + strlen(unit) : value;
    uint64_t last;

    if (strncmp(text, "0-", 2) != 0 || !num_parse(text + 2, size, &last) ||
        (last == size && size > 0))
        return false;
    *have = last > 0 ? last + 1 : 0;
    return true;
}

void push_error_code(const char *body, size_t len, char code[PUSH_CODE_MAX])
{
    struct err ignored;
    autojson *json = json_parse(body, len, "answer", ERR_REGISTRY_UNREACHABLE, &ignored);
    const char *text = json_text(json_array_get(json_object_get(json, "errors"), 0), "code");
    size_t i = 0;

    while (text && i < PUSH_CODE_MAX - 1 &&
           (isupper((unsigned char)text[i]) || isdigit((unsigned char)text[i]) || text[i] == '_')) {
        code[i] = text[i];
        i++;
    }
    code[text && !text[i] ? i : 0] = '\0';
}
