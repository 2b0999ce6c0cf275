/* What a server sends over a WebSocket, in two pieces, and the answer that opens one. */
#include "tests/fuzz/fuzz.h"

#include "runtime/kubernetes/pod_exec.h"

struct seen {
    uint64_t bytes;
    bool in_message, closed;
};

static bool take(void *data, const struct ws_piece *piece, struct err *err)
{
    struct seen *seen = data;

    (void)err;
    FUZZ_CHECK(!seen->closed);
    FUZZ_CHECK(piece->kind != WS_CONTINUED);
    seen->bytes += piece->len;
    if (piece->kind >= WS_CLOSE) {
        FUZZ_CHECK(piece->first && piece->last && piece->len <= WS_CONTROL_MAX);
        seen->closed = piece->kind == WS_CLOSE;
        return true;
    }
    FUZZ_CHECK(piece->first == !seen->in_message);
    seen->in_message = !piece->last;
    return true;
}

static void read_frames(const uint8_t *data, size_t size, size_t cut)
{
    struct seen seen = {0};
    struct ws_reader reader = {.take = take, .data = &seen};
    struct err err = ERR_INIT;

    if (!ws_reader_feed(&reader, data, cut, &err) ||
        !ws_reader_feed(&reader, data + cut, size - cut, &err))
        FUZZ_SAID(err);
    FUZZ_CHECK(seen.bytes <= size);
}

static void read_head(const uint8_t *data, size_t size)
{
    struct http_response response = {0};
    char *text = malloc(size + 1);
    ssize_t len;

    if (!text)
        abort();
    memcpy(text, data, size);
    text[size] = '\0';
    len = websocket_parse_head(text, size, &response);
    FUZZ_CHECK(len <= (ssize_t)size);
    if (len > 0)
        FUZZ_CHECK(response.status >= 100 && response.status <= 999);
    http_response_release(&response);
    free(text);
}

static void read_status(const uint8_t *data, size_t size)
{
    struct err err = ERR_INIT;
    int status = -1;

    if (!pod_exec_parse_status((const char *)data, size, &status, &err))
        FUZZ_SAID(err);
    else
        FUZZ_CHECK(status >= 0 && status <= UINT8_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t choice = fuzz_choice(&data, &size);

    if (choice == 'h')
        read_head(data, size);
    else if (choice == 's')
        read_status(data, size);
    else
        read_frames(data, size, size * choice / 255);
    return 0;
}
