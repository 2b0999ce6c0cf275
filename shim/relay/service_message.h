/*
 * Service messages: what a script prints for Octopus Deploy, ##octopus[name key='base64' …], found
 * in a stream that comes in chunks of any size, and parsed (pure).
 *
 * What counts as one is what Octopus takes for one:
 * - It may begin anywhere in a line. The character that ends a beginning cannot begin another one:
 *   "###octopus[" is none.
 * - It ends at the first "]". Where the line or the stream ends before, or it is longer than
 *   SERVICE_MESSAGE_MAX, it is malformed, and what follows is text again.
 * - Blanks separate attributes, either quote encloses a value, no two keys are the same.
 * - Every value is base64, with padding, of UTF-8.
 *
 * Zero a scanner, set its callbacks, give it all chunks with service_message_scan and then call
 * service_message_end; service_message_release is for a stream that is given up. A scanner holds
 * memory only inside a message, at most three times SERVICE_MESSAGE_MAX.
 */
#ifndef STEPCELL_SHIM_RELAY_SERVICE_MESSAGE_H
#define STEPCELL_SHIM_RELAY_SERVICE_MESSAGE_H

#include "base/buf.h"
#include "base/err.h"

#define SERVICE_MESSAGE_MAX            ((size_t)1 << 20) /* bytes, from the first # to the ] */
#define SERVICE_MESSAGE_ATTRIBUTES_MAX 64

/* Valid while the callback runs. */
struct service_message {
    const char *name;
    size_t len; /* bytes from the first # to the ] */
    size_t count;
    struct service_message_attribute {
        const char *key;
        const char *value; /* decoded, a NUL behind it; it may hold others */
        size_t len;
    } attributes[SERVICE_MESSAGE_ATTRIBUTES_MAX];
};

/* The attribute, NULL when it is absent. Keys are the same in upper and lower case. */
const struct service_message_attribute *service_message_get(const struct service_message *message,
                                                            const char *key);

/* Whether Octopus is known to know the name; upper and lower case differ. */
bool service_message_known(const struct service_message *message);

/*
 * Whether a message that becomes an event has the attributes that the event needs: setVariable,
 * createArtifact, progress, mask and resultMessage; every other one has. If not, *missing is the
 * first key that it lacks.
 */
bool service_message_check(const struct service_message *message, const char **missing);

/* Whether its value is a secret from now on: `mask`, and whatever is sensitive. */
bool service_message_declares_secret(const struct service_message *message);

struct service_message_scanner {
    /*
     * A message, whatever its name. `end` bytes of the current chunk reach up to and including its
     * "]": what a message orders takes effect behind them.
     */
    bool (*message)(void *data, const struct service_message *message, size_t end, struct err *err);
    /* What began like one, from its first #, `text` not ended by a NUL; and a phrase that says why
     * it is none: "it has no name". */
    bool (*malformed)(void *data, const char *text, size_t len, const char *why, struct err *err);
    void *data;

    size_t matched; /* bytes of the beginning that were seen */
    struct buf text;
};

/*
 * Looks at the next bytes. False when a callback was false, and has set `err`, or without memory:
 * the scanner is then to be released.
 */
bool service_message_scan(struct service_message_scanner *scanner, const char *bytes, size_t len,
                          struct err *err);

/* Bytes of the message that has begun and not ended, from its first #; 0 outside of one. */
size_t service_message_begun(const struct service_message_scanner *scanner);

/* The stream is at its end. The scanner is empty afterwards, and ready for another stream. */
bool service_message_end(struct service_message_scanner *scanner, struct err *err);
void service_message_release(struct service_message_scanner *scanner);

#endif
