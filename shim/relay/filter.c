#include "shim/relay/filter.h"

#include <string.h>

#define JOINED_MAX (64 << 20) /* bytes: a chunk, and all that the mask may have held back */

static bool no_memory(struct err *err)
{
    return err_set(err, ERR_ENGINE_FAILED, "not enough memory for the relay");
}

/* In blocks that a byte can count, which the compiler makes one instruction for many bytes of. */
static uint64_t count_lines(const char *bytes, size_t len)
{
    uint64_t lines = 0;

    while (len > 0) {
        size_t part = len < UINT8_MAX ? len : UINT8_MAX;
        uint8_t found = 0;

        for (size_t i = 0; i < part; i++)
            found = (uint8_t)(found + (bytes[i] == '\n'));
        lines += found;
        bytes += part;
        len -= part;
    }
    return lines;
}

/* Sees what is delivered, in front of its delivery. */
static bool observe(struct filter *filter, const char *bytes, size_t len, struct err *err)
{
    if (len == 0)
        return true;
    if (filter->digest) {
        digest_update(filter->digest, bytes, len);
        filter->lines += count_lines(bytes, len);
        filter->in_line = bytes[len - 1] != '\n';
    }
    return events_output(filter->events, filter->stream, bytes, len, err);
}

/* Masks the chunk up to `end`, and keeps what comes out: a message in it may change the mask. */
static bool mask_part(struct filter *filter, size_t end, struct err *err)
{
    const char *out;
    size_t len;

    if (!mask_feed(&filter->masked, filter->chunk + filter->fed, end - filter->fed, &out, &len,
                   err))
        return false;
    filter->fed = end;
    return buf_append(&filter->joined, out, len) || no_memory(err);
}

static bool take_message(void *data, const struct service_message *message, size_t end,
                         struct err *err)
{
    struct filter *filter = data;

    return mask_part(filter, end, err) &&
           filter->observer->message(filter->observer->data, message, err);
}

static bool take_malformed(void *data, const char *text, size_t len, const char *why,
                           struct err *err)
{
    struct filter *filter = data;

    (void)text, (void)len;
    return filter->observer->malformed(filter->observer->data, why, err);
}

static bool pass(void *data, const char *bytes, size_t len, const char **out, size_t *out_len,
                 struct err *err)
{
    struct filter *filter = data;

    filter->chunk = bytes;
    filter->fed = filter->joined.len = 0;
    if (!service_message_scan(&filter->scanner, bytes, len, err))
        return false;
    if (filter->joined.len == 0) {
        if (!mask_feed(&filter->masked, bytes + filter->fed, len - filter->fed, out, out_len, err))
            return false;
    } else {
        if (!mask_part(filter, len, err))
            return false;
        *out = filter->joined.data;
        *out_len = filter->joined.len;
    }
    return observe(filter, *out, *out_len, err);
}

static bool end(void *data, const char **out, size_t *out_len, struct err *err)
{
    struct filter *filter = data;

    return service_message_end(&filter->scanner, err) &&
           mask_end(&filter->masked, out, out_len, err) && observe(filter, *out, *out_len, err) &&
           events_output_end(filter->events, filter->stream, err);
}

static bool full(const void *data)
{
    const struct filter *filter = data;

    return events_are_full(filter->events);
}

bool filter_open(struct filter *filter, enum event_stream stream, const struct mask *mask,
                 struct events *events, const struct filter_observer *observer, bool counts,
                 struct err *err)
{
    *filter = (struct filter){
        .pump = {pass, end, full, filter},
        .stream = stream,
        .events = events,
        .observer = observer,
        .scanner = {.message = take_message, .malformed = take_malformed, .data = filter},
        .masked = {.mask = mask},
        .joined = BUF_INIT(JOINED_MAX),
    };
    if (!counts)
        return true;
    filter->digest = digest_new();
    return filter->digest || no_memory(err);
}

bool filter_count(struct filter *filter, struct filter_counts *counts)
{
    if (!filter->digest)
        return false;
    counts->lines = filter->lines + filter->in_line;
    digest_finish(filter->digest, counts->sha256);
    digest_free(filter->digest);
    filter->digest = NULL;
    return true;
}

void filter_close(struct filter *filter)
{
    service_message_release(&filter->scanner);
    mask_stream_release(&filter->masked);
    digest_free(filter->digest);
    buf_release(&filter->joined);
    *filter = (struct filter){.fed = 0};
}
