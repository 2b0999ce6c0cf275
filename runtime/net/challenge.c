#include "runtime/net/challenge.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"

#define TOKEN_MAX 64 /* bytes of a scheme or of a parameter's name */

static size_t token_length(const char *p)
{
    size_t len = 0;

    while (isalnum((unsigned char)p[len]) || (p[len] && strchr("!#$%&'*+-.^_`|~", p[len])))
        len++;
    return len;
}

/* Reads a quoted string or a token at *p into `value`; false when it is too long. */
static bool read_value(const char **p, struct buf *value)
{
    const char *s = *p;
    bool ok = true;

    if (*s != '"') {
        /* Wider than a token: some servers leave the quotes away around URLs. */
        size_t len = strcspn(s, ", \t");

        *p = s + len;
        return buf_append(value, s, len);
    }
    for (s++; *s && *s != '"'; s++) {
        if (*s == '\\' && s[1])
            s++;
        ok = ok && buf_append(value, s, 1);
    }
    *p = *s ? s + 1 : s;
    return ok;
}

/* Parameters of one challenge that matter. */
struct parameters {
    char *realm, *service, *scope;
};

static void release_parameters(struct parameters *parameters)
{
    free(parameters->realm);
    free(parameters->service);
    free(parameters->scope);
    *parameters = (struct parameters){0};
}

/* The place for a parameter, or NULL when it does not matter or is there already. */
static char **find_parameter(struct parameters *parameters, const char *name, size_t len)
{
    const struct {
        const char *name;
        char **place;
    } known[] = {
        {"realm", &parameters->realm},
        {"service", &parameters->service},
        {"scope", &parameters->scope},
    };

    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        if (strlen(known[i].name) == len && strncasecmp(known[i].name, name, len) == 0)
            return *known[i].place ? NULL : known[i].place;
    }
    return NULL;
}

/* One challenge has been read to its end. */
static void finish(const char *scheme, struct parameters *parameters, struct challenge *challenge)
{
    if (strcasecmp(scheme, "Basic") == 0) {
        challenge->basic = true;
    } else if (strcasecmp(scheme, "Bearer") == 0 && !challenge->bearer && parameters->realm) {
        challenge->bearer = true;
        challenge->realm = TAKE_PTR(parameters->realm);
        challenge->service = TAKE_PTR(parameters->service);
        challenge->scope = TAKE_PTR(parameters->scope);
    }
    release_parameters(parameters);
}

/* "=VALUE" behind the name of a parameter; moves *p behind it. */
static bool take_parameter(const char *name, size_t len, const char **p,
                           struct parameters *parameters)
{
    autobuf value = BUF_INIT(CHALLENGE_VALUE_MAX);
    char **place;

    *p += 1 + strspn(*p + 1, " \t");
    if (!read_value(p, &value))
        return true;
    place = find_parameter(parameters, name, len);
    if (!place)
        return true;
    *place = buf_take(&value);
    return *place;
}

bool challenge_parse(const char *header, struct challenge *challenge)
{
    CLEANUP(release_parameters) struct parameters parameters = {0};
    char scheme[TOKEN_MAX] = "";
    const char *p = header;

    for (;;) {
        const char *token;
        size_t len;

        p += strspn(p, ", \t");
        if (!*p)
            break;
        token = p;
        len = token_length(p);
        p += len;
        p += strspn(p, " \t");
        if (len && *p == '=') {
            if (!take_parameter(token, len, &p, &parameters))
                return false;
        } else if (len) {
            finish(scheme, &parameters, challenge);
            snprintf(scheme, sizeof(scheme), "%.*s", (int)(len < TOKEN_MAX ? len : TOKEN_MAX),
                     token);
        } else {
            p += strcspn(p, ","); /* credentials of a scheme that is not known here */
        }
    }
    finish(scheme, &parameters, challenge);
    return true;
}

void challenge_release(struct challenge *challenge)
{
    free(challenge->realm);
    free(challenge->service);
    free(challenge->scope);
    *challenge = (struct challenge){0};
}
