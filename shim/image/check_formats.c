/* JSON, SARIF 2.1.0 and JUnit out of one list of findings. Texts of images may hold any bytes. */
#include <string.h>

#include "base/buf.h"
#include "shim/image/check_report.h"

#define PAGE_MAX (64 << 20) /* bytes of a report */

static json_t *text_json(const char *text)
{
    return text ? json_bytes(text, strlen(text)) : json_null();
}

static const char *rule_id(size_t rule)
{
    size_t count;

    return check_rules(&count)[rule].id;
}

static size_t rule_count(void)
{
    size_t count;

    check_rules(&count);
    return count;
}

/* ---- JSON ---- */

static json_t *finding_json(const struct check_report *report, const struct check_finding *finding)
{
    const char *reason = check_report_reason(finding);
    char platform[PLATFORM_TEXT_MAX];
    json_t *json = json_pack("{s:s, s:s, s:o, s:o}", "id", finding->rule->id, "level",
                             check_report_level(finding), "message", text_json(finding->message),
                             "hint", text_json(finding->hint));

    check_report_platform(report, finding, platform);
    if (json && reason)
        json_object_set_new(json, "reason", json_string(reason));
    if (json && *platform)
        json_object_set_new(json, "platform", json_string(platform));
    return json;
}

static json_t *findings_json(const struct check_report *report)
{
    json_t *list = json_array();

    for (size_t i = 0; i < report->results->count; i++)
        json_array_append_new(list, finding_json(report, &report->results->findings[i]));
    return list;
}

static json_t *passed_json(const struct check_report *report)
{
    json_t *list = json_array();

    for (size_t i = 0; i < rule_count(); i++) {
        if (report->results->passed[i])
            json_array_append_new(list, json_string(rule_id(i)));
    }
    return list;
}

static json_t *images_json(const struct check_report *report)
{
    const struct check_facts *facts = report->facts;
    json_t *list = json_array();

    for (size_t i = 0; i < facts->image_count && !facts->unreadable; i++) {
        const struct check_image *image = &facts->images[i];
        char platform[PLATFORM_TEXT_MAX];

        platform_text(&image->wanted, platform);
        json_array_append_new(list, json_pack("{s:s, s:o, s:I, s:I}", "platform", platform,
                                              "manifest_digest", text_json(image->manifest_digest),
                                              "layers", (json_int_t)image->manifest.layer_count,
                                              "layers_read", (json_int_t)image->layers_read));
    }
    return list;
}

json_t *check_report_json(const struct check_report *report)
{
    const struct check_facts *facts = report->facts;

    return json_pack("{s:s, s:s, s:o, s:o, s:o, s:s, s:o, s:o, s:o}", "schema",
                     "stepcell.image-check/1", "verdict", check_report_verdict(report->verdict),
                     "reference", text_json(facts->reference->given), "digest",
                     text_json(facts->digest), "profile", text_json(report->profile->name),
                     "fail_on", check_level_text(facts->fail_on), "images", images_json(report),
                     "findings", findings_json(report), "passed", passed_json(report));
}

/* ---- SARIF ---- */

static const char *sarif_level(enum check_level level)
{
    static const char *const texts[] = {"none", "note", "warning", "error"};

    return texts[level];
}

static json_t *sarif_rules(const struct check_report *report)
{
    json_t *list = json_array();
    const struct check_rule *rules;
    size_t count;

    rules = check_rules(&count);
    for (size_t i = 0; i < count; i++) {
        enum check_level level = report->profile->levels[i];

        json_array_append_new(list, json_pack("{s:s, s:{s:s}, s:{s:b, s:s}}", "id", rules[i].id,
                                              "shortDescription", "text", rules[i].what,
                                              "defaultConfiguration", "enabled", level != CHECK_OFF,
                                              "level", sarif_level(level)));
    }
    return list;
}

