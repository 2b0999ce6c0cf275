#include "shim/session.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/num.h"
#include "shim/relay/output_file.h"

#define OUTPUTS_MAX      10000      /* output variables of a step */
#define OUTPUT_BYTES_MAX (16 << 20) /* names and values together */
#define NOTE_MAX         2048       /* bytes */
#define LAST_EVENTS_MS   5000       /* a receiver that takes nothing for so long gets no more */

static bool no_memory(struct err *err)
{
    return err_set(err, ERR_ENGINE_FAILED, "not enough memory for the output of the step");
}

/* A text of the step as a JSON string, masked; NULL with err set. */
static json_t *masked_json(const struct session *session, const char *text, size_t len,
                           struct err *err)
{
    autobuf masked = BUF_INIT(OUTPUT_BYTES_MAX * 2);
    json_t *json = NULL;

    if (mask_text(session->mask, text, len, &masked, err)) {
        json = json_bytes(masked.data ? masked.data : "", masked.len);
        if (!json)
            no_memory(err);
    }
    return json;
}

static bool emit_warning(struct session *session, const char *message, struct err *err)
{
    json_t *text = masked_json(session, message, strlen(message), err);

    return text &&
           events_emit(&session->events, "warning", json_pack("{s:o}", "message", text), err);
}

void session_note(struct session *session, const char *format, ...)
{
    char text[NOTE_MAX];
    struct err err;
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    print_note(session->options.verbosity, "%s", text);
    if (events_are_wanted(&session->events) && !emit_warning(session, text, &err))
        print_err(&err);
}

/* The last of one name counts. */
static bool set_output(struct session *session, const char *name, const char *value, size_t len,
                       bool sensitive, struct err *err)
{
    json_t *key = masked_json(session, name, strlen(name), err), *text;
    bool ok;

    session->output_bytes += strlen(name) + len;
    if (json_object_size(session->outputs) >= OUTPUTS_MAX ||
        session->output_bytes > OUTPUT_BYTES_MAX) {
        json_decref(key);
        if (!session->outputs_full)
            session_note(session, "the step has more output variables than are kept");
        session->outputs_full = true;
        return true;
    }
    text = !key ? NULL : sensitive ? json_string(MASK_TEXT) : masked_json(session, value, len, err);
    if (!text) {
        json_decref(key);
        return false;
    }
    ok = json_object_set(session->outputs, json_string_value(key), text) == 0 || no_memory(err);
    return events_emit(
               &session->events, "output_variable",
               json_pack("{s:o, s:o, s:b}", "name", key, "value", text, "sensitive", sensitive),
               err) &&
           ok;
}

static bool hide(struct session *session, const char *value, size_t len, struct err *err)
{
    bool ignored;

    if (!mask_add(session->mask, value, len, &ignored, err))
        return false;
    if (ignored)
        session_note(session, "a value of three characters or less is not masked");
    return true;
}

static bool is_true(const struct service_message_attribute *attribute)
{
    return attribute && strcasecmp(attribute->value, "true") == 0;
}

/* The message itself has passed: what it says is a secret is one from here on. */
static bool take_variable(struct session *session, const struct service_message *message,
                          struct err *err)
{
    const struct service_message_attribute *name = service_message_get(message, "name");
    const struct service_message_attribute *value = service_message_get(message, "value");
    bool sensitive = is_true(service_message_get(message, "sensitive"));

    return (!sensitive || hide(session, value->value, value->len, err)) &&
           set_output(session, name->value, value->value, value->len, sensitive, err);
}

static bool take_mask(struct session *session, const struct service_message *message,
                      struct err *err)
{
    const struct service_message_attribute *value = service_message_get(message, "value");

    return hide(session, value->value, value->len, err);
}

struct member {
    const char *key;
    bool is_number;
};

/* An event with these attributes of the message; one that should be a number and is none makes it
 * malformed. */
static bool emit_attributes(struct session *session, const char *type,
                            const struct service_message *message, const struct member *members,
                            size_t count, struct err *err)
{
    autojson *event = json_object();

    for (size_t i = 0; i < count; i++) {
        const struct service_message_attribute *attribute =
            service_message_get(message, members[i].key);
        json_t *value;
        uint64_t number;

        if (members[i].is_number && !num_parse(attribute->value, INT64_MAX, &number)) {
            session_note(session, "'%s' of the service message '%s' is no number", members[i].key,
                         message->name);
            return true;
        }
        value = members[i].is_number ? json_integer((json_int_t)number)
                                     : masked_json(session, attribute->value, attribute->len, err);
        if (!value)
            return false;
        json_object_set_new(event, members[i].key, value);
    }
    return events_emit(&session->events, type, TAKE_PTR(event), err);
}

static bool take_artifact(struct session *session, const struct service_message *message,
                          struct err *err)
{
    static const struct member members[] = {{"path", false}, {"name", false}, {"length", true}};

    return emit_attributes(session, "artifact", message, members, ARRAY_SIZE(members), err);
}

static bool take_progress(struct session *session, const struct service_message *message,
                          struct err *err)
{
    static const struct member members[] = {{"percentage", true}, {"message", false}};

    return emit_attributes(session, "progress", message, members, ARRAY_SIZE(members), err);
}

static const struct {
    const char *name;
    bool (*take)(struct session *session, const struct service_message *message, struct err *err);
} messages[] = {
    {"setVariable", take_variable},
    {"createArtifact", take_artifact},
    {"progress", take_progress},
    {"mask", take_mask},
};

