/*
 * Strict numbers: the whole text must be the number. No sign, no blanks, no leading zeros to guess
 * an octal from, no overflow (CVE-2026-30892 and CVE-2026-46680 are what lenient ones do to user
 * ids).
 */
#ifndef STEPCELL_BASE_NUM_H
#define STEPCELL_BASE_NUM_H

#include <stdbool.h>
#include <stdint.h>

/* Decimal digits only, `max` included. */
bool num_parse(const char *text, uint64_t max, uint64_t *out);

/*
 * A duration in milliseconds: "90" (seconds), or one or more of a number with a unit out of
 * ms s m h, largest first: "1h30m", "500ms". At most DURATION_MAX.
 */
#define DURATION_MAX_MS (UINT64_C(366) * 24 * 3600 * 1000)
bool num_parse_duration(const char *text, uint64_t *ms);

/* An age in seconds: a number of days, "30d", or a duration. */
#define AGE_DAYS_MAX 36500
bool num_parse_age(const char *text, uint64_t *seconds);

#endif
