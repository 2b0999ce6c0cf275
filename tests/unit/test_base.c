#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/child.h"
#include "base/cleanup.h"
#include "base/errs.h"
#include "base/file.h"
#include "base/history.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/num.h"
#include "base/process.h"
#include "base/program.h"
#include "base/quote.h"
#include "base/utf8.h"

static void numbers_are_strict(void **state)
{
    static const struct {
        const char *text;
        uint64_t max;
        bool ok;
        uint64_t value;
    } table[] = {
        {"0", 10, true, 0},
        {"10", 10, true, 10},
        {"18446744073709551615", UINT64_MAX, true, UINT64_MAX},
        {"11", 10, false, 0},
        {"5", 3, false, 0},
        {"18446744073709551616", UINT64_MAX, false, 0},
        {"", 10, false, 0},
        {"-1", 10, false, 0},
        {"+1", 10, false, 0},
        {" 1", 10, false, 0},
        {"1 ", 10, false, 0},
        {"01", 10, false, 0},
        {"0x1", 10, false, 0},
        {"1e1", 100, false, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        uint64_t value = 42;

        assert_int_equal(num_parse(table[i].text, table[i].max, &value), table[i].ok);
        assert_int_equal(value, table[i].ok ? table[i].value : 42);
    }
}

static void durations_have_units(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        uint64_t ms;
    } table[] = {
        {"90", true, 90000},      {"0", true, 0},         {"500ms", true, 500},
        {"1h30m", true, 5400000}, {"2m5s", true, 125000}, {"1h1m1s1ms", true, 3661001},
        {"", false, 0},           {"s", false, 0},        {"5x", false, 0},
        {"5s5m", false, 0},       {"5s5s", false, 0},     {"1.5s", false, 0},
        {"-5s", false, 0},        {"5 s", false, 0},      {"99999999999999999999h", false, 0},
        {"9000h", false, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        uint64_t ms = 42;

        assert_int_equal(num_parse_duration(table[i].text, &ms), table[i].ok);
        assert_int_equal(ms, table[i].ok ? table[i].ms : 42);
    }
}

static void ages_may_be_days(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        uint64_t seconds;
    } table[] = {
        {"3d", true, 259200}, {"0d", true, 0},
        {"12h", true, 43200}, {"90", true, 90},
        {"1d12h", false, 0},  {"36501d", false, 0},
        {"d", false, 0},      {"-1d", false, 0},
        {"1.5d", false, 0},   {"99999999999999999999d", false, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        uint64_t seconds = 42;

        assert_int_equal(num_parse_age(table[i].text, &seconds), table[i].ok);
        assert_int_equal(seconds, table[i].ok ? table[i].seconds : 42);
    }
}

static void buffers_keep_their_limit(void **state)
{
    autobuf buf = BUF_INIT(10);
    char *text;

    (void)state;
    assert_true(buf_append(&buf, "12345", 5));
    assert_true(buf_printf(&buf, "%d", 678));
    assert_false(buf_append_text(&buf, "9ab"));
    assert_string_equal(buf.data, "12345678");
    assert_true(buf_append_text(&buf, "9a"));
    assert_int_equal(buf.len, 10);
    text = buf_take(&buf);
    assert_string_equal(text, "123456789a");
    free(text);
    assert_int_equal(buf.len, 0);
    text = buf_take(&buf);
    assert_string_equal(text, "");
    free(text);
}

static void string_lists_end_with_null(void **state)
{
    autostrv list = {.max = 100};

    (void)state;
    for (int i = 0; i < 100; i++) {
        assert_true(strv_add(&list, "x"));
        assert_null(list.items[list.count]);
    }
    assert_false(strv_add(&list, "one too many"));
    assert_int_equal(list.count, 100);
}

static void errors_carry_code_context_and_hint(void **state)
{
    struct err err;

    (void)state;
    assert_false(err_set(&err, ERR_IMAGE_CORRUPT, "'%s' is bad", "x"));
    assert_false(err_hint(&err, "pull it again"));
    assert_false(err_context(&err, "layer %d", 3));
    assert_string_equal(err.message, "layer 3: 'x' is bad");
    assert_string_equal(err.hint, "pull it again");
    errno = ENOSPC;
    err_errno(&err, ERR_ENGINE_FAILED, "cannot write");
    assert_int_equal(err.code, ERR_STORE_FULL);
    assert_string_equal(err.message, "cannot write: No space left on device");
    assert_string_equal(err.hint, "");
    for (int code = 0; code < ERR_COUNT; code++)
        assert_int_equal(err_code_parse(err_code_text((enum err_code)code)), code);
    assert_int_equal(err_code_parse("no.such"), ERR_COUNT);
}

static void errors_are_listed_once(void **state)
{
    struct errs errs = {0};
    struct err err;

    (void)state;
    for (int i = 0; i < ERRS_MAX + 10; i++) {
        err_set(&err, ERR_MOUNT_DENIED, "number %d", i);
        assert_true(errs_add(&errs, &err));
        assert_true(errs_add(&errs, &err));
    }
    assert_int_equal(errs.count, ERRS_MAX);
    assert_string_equal(errs.items[1].message, "number 1");
    errs_release(&errs);
    assert_int_equal(errs.count, 0);
}

/* What docs/errors.md says of a code, as it is printed. */
static char *fix_of(const char *page, const char *code)
{
    char *title = text_printf("## `%s`\n", code), *fix, *end;

    fix = strstr(page, title);
    assert_non_null(fix);
    fix = strstr(fix, "\nFix: ") + strlen("\nFix: ");
    end = strstr(fix, "\n\n");
    fix = strndup(fix, end ? (size_t)(end - fix) : strlen(fix) - 1);
    for (char *p = fix; *p; p++)
        *p = *p == '`' ? '\'' : *p == '\n' ? ' ' : *p;
    assert_int_equal(fix[strlen(fix) - 1], '.');
    fix[strlen(fix) - 1] = '\0';
    free(title);
    return fix;
}

static void every_code_has_the_fix_of_the_page(void **state)
{
    struct buf page = BUF_INIT(1 << 20);
    struct err err;

    (void)state;
    assert_ok(file_read(AT_FDCWD, "docs/errors.md", &page, ERR_ENGINE_FAILED, &err));
    for (int code = ERR_NONE + 1; code < ERR_COUNT; code++) {
        char *fix = fix_of(page.data, err_code_text((enum err_code)code));

        err_set(&err, (enum err_code)code, "x");
        assert_string_equal(err_fix(&err), fix);
        err_hint(&err, "nearer");
        assert_string_equal(err_fix(&err), "nearer");
        free(fix);
    }
    buf_release(&page);
}

static void histories_tell_what_set_an_entrypoint(void **state)
{
    static const struct {
        const char *line;
        bool sets;
    } lines[] = {
        {"ENTRYPOINT [\"a\"]", true},
        {"/bin/sh -c #(nop) ENTRYPOINT [\"a\"]", true},
        {"/bin/sh -c #(nop) entrypoint a", true},
        {"/bin/bash -eo pipefail -c #(nop)  ENTRYPOINT [\"a\"]", true},
        {"cmd /S /C #(nop)  ENTRYPOINT [\"a\"]", true},
        {"|1 MY_TOKEN=x /bin/sh -c echo ENTRYPOINT", false},
        {"|1 MY_TOKEN=x /bin/sh -c echo '#(nop) ENTRYPOINT'", false},
        {"|1 A=#(nop) ENTRYPOINT", false},
        {"RUN |1 MY_TOKEN=x /bin/sh -c echo '#(nop) ENTRYPOINT' # buildkit", false},
        {"RUN /bin/sh -c echo ENTRYPOINT # buildkit", false},
        {"/bin/sh -c echo ENTRYPOINT", false},
        {"/bin/sh -c #(nop) ONBUILD ENTRYPOINT [\"a\"]", false},
        {"ONBUILD ENTRYPOINT [\"a\"]", false},
        {"/bin/sh -c #(nop) COPY file:1 in /ENTRYPOINT ", false},
        {"/bin/sh -c #(nop)", false},
        {"", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(lines); i++) {
        if (history_sets_entrypoint(lines[i].line) != lines[i].sets)
            fail_msg("%s", lines[i].line);
    }
}

static void words_are_quoted_for_shells(void **state)
{
    static const struct {
        const char *word, *quoted;
    } words[] = {
        {"plain-1.2/3:4,5@6%7+8=9", "plain-1.2/3:4,5@6%7+8=9"},
        {"", "''"},
        {"a b", "'a b'"},
        {"it's", "'it'\\''s'"},
        {"'", "''\\'''"},
        {"$HOME `id` $(id) \"x\" \\", "'$HOME `id` $(id) \"x\" \\'"},
        {"~root", "'~root'"},
        {"=ls", "'=ls'"},
        {"#x", "'#x'"},
        {"a;b&c|d<e>f", "'a;b&c|d<e>f'"},
        {"*?[a]{b,c}", "'*?[a]{b,c}'"},
        {"!!", "'!!'"},
        {"\xc3\xa9\xe2\x82\xac", "'\xc3\xa9\xe2\x82\xac'"},
        /* Nothing that a terminal or an editor would act on. */
        {"a\nb", "$'a\\012b'"},
        {"\x1b[201~id\n7", "$'\\033[201~id\\0127'"},
        {"it's\t!\\", "$'it\\047s\\011\\041\\134'"},
        {"\xff", "$'\\377'"},
        {"\xc2\x9b", "$'\\302\\233'"},
        {"\xe2\x80\xae", "$'\\342\\200\\256'"},
        {"\xed\xa0\x80", "$'\\355\\240\\200'"},
        {"\x7f", "$'\\177'"},
        {"##teamcity[x]", "$'\\043\\043teamcity[x]'"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(words); i++) {
        struct buf text = BUF_INIT(1024);

        assert_true(quote_shell(&text, words[i].word));
        assert_string_equal(text.data, words[i].quoted);
        buf_release(&text);
    }
    for (size_t max = 0; max < 20; max++) {
        struct buf text = BUF_INIT(max);

        assert_false(quote_shell(&text, "'a\nlong word\xff of bytes"));
        buf_release(&text);
    }
}

static void fields_are_quoted_for_csv(void **state)
{
    static const struct {
        const char *value, *quoted;
    } fields[] = {{"/a b", "k=/a b"},
                  {"/a,b", "\"k=/a,b\""},
                  {"\"", "\"k=\"\"\""},
                  {"a\nb", "\"k=a\nb\""},
                  {"", "k="}};

    (void)state;
    for (size_t i = 0; i < COUNT(fields); i++) {
        struct buf text = BUF_INIT(1024);

        assert_true(quote_csv(&text, "k", fields[i].value));
        assert_string_equal(text.data, fields[i].quoted);
        buf_release(&text);
    }
}

static void json_from_outside_is_checked(void **state)
{
    static const char *const bad[] = {
        "",      "{", "{} x", "{\"a\":1,\"a\":2}", "{\"a\":\"\\u0000\"}", "nul", "\xef\xbb\xbf{}",
        "\"a\"",
    };
    struct err err;

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        autojson *json = NULL;

        assert_refused((json = json_parse(bad[i], strlen(bad[i]), "it", ERR_CONFIG_INVALID, &err)),
                       ERR_CONFIG_INVALID);
    }
    autojson *json = json_parse("{\"a\": \"b\", \"n\": 1}", 18, "it", ERR_CONFIG_INVALID, &err);
    assert_string_equal(json_text(json, "a"), "b");
    assert_null(json_text(json, "n"));
    assert_null(json_text(json, "x"));
}

static void places_in_json_have_lines(void **state)
{
    static const char text[] = "{\n \"a\": [1,\n {\"x\\\"{[\": 2,\n \"y\": [[],\n {}]}],\n"
                               " \"b\\\\\":\n{\"c\": \"]}\",\n\"d\": true}\n}\n";
    static const struct {
        size_t path[4], depth, line;
    } table[] = {
        {{0}, 1, 2},       {{0, 0}, 2, 2}, {{0, 1}, 2, 3},       {{0, 1, 0}, 3, 3},
        {{0, 1, 1}, 3, 4}, {{1}, 1, 6},    {{0, 1, 1, 0}, 4, 4}, {{0, 1, 1, 1}, 4, 5},
        {{1, 0}, 2, 7},    {{1, 1}, 2, 8},
    };
    struct err err;
    autojson *json = json_parse(text, strlen(text), "it", ERR_CONFIG_INVALID, &err);

    (void)state;
    assert_non_null(json);
    for (size_t i = 0; i < COUNT(table); i++)
        assert_int_equal(json_line(text, strlen(text), table[i].path, table[i].depth),
                         table[i].line);
}

static void bytes_become_json_text(void **state)
{
    static const struct {
        const char *bytes;
        const char *text;
    } table[] = {
        {"plain", "plain"},
        {"\xc3\xa4", "\xc3\xa4"},
        {"a\xff"
         "b",
         "a\\xffb"},
        {"\xc3", "\\xc3"},
        {"\xc0\x80", "\\xc0\\x80"},
        {"\xed\xa0\x80", "\\xed\\xa0\\x80"},
        {"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        autojson *json = json_bytes(table[i].bytes, strlen(table[i].bytes));

        assert_string_equal(json_string_value(json), table[i].text);
    }
}

static void utf8_is_strict(void **state)
{
    static const struct {
        const char *bytes;
        size_t len, length; /* of all, and of the first sequence */
        bool valid;
    } table[] = {
        {"a", 1, 1, true},
        {"\0", 1, 1, true},
        {"\xc3\xa4", 2, 2, true},
        {"\xe2\x82\xac", 3, 3, true},
        {"\xf4\x8f\xbf\xbf", 4, 4, true},
        {"\xc3\xa4\xc3", 3, 2, false},
        {"\xc3\xa4", 1, 0, false},
        {"\x80", 1, 0, false},
        {"\xc0\x80", 2, 0, false},
        {"\xe0\x80\x80", 3, 0, false},
        {"\xed\xa0\x80", 3, 0, false},
        {"\xf4\x90\x80\x80", 4, 0, false},
        {"\xff", 1, 0, false},
    };

    (void)state;
    assert_true(utf8_valid("", 0));
    for (size_t i = 0; i < COUNT(table); i++) {
        assert_int_equal(utf8_length(table[i].bytes, table[i].len), table[i].length);
        assert_int_equal(utf8_valid(table[i].bytes, table[i].len), table[i].valid);
    }
}

static void cut_utf8_is_known_from_wrong_utf8(void **state)
{
    static const struct {
        const char *bytes;
        size_t whole;
        bool is_cut; /* the rest */
    } table[] = {
        {"", 0, false},
        {"plain", 5, false},
        {"12345678\xc3", 8, true},
        {"1234567\xc3\xa9", 9, false},
        {"a\xc3", 1, true},
        {"a\xc3x", 1, false},
        {"\xe2\x82", 0, true},
        {"\xe2\x82\xac", 3, false},
        {"\xf0\x9f\x98", 0, true},
        {"\xe0\x80", 0, false}, /* overlong */
        {"\xed\xa0", 0, false}, /* a surrogate */
        {"\xf4\x90", 0, false}, /* behind the last character */
        {"\xf5", 0, false},
        {"\x80", 0, false},
        {"\xe2\x82\xe2", 0, false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        size_t len = strlen(table[i].bytes), whole = utf8_whole(table[i].bytes, len);

        assert_int_equal(whole, table[i].whole);
        assert_int_equal(utf8_is_cut(table[i].bytes + whole, len - whole), table[i].is_cut);
    }
}

static void base64_is_strict(void **state)
{
    static const struct {
        const char *plain, *text;
    } cases[] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"\xff\xfe\xfd", "//79"},
        {"user:p\xc3\xa4ss", "dXNlcjpww6Rzcw=="},
    };
    static const char *const bad[] = {"Z",     "Zg=",    "Zg===", "Z===",     "=",     "Zm9v=",
                                      "Zm 9v", "Zm9v\n", "Zm-v",  "Zg==Zg==", "Zm9vY", "\xff"};

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        size_t len = strlen(cases[i].plain), decoded_len;
        autofree char *text = base64_encode(cases[i].plain, len);
        autofree char *decoded = base64_decode(cases[i].text, &decoded_len);
        autofree char *bare = strndup(cases[i].text, strcspn(cases[i].text, "="));
        autofree char *unpadded = base64_decode(bare, &decoded_len);

        assert_string_equal(text, cases[i].text);
        assert_string_equal(decoded, cases[i].plain);
        assert_string_equal(unpadded, cases[i].plain);
        assert_int_equal(decoded_len, len);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        size_t len;
        autofree char *decoded = base64_decode(bad[i], &len);

        if (decoded)
            fail_msg("'%s' was accepted", bad[i]);
    }
}

static void files_are_replaced_whole(void **state)
{
    char dir[] = "/tmp/stepcell-unit-XXXXXX";
    struct err err;
    autofd fd = -1;
    autobuf text = BUF_INIT(100);

    (void)state;
    assert_non_null(mkdtemp(dir));
    fd = open(dir, O_RDONLY | O_DIRECTORY);
    assert_ok(file_replace(fd, "f", "one", 3, 0600, ERR_ENGINE_FAILED, &err));
    assert_ok(file_replace(fd, "f", "two", 3, 0600, ERR_ENGINE_FAILED, &err));
    assert_ok(file_read(fd, "f", &text, ERR_ENGINE_FAILED, &err));
    assert_string_equal(text.data, "two");
    buf_release(&text);
    text.max = 2;
    assert_refused(file_read(fd, "f", &text, ERR_CONFIG_INVALID, &err), ERR_CONFIG_INVALID);
    assert_int_equal(mkfifoat(fd, "fifo", 0600), 0);
    assert_refused(file_read(fd, "fifo", &text, ERR_CONFIG_INVALID, &err), ERR_CONFIG_INVALID);
    assert_refused(file_replace(fd, "none/f", "x", 1, 0600, ERR_ENGINE_FAILED, &err),
                   ERR_ENGINE_FAILED);
    assert_int_equal(mkdirat(fd, "d", 0700), 0);
    assert_int_equal(symlinkat("/", fd, "d/root"), 0);
    assert_int_equal(mkdirat(fd, "d/closed", 0), 0);
    assert_true(file_remove_tree(AT_FDCWD, dir));
    assert_int_equal(access(dir, F_OK), -1);
    assert_int_equal(access("/etc", F_OK), 0);
}

static void lines_without_an_end_are_cut_off(void **state)
{
    static const struct {
        const char *before, *after;
    } cases[] = {
        {"", ""}, {"\n", "\n"}, {"a\n", "a\n"}, {"a", ""}, {"a\nbc", "a\n"}, {"a\n\nb", "a\n\n"},
    };
    autobuf text = BUF_INIT(1024);
    char path[] = "/tmp/stepcell-unit-XXXXXX", line[150000];
    struct err err;
    autofd fd = mkostemp(path, O_APPEND);
    struct stat st;

    (void)state;
    assert_true(fd >= 0);
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(ftruncate(fd, 0), 0);
        assert_true(file_write_all(fd, cases[i].before, strlen(cases[i].before)));
        assert_true(file_cut_line(fd));
        text.len = 0;
        assert_ok(file_read(AT_FDCWD, path, &text, ERR_ENGINE_FAILED, &err));
        assert_string_equal(text.data, cases[i].after);
    }
    /* Longer than what is looked at at once. */
    memset(line, 'x', sizeof(line));
    assert_true(file_write_all(fd, "first\n", 6) && file_write_all(fd, line, sizeof(line)));
    assert_true(file_cut_line(fd));
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, strlen(cases[COUNT(cases) - 1].after) + 6);
    unlink(path);
}

