#include "shim/image/check_report.h"

#include <string.h>

#include "base/buf.h"
#include "shim/image/command.h"
#include "shim/print.h"

#define MIB ((double)(1 << 20))

const char *check_report_level(const struct check_finding *finding)
{
    return finding->reason == CHECK_NOT_SKIPPED ? check_level_text(finding->level) : "skipped";
}

const char *check_report_reason(const struct check_finding *finding)
{
    static const char *const texts[] = {
        [CHECK_NOT_APPLICABLE] = "not-applicable",
        [CHECK_SWITCHED_OFF] = "off",
        [CHECK_NOT_NEEDED] = "not-needed",
        [CHECK_UNREADABLE] = "unreadable",
    };

    return texts[finding->reason];
}

const char *check_report_verdict(enum check_verdict verdict)
{
    static const char *const texts[] = {"fit", "unfit", "unknown"};

    return texts[verdict];
}

bool check_report_counts(const struct check_report *report, const struct check_finding *finding)
{
    return finding->reason == CHECK_NOT_SKIPPED && finding->level >= report->facts->fail_on;
}

void check_report_platform(const struct check_report *report, const struct check_finding *finding,
                           char text[PLATFORM_TEXT_MAX])
{
    text[0] = '\0';
    if (finding->image && report->facts->image_count > 1)
        platform_text(&finding->image->wanted, text);
}

/* ---- text ---- */

/* A text of an image: in one line, and nothing in it that drives a terminal. */
static void print_escaped(const char *text)
{
    autofree char *escaped = command_escape(text);

    print_out("%s", escaped ? escaped : "");
}

static void print_finding(const struct check_report *report, const struct check_finding *finding)
{
    bool unknown = finding->reason == CHECK_UNREADABLE;
    char platform[PLATFORM_TEXT_MAX];

    check_report_platform(report, finding, platform);
    print_out("%-8s %-16s ", unknown ? "unknown" : check_report_level(finding), finding->rule->id);
    if (*platform)
        print_out("%s: ", platform);
    print_escaped(finding->message);
    print_out("\n");
    if (finding->hint) {
        print_out("%-25s hint: ", "");
        print_escaped(finding->hint);
        print_out("\n");
    }
}

/* Errors first; what was switched off is named in one line. */
static void print_findings(const struct check_report *report)
{
    const struct check_results *results = report->results;

    for (int level = CHECK_ERROR; level >= CHECK_OFF; level--) {
        for (size_t i = 0; i < results->count; i++) {
            const struct check_finding *finding = &results->findings[i];

            if ((int)finding->level == level && finding->reason != CHECK_SWITCHED_OFF)
                print_finding(report, finding);
        }
    }
}

static void print_ids(const char *what, bool (*has)(const struct check_report *report, size_t rule),
                      const struct check_report *report)
{
    const struct check_rule *rules;
    size_t count, found = 0;

    rules = check_rules(&count);
    for (size_t i = 0; i < count; i++) {
        if (has(report, i))
            print_out("%s%s", found++ ? ", " : what, rules[i].id);
    }
    if (found)
        print_out("\n");
}

static bool has_passed(const struct check_report *report, size_t rule)
{
    return report->results->passed[rule];
}

static bool is_off(const struct check_report *report, size_t rule)
{
    return report->profile->levels[rule] == CHECK_OFF;
}

/* How much of the image was looked at. */
static void print_image(const struct check_image *image)
{
    char platform[PLATFORM_TEXT_MAX];
    uint64_t all = 0, read = 0;

    for (size_t i = 0; i < image->manifest.layer_count; i++) {
        all += image->manifest.layers[i].blob.size;
        if (i >= image->manifest.layer_count - image->layers_read)
            read += image->manifest.layers[i].blob.size;
    }
    platform_text(&image->wanted, platform);
    print_out("%s: read %zu of %zu layers, %.1f of %.1f MiB\n", platform, image->layers_read,
              image->manifest.layer_count, (double)read / MIB, (double)all / MIB);
}

static bool write_text(const struct check_report *report)
{
    const struct check_facts *facts = report->facts;

    print_escaped(facts->reference->given);
    print_out(": %s (profile ", check_report_verdict(report->verdict));
    print_escaped(report->profile->name);
    print_out("%s%s)\n", facts->digest ? ", " : "", facts->digest ? facts->digest : "");
    print_findings(report);
    print_ids("passed: ", has_passed, report);
    if (!facts->unreadable)
        print_ids("off: ", is_off, report);
    for (size_t i = 0; i < facts->image_count; i++) {
        if (!facts->images[i].missing && !facts->unreadable)
            print_image(&facts->images[i]);
    }
    return true;
}

/* ---- the others ---- */

static bool write_json(const struct check_report *report)
{
    return command_print_json(check_report_json(report)) == 0;
}

static bool write_sarif(const struct check_report *report)
{
    return command_print_json(check_report_sarif(report)) == 0;
}

static bool write_junit(const struct check_report *report)
{
    autofree char *text = check_report_junit(report);
    struct err err;

    if (text) {
        print_out("%s", text);
        return true;
    }
    err_set(&err, ERR_ENGINE_FAILED, "there is not enough memory");
    print_err(&err);
    return false;
}

check_writer *check_report_writer(const char *format)
{
    static const struct {
        const char *name;
        check_writer *writer;
    } formats[] = {
        {"text", write_text}, {"json", write_json}, {"junit", write_junit}, {"sarif", write_sarif}};

    for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
        if (strcmp(formats[i].name, format) == 0)
            return formats[i].writer;
    }
    return NULL;
}
