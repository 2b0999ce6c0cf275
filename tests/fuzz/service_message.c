/*
 * Service messages in any stream. The first byte says how it is cut, and whatever the cuts, the same is
 * found at the same places; as many as a plain automaton finds.
 */
#include "tests/fuzz/fuzz.h"

#include "base/buf.h"
#include "base/utf8.h"
#include "shim/relay/service_message.h"

struct record {
    struct buf said;
    const char *bytes;
    size_t before; /* bytes in earlier chunks */
    size_t len;    /* of the current one */
    size_t found;
};

static bool on_message(void *data, const struct service_message *message, size_t end,
                       struct err *err)
{
    struct record *record = data;
    const char *missing = NULL;

    (void)err;
    FUZZ_CHECK(end > 0 && end <= record->len && record->bytes[record->before + end - 1] == ']');
    FUZZ_CHECK(*message->name && message->count <= SERVICE_MESSAGE_ATTRIBUTES_MAX);
    FUZZ_CHECK(service_message_check(message, &missing) == !missing);
    FUZZ_CHECK(!missing || service_message_known(message));
    record->found++;
    buf_printf(&record->said, "%zu %s", record->before + end, message->name);
    for (size_t i = 0; i < message->count; i++) {
        const struct service_message_attribute *attribute = &message->attributes[i];

        FUZZ_CHECK(service_message_get(message, attribute->key) == attribute);
        FUZZ_CHECK(utf8_valid(attribute->value, attribute->len));
        FUZZ_CHECK(attribute->value[attribute->len] == '\0');
        buf_printf(&record->said, " %s=", attribute->key);
        buf_append(&record->said, attribute->value, attribute->len);
    }
    return buf_append_text(&record->said, "\n");
}

static bool on_malformed(void *data, const char *text, size_t len, const char *why, struct err *err)
{
    struct record *record = data;

    (void)err;
    FUZZ_CHECK(len <= SERVICE_MESSAGE_MAX && memmem(text, len, "##octopus[", 10) == text);
    FUZZ_CHECK(memmem(record->bytes, record->before + record->len, text, len));
    record->found++;
    return buf_printf(&record->said, "%s: ", why) && buf_append(&record->said, text, len) &&
           buf_append_text(&record->said, "\n");
}

static void scan(const char *bytes, size_t size, size_t step, struct record *record)
{
    struct service_message_scanner scanner = {
        .message = on_message, .malformed = on_malformed, .data = record};
    struct err err = ERR_INIT;

    *record = (struct record){.said = BUF_INIT((size_t)16 << 20), .bytes = bytes};
    for (; record->before < size; record->before += record->len) {
        autofree char *chunk = NULL;

        record->len = step < size - record->before ? step : size - record->before;
        chunk = malloc(record->len);
        FUZZ_CHECK(chunk);
        memcpy(chunk, bytes + record->before, record->len);
        FUZZ_CHECK(service_message_scan(&scanner, chunk, record->len, &err));
    }
    record->len = 0;
    FUZZ_CHECK(service_message_end(&scanner, &err));
    FUZZ_CHECK(!scanner.text.data && !scanner.matched);
}

static size_t count(const char *bytes, size_t size)
{
    static const char beginning[] = "##octopus[";
    size_t matched = 0, found = 0;

    for (size_t i = 0; i < size; i++) {
        if (matched < strlen(beginning)) {
            matched = bytes[i] == beginning[matched] ? matched + 1 : 0;
        } else if (bytes[i] == ']' || bytes[i] == '\n') {
            matched = 0;
            found++;
        }
    }
    return found + (matched == strlen(beginning));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t step = 1 + (size_t)fuzz_choice(&data, &size);
    struct record whole, cut;

    scan((const char *)data, size, size ? size : 1, &whole);
    scan((const char *)data, size, step, &cut);
    FUZZ_CHECK(size > SERVICE_MESSAGE_MAX || whole.found == count((const char *)data, size));
    FUZZ_CHECK(whole.said.len == cut.said.len);
    FUZZ_CHECK(!whole.said.len || memcmp(whole.said.data, cut.said.data, whole.said.len) == 0);
    buf_release(&whole.said);
    buf_release(&cut.said);
    return 0;
}
