/*
 * What a step has changed in a working directory that was shipped, on its way back from the Pod:
 * how it is written, and how it is read (pure).
 *
 * Records, each a struct return_head, the name, the target of a link, and the bytes of a file.
 * Names are below the directory, and come in the order of path_compare, each behind the directory
 * that it is in: so none comes twice, and whatever does not come is not there any more. The last
 * record is the end, with the counts; nothing is behind it.
 *
 * The bytes are the step's, who may be anybody. Names are relative, without ".", ".." and "//".
 * There are neither owners, nor devices, nor set-id bits, nor hard links, since the format has no
 * place for them. Writer and reader are one build, on the same kind of machine.
 */
#ifndef STEPCELL_RUNTIME_KUBERNETES_RETURN_STREAM_H
#define STEPCELL_RUNTIME_KUBERNETES_RETURN_STREAM_H

#include <limits.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "base/err.h"

#define RETURN_ENTRIES_MAX 1000000
#define RETURN_BYTES_MAX   (8ULL << 30) /* of all files */
#define RETURN_DEPTH_MAX   128          /* directories above an entry */

#define RETURN_MARK  "return1"
#define RETURN_TAKEN '+' /* what who has the whole answers with */

enum return_kind {
    RETURN_KEPT = 1,       /* something that is as it was shipped */
    RETURN_KEPT_DIRECTORY, /* a directory that is: what is in it follows all the same */
    RETURN_FILE,
    RETURN_DIRECTORY,
    RETURN_LINK,
    RETURN_FAILED, /* it cannot be given back: the name says why */
    RETURN_END,
};

struct return_head {
    char mark[8];
    uint32_t kind;
    uint32_t mode;   /* permissions */
    uint64_t size;   /* bytes of a file; of the end: how many records there were */
    int64_t seconds; /* when it was changed; of the end: the bytes of all files */
    uint32_t nanoseconds;
    uint32_t name_size, target_size;
    uint32_t zero;
};

struct return_entry {
    enum return_kind kind; /* not RETURN_FAILED */
    const char *name, *target;
    mode_t mode;
    struct timespec mtime;
    uint64_t size;
};

struct return_reader {
    /* Each may be NULL. An entry is lent until the next one; the content follows in pieces. */
    bool (*entry)(void *data, const struct return_entry *entry, struct err *err);
    bool (*content)(void *data, const void *bytes, size_t len, struct err *err);
    void *data;
    bool ended;  /* all has come, and the counts are right */
    bool failed; /* the Pod has said that it cannot */
    uint64_t entries, bytes;
    /* Its own. */
    struct return_head head;
    char text[2 * PATH_MAX]; /* name and target */
    char name[PATH_MAX], last[PATH_MAX];
    bool last_is_dir;
    size_t used;   /* of the head, and what is behind it */
    uint64_t left; /* bytes of the content */
};

/* More bytes; false for what is no such stream, or where a callback gave false. */
bool return_reader_feed(struct return_reader *reader, const void *bytes, size_t len,
                        struct err *err);

#endif
