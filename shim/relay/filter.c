#include "shim/relay/filter.h"

#include <string.h>

#define JOINED_MAX (64 << 20) /* bytes: a chunk, and all that the mask may have held back */

static bool no_memory(struct err *err)
{
    return err_set(err, ERR_ENGINE_FAILED, "not enough memory for the relay");
}

/* Sees what is delivered, in front of its delivery. */
static bool observe(struct filter *filter, const char *bytes, size_t len, struct err *err)
{
    counter_add(&filter->counter, bytes, len);
    return len == 0 || events_output(filter->events, filter->stream, bytes, len, err);
}

static bool mask_bytes(struct filter *filter, const char *bytes, size_t len, struct err *err)
{
    const char *out;
    size_t out_len;

    return mask_feed(&filter->masked, bytes, len, &out, &out_len, err) &&
           (buf_append(&filter->joined, out, out_len) || no_memory(err));
}

/* Masks what was withheld of a message, and the chunk up to `end`. */
static bool mask_until(struct filter *filter, size_t end, struct err *err)
{
    struct buf *withheld = &filter->withheld;
    size_t from = filter->fed;

    if (withheld->len > 0 && !mask_bytes(filter, withheld->data, withheld->len, err))
        return false;
    withheld->len = 0;
    filter->fed = end;
    return mask_bytes(filter, filter->chunk + from, end - from, err);
}

/*
 * A message that declares a secret carries its value, and the orchestrator needs it whole, the
 * second time too. Nothing that is masked reaches across its borders.
 */
static bool pass_message(struct filter *filter, size_t start, size_t end, struct err *err)
{
    struct buf *withheld = &filter->withheld;
    const char *out;
    size_t len;

    if (start > filter->fed && !mask_until(filter, start, err))
        return false;
    if (!mask_end(&filter->masked, &out, &len, err))
        return false;
    if (!buf_append(&filter->joined, out, len) ||
        !buf_append(&filter->joined, withheld->data, withheld->len) ||
        !buf_append(&filter->joined, filter->chunk + filter->fed, end - filter->fed))
        return no_memory(err);
    withheld->len = 0;
    filter->fed = end;
    return true;
}

static bool take_message(void *data, const struct service_message *message, size_t end,
                         struct err *err)
{
    struct filter *filter = data;
    size_t start = message->len < end ? end - message->len : 0;
    bool passes = service_message_declares_secret(message);

    return (passes ? pass_message(filter, start, end, err) : mask_until(filter, end, err)) &&
           filter->observer->message(filter->observer->data, message, err);
}

static bool take_malformed(void *data, const char *text, size_t len, const char *why,
                           struct err *err)
{
    struct filter *filter = data;

    (void)text, (void)len;
    return mask_until(filter, filter->fed, err) &&
           filter->observer->malformed(filter->observer->data, why, err);
}

/* Where the chunk is cut inside a message: it is not known yet whether that declares a secret. */
static size_t withheld_from(const struct filter *filter, size_t len)
{
    size_t begun = service_message_begun(&filter->scanner);

    if (begun == 0 || mask_is_empty(filter->masked.mask))
        return len;
    return begun < len - filter->fed ? len - begun : filter->fed;
}

static bool pass(void *data, const char *bytes, size_t len, const char **out, size_t *out_len,
                 struct err *err)
{
    struct filter *filter = data;
    size_t cut;

    filter->chunk = bytes;
    filter->fed = filter->joined.len = 0;
    if (!service_message_scan(&filter->scanner, bytes, len, err))
        return false;
    cut = withheld_from(filter, len);
    if (filter->joined.len == 0 && filter->withheld.len == 0) {
        if (!mask_feed(&filter->masked, bytes + filter->fed, cut - filter->fed, out, out_len, err))
            return false;
    } else {
        if (cut > filter->fed && !mask_until(filter, cut, err))
            return false;
        *out = filter->joined.data;
        *out_len = filter->joined.len;
    }
    if (!buf_append(&filter->withheld, bytes + cut, len - cut))
        return no_memory(err);
    return observe(filter, *out, *out_len, err);
}

static bool end(void *data, const char **out, size_t *out_len, struct err *err)
{
    struct filter *filter = data;
    const char *rest;
    size_t len;

    filter->chunk = "";
    filter->fed = filter->joined.len = 0;
    if (!service_message_end(&filter->scanner, err) || !mask_end(&filter->masked, &rest, &len, err))
        return false;
    if (!buf_append(&filter->joined, rest, len))
        return no_memory(err);
    *out = filter->joined.data;
    *out_len = filter->joined.len;
    return observe(filter, *out, *out_len, err) &&
           events_output_end(filter->events, filter->stream, err);
}

/* A digest is of what is delivered, and what is masked must not come back. */
static bool judges(const void *data)
{
    const struct filter *filter = data;

    return filter->counter.digest || !mask_is_empty(filter->masked.mask);
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
        .pump = {pass, end, judges, full, filter},
        .stream = stream,
        .events = events,
        .observer = observer,
        .scanner = {.message = take_message, .malformed = take_malformed, .data = filter},
        .masked = {.mask = mask},
        .joined = BUF_INIT(JOINED_MAX),
        .withheld = BUF_INIT(SERVICE_MESSAGE_MAX),
    };
    return !counts || counter_open(&filter->counter) || no_memory(err);
}

bool filter_count(struct filter *filter, struct counts *counts)
{
    return counter_finish(&filter->counter, counts);
}

void filter_close(struct filter *filter)
{
    service_message_release(&filter->scanner);
    mask_stream_release(&filter->masked);
    counter_release(&filter->counter);
    buf_release(&filter->joined);
    buf_release(&filter->withheld);
    *filter = (struct filter){.fed = 0};
}