static void a_process_that_has_ended_does_not_live(void **state)
{
    struct process self, child, again;
    pid_t pid = fork();

    (void)state;
    if (pid == 0) {
        pause();
        _exit(0);
    }
    assert_true(process_look(getpid(), &self) && process_lives(&self));
    assert_true(process_look(pid, &child) && process_lives(&child));
    again = child;
    again.start++;
    assert_false(process_lives(&again));
    again = child;
    again.boot[0] ^= 1;
    assert_false(process_lives(&again));
    /* As a zombie, and then not at all. */
    kill(pid, SIGKILL);
    assert_int_equal(waitid(P_PID, (id_t)pid, &(siginfo_t){0}, WEXITED | WNOWAIT), 0);
    assert_false(process_lives(&child));
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_false(process_lives(&child));
}

static void deep_trees_are_removed(void **state)
{
    char dir[] = "/tmp/stepcell-unit-XXXXXX";
    autofd fd = -1;

    (void)state;
    assert_non_null(mkdtemp(dir));
    fd = open(dir, O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < 3000; i++) {
        int next;

        assert_int_equal(mkdirat(fd, "d", 0700), 0);
        next = openat(fd, "d", O_RDONLY | O_DIRECTORY);
        assert_true(next >= 0);
        close(fd);
        fd = next;
    }
    assert_true(file_remove_tree(AT_FDCWD, dir));
    assert_int_equal(access(dir, F_OK), -1);
}

