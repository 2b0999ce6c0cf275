#include "tests/unit/unit.h"

#include "base/buf.h"
#include "shim/relay/service_message.h"

/* What a scanner says, as text: name{key:value}, and !why(text) for what is malformed. */
struct record {
    struct buf text;
    const char *bytes;
    size_t before; /* bytes in earlier chunks */
    size_t end;    /* of the last message */
};

static bool on_message(void *data, const struct service_message *message, size_t end,
                       struct err *err)
{
    struct record *record = data;

    (void)err;
    buf_append_text(&record->text, message->name);
    for (size_t i = 0; i < message->count; i++) {
        buf_printf(&record->text, "{%s:", message->attributes[i].key);
        buf_append(&record->text, message->attributes[i].value, message->attributes[i].len);
        assert_int_equal(message->attributes[i].value[message->attributes[i].len], 0);
        buf_append_text(&record->text, "}");
    }
    record->end = record->before + end;
    assert_int_equal(record->bytes[record->end - 1], ']');
    return buf_append_text(&record->text, "\n");
}

static bool on_malformed(void *data, const char *text, size_t len, const char *why, struct err *err)
{
    struct record *record = data;

    (void)err;
    buf_printf(&record->text, "!%s(", why);
    buf_append(&record->text, text, len);
    return buf_append_text(&record->text, ")\n");
}

/* Scans two chunks of these lengths, and then chunks of `step` bytes. */
static void scan(const char *bytes, size_t len, size_t first, size_t second, size_t step,
                 struct record *record)
{
    struct service_message_scanner scanner = {
        .message = on_message, .malformed = on_malformed, .data = record};
    struct err err = ERR_INIT;

    *record = (struct record){.text = BUF_INIT((size_t)8 << 20), .bytes = bytes};
    assert_true(buf_append(&record->text, "", 0));
    for (size_t n; record->before < len; record->before += n) {
        size_t left = len - record->before;
        autofree char *chunk = NULL;

        n = record->before == 0 && first        ? first
            : record->before == first && second ? second
                                                : step;
        n = n < left ? n : left;
        /* A copy of its own, so that a sanitizer sees its end. */
        chunk = malloc(n);
        assert_non_null(chunk);
        memcpy(chunk, bytes + record->before, n);
        assert_ok(service_message_scan(&scanner, chunk, n, &err));
    }
    assert_ok(service_message_end(&scanner, &err));
    assert_null(scanner.text.data);
}

/* However it is cut, it says the same. */
static void assert_scans(const char *bytes, size_t len, const char *expected, size_t end)
{
    struct record record;

    for (size_t first = 0; first <= len; first++) {
        for (size_t second = 0; first + second <= len; second++) {
            scan(bytes, len, first, second, len, &record);
            assert_int_equal(record.text.len, strlen(expected));
            assert_string_equal(record.text.data, expected);
            if (end)
                assert_int_equal(record.end, end);
            buf_release(&record.text);
        }
    }
    scan(bytes, len, 0, 0, 1, &record);
    assert_string_equal(record.text.data, expected);
    buf_release(&record.text);
}

static void messages_are_found(void **state)
{
    static const struct {
        const char *text, *expected;
    } table[] = {
        {"", ""},
        {"plain text\n# and ## too\n", ""},
        {"##octopus[stdout-verbose]\n", "stdout-verbose\n"},
        {"##octopus[mask value='c2VjcmV0']", "mask{value:secret}\n"},
        {"##octopus[mask value=\"c2VjcmV0\"]", "mask{value:secret}\n"},
        {"##octopus[setVariable name='YQ==' value='' sensitive='VHJ1ZQ==']",
         "setVariable{name:a}{value:}{sensitive:True}\n"},
        {"##octopus[m  a\t=\r 'YQ=='\tB_1-x.y='w6Q='  ]", "m{a:a}{B_1-x.y:\xc3\xa4}\n"},
        {"##octopus[other-1.x new='Cg==']", "other-1.x{new:\n}\n"},
        {"text ##octopus[a] text ##octopus[b]##octopus[c]\r\n", "a\nb\nc\n"},
        {"##octopus[a]]]", "a\n"},
        {"##octop\n##octopus[a]", "a\n"},
        {"# ##octopus[a]", "a\n"},
        {"######octopus[a]#####octopus[b]", "b\n"},
        /* The reference's automaton: what ends a beginning does not begin another. */
        {"###octopus[a]", ""},
        {"##octo##octopus[a]", ""},
        {"##Octopus[a]", ""},
        {"##octopus [a]", ""},
        {"##teamcity[a]", ""},
        {"##octopus", ""},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++)
        assert_scans(table[i].text, strlen(table[i].text), table[i].expected, 0);
}

