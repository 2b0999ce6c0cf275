/*
 * What masking means, written down as simply as it can be: patterns are tried at every position, and
 * all bytes that one covers are marked. For the unit tests and the fuzz target of shim/relay/mask.h.
 */
#ifndef STEPCELL_TESTS_UNIT_MASK_MODEL_H
#define STEPCELL_TESTS_UNIT_MASK_MODEL_H

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "shim/relay/mask.h"

struct model_pattern {
    char *bytes;
    size_t len;
    size_t since; /* where it may begin: a secret that comes late does not call back what is out */
};

struct model {
    struct model_pattern *patterns; /* owned */
    size_t count, capacity;
    size_t since; /* of the patterns that are added now */
};

/* The signature is the one that mask_forms() wants. */
static inline bool model_add(void *data, const char *bytes, size_t len)
{
    struct model *model = data;

    for (size_t i = 0; i < model->count; i++) {
        struct model_pattern *known = &model->patterns[i];

        if (known->len == len && memcmp(known->bytes, bytes, len) == 0)
            return true;
    }
    if (model->count == model->capacity) {
        model->capacity = model->capacity ? 2 * model->capacity : 16;
        model->patterns = realloc(model->patterns, model->capacity * sizeof(*model->patterns));
    }
    model->patterns[model->count] = (struct model_pattern){malloc(len), len, model->since};
    memcpy(model->patterns[model->count++].bytes, bytes, len);
    return true;
}

static inline void model_release(struct model *model)
{
    for (size_t i = 0; i < model->count; i++)
        free(model->patterns[i].bytes);
    free(model->patterns);
    *model = (struct model){0};
}

/* How many bytes of the text can be given out: those in front of the first that may begin a value. */
static inline size_t model_certain(const struct model *model, const char *text, size_t len)
{
    size_t certain = len;

    for (size_t i = 0; i < model->count; i++) {
        const struct model_pattern *pattern = &model->patterns[i];
        size_t n = pattern->len - 1 < len ? pattern->len - 1 : len;

        for (; n && len - n < certain; n--) {
            if (len - n >= pattern->since && memcmp(text + len - n, pattern->bytes, n) == 0)
                certain = len - n;
        }
    }
    return certain;
}

/* Appends the masked form of the first `certain` bytes, by what is known from all of the text. */
static inline void model_mask(const struct model *model, const char *text, size_t len,
                              size_t certain, struct buf *out)
{
    autofree char *covered = calloc(len + 1, 1), *joined = calloc(len + 1, 1);

    for (size_t i = 0; i < model->count; i++) {
        const struct model_pattern *pattern = &model->patterns[i];

        for (size_t at = pattern->since; at + pattern->len <= len; at++) {
            if (text[at] != pattern->bytes[0] || memcmp(text + at, pattern->bytes, pattern->len))
                continue;
            memset(covered + at, 1, pattern->len);
            memset(joined + at, 1, pattern->len - 1); /* with the byte behind */
        }
    }
    for (size_t at = 0; at < certain; at++) {
        if (!covered[at])
            buf_append(out, text + at, 1);
        else if (at == 0 || !joined[at - 1])
            buf_append_text(out, MASK_TEXT);
    }
}

#endif
