/*
 * Compiles seccomp profiles at build time: prints the headers that
 * runtime/confine/seccomp_default.c and seccomp_unpack.c include.
 *
 * usage: seccomp-table PROFILE.json         seccomp_native and seccomp_with_32_bits
 *        seccomp-table PROFILE.json NAME    one table of that name
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/confine/caps.h"
#include "runtime/confine/seccomp_profile.h"

static bool print_table(const json_t *profile, const char *path, const char *name,
                        bool sub_architectures, struct err *err)
{
    struct seccomp_filter filter;

    if (!seccomp_profile_compile(profile, path, CAPS_DEFAULT, sub_architectures, &filter, err))
        return false;
    printf("static const struct sock_filter %s[] = {\n", name);
    for (size_t i = 0; i < filter.count; i++)
        printf("    {0x%02x, %u, %u, 0x%08x},\n", filter.code[i].code, filter.code[i].jt,
               filter.code[i].jf, filter.code[i].k);
    printf("};\n");
    free((void *)filter.code);
    return true;
}

int main(int argc, char **argv)
{
    struct err err = ERR_INIT;
    autojson *profile = NULL;

    bool ok;

    if (argc != 2 && argc != 3)
        return 2;
    profile = json_read_file(AT_FDCWD, argv[1], SECCOMP_PROFILE_MAX, ERR_CONFIG_INVALID, &err);
    if (argc == 3)
        ok = profile && print_table(profile, argv[1], argv[2], false, &err);
    else
        ok = profile && print_table(profile, argv[1], "seccomp_native", false, &err) &&
             print_table(profile, argv[1], "seccomp_with_32_bits", true, &err);
    if (!ok) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    return fflush(stdout) == 0 ? 0 : 1;
}
