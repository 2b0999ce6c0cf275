#include "shim/events/receiver.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "runtime/net/fields.h"
#include "shim/acked.h"

#define TARGET_MAX (64 << 10) /* bytes of the file */

/* $SSL_CERT_FILE as other programs on OpenSSL have it; libcurl does not look at it by itself. */
static bool find_authorities(const struct url *url, struct http_tls *tls, struct err *err)
{
    const char *path = getenv("SSL_CERT_FILE");
    autobuf text = BUF_INIT(AUTHORITIES_MAX);

    (void)url;
    if (!path || !path[0])
        return true;
    if (!file_read(AT_FDCWD, path, &text, ERR_ENGINE_FAILED, err))
        return err_context(err, "SSL_CERT_FILE");
    tls->authorities = buf_take(&text);
    return true;
}

bool receiver_open(struct receiver *receiver, int dir, const char *step, struct err *err)
{
    static const struct http_settings settings = {.stall_ms = RECEIVER_STALL_MS,
                                                  .tls = find_authorities};
    autojson *json = json_read_file(dir, STEP_TARGET, TARGET_MAX, ERR_ENGINE_FAILED, err);
    const char *schema = json_text(json, "schema"), *url = json_text(json, "url"),
               *token_file = json_text(json, "token_file");

    *receiver = (struct receiver){0};
    if (!json)
        return false;
    if (!schema || strcmp(schema, "stepcell.target/1") != 0 || !url)
        return err_set(err, ERR_ENGINE_FAILED, "'%s' does not say where events go", STEP_TARGET);
    receiver->http = http_new(&settings);
    receiver->url = strdup(url);
    receiver->token_file = token_file ? strdup(token_file) : NULL;
    receiver->no_links = json_is_true(json_object_get(json, "no_links"));
    receiver->step = text_printf("X-Stepcell-Step: %s", step);
    if (!receiver->http || !receiver->url || !receiver->step ||
        !receiver->token_file != !token_file)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot use '%s'", STEP_TARGET);
    return true;
}

void receiver_close(struct receiver *receiver)
{
    http_free(receiver->http);
    free(receiver->url);
    free(receiver->token_file);
    free(receiver->step);
    *receiver = (struct receiver){0};
}

/* The value of Authorization (owned by the caller), out of the token file of now; NULL with err. */
static char *read_authorization(const struct receiver *receiver, struct err *err)
{
    const char *path = receiver->token_file;
    autofd fd = receiver->no_links ? file_open_real(path, ERR_ENGINE_FAILED, err)
                                   : file_open(AT_FDCWD, path, ERR_ENGINE_FAILED, err);
    autobuf token = BUF_INIT(TOKEN_MAX);
    char *value;

    if (fd < 0 || !file_read_fd(fd, path, &token, ERR_ENGINE_FAILED, err))
        return NULL;
    while (token.len && (token.data[token.len - 1] == '\n' || token.data[token.len - 1] == '\r'))
        token.data[--token.len] = '\0';
    if (token.len == 0 || strlen(token.data) != token.len) {
        err_set(err, ERR_ENGINE_FAILED, "'%s' holds no token", path);
        return NULL;
    }
    value = text_printf("Bearer %s", token.data);
    if (!value)
        err_errno(err, ERR_ENGINE_FAILED, "cannot read '%s'", path);
    return value;
}

static uint64_t asked_wait(const struct http_response *response)
{
    size_t from = 0;
    const char *value = http_header(response, "Retry-After", &from);
    uint64_t ms = 0;

    return value && retry_after_parse(value, time(NULL), &ms) ? ms : 0;
}

enum receiver_answer receiver_post(const struct receiver *receiver, const char *lines, size_t len,
                                   uint64_t *asked_ms, struct err *err)
{
    autofree char *authorization = NULL;
    autoresponse response = {0};
    const char *const headers[] = {receiver->step, NULL};
    struct http_request request = {
        .url = receiver->url,
        .content = lines,
        .content_len = len,
        .content_type = "application/x-ndjson",
        .headers = headers,
        .no_redirects = true,
        .body_max = RECEIVER_ANSWER_MAX,
    };

    *asked_ms = 0;
    if (receiver->token_file) {
        authorization = read_authorization(receiver, err);
        if (!authorization)
            return RECEIVER_FAILED;
        request.authorization = authorization;
    }
    if (!http_send(receiver->http, &request, &response, err))
        return RECEIVER_FAILED;
    if (response.status >= 200 && response.status < 300)
        return RECEIVER_CONFIRMED;
    *asked_ms = asked_wait(&response);
    err_set(err, ERR_ENGINE_FAILED, "the receiver answers %ld", response.status);
    return response.status == 413 ? RECEIVER_TOO_LARGE : RECEIVER_FAILED;
}
