#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const texts[ERR_COUNT] = {
#define X(name, text) [ERR_##name] = text,
    ERR_CODES(X)
#undef X
};

bool err_set(struct err *err, enum err_code code, const char *format, ...)
{
    va_list args;

    err->code = code;
    err->hint[0] = '\0';
    va_start(args, format);
    vsnprintf(err->message, sizeof(err->message), format, args);
    va_end(args);
    return false;
}

bool err_errno(struct err *err, enum err_code code, const char *format, ...)
{
    int number = errno;
    va_list args;
    size_t used;

    err->code = number == ENOSPC || number == EDQUOT ? ERR_STORE_FULL : code;
    err->hint[0] = '\0';
    va_start(args, format);
    vsnprintf(err->message, sizeof(err->message), format, args);
    va_end(args);
    used = strlen(err->message);
    snprintf(err->message + used, sizeof(err->message) - used, ": %s", strerror(number));
    return false;
}

bool err_hint(struct err *err, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(err->hint, sizeof(err->hint), format, args);
    va_end(args);
    return false;
}

bool err_context(struct err *err, const char *format, ...)
{
    char message[ERR_MESSAGE_MAX];
    va_list args;
    size_t used;

    memcpy(message, err->message, sizeof(message));
    va_start(args, format);
    vsnprintf(err->message, sizeof(err->message), format, args);
    va_end(args);
    used = strlen(err->message);
    snprintf(err->message + used, sizeof(err->message) - used, ": %s", message);
    return false;
}

const char *err_code_text(enum err_code code)
{
    return code < ERR_COUNT ? texts[code] : texts[ERR_NONE];
}

enum err_code err_code_parse(const char *text)
{
    for (size_t i = 0; i < ERR_COUNT; i++) {
        if (strcmp(texts[i], text) == 0)
            return (enum err_code)i;
    }
    return ERR_COUNT;
}