/* A reference as a URI: whatever has a meaning in one, and is none of a reference's own, as %XX. */
static char *uri_of(const char *reference)
{
    autobuf uri = BUF_INIT(3 * REFERENCE_MAX);

    buf_append(&uri, "", 0);
    for (const unsigned char *p = (const unsigned char *)reference; *p; p++) {
        bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                     (*p >= '0' && *p <= '9') || strchr("-._~/:@", *p);

        if (!buf_printf(&uri, plain ? "%c" : "%%%02X", *p))
            return NULL;
    }
    return buf_take(&uri);
}

static json_t *sarif_locations(const struct check_report *report)
{
    autofree char *uri = uri_of(report->facts->reference->name);

    return json_pack("[{s:{s:{s:s}}, s:[{s:o, s:s}]}]", "physicalLocation", "artifactLocation",
                     "uri", uri ? uri : "", "logicalLocations", "fullyQualifiedName",
                     text_json(report->facts->reference->name), "kind", "resource");
}

static json_t *sarif_result(const struct check_report *report, size_t rule, const char *kind,
                            const char *level, const char *message)
{
    return json_pack("{s:s, s:I, s:s, s:s, s:{s:o}, s:o}", "ruleId", rule_id(rule), "ruleIndex",
                     (json_int_t)rule, "kind", kind, "level", level, "message", "text",
                     text_json(message), "locations", sarif_locations(report));
}

static json_t *sarif_finding(const struct check_report *report, const struct check_finding *finding)
{
    static const char *const kinds[] = {[CHECK_NOT_SKIPPED] = "fail",
                                        [CHECK_NOT_APPLICABLE] = "notApplicable",
                                        [CHECK_SWITCHED_OFF] = "notApplicable",
                                        [CHECK_NOT_NEEDED] = "notApplicable",
                                        [CHECK_UNREADABLE] = "open"};
    char platform[PLATFORM_TEXT_MAX];
    autofree char *message = NULL;

    check_report_platform(report, finding, platform);
    message = text_printf("%s%s%s%s%s", platform, *platform ? ": " : "", finding->message,
                          finding->hint ? ". Hint: " : "", finding->hint ? finding->hint : "");
    return sarif_result(report, (size_t)check_rule_find(finding->rule->id), kinds[finding->reason],
                        sarif_level(finding->level), message ? message : "");
}

static json_t *sarif_results(const struct check_report *report)
{
    json_t *list = json_array();

    for (size_t i = 0; i < report->results->count; i++)
        json_array_append_new(list, sarif_finding(report, &report->results->findings[i]));
    for (size_t i = 0; i < rule_count(); i++) {
        if (report->results->passed[i])
            json_array_append_new(list, sarif_result(report, i, "pass", "none", "it passed"));
    }
    return list;
}

json_t *check_report_sarif(const struct check_report *report)
{
    return json_pack("{s:s, s:s, s:[{s:{s:{s:s, s:s, s:o}}, s:[{s:b}], s:{s:s, s:o}, s:o}]}",
                     "$schema", "https://json.schemastore.org/sarif-2.1.0.json", "version", "2.1.0",
                     "runs", "tool", "driver", "name", "stepcell", "version", STEPCELL_VERSION,
                     "rules", sarif_rules(report), "invocations", "executionSuccessful",
                     report->verdict != CHECK_UNKNOWN, "properties", "verdict",
                     check_report_verdict(report->verdict), "digest",
                     text_json(report->facts->digest), "results", sarif_results(report));
}

/* ---- JUnit ---- */

/* A text between tags or quotes, valid UTF-8, without what XML 1.0 has no place for. */
static bool append_xml(struct buf *page, const char *text)
{
    static const struct {
        char c;
        const char *entity;
    } entities[] = {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}, {'#', "&#35;"}};
    autojson *clean = text_json(text);
    const char *p = json_string_value(clean);
    bool ok = p;

    for (; ok && *p; p++) {
        const char *entity = NULL;

        for (size_t i = 0; i < ARRAY_SIZE(entities); i++) {
            if (entities[i].c == *p)
                entity = entities[i].entity;
        }
        if (entity)
            ok = buf_append_text(page, entity);
        else if ((unsigned char)*p < 0x20 || *p == 0x7f)
            ok = buf_printf(page, "\\x%02x", (unsigned char)*p);
        else if (strncmp(p, "\xef\xbf\xbe", 3) == 0 || strncmp(p, "\xef\xbf\xbf", 3) == 0)
            ok = buf_append_text(page, "\\u"), p += 2; /* U+FFFE, U+FFFF */
        else
            ok = buf_append(page, p, 1);
    }
    return ok;
}

