#include "shim/session.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "shim/deliver.h"
#include "shim/relay/output_file.h"

#define OUTPUTS_MAX      10000      /* output variables of a step */
#define OUTPUT_BYTES_MAX (16 << 20) /* names and values together, in JSON */
#define COMPLAINTS_MAX   100        /* about service messages */
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

char *session_masked(const struct session *session, const char *text)
{
    autobuf masked = BUF_INIT(SIZE_MAX / 2);
    struct err ignored;

    /* Where nothing is masked yet, no secret has been used yet. */
    if (!text || !session->mask)
        return text ? strdup(text) : NULL;
    if (!mask_text(session->mask, text, strlen(text), &masked, &ignored))
        return strdup(MASK_TEXT);
    return masked.data ? buf_take(&masked) : strdup("");
}

void session_mask_err(const struct session *session, struct err *err)
{
    autobuf message = BUF_INIT(ERR_MESSAGE_MAX * sizeof(MASK_TEXT));
    autobuf hint = BUF_INIT(ERR_HINT_MAX * sizeof(MASK_TEXT));
    autobuf detail = BUF_INIT(ERR_DETAIL_MAX * sizeof(MASK_TEXT));
    struct err cause = ERR_INIT;
    enum err_code code = err->code;

    if (!session->mask || code == ERR_NONE)
        return;
    if (!mask_text(session->mask, err->message, strlen(err->message), &message, &cause) ||
        !mask_text(session->mask, err->hint, strlen(err->hint), &hint, &cause) ||
        !mask_text(session->mask, err->detail, strlen(err->detail), &detail, &cause)) {
        err_set(err, code, "%s", cause.message);
        return;
    }
    err_set(err, code, "%s", message.data ? message.data : "");
    err_hint(err, "%s", hint.data ? hint.data : "");
    err_detail(err, "%s", detail.data ? detail.data : "");
}

bool session_print_err(const struct session *session, const struct err *err)
{
    struct err masked = *err;

    session_mask_err(session, &masked);
    return print_err(&masked);
}

void session_warn(struct session *session, const char *text)
{
    autofree char *masked = session_masked(session, text);
    struct err err;

    if (masked &&
        !events_emit(&session->events, "warning",
                     json_pack("{s:o}", "message", json_bytes(masked, strlen(masked))), &err))
        print_err(&err);
}

void session_note(struct session *session, const char *format, ...)
{
    autofree char *text = NULL, *masked = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    va_end(args);
    masked = session_masked(session, text);
    if (!masked)
        return;
    /* Behind the mask, so that no secret is cut in two. */
    if (strlen(masked) > NOTE_MAX)
        masked[NOTE_MAX] = '\0';
    if (!session->unheard)
        session->unheard = !print_note(session->options.verbosity, "%s", masked);
    session_warn(session, masked);
}

/* Bytes of a text in JSON, at the most. */
static size_t json_length(const json_t *text)
{
    const char *bytes = json_string_value(text);
    size_t len = json_string_length(text), escaped = len;

    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)bytes[i] < 0x20)
            escaped += 5;
        else if (bytes[i] == '"' || bytes[i] == '\\')
            escaped++;
    }
    return escaped;
}

/* Whether there is room for another value of the name, instead of one that it has. */
static bool has_room(struct session *session, const char *name, size_t bytes)
{
    const json_t *old = json_object_get(session->outputs, name);
    size_t freed = old ? json_length(old) : 0;

    if ((!old && json_object_size(session->outputs) >= OUTPUTS_MAX) ||
        session->output_bytes - freed + bytes > OUTPUT_BYTES_MAX) {
        if (!session->outputs_full)
            session_note(session, "the step has more output variables than are kept");
        session->outputs_full = true;
        return false;
    }
    session->output_bytes += bytes - freed;
    return true;
}

/* The last of one name counts. */
static bool set_output(struct session *session, const char *name, size_t name_len,
                       const char *value, size_t len, bool sensitive, struct err *err)
{
    autojson *key = masked_json(session, name, name_len, err), *text = NULL;
    const char *known;

    if (key)
        text = sensitive ? json_string(MASK_TEXT) : masked_json(session, value, len, err);
    if (!key || !text)
        return false;
    known = json_string_value(key);
    if (!has_room(session, known,
                  json_length(text) +
                      (json_object_get(session->outputs, known) ? 0 : json_length(key))))
        return true;
    if (json_object_set(session->outputs, known, text) < 0)
        return no_memory(err);
    return events_emit(
        &session->events, "output_variable",
        json_pack("{s:O, s:O, s:b}", "name", key, "value", text, "sensitive", sensitive), err);
}