static void a_budget_ends_a_removal(void **state)
{
    char dir[] = "/tmp/stepcell-unit-XXXXXX", path[64];
    struct file_budget budget = {.max = 10};
    int calls = 0;

    (void)state;
    assert_non_null(mkdtemp(dir));
    for (int i = 0; i < 35; i++) {
        snprintf(path, sizeof(path), "%s/%d", dir, i);
        assert_int_equal(mkdir(path, 0700), 0);
    }
    while (!file_remove_within(AT_FDCWD, dir, &budget)) {
        assert_true(file_budget_is_spent(&budget));
        budget.used = 0;
        calls++;
    }
    assert_int_equal(calls, 3);
    assert_int_equal(access(dir, F_OK), -1);
    budget = (struct file_budget){.max = UINT64_MAX};
    file_budget_drop(&budget);
    assert_true(file_budget_take(&budget));
    budget = (struct file_budget){.max = 3};
    file_budget_drop(&budget);
    assert_false(file_budget_take(&budget));
}

static void children_are_waited_for(void **state)
{
    pid_t child = fork();

    (void)state;
    if (child == 0)
        _exit(7);
    assert_int_equal(child_wait(child), 7);
    assert_int_equal(child_wait(child), -1);
    assert_int_equal(child_wait(-1), -1);
    child = fork();
    if (child == 0) {
        raise(SIGKILL);
        _exit(0);
    }
    assert_int_equal(child_wait(child), 128 + SIGKILL);
}

