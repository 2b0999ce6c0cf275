#include "runtime/image/check_elf.h"

#include <elf.h>
#include <string.h>

#define HEADERS_MAX 64 /* program headers that are looked at */

static const struct {
    const char *arch;
    uint16_t machine;
} machines[] = {
    {"386", EM_386},       {"amd64", EM_X86_64},  {"arm", EM_ARM},
    {"arm64", EM_AARCH64}, {"mips64le", EM_MIPS}, {"ppc64le", EM_PPC64},
    {"riscv64", EM_RISCV}, {"s390x", EM_S390},    {"loong64", 258},
};

static const struct {
    const char *prefix; /* of the loader's file name */
    enum check_program program;
} loaders[] = {
    {"ld-musl-", CHECK_ELF_MUSL},
    {"ld-linux", CHECK_ELF_GLIBC},
    {"ld64.so.", CHECK_ELF_GLIBC}, /* ppc64le, s390x */
};

uint16_t check_elf_machine(const char *arch)
{
    for (size_t i = 0; i < ARRAY_SIZE(machines); i++) {
        if (strcmp(machines[i].arch, arch) == 0)
            return machines[i].machine;
    }
    return 0;
}

/* The bytes, and how numbers lie in them. */
struct file {
    const unsigned char *bytes;
    size_t len;
    bool wide, big;
};

/* A number of `size` bytes; 0 where the file does not reach. */
static uint64_t number(const struct file *file, uint64_t at, size_t size)
{
    uint64_t value = 0;

    if (at > file->len || size > file->len - at)
        return 0;
    for (size_t i = 0; i < size; i++)
        value = value << 8 | file->bytes[at + (file->big ? i : size - 1 - i)];
    return value;
}

static enum check_program program_of(const char *loader, size_t len)
{
    const char *slash = memrchr(loader, '/', len);
    const char *name = slash ? slash + 1 : loader;

    len -= (size_t)(name - loader);
    for (size_t i = 0; i < ARRAY_SIZE(loaders); i++) {
        size_t prefix = strlen(loaders[i].prefix);

        if (len > prefix && memcmp(name, loaders[i].prefix, prefix) == 0)
            return loaders[i].program;
    }
    return CHECK_ELF_OTHER;
}

static enum check_program find_loader(const struct file *file)
{
    uint64_t at = file->wide ? number(file, 32, 8) : number(file, 28, 4);
    uint64_t size = number(file, file->wide ? 54 : 42, 2);
    uint64_t count = number(file, file->wide ? 56 : 44, 2);

    for (uint64_t i = 0; i < count; i++, at += size) {
        uint64_t offset, len;

        if (i == HEADERS_MAX || at >= file->len)
            return CHECK_ELF_OTHER; /* it cannot be told */
        if (number(file, at, 4) != PT_INTERP)
            continue;
        offset = file->wide ? number(file, at + 8, 8) : number(file, at + 4, 4);
        len = file->wide ? number(file, at + 32, 8) : number(file, at + 16, 4);
        if (offset >= file->len || len > file->len - offset)
            return CHECK_ELF_OTHER;
        return program_of((const char *)file->bytes + offset, len);
    }
    return CHECK_ELF_STATIC;
}

enum check_program check_elf(const void *bytes, size_t len, uint16_t *machine)
{
    struct file file = {.bytes = bytes, .len = len};

    *machine = 0;
    if (len < EI_NIDENT || memcmp(bytes, ELFMAG, SELFMAG) != 0)
        return CHECK_NO_ELF;
    file.wide = file.bytes[EI_CLASS] == ELFCLASS64;
    file.big = file.bytes[EI_DATA] == ELFDATA2MSB;
    *machine = (uint16_t)number(&file, 18, 2);
    return find_loader(&file);
}
