/*
 * What looks at one stream of a step between the cell and its sink (docs/design/relay.md): service
 * messages are found in the raw bytes, secrets are masked, and what is left is counted and becomes
 * events. `pump` is what a pump is given.
 *
 * A message that declares a secret passes as it is, since the orchestrator needs its value. So once
 * there is something to mask, a message that has begun is withheld until it ends.
 */
#ifndef STEPCELL_SHIM_RELAY_FILTER_H
#define STEPCELL_SHIM_RELAY_FILTER_H

#include "shim/relay/counter.h"
#include "shim/relay/events.h"
#include "shim/relay/mask.h"
#include "shim/relay/pump.h"
#include "shim/relay/service_message.h"

/* What comes out of the messages, for both streams. */
struct filter_observer {
    /* Has an effect on what comes behind it. */
    bool (*message)(void *data, const struct service_message *message, struct err *err);
    bool (*malformed)(void *data, const char *why, struct err *err);
    void *data;
};

struct filter {
    struct pump_filter pump;
    enum event_stream stream;
    struct events *events; /* borrowed */
    const struct filter_observer *observer;
    struct service_message_scanner scanner;
    struct mask_stream masked;
    struct counter counter; /* of what comes out, whether or not it can be delivered */
    const char *chunk;      /* what is being scanned */
    size_t fed;             /* bytes of it that went through the mask */
    struct buf joined;      /* what came out of the parts of a chunk that has messages in it */
    struct buf withheld;    /* of a message whose end is still to come */
};

/* `counts`: whether lines and digest are wanted. The filter must not move afterwards. */
bool filter_open(struct filter *filter, enum event_stream stream, const struct mask *mask,
                 struct events *events, const struct filter_observer *observer, bool counts,
                 struct err *err);
void filter_close(struct filter *filter);

/* Whether it counts; if so, *counts is final once the stream has ended. Once. */
bool filter_count(struct filter *filter, struct counts *counts);

#endif