static void malformed_messages_are_told(void **state)
{
    static const struct {
        const char *body, *why;
    } table[] = {
        {"", "it has no name"},
        {" a", "it has no name"},
        {"[a", "it has no name"},
        {"1a", "it has no name"},
        {"\xc3\xa4", "it has no name"},
        {"a!", "a blank is missing behind its name or a value"},
        {"a='YQ=='", "a blank is missing behind its name or a value"},
        {"a b='YQ=='c='YQ=='", "a blank is missing behind its name or a value"},
        {"a ='YQ=='", "an attribute has no name"},
        {"a -b='YQ=='", "an attribute has no name"},
        {"a b", "there is no '=' behind the name of an attribute"},
        {"a b c='YQ=='", "there is no '=' behind the name of an attribute"},
        {"a b=", "a value is not in quotes"},
        {"a b=YQ==", "a value is not in quotes"},
        {"a b='YQ==", "a quote is not closed"},
        {"a b='YQ==\"", "a quote is not closed"},
        {"a b='YQ==' B='YQ=='", "it has an attribute twice"},
        {"a b='YQ'", "a value is not base64"},
        {"a b='True'", "a value is not UTF-8"},
        {"a b='x'", "a value is not base64"},
        {"a b='Y Q='", "a value is not base64"},
        {"a b='YQ==YQ=='", "a value is not base64"},
        {"a b='&#x59'", "a value is not base64"},
        {"a b='/w=='", "a value is not UTF-8"},
        {"a b='wIA='", "a value is not UTF-8"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        autofree char *text = text_printf("x##octopus[%s]\n##octopus[b]", table[i].body);
        autofree char *expected =
            text_printf("!%s(##octopus[%s])\nb\n", table[i].why, table[i].body);

        assert_scans(text, strlen(text), expected, strlen(text));
    }
}

static void lines_and_streams_end_messages(void **state)
{
    static const struct {
        const char *text, *expected;
    } table[] = {
        {"##octopus[", "!the output ends inside it(##octopus[)\n"},
        {"x##octopus[a b='YQ=='", "!the output ends inside it(##octopus[a b='YQ==')\n"},
        {"##octopus[a\n]##octopus[b]\n", "!the line ends inside it(##octopus[a)\nb\n"},
        {"##octopus[a\r\n##octopus[b]", "!the line ends inside it(##octopus[a\r)\nb\n"},
        {"##octopus[\n##octopus[\n", "!the line ends inside it(##octopus[)\n"
                                     "!the line ends inside it(##octopus[)\n"},
        {"##octopus[a ##octopus[b]##octopus[c]",
         "!an attribute has no name(##octopus[a ##octopus[b])\nc\n"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++)
        assert_scans(table[i].text, strlen(table[i].text), table[i].expected, 0);
}

static void the_end_of_a_message_is_told(void **state)
{
    static const char text[] = "]##octopus[a] ] ##octopus[b c='YQ==']] and more ]";

    (void)state;
    assert_scans(text, strlen(text), "a\nb{c:a}\n",
                 strlen("]##octopus[a] ] ##octopus[b c='YQ==']"));
}

static void nul_bytes_are_told_apart(void **state)
{
    static const char name[] = "##octopus[a\0]##octopus[b]", value[] = "##octopus[a b='YQ==\0']";
    static const char decoded[] = "##octopus[a b='YQBi']",
                      between[] = "##octo\0pus[a]\0##octopus[b]";
    struct record record;

    (void)state;
    scan(name, sizeof(name) - 1, 0, 0, 7, &record);
    assert_memory_equal(record.text.data, "!it holds a NUL byte(##octopus[a\0])\nb\n", 37);
    buf_release(&record.text);
    scan(value, sizeof(value) - 1, 0, 0, 7, &record);
    assert_memory_equal(record.text.data, "!it holds a NUL byte(##octopus[a b='YQ==\0'])\n", 45);
    buf_release(&record.text);
    scan(decoded, sizeof(decoded) - 1, 0, 0, 7, &record);
    assert_int_equal(record.text.len, 9);
    assert_memory_equal(record.text.data, "a{b:a\0b}\n", 9);
    buf_release(&record.text);
    assert_scans(between, sizeof(between) - 1, "b\n", sizeof(between) - 1);
}

/* A mask message of `len` bytes, and a short one behind it. Blanks fill up what base64 cannot. */
static char *long_message(size_t len)
{
    static const char head[] = "##octopus[mask value='";
    size_t room = len - strlen(head) - strlen("']"), blanks = room % 4;
    char *text = malloc(len + 32), *value = text + strlen(head);

    assert_non_null(text);
    strcpy(text, head);
    memset(value, 'U', room - blanks); /* "UUUU" stands for ASCII */
    sprintf(value + room - blanks, "'%*s]##octopus[b]", (int)blanks, "");
    return text;
}

static void long_messages_have_a_limit(void **state)
{
    static const size_t steps[] = {4095, 65536, 65537, (size_t)8 << 20};
    static const size_t lens[] = {SERVICE_MESSAGE_MAX - 1, SERVICE_MESSAGE_MAX,
                                  SERVICE_MESSAGE_MAX + 1, 2 * SERVICE_MESSAGE_MAX + 70000};

    (void)state;
    for (size_t i = 0; i < COUNT(steps) * COUNT(lens); i++) {
        size_t len = lens[i / COUNT(steps)];
        bool over = len > SERVICE_MESSAGE_MAX;
        const char *expected = over ? "!it is too long(##octopus[mask" : "mask{value:";
        autofree char *text = long_message(len);
        struct record record;

        scan(text, strlen(text), 0, 0, steps[i % COUNT(steps)], &record);
        assert_int_equal(strncmp(record.text.data, expected, strlen(expected)), 0);
        assert_string_equal(record.text.data + record.text.len - 3, "\nb\n");
        if (over)
            assert_int_equal(record.text.len,
                             strlen("!it is too long()\nb\n") + SERVICE_MESSAGE_MAX);
        buf_release(&record.text);
    }
}

static void attributes_have_a_limit(void **state)
{
    (void)state;
    for (size_t over = 0; over <= 1; over++) {
        autobuf text = BUF_INIT(4096);
        struct record record;

        buf_append_text(&text, "##octopus[a");
        for (size_t i = 0; i < SERVICE_MESSAGE_ATTRIBUTES_MAX + over; i++)
            buf_printf(&text, " a%zu='YQ=='", i);
        buf_append_text(&text, " ]");
        scan(text.data, text.len, 0, 0, 100, &record);
        assert_int_equal(strncmp(record.text.data, "!it has too many attributes(", 28) == 0, over);
        buf_release(&record.text);
    }
}

static bool refuse_message(void *data, const struct service_message *message, size_t end,
                           struct err *err)
{
    (void)data, (void)end;
    return err_set(err, ERR_ENGINE_FAILED, "no '%s'", message->name);
}

static bool refuse_malformed(void *data, const char *text, size_t len, const char *why,
                             struct err *err)
{
    (void)data, (void)text, (void)len;
    return err_set(err, ERR_ENGINE_FAILED, "no: %s", why);
}

static void refusals_end_the_scan(void **state)
{
    static const char *const texts[] = {"##octopus[a] ##octopus[b", "##octopus[?] ##octopus[b]"};

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct service_message_scanner scanner = {.message = refuse_message,
                                                  .malformed = refuse_malformed};
        struct err err = ERR_INIT;

        assert_refused(service_message_scan(&scanner, texts[i], strlen(texts[i]), &err),
                       ERR_ENGINE_FAILED);
        service_message_release(&scanner);
        assert_ok(service_message_scan(&scanner, texts[i], 11, &err));
        assert_refused(service_message_end(&scanner, &err), ERR_ENGINE_FAILED);
        assert_ok(service_message_scan(&scanner, texts[i], 11, &err));
        service_message_release(&scanner);
        assert_ok(service_message_end(&scanner, &err));
    }
}

/* A message of this name with these keys, separated by blanks. */
static struct service_message make(const char *name, char *keys)
{
    struct service_message message = {.name = name};

    for (char *key = strtok(keys, " "); key; key = strtok(NULL, " "))
        message.attributes[message.count++] =
            (struct service_message_attribute){.key = key, .value = ""};
    return message;
}

static void required_attributes_are_checked(void **state)
{
    static const struct {
        const char *name, *keys, *missing;
        bool known;
    } table[] = {
        {"setVariable", "name value", NULL, true},
        {"setVariable", "VALUE Name sensitive", NULL, true},
        {"setVariable", "value", "name", true},
        {"setVariable", "name valu", "value", true},
        {"createArtifact", "path name length", NULL, true},
        {"createArtifact", "path name", "length", true},
        {"createArtifact", "", "path", true},
        {"progress", "percentage message", NULL, true},
        {"progress", "message", "percentage", true},
        {"mask", "value", NULL, true},
        {"mask", "", "value", true},
        {"resultMessage", "", "message", true},
        {"stdout-verbose", "", NULL, true},
        {"k8s-status", "", NULL, true},
        {"Mask", "", NULL, false},
        {"something-new", "a", NULL, false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        autofree char *keys = strdup(table[i].keys);
        struct service_message message = make(table[i].name, keys);
        const char *missing = NULL;

        assert_int_equal(service_message_check(&message, &missing), !table[i].missing);
        assert_int_equal(service_message_known(&message), table[i].known);
        if (table[i].missing)
            assert_string_equal(missing, table[i].missing);
        else
            assert_null(missing);
        assert_null(service_message_get(&message, "other"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_found),
        cmocka_unit_test(malformed_messages_are_told),
        cmocka_unit_test(lines_and_streams_end_messages),
        cmocka_unit_test(the_end_of_a_message_is_told),
        cmocka_unit_test(nul_bytes_are_told_apart),
        cmocka_unit_test(long_messages_have_a_limit),
        cmocka_unit_test(attributes_have_a_limit),
        cmocka_unit_test(refusals_end_the_scan),
        cmocka_unit_test(required_attributes_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