static bool begin_case(struct buf *page, const struct check_report *report, const char *id,
                       const char *platform)
{
    return buf_append_text(page, "    <testcase classname=\"") &&
           append_xml(page, report->facts->reference->given) &&
           buf_printf(page, "\" name=\"%s%s%s\"", id, *platform ? " " : "", platform);
}

static bool append_element(struct buf *page, const char *element,
                           const struct check_finding *finding)
{
    return buf_printf(page, ">\n      <%s type=\"%s\" message=\"", element,
                      check_report_level(finding)) &&
           append_xml(page, finding->message) && buf_append_text(page, "\">") &&
           append_xml(page, finding->hint ? finding->hint : "") &&
           buf_printf(page, "</%s>\n    </testcase>\n", element);
}

/* What does not make the image unfit is told beside a test that passed. */
static bool append_finding(struct buf *page, const struct check_report *report,
                           const struct check_finding *finding)
{
    char platform[PLATFORM_TEXT_MAX];

    check_report_platform(report, finding, platform);
    if (!begin_case(page, report, finding->rule->id, platform))
        return false;
    if (check_report_counts(report, finding))
        return append_element(page, "failure", finding);
    if (finding->reason == CHECK_UNREADABLE)
        return append_element(page, "error", finding);
    if (finding->reason != CHECK_NOT_SKIPPED)
        return buf_append_text(page, ">\n      <skipped message=\"") &&
               append_xml(page, finding->message) &&
               buf_append_text(page, "\"/>\n    </testcase>\n");
    return buf_printf(page, ">\n      <system-out>%s: ", check_report_level(finding)) &&
           append_xml(page, finding->message) &&
           buf_append_text(page, "</system-out>\n    </testcase>\n");
}

struct counts {
    size_t tests, failures, errors, skipped;
};

static struct counts count(const struct check_report *report)
{
    struct counts counts = {.tests = report->results->count};

    for (size_t i = 0; i < report->results->count; i++) {
        const struct check_finding *finding = &report->results->findings[i];

        if (check_report_counts(report, finding))
            counts.failures++;
        else if (finding->reason == CHECK_UNREADABLE)
            counts.errors++;
        else if (finding->reason != CHECK_NOT_SKIPPED)
            counts.skipped++;
    }
    for (size_t i = 0; i < rule_count(); i++)
        counts.tests += report->results->passed[i];
    return counts;
}

static bool append_cases(struct buf *page, const struct check_report *report)
{
    bool ok = true;

    for (size_t i = 0; ok && i < report->results->count; i++)
        ok = append_finding(page, report, &report->results->findings[i]);
    for (size_t i = 0; ok && i < rule_count(); i++) {
        if (report->results->passed[i])
            ok = begin_case(page, report, rule_id(i), "") && buf_append_text(page, "/>\n");
    }
    return ok;
}

char *check_report_junit(const struct check_report *report)
{
    autobuf page = BUF_INIT(PAGE_MAX);
    struct counts counts = count(report);

    if (!buf_printf(&page,
                    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n"
                    "  <testsuite name=\"stepcell image check\" tests=\"%zu\" failures=\"%zu\" "
                    "errors=\"%zu\" skipped=\"%zu\">\n",
                    counts.tests, counts.failures, counts.errors, counts.skipped) ||
        !append_cases(&page, report) || !buf_append_text(&page, "  </testsuite>\n</testsuites>\n"))
        return NULL;
    return buf_take(&page);
}
