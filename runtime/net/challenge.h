/* Authentication challenges (pure): what WWW-Authenticate asks for (RFC 9110, section 11.6.1). */
#ifndef STEPCELL_RUNTIME_NET_CHALLENGE_H
#define STEPCELL_RUNTIME_NET_CHALLENGE_H

#include <stdbool.h>

#include "base/cleanup.h"

#define CHALLENGE_VALUE_MAX 4096 /* bytes of one parameter; longer ones are passed over */

/* Several challenges, in one header or in several, come together here; the first of a kind wins. */
struct challenge {
    bool basic;
    bool bearer;   /* with a realm; without one it is no challenge that can be met */
    char *realm;   /* of Bearer */
    char *service; /* of Bearer, or NULL */
    char *scope;   /* of Bearer, or NULL */
};

/* Adds the challenges in the value of one header. False without memory. */
bool challenge_parse(const char *header, struct challenge *challenge);
void challenge_release(struct challenge *challenge);

#define autochallenge CLEANUP(challenge_release) struct challenge

#endif
