/* `reach`: whether a registry answers and lets the caller in, for `stepcell doctor`. */
#include <string.h>
#include <time.h>

#include "runtime/image/registry_client.h"
#include "runtime/net/fields.h"
#include "shim/helper_report.h"
#include "shim/image/command.h"

#define ANSWER_MAX 65536 /* bytes of the answer at the root of the API */

/* "https://HOST/v2/", whatever repository the endpoint is for. */
static char *root_url(const struct endpoint *endpoint)
{
    const char *end = strstr(endpoint->base, "/v2/");

    return end ? strndup(endpoint->base, (size_t)(end - endpoint->base) + strlen("/v2/")) : NULL;
}

static bool has_credentials(const struct endpoint *endpoint)
{
    const struct credentials *credentials = &endpoint->credentials;

    return credentials->basic || credentials->identity || credentials->registry;
}

static bool unreachable(const struct registry_client *client, const char *host, struct err *err)
{
    autofree char *of_image =
        text_printf("cannot get '%s' from the registry '%s': ", client->reference->name, host);
    size_t len = of_image ? strlen(of_image) : 0;
    struct err said = *err;

    if (len == 0 || strncmp(said.message, of_image, len) != 0)
        return false;
    err_set(err, said.code, "the registry '%s' cannot be reached: %s", host, said.message + len);
    return err_hint(err, "%s", said.hint);
}

/* The client speaks of an image, which nobody has asked for. */
static bool explain(const struct registry_client *client, const struct endpoint *endpoint,
                    struct err *err)
{
    switch (err->code) {
    case ERR_REGISTRY_AUTH:
        err_set(err, ERR_REGISTRY_AUTH,
                "the registry '%s' can be reached, but does not let the caller in: %s",
                endpoint->host,
                has_credentials(endpoint) ? "it refuses the credentials that are kept for it"
                                          : "it wants credentials, and none are kept for it");
        return err_hint(err, "log in with: docker login %s", endpoint->host);
    case ERR_IMAGE_NOT_FOUND:
        err_set(err, ERR_REGISTRY_UNREACHABLE, "something answers at '%s', but it is no registry",
                endpoint->host);
        return err_hint(err, "check name and port");
    default:
        return unreachable(client, endpoint->host, err);
    }
}

static bool reach(const char *host, json_t **report, struct err *err)
{
    autofree char *name = text_printf("%s/stepcell/doctor:none", host);
    struct registry_client client = {0};
    autoreference reference = {0};
    struct registry_tries tries = {0};
    struct http_request request = {.body_max = ANSWER_MAX};
    autoresponse response = {0};
    autofree char *url = NULL;
    struct endpoint *endpoint;
    const char *date;
    size_t from = 0;
    time_t when = -1;
    bool ok;

    if (!name || !reference_parse(name, "/", &reference, err))
        return false;
    if (strcmp(reference.host, host) != 0 && strcmp(host, "index.docker.io") != 0) {
        err_set(err, ERR_OPTION_INVALID, "'%s' is no registry", host);
        return err_hint(err,
                        "give its host, with the port where it has one: registry.example:5000");
    }
    if (!registry_client_init(&client, &reference, err))
        return false;
    endpoint = registry_primary(&client);
    url = root_url(endpoint);
    request.url = url;
    response.body.max = ANSWER_MAX;
    ok = url && registry_try(&client, endpoint, &request, &response, &tries, err) == REGISTRY_DONE;
    if (ok) {
        date = http_header(&response, "Date", &from);
        if (date && !http_date_parse(date, &when))
            when = -1;
        *report = json_pack("{s:s, s:b, s:o}", "url", url, "logged_in", has_credentials(endpoint),
                            "date", when < 0 ? json_null() : json_integer((json_int_t)when));
    } else if (url) {
        explain(&client, endpoint, err);
    }
    registry_client_release(&client);
    return ok;
}

int command_reach(int argc, char **argv)
{
    const char *report_fd = "1";
    const struct option_spec options[] = {
        OPTION("--report", "FD", &report_fd, "the descriptor for the line; stdout by default"),
        OPTIONS_END,
    };
    const struct command command = {
        .usage = "stepcell-image reach [OPTIONS] HOST[:PORT]",
        .about =
            "Asks a registry once for the root of its API, and writes a line of JSON about it.",
        .missing = "one registry is needed",
        .words_min = 1,
        .words_max = 1,
        .options = options,
    };
    autojson *report = NULL;
    struct err err;
    size_t words;
    bool ok;
    int fd = -1, status;

    if (!command_begin(argc, argv, &command, &words, &status))
        return status;
    if (!helper_report_parse_fd(report_fd, &fd, &err))
        return command_failed(&err);
    ok = reach(argv[0], &report, &err);
    return helper_report_end(fd, ok ? TAKE_PTR(report) : NULL, &err);
}
