/*
 * What the fuzz targets share. A target is one file: LLVMFuzzerTestOneInput gets any bytes, and must
 * neither crash, nor leak, nor break a promise that FUZZ_CHECK states. Linked with libFuzzer it searches for
 * such bytes (scripts/fuzz); linked with replay.c it tries the files of tests/corpus/fuzz/TARGET.
 */
#ifndef STEPCELL_TESTS_FUZZ_FUZZ_H
#define STEPCELL_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: broken promise: %s\n", __FILE__, __LINE__, #condition);        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* A refusal always says what is wrong. */
#define FUZZ_SAID(err) FUZZ_CHECK((err).code != ERR_NONE && (err).message[0] != '\0')

/*
 * The bytes up to the next NUL or the end as a string of its own, so that a sanitizer sees its end. Moves
 * *data and *size behind the NUL. The caller frees it.
 */
static inline char *fuzz_text(const uint8_t **data, size_t *size)
{
    size_t len = strnlen((const char *)*data, *size);
    char *text = malloc(len + 1);

    if (!text)
        abort();
    memcpy(text, *data, len);
    text[len] = '\0';
    len += len < *size;
    *data += len;
    *size -= len;
    return text;
}

/* The first byte, which chooses among several ways; 0 where there is none. */
static inline uint8_t fuzz_choice(const uint8_t **data, size_t *size)
{
    if (*size == 0)
        return 0;
    (*size)--;
    return *(*data)++;
}

#endif