/* A text in what is said of a step: what cannot be masked is hidden. */
static json_t *hidden_json(const struct session *session, const char *text)
{
    autofree char *masked = session_masked(session, text);

    return masked ? json_bytes(masked, strlen(masked)) : json_null();
}

/* The message itself has passed: what it says is a secret is one from here on. */
static bool hide(struct session *session, const struct service_message_attribute *value,
                 struct err *err)
{
    bool ignored;

    if (!mask_add(session->mask, value->value, value->len, &ignored, err)) {
        /* Nobody has refused anything: the step runs. */
        err->code = ERR_ENGINE_FAILED;
        return false;
    }
    if (ignored)
        session_note(session, "a value of three characters or less is not masked");
    return true;
}

/* Something is wrong with a service message: said so often at the most that nobody drowns in it. */
static bool may_complain(struct session *session)
{
    if (session->complaints == COMPLAINTS_MAX)
        session_note(session, "further malformed service messages are not reported");
    return session->complaints++ < COMPLAINTS_MAX;
}

static bool take_variable(struct session *session, const struct service_message *message,
                          struct err *err)
{
    const struct service_message_attribute *name = service_message_get(message, "name");
    const struct service_message_attribute *value = service_message_get(message, "value");

    if (name->len == 0) {
        if (may_complain(session))
            session_note(session, "the service message 'setVariable' has an empty name");
        return true;
    }
    return set_output(session, name->value, name->len, value->value, value->len,
                      service_message_declares_secret(message), err);
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
            if (may_complain(session))
                session_note(session, "'%s' of the service message '%s' is no number",
                             members[i].key, message->name);
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
};

static bool on_message(void *data, const struct service_message *message, struct err *err)
{
    struct session *session = data;
    const char *missing;

    if (!service_message_check(message, &missing)) {
        if (may_complain(session))
            session_note(session, "the service message '%s' has no '%s'", message->name, missing);
        return true;
    }
    if (service_message_declares_secret(message) &&
        !hide(session, service_message_get(message, "value"), err))
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(messages); i++) {
        if (strcmp(messages[i].name, message->name) == 0)
            return messages[i].take(session, message, err);
    }
    return true;
}

static bool on_malformed(void *data, const char *why, struct err *err)
{
    struct session *session = data;

    (void)err;
    if (may_complain(session))
        session_note(session, "a service message of the step is malformed: %s", why);
    return true;
}

static bool take_file_variable(void *data, const char *name, const char *value, size_t len,
                               struct err *err)
{
    struct session *session = data;

    /* The step has ended: nothing has to go on meanwhile. */
    if (events_are_full(&session->events))
        sink_flush(&session->target, LAST_EVENTS_MS);
    return set_output(session, name, strlen(name), value, len, false, err);
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

bool session_open_mask(struct session *session, struct err *err)
{
    session->mask = mask_new();
    session->outputs = json_object();
    if (!session->mask || !session->outputs)
        return no_memory(err);
    for (size_t i = 0; i < secrets_count(&session->secrets); i++) {
        bool is_short;
        size_t len;
        const char *value = secrets_value(&session->secrets, i, &len);

        /* Told once there is somebody to be told. */
        if (!mask_add(session->mask, value, len, &is_short, err))
            break;
        session->short_secrets += is_short;
    }
    return true;
}

static bool emit_accepted(struct session *session, struct err *err)
{
    return events_emit(&session->events, "step.accepted",
                       json_pack("{s:o, s:s}", "image",
                                 hidden_json(session, session->options.image), "engine",
                                 session->result.engine),
                       err);
}

bool session_open_target(struct session *session, struct err *err)
{
    const struct run_options *options = &session->options;
    autooutlets outlets = {0};

    if (!options->events || session->target.fd >= 0)
        return true;
    if (sink_is_http(options->events))
        return deliver_check(options->events, options->events_token_file, err);
    if (!session_find_outlets(session, &outlets, err))
        return false;
    if (options->explains)
        return sink_try(options->events, &outlets, err);
    return sink_open(options->events, &outlets, &session->target, err);
}

bool session_open_relay(struct session *session, struct err *err)
{
    session->events.step = session->id;
    session->observer = (struct filter_observer){on_message, on_malformed, session};
    /* Whoever is attached to a step sends the events on. */
    if (!session->followed && !session_passes(session, session_open_target(session, err), err))
        return false;
    if (session->target.fd >= 0)
        session->events.target = &session->target;
    if (!emit_accepted(session, err) || !mask_check(session->mask, err))
        return false;
    for (size_t i = 0; i < session->short_secrets; i++)
        session_note(session, "a secret of three characters or less is not masked");
    return true;
}

bool session_emit_image(struct session *session, struct err *err)
{
    return events_emit(&session->events, "image.resolved",
                       json_pack("{s:o, s:s?, s:s?, s:s, s:o}", "reference",
                                 hidden_json(session, session->reference.name), "digest",
                                 session->name.digest, "manifest_digest",
                                 session->name.manifest_digest, "platform", session->platform_text,
                                 "lock", hidden_json(session, session->lock_entry)),
                       err);
}

bool session_emit_started(struct session *session, struct err *err)
{
    return events_emit(&session->events, "cell.started",
                       json_pack("{s:s, s:o}", "engine", session->engine->name, "workdir",
                                 hidden_json(session, session->workdir)),
                       err);
}

bool session_open_filters(struct session *session, struct err *err)
{
    bool counts = events_are_wanted(&session->events) || !mask_is_empty(session->mask);

    return filter_open(&session->filters[EVENT_STDOUT], EVENT_STDOUT, session->mask,
                       &session->events, &session->observer, counts, err) &&
           filter_open(&session->filters[EVENT_STDERR], EVENT_STDERR, session->mask,
                       &session->events, &session->observer, counts, err);
}

static struct stream_count count_of(struct session *session, enum event_stream stream)
{
    const struct pump *pump = stream == EVENT_STDOUT ? &session->out : &session->err;
    struct stream_count count = {.bytes = pump->bytes, .lost = pump->lost};

