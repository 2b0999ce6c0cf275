#include "tests/fuzz/layer.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/digest.h"
#include "base/file.h"
#include "runtime/image/inflate.h"
#include "tests/fuzz/fuzz.h"

#define PLAIN_MAX    (128 << 10)
#define BLOCK        512
#define MAGIC_AT     257
#define CHECKSUM_AT  148
#define CHECKSUM_LEN 8

static const struct unpack_limits limits = {.entries = 64,
                                            .depth = 16,
                                            .path = 512,
                                            .file = 65536,
                                            .total = PLAIN_MAX,
                                            .ratio = 64,
                                            .grace = 65536};

static char directory[64];

static void remove_directory(void)
{
    file_remove_tree(AT_FDCWD, directory);
}

/* The directory of this process: DIRECTORY/root is the layer, DIRECTORY/canary is not. */
static int scratch(void)
{
    static int fd = -1;
    const char *base = getenv("TMPDIR");
    struct err err;

    if (fd >= 0)
        return fd;
    snprintf(directory, sizeof(directory), "%.32s/stepcell-unit-XXXXXX", base ? base : "/dev/shm");
    FUZZ_CHECK(mkdtemp(directory));
    atexit(remove_directory);
    fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    FUZZ_CHECK(fd >= 0);
    FUZZ_CHECK(file_replace(fd, "canary", "alive", 5, 0600, ERR_ENGINE_FAILED, &err));
    return fd;
}

static bool count_entry(void *data, int dirfd, const char *name)
{
    (void)dirfd, (void)name;
    (*(size_t *)data)++;
    return true;
}

static void check_outside(int fd)
{
    autobuf text = BUF_INIT(16);
    size_t entries = 0;
    struct stat st;
    struct err err;

    FUZZ_CHECK(file_read(fd, "canary", &text, ERR_ENGINE_FAILED, &err));
    FUZZ_CHECK(strcmp(text.data, "alive") == 0);
    FUZZ_CHECK(fstatat(fd, "canary", &st, AT_SYMLINK_NOFOLLOW) == 0);
    FUZZ_CHECK((st.st_mode & 07777) == 0600 && st.st_nlink == 1);
    FUZZ_CHECK(file_each_entry(fd, ".", count_entry, &entries) && entries == 2);
}

static int blob_of(const void *bytes, size_t len)
{
    int fd = memfd_create("layer", MFD_CLOEXEC);

    FUZZ_CHECK(fd >= 0 && file_write_all(fd, bytes, len) && lseek(fd, 0, SEEK_SET) == 0);
    return fd;
}

/* The diff id of what decompresses; anything where that fails. */
static void find_diff_id(int blob, enum compression compression, char diff_id[DIGEST_TEXT_MAX])
{
    struct err err;
    autoinflater *inflater = inflater_new(blob, -1, compression, &err);
    autodigest *digest = digest_new();
    static char bytes[64 << 10];
    size_t len = 1, total = 0;

    FUZZ_CHECK(inflater && digest);
    while (len && total <= PLAIN_MAX && inflater_read(inflater, bytes, sizeof(bytes), &len, &err)) {
        digest_update(digest, bytes, len);
        total += len;
    }
    digest_finish(digest, diff_id);
    FUZZ_CHECK(lseek(blob, 0, SEEK_SET) == 0);
}

void fuzz_layer(const void *bytes, size_t len, enum compression compression)
{
    int fd = scratch();
    autofd blob = blob_of(bytes, len), root = -1;
    char diff_id[DIGEST_TEXT_MAX];
    struct err err = ERR_INIT;

    FUZZ_CHECK(mkdirat(fd, "root", 0755) == 0);
    root = openat(fd, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    FUZZ_CHECK(root >= 0);
    if (compression == COMPRESSION_NONE)
        digest_of(bytes, len, diff_id);
    else
        find_diff_id(blob, compression, diff_id);
    if (!unpack_layer(blob, compression, diff_id, root, &limits, false, &err))
        FUZZ_SAID(err);
    check_outside(fd);
    FUZZ_CHECK(file_remove_tree(fd, "root"));
}

static void put_right(uint8_t *header)
{
    char text[CHECKSUM_LEN];
    unsigned int sum = 0;

    memset(header + CHECKSUM_AT, ' ', CHECKSUM_LEN);
    for (size_t i = 0; i < BLOCK; i++)
        sum += header[i];
    snprintf(text, sizeof(text), "%06o", sum);
    memcpy(header + CHECKSUM_AT, text, sizeof(text));
}

void fuzz_put_checksums_right(uint8_t *tar, size_t len)
{
    for (size_t at = 0; at + BLOCK <= len; at += BLOCK) {
        if (memcmp(tar + at + MAGIC_AT, "ustar", 5) == 0)
            put_right(tar + at);
    }
}
