#include "tests/unit/unit.h"

#include "shim/script.h"

static char *join(const struct strv *list)
{
    struct buf out = BUF_INIT(4096);

    buf_append(&out, "", 0);
    for (size_t i = 0; i < list->count; i++)
        buf_printf(&out, "%s<%s>", i ? " " : "", list->items[i]);
    return buf_take(&out);
}

static void interpreters_are_chosen(void **state)
{
    static const struct {
        const char *path, *head, *shell, *argv, *needs;
    } table[] = {
        {"/a/x", "", NULL, "<sh>", "<sh>"},
        {"/a/x.sh", "", NULL, "<sh>", "<sh>"},
        {"/a/x.bash", "", NULL, "<bash>", "<bash>"},
        {"/a/x.py", "", NULL, "<python3>", "<python3>"},
        {"/a/x.ps1", "", NULL, "<pwsh>", "<pwsh>"},
        {"/a/x.js", "", NULL, "<node>", "<node>"},
        {"/a.py/x", "", NULL, "<sh>", "<sh>"},
        {".sh", "", NULL, "<sh>", "<sh>"},
        {"/a/x.py", "#!/bin/bash\necho", NULL, "</bin/bash>", "</bin/bash>"},
        {"/a/x", "#! /bin/bash -eu \n", NULL, "</bin/bash> <-eu>", "</bin/bash>"},
        {"/a/x", "#!/bin/bash -e -u\r\n", NULL, "</bin/bash> <-e -u>", "</bin/bash>"},
        {"/a/x", "#!/usr/bin/env python3\n", NULL, "</usr/bin/env> <python3>",
         "</usr/bin/env> <python3>"},
        {"/a/x", "#!/usr/bin/env -S A=1 python3 -u\n", NULL, "</usr/bin/env> <-S A=1 python3 -u>",
         "</usr/bin/env> <python3>"},
        {"/a/x.sh", "#!perl\n", NULL, "<sh>", "<sh>"},
        {"/a/x.sh", "#!", NULL, "<sh>", "<sh>"},
        {"/a/x", "#!/bin/bash\n", "bash -eu", "<bash> <-eu>", "<bash>"},
        {"/a/x", "", "/opt/sh", "</opt/sh>", "</opt/sh>"},
    };
    struct err err;

    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        autointerpreter interpreter = {0};
        autofree char *argv = NULL, *needs = NULL;

        assert_ok(script_choose(table[i].path, table[i].head, table[i].shell, &interpreter, &err));
        argv = join(&interpreter.argv);
        needs = join(&interpreter.needs);
        assert_string_equal(argv, table[i].argv);
        assert_string_equal(needs, table[i].needs);
    }
}

static void missing_scripts_are_refused(void **state)
{
    char head[SCRIPT_HEAD_MAX];
    struct interpreter interpreter;
    struct err err;

    (void)state;
    assert_refused(script_read_head("/no/such/script", head, &err), ERR_SCRIPT_MISSING);
    assert_refused(script_read_head("/tmp", head, &err), ERR_SCRIPT_MISSING);
    assert_refused(script_choose("/x", "", "  ", &interpreter, &err), ERR_OPTION_INVALID);
    assert_ok(script_read_head("/etc/passwd", head, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(interpreters_are_chosen),
        cmocka_unit_test(missing_scripts_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
