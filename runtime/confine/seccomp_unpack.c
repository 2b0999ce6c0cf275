#include "runtime/confine/seccomp_unpack.h"

#include "base/cleanup.h"
#include "runtime/confine/seccomp_install.h"
#include "runtime/confine/seccomp_unpack_table.h" /* made by scripts/seccomp-table.c */

bool seccomp_unpack_install(void)
{
    return seccomp_install(seccomp_unpack, ARRAY_SIZE(seccomp_unpack));
}
