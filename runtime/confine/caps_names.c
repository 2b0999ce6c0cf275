#include "runtime/confine/caps_names.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>
#include <sys/capability.h>

#define PREFIX   "cap_"
#define NAME_MAX 64

bool caps_parse(const char *name, uint64_t *caps)
{
    char full[NAME_MAX];
    cap_value_t cap;
    int len;

    if (strcasecmp(name, "ALL") == 0) {
        *caps = UINT64_MAX;
        return true;
    }
    len = snprintf(full, sizeof(full), "%s%s",
                   strncasecmp(name, PREFIX, sizeof(PREFIX) - 1) == 0 ? "" : PREFIX, name);
    /* libcap takes numbers, too. */
    if (len >= NAME_MAX || full[4] < 'A' || cap_from_name(full, &cap) < 0)
        return false;
    *caps = UINT64_C(1) << cap;
    return true;
}

bool caps_name(unsigned int cap, char name[CAPS_NAME_MAX])
{
    char *full = cap_to_name((cap_value_t)cap);
    /* libcap gives a bare number to what it does not know. */
    bool ok = full && strncasecmp(full, PREFIX, sizeof(PREFIX) - 1) == 0;

    if (ok) {
        snprintf(name, CAPS_NAME_MAX, "%s", full + sizeof(PREFIX) - 1);
        for (char *p = name; *p; p++)
            *p = (char)toupper((unsigned char)*p);
    }
    cap_free(full);
    return ok;
}
