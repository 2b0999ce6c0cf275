/* The receiver of events: where it is (target.json), and one request to it. */
#ifndef STEPCELL_SHIM_EVENTS_RECEIVER_H
#define STEPCELL_SHIM_EVENTS_RECEIVER_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "runtime/net/http.h"

#define RECEIVER_STALL_MS   10000      /* a receiver that is silent for so long is dead */
#define RECEIVER_ANSWER_MAX (64 << 10) /* bytes of its answer, which is not used */
#define TOKEN_MAX           (64 << 10) /* bytes of the token file */
#define AUTHORITIES_MAX     (4 << 20)  /* bytes of $SSL_CERT_FILE */

struct receiver {
    struct http *http;
    char *url;
    char *token_file; /* or NULL */
    bool no_links;    /* it is read where it was judged, through no link */
    char *step;       /* the header that names the step */
};

/* Reads target.json in `dir`; `step` is the step's ID. */
bool receiver_open(struct receiver *receiver, int dir, const char *step, struct err *err);
void receiver_close(struct receiver *receiver);
#define autoreceiver CLEANUP(receiver_close) struct receiver

enum receiver_answer {
    RECEIVER_CONFIRMED,
    RECEIVER_TOO_LARGE, /* 413 */
    RECEIVER_FAILED     /* anything else; err says what */
};

/* Sends whole lines. *asked_ms is the Retry-After of an answer, 0 for none. */
enum receiver_answer receiver_post(const struct receiver *receiver, const char *lines, size_t len,
                                   uint64_t *asked_ms, struct err *err);

#endif
