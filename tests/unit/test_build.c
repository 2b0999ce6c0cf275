/* What is read of a build: Containerfiles, .dockerignore, and the context that a daemon is sent. */
#include "tests/unit/unit.h"

#include "runtime/image/containerfile.h"
#include "runtime/image/ignore.h"

#define MANY 8

/* NULL as the base: none that the file tells. */
static const struct {
    const char *what, *text, *base;
    const char *arguments[MANY];
} files[] = {
    {"the simplest", "FROM debian", "debian", {NULL}},
    {"in any case, and with blanks", "  from\tdebian:12  \r\n", "debian:12", {NULL}},
    {"behind comments", "# FROM a\n\n  # b\nFROM c", "c", {NULL}},
    {"nothing", "FROM scratch", NULL, {NULL}},
    {"the last stage counts", "FROM a\nFROM b\nRUN true", "b", {NULL}},
    {"which may be on another one", "FROM a AS One\nFROM b as two\nFROM one", "a", {NULL}},
    {"through several", "FROM a AS b\nFROM b AS c\nFROM c", "a", {NULL}},
    {"of which the last of a name counts", "FROM a AS x\nFROM b AS x\nFROM x", "b", {NULL}},
    {"on nothing in the end", "FROM scratch AS a\nFROM a", NULL, {NULL}},
    {"options of FROM", "FROM --platform=linux/arm64 a AS b", "a", {NULL}},
    {"a default", "ARG BASE=a:1\nFROM $BASE", "a:1", {NULL}},
    {"what the caller gives", "ARG BASE=a:1\nFROM ${BASE}", "b:2", {"BASE=b:2"}},
    {"without a default", "ARG BASE\nFROM $BASE", "b:2", {"BASE=b:2"}},
    {"what nothing sets", "ARG BASE\nFROM $BASE", NULL, {NULL}},
    {"what is not declared", "FROM $BASE", NULL, {"BASE=b:2"}},
    {"what the builder sets", "ARG TARGETARCH=amd64\nFROM a:$TARGETARCH", NULL, {NULL}},
    {"in another one", "ARG BUILDOS=x\nARG A=$BUILDOS\nFROM a:$A", NULL, {NULL}},
    {"with a word for it", "FROM a:${TARGETVARIANT:-v1}", NULL, {NULL}},
    {"or for its value", "FROM a${BUILDPLATFORM:+:1}", NULL, {NULL}},
    {"unless the caller does", "ARG TARGETOS=a\nFROM $TARGETOS", "b:2", {"TARGETOS=b:2"}},
    {"names that begin as its own", "ARG TARGETARCHS=a\nFROM $TARGETARCHS", "a", {NULL}},
    {"an empty value", "ARG BASE=a\nFROM $BASE", NULL, {"BASE="}},
    {"parts of a name", "ARG A=x ARG\nARG B=${A}/y\nFROM h/$B:1", "h/x/y:1", {NULL}},
    {"several in one ARG", "ARG A=x B=\"y\" C='z'\nFROM $A$B$C", "xyz", {NULL}},
    {"a word for what is not set", "ARG A\nFROM ${A:-b}", "b", {NULL}},
    {"or is", "ARG A=c\nFROM ${A:-b}", "c", {NULL}},
    {"or for what is", "ARG A=c\nFROM b${A:+:1}", "b:1", {NULL}},
    {"forms that are not known", "ARG A=c\nFROM ${A#c}b", NULL, {NULL}},
    {"an end that is missing", "ARG A=c\nFROM ${A", NULL, {NULL}},
    {"arguments of a stage are none of FROM", "FROM a\nARG B=c\nFROM $B", NULL, {NULL}},
    {"the last value counts", "ARG A=a\nARG A=b\nFROM $A", "b", {NULL}},
    {"even one that cannot be told", "ARG A=a\nARG A=$X-b\nFROM $A", NULL, {NULL}},
    {"or has a word for none", "ARG A=$X-b\nFROM ${A:-c}", NULL, {NULL}},
    {"of the caller's, too", "ARG A\nFROM $A", "c", {"A=b", "A=c"}},
    {"names that begin alike", "ARG A=a\nARG AB=b\nFROM $AB", "b", {"A=x"}},
    {"continued lines", "FROM \\\n  a\\\nb AS \\\n c\n", "ab", {NULL}},
    {"with the blanks of the next one", "FROM a\\\n  AS b\nFROM b", "a", {NULL}},
    {"with comments and nothing between", "FROM \\\n# b\n\n  a", "a", {NULL}},
    {"continued by another sign", "# escape=`\nFROM `\n a", "a", {NULL}},
    {"a directive behind a comment is none", "# x\n# escape=`\nFROM a\\\nb", "ab", {NULL}},
    {"a directive behind a directive", "# syntax=x\n#escape = `\nFROM a`\nb", "ab", {NULL}},
    {"a line that goes on at the end", "FROM a\\", "a", {NULL}},
    {"here-documents", "FROM a\nRUN <<END\nFROM b\nEND\n", "a", {NULL}},
    {"with tabs", "FROM a\nRUN <<-\"END\"\nFROM b\n\tEND\nUSER c", "a", {NULL}},
    {"several", "FROM a\nCOPY <<A <<'B' /\nFROM b\nA\nFROM c\nB\nFROM d", "d", {NULL}},
    {"of a descriptor", "FROM a\nRUN cat 3<<E\nFROM b\nE", "a", {NULL}},
    {"that are none", "FROM a\nRUN echo $((1<<N))\nFROM b", "b", {NULL}},
    {"nor without an end", "FROM a\nRUN cat <<E\nFROM b", "b", {NULL}},
    {"nor in another instruction", "FROM a\nLABEL x= <<E\nFROM b\nE", "b", {NULL}},
    {"a byte order mark in front",
     "\xef\xbb\xbf"
     "FROM a",
     "a",
     {NULL}},
    {"of a directive, too",
     "\xef\xbb\xbf"
     "# escape=`\nFROM `\n a",
     "a",
     {NULL}},
    {"words that only begin so", "FROM a\nFROMAGE b\nARGUE c", "a", {NULL}},
};

