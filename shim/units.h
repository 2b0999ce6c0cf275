/* Numbers as people read them (pure). */
#ifndef STEPCELL_SHIM_UNITS_H
#define STEPCELL_SHIM_UNITS_H

#include <stdint.h>

#define UNITS_MAX 32

/* "129 MB", in powers of ten as registries show them. */
const char *units_size(uint64_t bytes, char text[UNITS_MAX]);

/* "0.4 ms", "12.3 s", "5 min 07 s", "2 h 05 min". */
const char *units_time(int64_t ns, char text[UNITS_MAX]);

#endif
