/* Writes tar archives (POSIX.1-2001, pax): for a file a header, its bytes, and padding. */
#ifndef STEPCELL_RUNTIME_IMAGE_TAR_WRITE_H
#define STEPCELL_RUNTIME_IMAGE_TAR_WRITE_H

#include <stdbool.h>
#include <stdint.h>

#define TAR_FILE      '0'
#define TAR_LINK      '2'
#define TAR_DIRECTORY '5'

struct tar_entry {
    const char *name;
    const char *target; /* of a symbolic link, or NULL */
    char type;
    unsigned int mode;
    uint64_t uid, gid;
    uint64_t mtime; /* seconds */
    uint64_t size;  /* bytes of a file */
};

/* Each is false with errno. */
bool tar_write_header(int fd, const struct tar_entry *entry);

/* Fills the last block of a file of so many bytes. */
bool tar_write_padding(int fd, uint64_t size);
bool tar_write_end(int fd);

#endif
