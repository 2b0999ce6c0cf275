/*
 * Where an image comes from: a registry, a layout or an archive, behind three operations. What a
 * source hands out is not trusted; fetch.c verifies digests and sizes, the same way for all.
 */
#ifndef STEPCELL_RUNTIME_IMAGE_SOURCE_H
#define STEPCELL_RUNTIME_IMAGE_SOURCE_H

#include "base/buf.h"
#include "base/digest.h"
#include "runtime/image/manifest.h"
#include "runtime/image/reference.h"

/* Takes a blob piece by piece. */
struct source_sink {
    bool (*write)(void *data, const void *bytes, size_t len, struct err *err);
    void *data;
};

/* The manifest or index that a reference names, with what the source says of it, where it does. */
struct source_top {
    struct buf text;
    char *media_type;
    char *digest;
};

#define SOURCE_TOP_INIT ((struct source_top){.text = BUF_INIT(MANIFEST_MAX)})

static inline void source_top_release(struct source_top *top)
{
    buf_release(&top->text);
    free(top->media_type);
    free(top->digest);
}
#define autotop CLEANUP(source_top_release) struct source_top

struct source;
struct store;

/*
 * `blob` gives its sink every byte once and in order, whatever it takes: a registry goes on after
 * broken connections by itself, and what fails in the end is not worth another call. Of a registry
 * any number of threads may ask for blobs and manifests at once.
 */
struct source_ops {
    bool (*top)(struct source *source, struct source_top *top, struct err *err);
    bool (*manifest)(struct source *source, const struct descriptor *manifest, struct buf *text,
                     struct err *err);
    bool (*blob)(struct source *source, const struct descriptor *blob,
                 const struct source_sink *sink, struct err *err);
    /*
     * A descriptor of a file that holds the blob and nothing else, or -1 with err. NULL: a source
     * has no such files.
     */
    int (*open)(struct source *source, const struct descriptor *blob, struct err *err);
    /* Whether a blob is there, without its bytes. NULL: only `blob` can say. */
    bool (*has)(struct source *source, const struct descriptor *blob, bool *found, struct err *err);
    /*
     * Says that the bytes which `blob` gave last are not what their digest names. True when there
     * is another place for them, which the next call asks; NULL when a source has one place only.
     */
    bool (*elsewhere)(struct source *source);
    /*
     * Says that this is a copy of the process that opened the source: what has been learnt stays,
     * connections are the original's. NULL: a copy has to open a source of its own.
     */
    void (*copied)(struct source *source);
    /*
     * Gives up waiting, with any error, once `stopped` is true: it is asked about once a second.
     * NULL: it never waits.
     */
    void (*heed)(struct source *source, bool (*stopped)(void *data), void *data);
    void (*close)(struct source *source);
};

/* The head of each kind's own structure. */
struct source {
    const struct source_ops *ops;
    const struct reference *reference; /* borrowed */
    /* Borrowed; a layout may hold one image for each. NULL: it has to hold one image, or index. */
    const struct platform *platform;
    /* Told what a registry warns of, by the thread that asks for a manifest; or NULL. */
    void (*warn)(void *data, const char *host, const char *text);
    void *warn_data;
    /*
     * For what decides about builds and pushes: the registry itself says what a tag is, no mirror,
     * and that something is not there is believed only in a registry's own words.
     */
    bool strict;
};

/* Each opens a source of its kind: NULL on error. */
struct source *registry_open(const struct reference *reference, struct err *err);
struct source *oci_layout_open(const struct reference *reference, const struct platform *platform,
                               struct err *err);
struct source *docker_archive_open(const struct reference *reference, struct err *err);

/* What the store has of a reference; the caller says for which platform before each `top`. */
struct source *store_source_open(const struct store *store, const struct reference *reference,
                                 struct err *err);

/* Opens the source of a reference, of whatever kind. */
struct source *source_open(const struct reference *reference, const struct platform *platform,
                           struct err *err);

/* ---- what is small, compared with its digest; image.corrupt when it is not what that says ---- */

/* What the reference names. */
bool source_top_text(struct source *source, struct source_top *top, char digest[DIGEST_TEXT_MAX],
                     struct err *err);
bool source_manifest_text(struct source *source, const struct descriptor *manifest,
                          struct buf *text, struct err *err);
/* A blob of at most text->max bytes. */
bool source_blob_text(struct source *source, const struct descriptor *blob, struct buf *text,
                      struct err *err);

static inline void cleanup_source(struct source **source)
{
    if (*source)
        (*source)->ops->close(*source);
}
#define autosource CLEANUP(cleanup_source) struct source

#endif
