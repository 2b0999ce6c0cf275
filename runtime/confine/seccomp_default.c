#include "runtime/confine/seccomp_default.h"

#include "base/cleanup.h"
#include "runtime/confine/seccomp_default_table.h" /* made by scripts/seccomp-table.c */

struct seccomp_filter seccomp_default(bool with_32_bits)
{
    if (with_32_bits)
        return (struct seccomp_filter){seccomp_with_32_bits, ARRAY_SIZE(seccomp_with_32_bits)};
    return (struct seccomp_filter){seccomp_native, ARRAY_SIZE(seccomp_native)};
}

struct seccomp_filter seccomp_choose(const struct seccomp_filter *given, bool needs_default,
                                     bool with_32_bits)
{
    if (given)
        return *given;
    return needs_default ? seccomp_default(with_32_bits) : (struct seccomp_filter){0};
}
