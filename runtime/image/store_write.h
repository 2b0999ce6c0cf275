/*
 * The writing half of the store: blobs, records, references, index.json, and removing them. store.h
 * says what lies where and which lock guards it.
 *
 * A writer holds store_lock(store, "store", LOCK_SH) as long as it adds things that nothing names
 * yet.
 */
#ifndef STEPCELL_RUNTIME_IMAGE_STORE_WRITE_H
#define STEPCELL_RUNTIME_IMAGE_STORE_WRITE_H

#include <sys/file.h>

#include "base/digest.h"
#include "runtime/image/manifest.h"
#include "runtime/image/store.h"

/* Locks locks/NAME; `operation` is flock's. A descriptor that holds the lock, or -1. */
int store_lock(const struct store *store, const char *name, int operation, struct err *err);

/* The same with a descriptor of store_open_lock's. */
bool store_lock_opened(int fd, const char *name, int operation, struct err *err);

/* ---- blobs ---- */

/*
 * Whether the blob is there. A blob that was verified is sealed: its modification time is the
 * epoch. Whatever was written to since is hashed once more, and sealed again or not there. What a
 * disk changes by itself is for store_verify to find.
 */
bool store_has_blob(const struct store *store, const struct descriptor *blob);

/* Whether the content of the file is what the digest says. */
bool store_is_intact(int fd, const char *digest);

/* Whether a blob's content is not what its name says, seal or not; false when there is none. */
bool store_is_damaged(const struct store *store, const char *digest);

/* Removes such a blob; false when it is none. */
bool store_drop_damaged(const struct store *store, const char *digest);

/* A descriptor of the blob, or -1 with err. */
int store_open_blob(const struct store *store, const char *digest, struct err *err);
bool store_read_blob(const struct store *store, const char *digest, struct buf *buf,
                     struct err *err);
/* Hashes what is there, and replaces it if need be. */
bool store_put_blob(const struct store *store, const char *digest, const void *bytes, size_t len,
                    struct err *err);

/*
 * What a blob holds never changes: once it was seen to be the layer `diff_id`, that is kept, in the
 * file of the blob's lock, which goes with the blob. What cannot be noted is seen once more.
 */
bool store_holds_layer(const struct store *store, const struct layer *layer, const char *diff_id);
void store_note_layer(const struct store *store, const struct layer *layer, const char *diff_id);

/*
 * One blob on its way in: begin, write any number of times, commit. Size and digest are checked as
 * the bytes pass, and nothing appears unless they are right. Begin waits for another process that
 * writes the same blob; *present is true when it is there, and there is nothing to do.
 */
struct blob_writer {
    const struct store *store;
    const struct descriptor *blob;
    struct digest *digest;
    uint64_t written;
    uint64_t written_out; /* handed to the disk */
    int fd, lock;
};

#define BLOB_WRITER_INIT ((struct blob_writer){.fd = -1, .lock = -1})

bool blob_begin(const struct store *store, const struct descriptor *blob,
                struct blob_writer *writer, bool *present, struct err *err);
bool blob_write(struct blob_writer *writer, const void *bytes, size_t len, struct err *err);
/* Compares it with its digest, flushes it and makes it visible. */
bool blob_commit(struct blob_writer *writer, struct err *err);
/* The same step by step, for a caller that has something to do in between, or flushes otherwise. */
bool blob_check(struct blob_writer *writer, struct err *err);
bool blob_flush(struct blob_writer *writer, struct err *err);
bool blob_publish(struct blob_writer *writer, struct err *err);
void blob_writer_release(struct blob_writer *writer);

#define autoblobwriter CLEANUP(blob_writer_release) struct blob_writer

/* ---- records ---- */

/*
 * A record that is there stays. One that cannot be read, or says something else, is replaced; while
 * a cell holds it, whose lock is on that file, it is written over, unless it names other layers:
 * they may be the cell's.
 */
