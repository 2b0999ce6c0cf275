#include "shim/events/batch.h"

#include <string.h>

#include "base/json.h"

size_t batch_whole(const char *bytes, size_t len)
{
    const char *end = len ? memrchr(bytes, '\n', len) : NULL;

    return end ? (size_t)(end - bytes) + 1 : 0;
}

size_t batch_cut(const char *bytes, size_t len, size_t limit)
{
    size_t cut = batch_whole(bytes, len < limit ? len : limit);
    const char *end;

    if (cut || len <= limit)
        return cut;
    end = memchr(bytes + limit, '\n', len - limit);
    return end ? (size_t)(end - bytes) + 1 : 0;
}

bool batch_is_single(const char *bytes, size_t len)
{
    return len < 2 || !memchr(bytes, '\n', len - 1);
}

const char *batch_last_line(const char *bytes, size_t *len)
{
    size_t before = *len ? batch_whole(bytes, *len - 1) : 0;

    *len -= before;
    return bytes + before;
}

bool event_read(const char *line, size_t len, struct event *event)
{
    struct err ignored;
    autojson *json = json_parse(line, len, "event", ERR_ENGINE_FAILED, &ignored);
    const json_t *seq = json_object_get(json, "seq");
    const char *type = json_text(json, "type");

    if (!type || !json_is_integer(seq) || json_integer_value(seq) < 0)
        return false;
    *event = (struct event){json_integer_value(seq), strcmp(type, "step.finished") == 0};
    return true;
}