static const struct {
    const char *what, *text;
} wrong[] = {
    {"no file at all", ""},
    {"a byte order mark alone", "\xef\xbb\xbf"},
    {"a part of one", "\xef\xbb"
                      "FROM a"},
    {"two of them", "\xef\xbb\xbf\xef\xbb\xbf"
                    "FROM a"},
    {"no FROM", "RUN true"},
    {"an empty FROM", "FROM"},
    {"only options", "FROM --platform=a"},
    {"words behind", "FROM a b"},
    {"a stage without a name", "FROM a AS"},
    {"an ARG without one", "ARG =a\nFROM a"},
};

static bool parse(const char *text, const char *const *arguments, struct containerfile *file,
                  struct err *err)
{
    autostrv list = {0};

    for (size_t i = 0; arguments && i < MANY && arguments[i]; i++)
        assert_true(strv_add(&list, arguments[i]));
    return containerfile_parse(text, strlen(text), "File", &list, file, err);
}

static void test_containerfile(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        autocontainerfile file = {0};
        struct err err = ERR_INIT;

        print_message("%s\n", files[i].what);
        assert_true(parse(files[i].text, files[i].arguments, &file, &err));
        if (files[i].base)
            assert_string_equal(file.base ? file.base : "(none)", files[i].base);
        else
            assert_null(file.base);
        assert_int_equal(file.on_scratch, !file.base && strstr(files[i].text, "scratch") != NULL);
    }
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        autocontainerfile file = {0};
        struct err err = ERR_INIT;

        print_message("%s\n", wrong[i].what);
        assert_false(parse(wrong[i].text, NULL, &file, &err));
        assert_int_equal(err.code, ERR_CONFIG_INVALID);
    }
}

static void test_arguments(void **state)
{
    static const char text[] =
        "ARG A=1 X=1 Y=2 Z=$Y\nFROM a:$Z\nARG B C=2\narg D\nRUN ARG E\nARG A";
    autocontainerfile file = {0};
    struct err err = ERR_INIT;

    (void)state;
    assert_true(parse(text, NULL, &file, &err));
    assert_int_equal(file.arguments.count, 6);
    assert_true(strv_contains(&file.arguments, "A"));
    assert_true(strv_contains(&file.arguments, "Z"));
    /* In front of all stages, and in none: nothing is built by it. */
    assert_false(strv_contains(&file.arguments, "X"));
    assert_true(strv_contains(&file.arguments, "D"));
    assert_false(strv_contains(&file.arguments, "E"));
}

