/* Writes tar streams byte by byte, so that they can be as wrong as a test wants. */
#ifndef STEPCELL_TESTS_UNIT_TAR_H
#define STEPCELL_TESTS_UNIT_TAR_H

#include "base/buf.h"

struct tar_entry {
    char type;        /* ustar's: '0' file, '1' hard link, '2' symbolic link, '3' '4' devices, '5'
                         directory, '6' FIFO */
    const char *name; /* any length: longer ones than ustar's come as GNU's */
    const char *link; /* or NULL */
    const char *content;
    const char *xattr; /* "NAME=VALUE", or NULL */
    unsigned int mode; /* 0 stands for 0644, or 0755 of a directory */
};

void tar_add(struct buf *tar, const struct tar_entry *entry);
/* A header whose size field is the eight bytes of `size` in base 256. */
void tar_add_huge(struct buf *tar, const char *name, unsigned long long size);
void tar_end(struct buf *tar);

#endif
