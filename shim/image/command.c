#include "shim/image/command.h"

#include <string.h>

#include "shim/print.h"

char *command_escape(const char *text)
{
    autojson *json = json_bytes(text, strlen(text));
    autofree char *quoted = json ? json_dumps(json, JSON_ENCODE_ANY | JSON_ENSURE_ASCII) : NULL;
    autofree char *shown = quoted ? print_json_text(quoted) : NULL;

    return shown ? strndup(shown + 1, strlen(shown) - 2) : NULL;
}

bool command_open_store(const char *path, struct store *store, struct err *err)
{
    autofree char *found = store_path(path, err);

    return found && store_open(found, store, err);
}

bool command_parse_platform(const char *text, struct platform *platform, struct err *err)
{
    if (text)
        return platform_parse(text, platform, err);
    platform_host(platform);
    return true;
}

bool command_parse_reference(const char *text, struct reference *reference, struct err *err)
{
    autofree char *cwd = getcwd(NULL, 0);

    if (reference_parse(text, cwd ? cwd : "/", reference, err))
        return true;
    if (!err->hint[0])
        err_hint(err, "it is [HOST/]PATH[:TAG][@DIGEST], oci:DIR[:TAG], oci-archive:FILE[:TAG] or "
                      "docker-archive:FILE[:REF]");
    return false;
}
