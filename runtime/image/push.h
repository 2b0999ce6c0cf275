/*
 * Pushing: a registry's other half (docs/design/manifest.md).
 *
 *   push_open       the repository of a reference; nothing is sent
 *   push_blob       for each blob
 *   push_manifest   for each manifest, once all that it names is there
 *   push_tag        at the end
 *
 * Blobs are asked for first, and not sent when they are there. It is the registry itself that is
 * asked, never a mirror. Errors name the registry, and the code that it answered with.
 */
#ifndef STEPCELL_RUNTIME_IMAGE_PUSH_H
#define STEPCELL_RUNTIME_IMAGE_PUSH_H

#include "base/digest.h"
#include "runtime/image/manifest.h"
#include "runtime/image/registry_client.h"

#define PUSH_STALL_MS   300000 /* a registry may be silent for so long, while it stores a blob */
#define PUSH_ANSWER_MAX (64 << 10) /* bytes of an answer that has nothing to say */

struct push {
    struct registry_client client;
    const struct reference *target; /* borrowed */
    /* What became of blobs. */
    size_t present, mounted, sent;
    size_t manifests; /* that were looked at by copy.c */
    uint64_t bytes;   /* that were sent */
};

bool push_open(struct push *push, const struct reference *target, struct err *err);
void push_close(struct push *push);

/*
 * What a tag, or a digest, stands for there: *found is false when there is none. `digest` is that
 * of the manifest, by the registry's word, or by its bytes where it says nothing.
 */
bool push_look(struct push *push, const char *reference, bool *found, char digest[DIGEST_TEXT_MAX],
               struct err *err);

/* Where a blob comes from. */
struct push_blob_source {
    const char *mount; /* a repository of the same registry that has it, or NULL */
    /* A descriptor of a file with exactly its bytes, asked for only if they have to be sent; -1. */
    int (*open)(void *data, const struct descriptor *blob, struct err *err);
    void *data;
};

/* Makes the blob be there. */
bool push_blob(struct push *push, const struct descriptor *blob,
               const struct push_blob_source *source, struct err *err);

/* Puts a manifest, under its digest or a tag. */
bool push_manifest(struct push *push, const char *reference, const struct buf *text,
                   const char *media_type, struct err *err);

/* Removes a manifest, and what stands for it. Not every registry lets anybody do so. */
bool push_delete(struct push *push, const char *digest, struct err *err);

/*
 * Makes a tag stand for a manifest, all of whose parts are there, and asks the registry afterwards
 * whether it does.
 */
bool push_tag(struct push *push, const char *tag, const struct buf *text, const char *media_type,
              const char *digest, struct err *err);

/* ---- between push.c and push_blob.c ---- */

/* As registry_get, with errors of pushing. */
bool push_send(struct push *push, struct http_request *request, struct http_response *response,
               struct err *err);

/* Makes the error of an answer that is no success one of pushing. */
void push_refused(const struct push *push, const struct http_response *response, struct err *err);

#define autopush CLEANUP(push_close) struct push

#endif
