#include "tests/unit/tar.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/unit.h"

#define BLOCK 512

struct header {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100];
    char magic[8], user[32], group[32], major[8], minor[8], prefix[155], rest[12];
};
_Static_assert(sizeof(struct header) == BLOCK, "a tar header is one block");

static void append(struct buf *tar, const void *bytes, size_t len)
{
    static const char zeros[BLOCK];

    assert_true(buf_append(tar, bytes, len));
    assert_true(buf_append(tar, zeros, (BLOCK - len % BLOCK) % BLOCK));
}

static void finish(struct header *header)
{
    unsigned int sum = 0;

    memset(header->checksum, ' ', sizeof(header->checksum));
    for (size_t i = 0; i < BLOCK; i++)
        sum += ((unsigned char *)header)[i];
    snprintf(header->checksum, sizeof(header->checksum), "%06o", sum);
}

static void copy(char *field, size_t size, const char *text)
{
    size_t len = strlen(text);

    memcpy(field, text, len < size ? len : size);
}

static void fill(struct header *header, char type, const char *name, size_t size, unsigned int mode)
{
    memset(header, 0, sizeof(*header));
    copy(header->name, sizeof(header->name), name);
    snprintf(header->mode, sizeof(header->mode), "%07o", mode & 07777);
    snprintf(header->uid, sizeof(header->uid), "%07o", 0);
    snprintf(header->gid, sizeof(header->gid), "%07o", 0);
    snprintf(header->size, sizeof(header->size), "%011o", (unsigned int)size & 0xffffffff);
    snprintf(header->mtime, sizeof(header->mtime), "%011o", 1000000000);
    header->type = type;
    memcpy(header->magic, "ustar  ", 8);
}

/* GNU's way of a name that does not fit: an entry of its own in front. */
static void add_long(struct buf *tar, char type, const char *text)
{
    struct header header;

    if (!text || strlen(text) <= sizeof(header.name))
        return;
    fill(&header, type, "././@LongLink", strlen(text) + 1, 0644);
    finish(&header);
    append(tar, &header, BLOCK);
    append(tar, text, strlen(text) + 1);
}

static void add_xattr(struct buf *tar, const char *xattr)
{
    char line[256], record[300];
    struct header header;
    int len;

    if (!xattr)
        return;
    len = snprintf(line, sizeof(line), " SCHILY.xattr.%s\n", xattr);
    snprintf(record, sizeof(record), "%d%s", len + 2, line);
    fill(&header, 'x', "pax", strlen(record), 0644);
    memcpy(header.magic, "ustar\00000", 8);
    finish(&header);
    append(tar, &header, BLOCK);
    append(tar, record, strlen(record));
}

void tar_add(struct buf *tar, const struct tar_entry *entry)
{
    size_t size = entry->content ? strlen(entry->content) : 0;
    unsigned int mode = entry->mode ? entry->mode : entry->type == '5' ? 0755 : 0644;
    struct header header;

    add_xattr(tar, entry->xattr);
    add_long(tar, 'L', entry->name);
    add_long(tar, 'K', entry->link);
    fill(&header, entry->type, entry->name, size, mode);
    if (entry->link)
        copy(header.link, sizeof(header.link), entry->link);
    finish(&header);
    append(tar, &header, BLOCK);
    if (size)
        append(tar, entry->content, size);
}

void tar_add_huge(struct buf *tar, const char *name, unsigned long long size)
{
    struct header header;

    fill(&header, '0', name, 0, 0644);
    memset(header.size, 0, sizeof(header.size));
    header.size[0] = (char)0x80;
    for (int i = 0; i < 8; i++)
        header.size[11 - i] = (char)(size >> (8 * i));
    finish(&header);
    append(tar, &header, BLOCK);
}

void tar_end(struct buf *tar)
{
    static const char zeros[2 * BLOCK];

    assert_true(buf_append(tar, zeros, sizeof(zeros)));
}
