/* What the beginning of a file says of it as a program (pure): ELF, any class and byte order. */
#ifndef STEPCELL_RUNTIME_IMAGE_CHECK_ELF_H
#define STEPCELL_RUNTIME_IMAGE_CHECK_ELF_H

#include "runtime/image/check_tree.h"

#define CHECK_ELF_BYTES 4096 /* that are looked at: headers and the loader's name lie there */

/* `len` bytes from the start of an untrusted file. *machine is ELF's e_machine, 0 for no ELF. */
enum check_program check_elf(const void *bytes, size_t len, uint16_t *machine);

/* e_machine of an architecture in Go's spelling; 0 when it is unknown. */
uint16_t check_elf_machine(const char *arch);

#endif
