/* `attest`: which digest a name stands for, verified as the policy asks, for an engine that pulls
 * by itself (docs/design/policy.md). */
#include <string.h>

#include "base/digest.h"
#include "shim/image/command.h"
#include "shim/image/signed.h"
#include "shim/helper_report.h"

/* What the registry says now, or the digest that the reference has. */
static bool find_digest(const struct reference *reference, char digest[DIGEST_TEXT_MAX],
                        struct err *err)
{
    autotop top = SOURCE_TOP_INIT;
    autosource *source = NULL;

    if (reference->digest) {
        strcpy(digest, reference->digest);
        return true;
    }
    source = source_open(reference, NULL, err);
    if (!source || !source->ops->top(source, &top, err))
        return false;
    digest_of(top.text.data ? top.text.data : "", top.text.len, digest);
    return true;
}

static bool attest(const char *given, json_t **report, struct err *err)
{
    CLEANUP(signed_release) struct signed_image image = {0};
    autoreference reference = {0};
    char digest[DIGEST_TEXT_MAX];
    struct signature_request request = {.reference = &reference, .digest = digest};

    if (!command_parse_reference(given, &reference, err) ||
        !signed_begin(&reference, NULL, &image, err))
        return false;
    if (reference.transport != TRANSPORT_REGISTRY)
        return err_set(err, ERR_OPTION_INVALID, "'%s' is no name of a registry's", given);
    request.demands = image.verdict.demands;
    request.demand_count = image.verdict.demand_count;
    if (!find_digest(&reference, digest, err) ||
        !signatures_verify(&request, &image.signatures, err))
        return false;
    *report = json_pack("{s:s, s:O}", "digest", digest, "signatures", image.signatures);
    return *report || err_set(err, ERR_ENGINE_FAILED, "there is not enough memory");
}

int command_attest(int argc, char **argv)
{
    const char *report_fd = "1";
    const struct option_spec options[] = {
        OPTION("--report", "FD", &report_fd, "the descriptor for the line, default stdout"),
        OPTIONS_END,
    };
    const struct command command = {
        .usage = "stepcell-image attest [OPTIONS] REFERENCE",
        .about = "Finds the digest of an image at its registry, verifies that it is signed as the\n"
                 "policy asks, and writes a line of JSON about it.",
        .missing = "one image reference is needed",
        .words_min = 1,
        .words_max = 1,
        .options = options,
    };
    autojson *report = NULL;
    struct err err;
    size_t words;
    bool ok;
    int status;
    int fd = -1;

    if (!command_begin(argc, argv, &command, &words, &status))
        return status;
    if (!helper_report_parse_fd(report_fd, &fd, &err))
        return command_failed(&err);
    ok = attest(argv[0], &report, &err);
    return helper_report_end(fd, ok ? TAKE_PTR(report) : NULL, &err);
}
