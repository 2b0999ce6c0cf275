/*
 * Compiles a seccomp profile at build time: prints the header that
 * runtime/confine/seccomp_default.c includes.
 *
 * usage: seccomp-table PROFILE.json
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

    if (argc != 2)
        return 2;
    profile = json_read_file(AT_FDCWD, argv[1], SECCOMP_PROFILE_MAX, ERR_CONFIG_INVALID, &err);
    if (!profile || !print_table(profile, argv[1], "seccomp_native", false, &err) ||
        !print_table(profile, argv[1], "seccomp_with_32_bits", true, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    return fflush(stdout) == 0 ? 0 : 1;
}