/* Whether the argument V, and the label V, count for the image. */
static const struct {
    const char *what, *text;
    bool argument, label;
} reached[] = {
    {"the last stage", "FROM a\nARG V\nLABEL V=1", true, true},
    {"one that nothing uses", "FROM a AS x\nARG V\nLABEL V=1\nFROM b", false, false},
    {"one that it is on", "FROM a AS x\nARG V\nLABEL V=1\nFROM x", true, true},
    {"through another", "FROM a AS x\nARG V\nLABEL V=1\nFROM x AS y\nFROM Y", true, true},
    {"files of it alone", "FROM a AS x\nARG V\nLABEL V=1\nFROM b\nCOPY --from=X / /", true, false},
    {"by its number", "FROM a\nARG V\nLABEL V=1\nFROM b\nCOPY --chown=1 --from=0 / /", true, false},
    {"a number that is none", "FROM a\nARG V\nFROM b\nCOPY --from=1 / /", false, false},
    {"no option", "FROM a AS x\nARG V\nFROM b\nCOPY / --from=x", false, false},
    {"an image of that name", "FROM a AS x\nARG V\nFROM b\nCOPY --from=xy / /", false, false},
    {"a mount", "FROM a AS x\nARG V\nFROM b\nRUN --mount=type=bind,from=x true", true, false},
    {"a later one of the name", "FROM a AS x\nARG V\nFROM b AS x\nFROM c\nCOPY --from=x / /", false,
     false},
    {"files for what nothing uses",
     "FROM a AS x\nARG V\nFROM b AS y\nCOPY --from=x / /\nFROM c\nCOPY z z", false, false},
    {"a stage of the same name", "FROM a AS x\nARG V\nFROM b AS x\nCOPY --from=x / /", true, false},
    {"in front of all, for nothing", "ARG V\nFROM a", false, false},
    {"for another that is for nothing", "ARG V=1\nARG W=$V\nFROM a", false, false},
    {"for the FROM of what nothing uses", "ARG V=1\nFROM a:$V AS x\nFROM b", false, false},
    {"for a FROM", "ARG V=1\nFROM a:$V", true, false},
    {"for another that is for a FROM", "ARG V=1\nARG W=$V X=$W\nFROM a:$X", true, false},
    {"declared where nothing uses it", "ARG V=1\nFROM a AS x\nARG V\nFROM b", false, false},
    {"for a FROM that cannot be told", "ARG V=1\nFROM a-$TARGETARCH:$V", true, false},
    {"through one that cannot", "ARG V=1\nARG B=a-$TARGETARCH:$V\nFROM $B", true, false},
    {"whatever its default", "ARG V=1\nARG TARGETARCH=b\nARG B=a-${TARGETARCH}:${V}\nFROM $B", true,
     false},
    {"declared", "ARG V=1\nFROM a\nARG V", true, false},
};

static void test_stages(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(reached); i++) {
        autocontainerfile file = {0};
        struct err err = ERR_INIT;

        print_message("%s\n", reached[i].what);
        assert_true(parse(reached[i].text, NULL, &file, &err));
        assert_int_equal(strv_contains(&file.arguments, "V"), reached[i].argument);
        assert_int_equal(strv_contains(&file.labels, "V"), reached[i].label);
    }
}

static void test_labels(void **state)
{
    static const char text[] =
        "FROM a\nLABEL a.b=1 \"c d\"=2 \\\n e='x y'\nlabel f some text\nLABEL";
    autocontainerfile file = {0};
    struct err err = ERR_INIT;

    (void)state;
    assert_true(parse(text, NULL, &file, &err));
    assert_int_equal(file.labels.count, 4);
    assert_string_equal(file.labels.items[0], "a.b");
    assert_string_equal(file.labels.items[1], "c d");
    assert_string_equal(file.labels.items[2], "e");
    assert_string_equal(file.labels.items[3], "f");
}