/* 0 when exactly these are open, and 0, 1 and 2 are /dev/null. */
static int open_descriptors(const int *keep, size_t count)
{
    struct stat null, st;

    if (stat("/dev/null", &null) < 0)
        return 1;
    for (int fd = 0; fd < 300; fd++) {
        bool kept = false;

        for (size_t i = 0; i < count; i++)
            kept = kept || keep[i] == fd;
        if ((fstat(fd, &st) == 0) != (kept || fd <= STDERR_FILENO))
            return 2;
        if (fd <= STDERR_FILENO && !kept && st.st_rdev != null.st_rdev)
            return 3;
    }
    return 0;
}

static void a_child_keeps_what_it_is_told(void **state)
{
    static const int lists[][4] = {
        {-1, -1, -1, -1}, {250, 20, 21, -1}, {3, -1, 299, 4}, {1, 200, 200, 2}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        pid_t child = fork();

        if (child == 0) {
            for (int fd = 0; fd < 300; fd++)
                dup2(i % 2 ? STDIN_FILENO : STDOUT_FILENO, fd);
            _exit(child_keep_only(lists[i], 4) ? open_descriptors(lists[i], 4) : 4);
        }
        assert_int_equal(child_wait(child), 0);
    }
}

struct counter {
    struct loop loop;
    int signals, fires;
};