bool store_save_image(const struct store *store, const struct image *image, struct err *err);

/* What the record says of an image, and the whole text of its file, in which the digest of passwd
 * and group is too; both owned by the caller, NULL without memory. */
json_t *store_image_json(const struct image *image);
char *store_image_text(const struct image *image);
bool store_same_image(const struct image *image, const struct image *other);

/* `fingerprint` is of a local source as it was before it was read; NULL for a registry. */
bool store_save_name(const struct store *store, const struct reference *reference,
                     const struct platform *platform, const struct image_name *name,
                     const struct store_fingerprint *fingerprint, struct err *err);

/* Whether a name's record is what was written; and that of this reference, which there may not be.
 */
bool store_name_is_right(const json_t *record);
bool store_has_right_name(const struct store *store, const struct reference *reference);

/* Names the manifest in index.json, where other tools look; in OCI's form, since they know no other
 * in a layout. */
bool store_save_index(const struct store *store, const char *name, const char *manifest_digest,
                      const struct platform *platform, struct err *err);
bool store_remove_index(const struct store *store, const char *name, struct err *err);

/* Takes away the entries that no reference stands behind, of a pull that was killed say. With the
 * store's lock held exclusively: that of a pull that goes on has none yet. */
bool store_prune_index(const struct store *store, struct err *err);

/*
 * Digest and size of the OCI form of a manifest in the store, which is made a blob of its own where
 * the manifest is docker's. It belongs to the manifest: store_add_needs counts it.
 */
bool store_oci_manifest(const struct store *store, const char *digest, char found[DIGEST_TEXT_MAX],
                        uint64_t *size, struct err *err);

/* The entry of index.json for such a manifest; and index.json with these entries, which it takes.
 * The lock "index" is held. */
json_t *store_index_entry(const char *name, const char *digest, uint64_t size,
                          const struct platform *platform);
bool store_write_index(const struct store *store, json_t *entries, struct err *err);

/* ---- what there is ---- */

struct stored_name {
    char *reference;
    char *file; /* below the store */
    struct platform platform;
    char *digest;
    char *manifest_digest;
};

struct stored_names {
    struct stored_name *items;
    size_t count;
    struct err damage; /* why a reference could not be read, or ERR_NONE */
};

/* Every reference for every platform, sorted by reference, but those that are damaged. */
bool store_list(const struct store *store, struct stored_names *names, struct err *err);
/* False with err when a reference is damaged: nobody knows what it names. */
bool stored_names_are_all(const struct stored_names *names, struct err *err);
void stored_names_release(struct stored_names *names);
bool stored_names_have(const struct stored_names *names, const char *reference);

#define autonames CLEANUP(stored_names_release) struct stored_names

/* ---- removing ---- */

/* Trees may belong to other ids of the caller's; only the caller knows how to get at them. */
struct tree_remover {
    bool (*remove)(void *data, int dirfd, const char *name, struct err *err);
    /* The bytes that it takes on the disk; what could be seen of them when it fails. */
    bool (*measure)(void *data, int dirfd, const char *name, uint64_t *bytes, struct err *err);
    void *data;
};

/*
 * Removes a reference, with the images that it was the last one to name, and what only they needed.
 * An image that a cell runs is store.busy, and nothing is removed; an unknown reference is
 * image.not-found.
 */
bool store_remove(const struct store *store, const struct reference *reference,
                  const struct tree_remover *remover, struct err *err);

/* Who is told of what is cleared away: its path below the store. */
struct sweep_listener {
    bool dry_run; /* it stays */
    void (*removed)(void *data, const char *path);
    void *data;
};

/*
 * Clears away what killed processes left unfinished. What is being worked on stays. With the
 * store's lock: who removes a layer removes its lock, too. `listener` may be NULL.
 */
bool store_sweep(const struct store *store, const struct tree_remover *remover,
                 const struct sweep_listener *listener, struct err *err);

#endif