static void test_limits(void **state)
{
    autobuf stages = BUF_INIT(CONTAINERFILE_MAX), line = BUF_INIT(CONTAINERFILE_MAX);
    struct err err = ERR_INIT;
    autobuf arguments = BUF_INIT(CONTAINERFILE_MAX);
    autocontainerfile many = {0}, longest = {0}, zero = {0}, most = {0};

    (void)state;
    for (int i = 0; i <= CONTAINERFILE_STAGES_MAX; i++)
        assert_true(buf_append_text(&stages, "FROM a\n"));
    assert_false(parse(stages.data, NULL, &many, &err));
    assert_string_equal(err.message, "'File' has too many stages");
    /* Of all stages that are reached together. */
    for (int i = 0; i <= CONTAINERFILE_ARGS_MAX; i++)
        assert_true(buf_printf(&arguments, "%sARG A%d\n",
                               i == 0   ? "FROM a AS b\n"
                               : i == 9 ? "FROM b\n"
                                        : "",
                               i));
    assert_false(parse(arguments.data, NULL, &most, &err));
    assert_string_equal(err.message, "'File' has too many ARGs");
    assert_true(buf_append_text(&line, "FROM a\nRUN "));
    for (int i = 0; i < CONTAINERFILE_LINE_MAX; i++)
        assert_true(buf_append_text(&line, "x"));
    assert_false(parse(line.data, NULL, &longest, &err));
    assert_string_equal(err.message, "'File' has an instruction that is too long");
    assert_false(containerfile_parse("FROM a\0", 7, "File", &(struct strv){0}, &zero, &err));
}

/* ---- .dockerignore ---- */

static const struct {
    const char *text, *path;
    bool left_out;
} ignored[] = {
    {"", "a", false},
    {"a", "a", true},
    {"a", "b", false},
    {"a", "ab", false},
    {"a", "b/a", false},
    {"a", "a/b/c", true}, /* below a directory that is left out */
    {"/a/", "a", true},
    {"./a//b/../c", "a/c", true},
    {"  a\t\r\n", "a", true},
    {"\xef\xbb\xbf"
     "a",
     "a", true},
    {"#a", "#a", false},
    {" #a", "#a", true}, /* blanks in front make it a pattern */
    {"*", "a", true},
    {"*", ".a", true},
    {"*.md", "a.md", true},
    {"*.md", "b/a.md", false},
    {"*/*.md", "b/a.md", true},
    {"*/*.md", "c/b/a.md", false},
    {"a*c", "abbc", true},
    {"a*c", "ab/c", false},
    {"a?c", "abc", true},
    {"a?c", "a/c", false},
    {"a?c", "ac", false},
    {"[a-c]x", "bx", true},
    {"[^a-c]x", "bx", false},
    {"[^a-c]x", "dx", true},
    {"[]a]x", "]x", true},
    {"[\\]a]x", "ax", true},
    {"a\\*", "a*", true},
    {"a\\*", "ab", false},
    {"**", "a/b/c", true},
    {"**/a", "a", true},
    {"**/a", "b/c/a", true},
    {"**/a", "ba", false},
    {"**/*.go", "x/y/z.go", true},
    {"a/**", "a/b/c", true},
    {"a/**", "a", false},
    {"a/**/d", "a/d", true},
    {"a/**/d", "a/b/c/d", true},
    {"a/**/d", "a/bd", false},
    {"a\n!a", "a", false},
    {"a\n!a/b", "a/b", false},
    {"a\n!a/b", "a/c", true},
    {"!a\na", "a", true},
    {"*.md\n!R*.md\nReal.md", "README.md", false},
    {"*.md\n!R*.md\nReal.md", "Real.md", true},
    {"..", "a", false},
    {"../a", "a", false},
    {"a/../../b", "b", false},
    {"*a*a*a*a*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
};

static const char *const no_patterns[] = {"[", "[a", "a\\", "!", "! ", "[^]", "a[b-"};

static void test_ignore(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(ignored); i++) {
        autoignore ignore = {0};
        struct err err = ERR_INIT;

        print_message("'%s' and '%s'\n", ignored[i].text, ignored[i].path);
        assert_true(ignore_parse(ignored[i].text, strlen(ignored[i].text), "file", &ignore, &err));
        assert_int_equal(ignore_leaves_out(&ignore, ignored[i].path), ignored[i].left_out);
    }
    for (size_t i = 0; i < ARRAY_SIZE(no_patterns); i++) {
        autoignore ignore = {0};
        struct err err = ERR_INIT;

        print_message("'%s'\n", no_patterns[i]);
        assert_false(ignore_parse(no_patterns[i], strlen(no_patterns[i]), "file", &ignore, &err));
        assert_int_equal(err.code, ERR_CONFIG_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_containerfile), cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_stages),        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_limits),        cmocka_unit_test(test_ignore),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