static bool count_signal(void *data, int signal, struct err *err)
{
    struct counter *counter = data;

    (void)err;
    assert_int_equal(signal, SIGUSR1);
    counter->signals++;
    return true;
}

static bool count_fire(void *data, struct err *err)
{
    struct counter *counter = data;

    (void)err;
    counter->fires++;
    loop_stop(&counter->loop);
    return true;
}

static void the_loop_serves_signals_and_timers(void **state)
{
    struct counter counter = {.loop = LOOP_INIT};
    struct loop_timer timer = {.fire = count_fire, .data = &counter};
    int64_t start = clock_now();
    struct err err;
    sigset_t set;

    (void)state;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    assert_ok(loop_open(&counter.loop, &err));
    assert_ok(loop_watch_signals(&counter.loop, &set, count_signal, &counter, &err));
    loop_set_timer(&counter.loop, &timer, 20);
    kill(getpid(), SIGUSR1);
    assert_ok(loop_run(&counter.loop, &err));
    assert_int_equal(counter.signals, 1);
    assert_int_equal(counter.fires, 1);
    assert_true(clock_now() - start >= 20 * NS_PER_MS);
    loop_close(&counter.loop);
}

/* Notes its number, and ends with the last one. */
struct numbered {
    struct loop_timer timer;
    struct loop *loop;
    int *fired, number;
};

