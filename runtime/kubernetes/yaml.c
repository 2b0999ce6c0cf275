#include "runtime/kubernetes/yaml.h"

#include <string.h>
#include <yaml.h>

#include "base/num.h"

struct reader {
    yaml_parser_t parser;
    const char *what;
    size_t values, depth;
};

static void cleanup_event(yaml_event_t *event)
{
    yaml_event_delete(event);
}
#define autoevent CLEANUP(cleanup_event) yaml_event_t

static bool refuse(const struct reader *reader, const yaml_event_t *at, const char *why,
                   struct err *err)
{
    return err_set(err, ERR_CONFIG_INVALID, "%s has %s in line %zu", reader->what, why,
                   at->start_mark.line + 1);
}

static bool next_event(struct reader *reader, yaml_event_t *event, struct err *err)
{
    if (yaml_parser_parse(&reader->parser, event))
        return true;
    return err_set(err, ERR_CONFIG_INVALID, "%s is no YAML: %s in line %zu", reader->what,
                   reader->parser.problem ? reader->parser.problem : "it cannot be read",
                   reader->parser.problem_mark.line + 1);
}

/* A plain integer that every reader of YAML takes for one. */
static bool is_integer(const char *text, json_int_t *out)
{
    bool negative = *text == '-';
    uint64_t value;

    if (!num_parse(text + negative, INT64_MAX, &value))
        return false;
    *out = negative ? -(json_int_t)value : (json_int_t)value;
    return true;
}

static json_t *take_scalar(const struct reader *reader, const yaml_event_t *event, struct err *err)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t len = event->data.scalar.length;
    json_int_t number;
    json_t *value;

    if (memchr(text, '\0', len)) {
        refuse(reader, event, "a NUL", err);
        return NULL;
    }
    if (event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        value = json_stringn(text, len);
    else if (!*text || strcmp(text, "null") == 0 || strcmp(text, "~") == 0)
        value = json_null();
    else if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
        value = json_boolean(*text == 't');
    else if (is_integer(text, &number))
        value = json_integer(number);
    else
        value = json_stringn(text, len);
    if (!value)
        refuse(reader, event, "a text that is no UTF-8", err);
    return value;
}

static json_t *take_value(struct reader *reader, const yaml_event_t *event, struct err *err);

static bool has_marks(const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return event->data.scalar.anchor || event->data.scalar.tag;
    case YAML_SEQUENCE_START_EVENT:
        return event->data.sequence_start.anchor || event->data.sequence_start.tag;
    case YAML_MAPPING_START_EVENT:
        return event->data.mapping_start.anchor || event->data.mapping_start.tag;
    default:
        return event->type == YAML_ALIAS_EVENT;
    }
}

static bool take_item(struct reader *reader, json_t *list, const yaml_event_t *event,
                      struct err *err)
{
    json_t *value = take_value(reader, event, err);

    return value &&
           (json_array_append_new(list, value) == 0 ||
            err_set(err, ERR_CONFIG_INVALID, "not enough memory to read %s", reader->what));
}

static bool take_member(struct reader *reader, json_t *object, const yaml_event_t *event,
                        struct err *err)
{
    const char *key = (const char *)event->data.scalar.value;
    autoevent next = {0};
    json_t *value;

    if (event->type != YAML_SCALAR_EVENT || has_marks(event) ||
        strlen(key) != event->data.scalar.length)
        return refuse(reader, event, "a key that is no text", err);
    if (json_object_get(object, key))
        return refuse(reader, event, "a key for the second time", err);
    if (!next_event(reader, &next, err) || !(value = take_value(reader, &next, err)))
        return false;
    return json_object_set_new(object, key, value) == 0 ||
           refuse(reader, event, "a key that is no UTF-8", err);
}

/* A mapping or a sequence, behind its first event. */
static json_t *take_collection(struct reader *reader, const yaml_event_t *begin, struct err *err)
{
    bool is_mapping = begin->type == YAML_MAPPING_START_EVENT;
    yaml_event_type_t end = is_mapping ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT;
    autojson *value = is_mapping ? json_object() : json_array();
    bool ok = value != NULL;

    if (++reader->depth > YAML_DEPTH_MAX) {
        refuse(reader, begin, "too many levels", err);
        return NULL;
    }
    while (ok) {
        autoevent event = {0};

        if (!next_event(reader, &event, err))
            return NULL;
        if (event.type == end)
            break;
        ok = is_mapping ? take_member(reader, value, &event, err)
                        : take_item(reader, value, &event, err);
    }
    reader->depth--;
    return ok ? TAKE_PTR(value) : NULL;
}

static json_t *take_value(struct reader *reader, const yaml_event_t *event, struct err *err)
{
    const char *fault = has_marks(event)                     ? "an anchor, an alias or a tag"
                        : ++reader->values > YAML_VALUES_MAX ? "too many values"
                                                             : NULL;

    if (fault) {
        refuse(reader, event, fault, err);
        return NULL;
    }
    return event->type == YAML_SCALAR_EVENT ? take_scalar(reader, event, err)
                                            : take_collection(reader, event, err);
}

static bool expect(struct reader *reader, yaml_event_type_t type, struct err *err)
{
    autoevent event = {0};

    return next_event(reader, &event, err) &&
           (event.type == type || refuse(reader, &event, "more than one document, or none", err));
}

static json_t *take_document(struct reader *reader, struct err *err)
{
    autojson *value = NULL;
    autoevent first = {0};

    if (!expect(reader, YAML_STREAM_START_EVENT, err) ||
        !expect(reader, YAML_DOCUMENT_START_EVENT, err) || !next_event(reader, &first, err))
        return NULL;
    value = take_value(reader, &first, err);
    if (!value || !expect(reader, YAML_DOCUMENT_END_EVENT, err) ||
        !expect(reader, YAML_STREAM_END_EVENT, err))
        return NULL;
    return TAKE_PTR(value);
}

json_t *yaml_parse(const char *text, size_t len, const char *what, struct err *err)
{
    struct reader reader = {.what = what};
    json_t *value;

    if (!yaml_parser_initialize(&reader.parser)) {
        err_set(err, ERR_CONFIG_INVALID, "not enough memory to read %s", what);
        return NULL;
    }
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, len);
    value = take_document(&reader, err);
    yaml_parser_delete(&reader.parser);
    return value;
}