    count.counted = filter_count(&session->filters[stream], &count.counts);
    return count;
}

/* The command does not learn of it, and goes on. */
static void tell_lost_output(struct session *session, const struct pump *pump, const char *name)
{
    if (pump_was_cut(pump))
        session_note(session, "%" PRIu64 " bytes of %s were not delivered: %s", pump->lost, name,
                     strerror(pump->sink_errno));
}

void session_close_filters(struct session *session)
{
    tell_lost_output(session, &session->out, "stdout");
    tell_lost_output(session, &session->err, "stderr");
    session->result.out = count_of(session, EVENT_STDOUT);
    session->result.err = count_of(session, EVENT_STDERR);
    filter_close(&session->filters[EVENT_STDOUT]);
    filter_close(&session->filters[EVENT_STDERR]);
}

/* What was told before it was declared a secret is masked here, too. */
static bool mask_outputs(struct session *session, struct err *err)
{
    autojson *masked = json_object();
    const char *name;
    json_t *value;

    json_object_foreach (session->outputs, name, value) {
        autojson *key = masked_json(session, name, strlen(name), err);
        json_t *text =
            key ? masked_json(session, json_string_value(value), json_string_length(value), err)
                : NULL;

        if (!text)
            return false;
        if (json_object_set_new(masked, json_string_value(key), text) < 0)
            return no_memory(err);
    }
    json_decref(session->outputs);
    session->outputs = TAKE_PTR(masked);
    return true;
}

/* What cannot be masked is hidden. */
static json_t *mask_texts(const struct session *session, const json_t *texts)
{
    json_t *masked = json_array(), *text;
    size_t i;

    json_array_foreach (texts, i, text)
        json_array_append_new(masked, hidden_json(session, json_string_value(text)));
    return masked;
}

void session_mask_result(struct session *session)
{
    struct result *result = &session->result;
    struct err ignored;

    session_mask_err(session, &result->error);
    for (size_t i = 0; i < result->violations.count; i++)
        session_mask_err(session, &result->violations.items[i]);
    free(session->masked_reference);
    /* Who was refused before the image was looked at has named one. */
    session->masked_reference = session_masked(
        session, session->reference.name ? session->reference.name : session->options.image);
    result->reference = session->masked_reference;
    free(session->masked_lock);
    session->masked_lock = session_masked(session, session->lock_entry);
    result->lock = session->masked_lock;
    json_decref(session->masked_labels);
    session->masked_labels = mask_texts(session, result->labels);
    result->labels = session->masked_labels;
    for (size_t i = 0; i < result->left.count; i++) {
        char *masked = session_masked(session, result->left.items[i]);

        free(result->left.items[i]);
        result->left.items[i] = masked;
    }
    if (session->outputs && !mask_is_empty(session->mask) && !mask_outputs(session, &ignored))
        json_object_clear(session->outputs);
}

void session_tell_lost_events(const struct session *session)
{
    autofree char *name = session_masked(session, session->options.events);

    if (session->target.lost > 0)
        print_note(session->options.verbosity,
                   "%" PRIu64 " bytes of events were not delivered to '%s'", session->target.lost,
                   name ? name : "");
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
    session_tell_lost_events(session);
    return true;
}

void session_close_relay(struct session *session)
{
    events_release(&session->events);
    sink_close(&session->target);
    mask_free(session->mask);
    json_decref(session->outputs);
    free(session->masked_reference);
    free(session->masked_lock);
    json_decref(session->masked_labels);
}