static bool note_number(void *data, struct err *err)
{
    struct numbered *numbered = data;

    (void)err;
    /* In the order of their deadlines; each third was taken back. */
    while (*numbered->fired % 3 == 2)
        ++*numbered->fired;
    assert_int_equal(numbered->number, *numbered->fired);
    ++*numbered->fired;
    if (numbered->number == 49)
        loop_stop(numbered->loop);
    return true;
}

static void any_number_of_timers_fires_in_order(void **state)
{
    struct numbered many[50];
    struct loop loop;
    struct err err;
    int fired = 0;

    (void)state;
    assert_ok(loop_open(&loop, &err));
    for (int i = 49; i >= 0; i--) {
        many[i] = (struct numbered){{.fire = note_number, .data = &many[i]}, &loop, &fired, i};
        loop_set_timer(&loop, &many[i].timer, 5000);
    }
    for (int i = 0; i < 50; i++) {
        loop_set_timer(&loop, &many[i].timer, (uint64_t)i * 2);
        if (i % 3 == 2)
            loop_clear_timer(&loop, &many[i].timer);
    }
    assert_ok(loop_run(&loop, &err));
    assert_int_equal(fired, 50);
    loop_close(&loop);
}

/* What it is asked, and what comes of it. */
static const struct {
    const char *script, *answer, *fault;
    size_t max;
} questions[] = {
    {"cat; echo said >&2", "asked", NULL, 100},
    {"echo $WHO; exit 3", "me\n", "fails", 100},
    {"echo $WHO; kill -9 $$", "me\n", "fails", 100},
    {"echo much", "", "answers too much", 3},
    {"sleep 60", "", "does not end in time", 100},
    {"sleep 3 & echo x", "x\n", "does not end in time", 100},
    {"exec >&-; sleep 60", "", "does not end in time", 100},
};

