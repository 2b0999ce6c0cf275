/* Header fields (pure): values that servers write, read strictly and with limits. */
#ifndef STEPCELL_RUNTIME_NET_FIELDS_H
#define STEPCELL_RUNTIME_NET_FIELDS_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* A date (RFC 9110, section 5.6.7); false when it is none. */
bool http_date_parse(const char *value, time_t *date);

/*
 * Retry-After (RFC 9110, section 10.2.3): seconds, or a date. The wait from `now` in milliseconds;
 * a date that has passed is 0. False when it is neither.
 */
bool retry_after_parse(const char *value, time_t now, uint64_t *ms);

struct content_range {
    uint64_t first, last; /* both included */
    bool has_size;
    uint64_t size; /* of the whole; unknown when the server wrote "*" */
};

/* Content-Range (section 14.4) of a 206: "bytes FIRST-LAST/SIZE". */
bool content_range_parse(const char *value, struct content_range *range);

/*
 * The target of the link whose relation is "next" in the value of one Link header (RFC 8288), owned
 * by the caller; NULL when there is none, or without memory.
 */
char *link_next(const char *value);

/*
 * The text of the first warning with code 299 and agent "-" in the value of one Warning header, as
 * the OCI distribution specification has registries speak to users: 299 - "TEXT". Owned by the
 * caller; NULL when there is none, when it is longer than WARNING_MAX, or without memory. What it
 * holds may be anything.
 */
char *warning_text(const char *value);

#define WARNING_MAX 1024 /* bytes */

#endif
