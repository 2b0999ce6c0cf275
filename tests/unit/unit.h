/*
 * What the unit tests share: cmocka with the headers that it wants in front of it, and checks for
 * functions that report through `struct err`. Both checks expect that error to be called `err`.
 */
#ifndef STEPCELL_TESTS_UNIT_UNIT_H
#define STEPCELL_TESTS_UNIT_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/err.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define assert_ok(call)                                                                            \
    do {                                                                                           \
        if (!(call))                                                                               \
            fail_msg("%s: %s", #call, err.message);                                                \
    } while (0)

#define assert_refused(call, expected)                                                             \
    do {                                                                                           \
        if (call)                                                                                  \
            fail_msg("%s was accepted", #call);                                                    \
        assert_int_equal(err.code, expected);                                                      \
        assert_true(err.message[0] != '\0');                                                       \
    } while (0)

#endif
