#include "tests/unit/unit.h"

#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "shim/relay/filter.h"

/* "hunter2" in base64. */
#define SECRET         "hunter2"
#define DECLARES       "##octopus[mask value='aHVudGVyMg==']"
#define SENSITIVE      "##octopus[setVariable name='eA==' value='aHVudGVyMg==' sensitive='VHJ1ZQ==']"
#define DECLARES_NOT   "##octopus[setVariable name='eA==' value='aHVudGVyMg==']"
#define DECLARES_NOT_M "##octopus[setVariable name='eA==' value='********']"

/* A filter, what came out of it, and what its observer was told. */
struct run {
    struct mask *mask;
    struct events events;
    struct filter filter;
    struct filter_observer observer;
    struct buf out;
    int messages, malformed;
};

static bool on_message(void *data, const struct service_message *message, struct err *err)
{
    struct run *run = data;
    bool ignored;

    run->messages++;
    return !service_message_declares_secret(message) ||
           mask_add(run->mask, service_message_get(message, "value")->value,
                    service_message_get(message, "value")->len, &ignored, err);
}

static bool on_malformed(void *data, const char *why, struct err *err)
{
    struct run *run = data;

    (void)err;
    assert_true(why[0] != '\0');
    run->malformed++;
    return true;
}

static void open_run(struct run *run, const char *secret, bool counts)
{
    struct err err;
    bool ignored;

    *run = (struct run){.mask = mask_new(), .events = EVENTS_INIT, .out = BUF_INIT(4 << 20)};
    run->observer = (struct filter_observer){on_message, on_malformed, run};
    if (secret)
        assert_ok(mask_add(run->mask, secret, strlen(secret), &ignored, &err));
    assert_ok(filter_open(&run->filter, EVENT_STDOUT, run->mask, &run->events, &run->observer,
                          counts, &err));
    assert_true(buf_append(&run->out, "", 0));
}

static void close_run(struct run *run)
{
    filter_close(&run->filter);
    mask_free(run->mask);
    events_release(&run->events);
    buf_release(&run->out);
}

/* A chunk of its own, so that a sanitizer sees its end. */
static void pass(struct run *run, const char *bytes, size_t len)
{
    autofree char *chunk = malloc(len ? len : 1);
    const char *out;
    size_t out_len;
    struct err err;

    memcpy(chunk, bytes, len);
    assert_ok(run->filter.pump.pass(run->filter.pump.data, chunk, len, &out, &out_len, &err));
    assert_true(buf_append(&run->out, out, out_len));
}

static void end(struct run *run)
{
    const char *out;
    size_t out_len;
    struct err err;

    assert_ok(run->filter.pump.end(run->filter.pump.data, &out, &out_len, &err));
    assert_true(buf_append(&run->out, out, out_len));
}

static const struct {
    const char *text, *expected;
    int messages, malformed;
} cases[] = {
    {"plain " SECRET " text", "plain ******** text", 0, 0},
    {DECLARES "\n" SECRET, DECLARES "\n********", 1, 0},
    {SECRET DECLARES SECRET, "********" DECLARES "********", 1, 0},
    {"x " SENSITIVE " " DECLARES DECLARES, "x " SENSITIVE " " DECLARES DECLARES, 3, 0},
    {"a" DECLARES_NOT "b" DECLARES, "a" DECLARES_NOT_M "b" DECLARES, 2, 0},
    /* What could be a message, and is none, is text. */
    {"##octopus[mask value='" SECRET "']", "##octopus[mask value='********']", 0, 1},
    {"##octopus[mask " SECRET "\n" SECRET, "##octopus[mask ********\n********", 0, 1},
    {"##octopus[" SECRET, "##octopus[********", 0, 1},
    {"##octopus[mask value='aHVudGVyMg==", "##octopus[mask value='********", 0, 1},
    {"#" DECLARES, "###octopus[mask value='********']", 0, 0},
    /* The beginning of a secret in front of a message is no part of one behind it. */
    {"hunt" DECLARES "er2", "hunt" DECLARES "er2", 1, 0},
};

static void check_case(size_t i, size_t first, size_t step)
{
    size_t len = strlen(cases[i].text);
    struct run run;

    open_run(&run, SECRET, false);
    for (size_t at = 0, n = first; at < len; at += n, n = step)
        pass(&run, cases[i].text + at, n = n < len - at ? n : len - at);
    end(&run);
    assert_string_equal(run.out.data, cases[i].expected);
    assert_int_equal(run.messages, cases[i].messages);
    assert_int_equal(run.malformed, cases[i].malformed);
    close_run(&run);
}