static void a_program_answers_in_time_or_is_killed(void **state)
{
    char *const nowhere[] = {(char *)"/nowhere/program", NULL};
    char *const environment[] = {(char *)"PATH=/usr/bin:/bin", (char *)"WHO=me", NULL};
    struct program_question missing = {nowhere, environment, NULL, 1000};
    int64_t start = clock_now();
    autobuf none = BUF_INIT(10);
    const char *fault = "";

    (void)state;
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < ARRAY_SIZE(questions); i++) {
        char *const words[] = {(char *)"/bin/sh", (char *)"-c", (char *)questions[i].script, NULL};
        bool waits = questions[i].fault && strstr(questions[i].fault, "in time");
        const struct program_question question = {words, environment, "asked",
                                                  waits ? 1000 : 30000};
        autobuf answer = BUF_INIT(questions[i].max);

        if (program_ask(&question, &answer, &fault) != !questions[i].fault)
            fail_msg("%zu: %s, %s", i, fault ? fault : "not started", strerror(errno));
        assert_string_equal(fault ? fault : "", questions[i].fault ? questions[i].fault : "");
        assert_string_equal(answer.data ? answer.data : "", questions[i].answer);
    }
    assert_true(clock_now() - start < 60 * 1000 * NS_PER_MS);
    assert_false(program_ask(&missing, &none, &fault));
    assert_null(fault);
    assert_int_equal(errno, ENOENT);
}

