#include "runtime/image/tar_write.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"

#define BLOCK       512
#define TAR_PAX     'x'
#define RECORDS_MAX (1 << 20) /* bytes of what does not fit into a header */

/* POSIX.1-1988's header of a file in a tar archive. */
struct header {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type;
    char link[100], magic[6], version[2], owner[32], group[32], major[8], minor[8], prefix[155];
    char padding[12];
};

_Static_assert(sizeof(struct header) == BLOCK, "a header is one block");

/* Octal digits, or the number itself where they do not reach (the way of GNU tar). */
static void put_number(char *field, size_t size, uint64_t number)
{
    int digits = (int)size - 1;

    if (number >> 3 * digits == 0) {
        snprintf(field, size, "%0*llo", digits, (unsigned long long)number);
        return;
    }
    field[0] = (char)0x80;
    for (int i = digits; i > 0; i--, number >>= 8)
        field[i] = (char)number;
}

static void put_text(char field[100], const char *text)
{
    memcpy(field, text, strnlen(text, 100));
}

static bool write_one(int fd, const struct tar_entry *entry)
{
    struct header header = {
        .checksum = "        ",
        .type = entry->type,
        .magic = "ustar",
        .version = {'0', '0'},
    };
    const unsigned char *bytes = (const unsigned char *)&header;
    unsigned int sum = 0;

    put_text(header.name, entry->name);
    put_text(header.link, entry->target ? entry->target : "");
    snprintf(header.mode, sizeof(header.mode), "%07o", entry->mode & 07777);
    put_number(header.uid, sizeof(header.uid), entry->uid);
    put_number(header.gid, sizeof(header.gid), entry->gid);
    put_number(header.size, sizeof(header.size), entry->size);
    put_number(header.mtime, sizeof(header.mtime), entry->mtime);
    /* The field itself counts as blanks, without an end. */
    header.checksum[7] = ' ';
    for (size_t i = 0; i < sizeof(header); i++)
        sum += bytes[i];
    snprintf(header.checksum, sizeof(header.checksum), "%06o", sum);
    return file_write_all(fd, &header, sizeof(header));
}

/* "LENGTH KEY=VALUE\n" for a text that is longer than its field; the length counts itself. */
static bool add_record(struct buf *records, const char *key, const char *value)
{
    size_t rest, len, before = 0;

    if (!value || strlen(value) <= sizeof(((struct header *)0)->name))
        return true;
    rest = strlen(key) + strlen(value) + 3;
    for (len = rest; len != before;) {
        before = len;
        len = rest + (size_t)snprintf(NULL, 0, "%zu", before);
    }
    return buf_printf(records, "%zu %s=%s\n", len, key, value);
}

bool tar_write_header(int fd, const struct tar_entry *entry)
{
    autobuf records = BUF_INIT(RECORDS_MAX);

    if (!add_record(&records, "path", entry->name) ||
        !add_record(&records, "linkpath", entry->target)) {
        errno = ENAMETOOLONG;
        return false;
    }
    if (records.len > 0) {
        const struct tar_entry more = {
            .name = "PaxHeaders/entry", .type = TAR_PAX, .mode = 0644, .size = records.len};

        if (!write_one(fd, &more) || !file_write_all(fd, records.data, records.len) ||
            !tar_write_padding(fd, records.len))
            return false;
    }
    return write_one(fd, entry);
}

bool tar_write_padding(int fd, uint64_t size)
{
    static const char zeros[BLOCK];
    size_t used = (size_t)(size % BLOCK);

    return !used || file_write_all(fd, zeros, BLOCK - used);
}

bool tar_write_end(int fd)
{
    static const char zeros[2 * BLOCK];

    return file_write_all(fd, zeros, sizeof(zeros));
}