static void messages_and_secrets_however_they_are_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        for (size_t first = 1; first <= strlen(cases[i].text); first++) {
            check_case(i, first, SIZE_MAX);
            check_case(i, first, 1);
            check_case(i, first, 5);
        }
    }
}

static void a_message_is_withheld_only_where_something_is_masked(void **state)
{
    struct run run;

    (void)state;
    open_run(&run, NULL, false);
    pass(&run, "x ##octopus[mask ", 17);
    assert_string_equal(run.out.data, "x ##octopus[mask ");
    pass(&run, "value='aHVudGVyMg=='] " SECRET, 22 + 7);
    end(&run);
    assert_string_equal(run.out.data, "x " DECLARES " ********");
    close_run(&run);

    open_run(&run, SECRET, false);
    pass(&run, "x ##octopus[mask", 16);
    assert_string_equal(run.out.data, "x ");
    pass(&run, "\n", 1);
    assert_string_equal(run.out.data, "x ##octopus[mask\n");
    close_run(&run);
}

static void a_message_without_an_end_is_let_go(void **state)
{
    autofree char *bytes = calloc(1, SERVICE_MESSAGE_MAX);
    struct run run;

    (void)state;
    open_run(&run, SECRET, false);
    memset(bytes, 'x', SERVICE_MESSAGE_MAX);
    pass(&run, "##octopus[", 10);
    for (size_t at = 0; at < SERVICE_MESSAGE_MAX; at += PUMP_CHUNK)
        pass(&run, bytes + at, PUMP_CHUNK);
    assert_int_equal(run.malformed, 1);
    assert_int_equal(run.out.len, SERVICE_MESSAGE_MAX + 10);
    close_run(&run);
}

static void what_is_counted_is_what_comes_out(void **state)
{
    static const struct {
        const char *text;
        uint64_t lines;
        const char *sha256;
    } table[] = {
        {"", 0, "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"a\nb\n", 2, "sha256:911169ddaaf146aff539f58c26c489af3b892dff0fe283c1c264c65ae5aa59a2"},
        {"a\n" SECRET, 2,
         "sha256:bd9ce03d2dc4514a621a52687941f2a546b93e4516edc0dd188fbdebaf82f970"},
    };
    struct counts counts;
    struct run run;

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        open_run(&run, SECRET, true);
        for (size_t at = 0; at < strlen(table[i].text); at++)
            pass(&run, table[i].text + at, 1);
        end(&run);
        assert_true(filter_count(&run.filter, &counts));
        assert_int_equal(counts.lines, table[i].lines);
        assert_string_equal(counts.sha256, table[i].sha256);
        assert_false(filter_count(&run.filter, &counts));
        close_run(&run);
    }
    open_run(&run, NULL, false);
    assert_false(filter_count(&run.filter, &counts));
    close_run(&run);
}

static void nothing_comes_out_once_the_mask_fails(void **state)
{
    autofree char *too_long = malloc(MASK_VALUE_MAX + 1);
    struct err err = ERR_INIT;
    struct run run;
    const char *out = NULL;
    size_t len = 0;
    bool ignored;

    (void)state;
    memset(too_long, 'x', MASK_VALUE_MAX + 1);
    open_run(&run, SECRET, true);
    pass(&run, "hunt", 4);
    assert_refused(mask_add(run.mask, too_long, MASK_VALUE_MAX + 1, &ignored, &err),
                   ERR_OPTION_INVALID);
    assert_refused(mask_check(run.mask, &err), ERR_OPTION_INVALID);
    assert_refused(run.filter.pump.pass(&run.filter, SECRET, 7, &out, &len, &err),
                   ERR_ENGINE_FAILED);
    assert_refused(run.filter.pump.end(&run.filter, &out, &len, &err), ERR_ENGINE_FAILED);
    assert_null(out);
    assert_int_equal(run.out.len, 0);
    close_run(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_and_secrets_however_they_are_cut),
        cmocka_unit_test(a_message_is_withheld_only_where_something_is_masked),
        cmocka_unit_test(a_message_without_an_end_is_let_go),
        cmocka_unit_test(what_is_counted_is_what_comes_out),
        cmocka_unit_test(nothing_comes_out_once_the_mask_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