static void programs_are_found_in_fixed_folders(void **state)
{
    char path[PROGRAM_PATH_MAX];

    (void)state;
    setenv("PATH", "/nowhere", 1);
    assert_string_equal(program_find("sh", path), "/usr/bin/sh");
    assert_null(program_find("no-such-program", path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_strict),
        cmocka_unit_test(durations_have_units),
        cmocka_unit_test(ages_may_be_days),
        cmocka_unit_test(buffers_keep_their_limit),
        cmocka_unit_test(string_lists_end_with_null),
        cmocka_unit_test(errors_carry_code_context_and_hint),
        cmocka_unit_test(errors_are_listed_once),
        cmocka_unit_test(every_code_has_the_fix_of_the_page),
        cmocka_unit_test(histories_tell_what_set_an_entrypoint),
        cmocka_unit_test(words_are_quoted_for_shells),
        cmocka_unit_test(fields_are_quoted_for_csv),
        cmocka_unit_test(json_from_outside_is_checked),
        cmocka_unit_test(places_in_json_have_lines),
        cmocka_unit_test(bytes_become_json_text),
        cmocka_unit_test(utf8_is_strict),
        cmocka_unit_test(cut_utf8_is_known_from_wrong_utf8),
        cmocka_unit_test(base64_is_strict),
        cmocka_unit_test(files_are_replaced_whole),
        cmocka_unit_test(deep_trees_are_removed),
        cmocka_unit_test(a_budget_ends_a_removal),
        cmocka_unit_test(children_are_waited_for),
        cmocka_unit_test(a_child_keeps_what_it_is_told),
        cmocka_unit_test(lines_without_an_end_are_cut_off),
        cmocka_unit_test(a_process_that_has_ended_does_not_live),
        cmocka_unit_test(the_loop_serves_signals_and_timers),
        cmocka_unit_test(any_number_of_timers_fires_in_order),
        cmocka_unit_test(programs_are_found_in_fixed_folders),
        cmocka_unit_test(a_program_answers_in_time_or_is_killed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