static bool on_message(void *data, const struct service_message *message, struct err *err)
{
    struct session *session = data;
    const char *missing;

    if (!service_message_check(message, &missing)) {
        session_note(session, "the service message '%s' has no '%s'", message->name, missing);
        return true;
    }
    for (size_t i = 0; i < ARRAY_SIZE(messages); i++) {
        if (strcmp(messages[i].name, message->name) == 0)
            return messages[i].take(session, message, err);
    }
    return true;
}

static bool on_malformed(void *data, const char *why, struct err *err)
{
    (void)err;
    session_note(data, "a service message of the step is malformed: %s", why);
    return true;
}

static bool take_file_variable(void *data, const char *name, const char *value, size_t len,
                               struct err *err)
{
    return set_output(data, name, value, len, false, err);
}

static bool on_malformed_line(void *data, size_t line, const char *why, struct err *err)
{
    (void)err;
    session_note(data, "line %zu of the file named by STEPCELL_OUTPUT: %s", line, why);
    return true;
}

bool session_take_output_file(struct session *session, struct err *err)
{
    autobuf text = BUF_INIT(OUTPUT_FILE_MAX);
    bool too_long = false;

    if (session->output_fd < 0)
        return true;
    if (!session_read_output(session, &text, &too_long, err))
        return false;
    if (too_long)
        session_note(session,
                     "the file named by STEPCELL_OUTPUT is longer than %zu bytes: the "
                     "rest is not read",
                     OUTPUT_FILE_MAX);
    return output_file_parse(text.data ? text.data : "", text.len, take_file_variable,
                             on_malformed_line, session, err);
}

static bool add_secrets(struct session *session, struct err *err)
{
    bool ignored;

    for (size_t i = 0; i < secrets_count(&session->secrets); i++) {
        size_t len;
        const char *value = secrets_value(&session->secrets, i, &len);

        if (!mask_add(session->mask, value, len, &ignored, err))
            return false;
        if (ignored)
            session_note(session, "a secret of three characters or less is not masked");
    }
    return true;
}

static bool emit_accepted(struct session *session, struct err *err)
{
    json_t *image =
        masked_json(session, session->options.image, strlen(session->options.image), err);

    return image &&
           events_emit(&session->events, "step.accepted",
                       json_pack("{s:o, s:s}", "image", image, "engine", session->result.engine),
                       err);
}

bool session_open_relay(struct session *session, struct err *err)
{
    const char *target = session->options.events;

    session->mask = mask_new();
    session->outputs = json_object();
    if (!session->mask || !session->outputs)
        return no_memory(err);
    session->events.step = session->id;
    session->observer = (struct filter_observer){on_message, on_malformed, session};
    /* Whoever is attached to a step sends the events on. */
    if (target && !sink_is_http(target) && !session->followed &&
        !sink_open(target, &session->target, err))
        return false;
    if (session->target.fd >= 0)
        session->events.target = &session->target;
    return emit_accepted(session, err) && add_secrets(session, err);
}

bool session_emit_image(struct session *session, struct err *err)
{
    return events_emit(&session->events, "image.resolved",
                       json_pack("{s:s, s:s?, s:s?, s:s}", "reference", session->reference.name,
                                 "digest", session->name.digest, "manifest_digest",
                                 session->name.manifest_digest, "platform", session->platform_text),
                       err);
}

bool session_open_filters(struct session *session, struct err *err)
{
    bool wanted = events_are_wanted(&session->events);
    bool counts = wanted || !mask_is_empty(session->mask);

    session->looks = counts || session->options.result || session->followed;
    return !session->looks ||
           (filter_open(&session->filters[EVENT_STDOUT], EVENT_STDOUT, session->mask,
                        &session->events, &session->observer, counts, err) &&
            filter_open(&session->filters[EVENT_STDERR], EVENT_STDERR, session->mask,
                        &session->events, &session->observer, counts, err));
}

static struct stream_count count_of(struct session *session, enum event_stream stream)
{
    const struct pump *pump = stream == EVENT_STDOUT ? &session->out : &session->err;
    struct stream_count count = {.bytes = pump->bytes, .lost = pump->lost};

    count.counted = session->looks && filter_count(&session->filters[stream], &count.counts);
    return count;
}

void session_close_filters(struct session *session)
{
    session->result.out = count_of(session, EVENT_STDOUT);
    session->result.err = count_of(session, EVENT_STDERR);
    filter_close(&session->filters[EVENT_STDOUT]);
    filter_close(&session->filters[EVENT_STDERR]);
}

bool session_emit_finished(struct session *session, struct err *err)
{
    json_t *result;

    if (!events_are_wanted(&session->events))
        return true;
    result = result_json(&session->result);
    if (!result)
        return no_memory(err);
    if (!events_emit(&session->events, "step.finished", json_pack("{s:o}", "result", result), err))
        return false;
    sink_flush(&session->target, LAST_EVENTS_MS);
    if (session->target.lost > 0)
        print_note(session->options.verbosity,
                   "%" PRIu64 " bytes of events were not delivered to '%s'", session->target.lost,
                   session->options.events);
    return true;
}

void session_close_relay(struct session *session)
{
    events_release(&session->events);
    sink_close(&session->target);
    mask_free(session->mask);
    json_decref(session->outputs);
}
