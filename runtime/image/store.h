/*
 * The store: local images. This header is what a warm start needs: it opens the store and reads
 * records; it hashes no more than passwd and group, and inflates and fetches nothing.
 *
 *   DIR/oci-layout, index.json, blobs/sha256/HEX    an OCI image layout that other tools can read
 *   DIR/layers/MAP/HEX/                             a layer, unpacked once for an id map; HEX is
 * its diff id. MAP is idmap_key() of the map in force. HEX.part is being unpacked or removed
 *   DIR/images/HEX/{image.json,passwd,group}        the record of an image; HEX is its manifest
 * digest DIR/references/TRANSPORT/…                      what each reference stands for, see
 * store_lookup DIR/cells/ID/                                   scratch of running cells DIR/tmp/,
 * DIR/locks/                            unfinished blobs; files that processes lock
 *
 * Every directory is 0700: layers hold set-id files and other people's data. Files appear complete
 * (written elsewhere in the store, flushed, renamed) and never change afterwards; but a damaged
 * record that a cell holds is written over. A record appears after everything that it names.
 *
 * Locks (flock): whoever runs an image holds images/HEX/image.json shared, whoever removes it holds
 * it exclusively and unlinks it first; whoever adds to the store holds locks/store shared, whoever
 * deletes blobs or layers holds it exclusively; whoever, beside others that add, writes a record or
 * holds one exclusively holds locks/images exclusively; locks/blob-HEX and locks/layer-MAP-HEX are
 * held exclusively by the one process that makes that blob or layer, and what it leaves unfinished
 * is named after the lock, so whoever gets the lock next may clear it away.
 */
#ifndef STEPCELL_RUNTIME_IMAGE_STORE_H
#define STEPCELL_RUNTIME_IMAGE_STORE_H

#include <stdint.h>

#include "base/buf.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/json.h"
#include "runtime/image/platform.h"
#include "runtime/image/reference.h"

struct store {
    char *path; /* absolute */
    int fd;     /* O_PATH directory */
};

/* Everything a run has to know of an image, out of its record. */
struct image {
    char *manifest_digest; /* of the image's own manifest */
    char *config_digest;
    struct platform platform;
    struct strv entrypoint;   /* as configured, [""] included */
    char *entrypoint_history; /* the history line that set it, or NULL when there is none */
    struct strv env;          /* "NAME=VALUE"; entries without '=' are dropped (CVE-2026-57231) */
    char *user;               /* as configured, "" when not set */
    char *workdir;
    struct strv diff_ids; /* of the layers, lowest first */
    char *passwd;         /* /etc/passwd and /etc/group of the image; "" when it has none */
    char *group;
    int lock; /* images/HEX/image.json, held shared while the structure lives */
};

/* What a reference stood for when it was last resolved. */
struct image_name {
    char *reference;       /* normalised */
    char *digest;          /* what the reference named: the index where there is one */
    char *manifest_digest; /* the manifest of the platform */
};

/* A file by which a local source is recognised: a layout's index.json, or an archive. */
struct store_fingerprint {
    uint64_t dev, ino, size;
    int64_t mtime_ns, ctime_ns;
};

#define IMAGE_LAYERS_MAX 128       /* layers of one image; overlayfs itself stops at 500 */
#define PASSWD_MAX       (1 << 20) /* bytes of an image's passwd or group that are kept */
#define RECORD_MAX       (8 << 20) /* bytes of a record */
#define PLATFORMS_MAX    64        /* platforms that are remembered of one reference */

#define STORE_LAYOUT_FILE "{\"imageLayoutVersion\":\"1.0.0\"}\n"

#define STORE_NAME_SCHEMA  "stepcell.reference/1"
#define STORE_IMAGE_SCHEMA "stepcell.image-record/1"

/*
 * The store's path (owned by the caller): `option` if given, else $STEPCELL_STORE, else
 * /var/lib/stepcell for root and $XDG_DATA_HOME/stepcell (~/.local/share/stepcell) for others.
 */
char *store_path(const char *option, struct err *err);

/* The one of those who name none, NULL when there is no place for it. */
char *store_default_path(void);

/*
 * Opens the store at `path`; creates what is missing, and refuses what others could have put there.
 */
bool store_open(const char *path, struct store *store, struct err *err);
void store_close(struct store *store);

/*
 * A descriptor of locks/NAME, which is not locked yet, or -1. Whoever inherits it can lock it for
 * both.
 */
int store_open_lock(const struct store *store, const char *name, struct err *err);

/*
 * Looks `reference` up for `platform`: true with *found telling whether the store knows it. A
 * reference to a file or directory counts as known only while that file (for a layout: its
 * index.json) is the one that was read, by device, inode, size, mtime and ctime.
 */
bool store_lookup(const struct store *store, const struct reference *reference,
                  const struct platform *platform, bool *found, struct image_name *name,
                  struct err *err);
void image_name_release(struct image_name *name);

/*
 * The path below the store of the file for a reference (owned by the caller): its normalised name,
 * percent-encoded, cut into components. NULL when it is too long for a path, or without memory.
 */
char *store_reference_path(const struct reference *reference);

/* The fingerprint of a local reference's file as it is now. */
bool store_fingerprint(const struct reference *reference, struct store_fingerprint *fingerprint,
                       struct err *err);

/*
 * Loads the record of an image and locks it. *found is false when there is none (or it is being
 * removed), or it, its passwd or its group is damaged.
 */
bool store_load_image(const struct store *store, const char *manifest_digest, bool *found,
                      struct image *image, struct err *err);
void image_release(struct image *image);

/* What the record says of passwd and group; false only without memory. */
bool store_accounts_digest(const struct image *image, char text[DIGEST_TEXT_MAX]);

/* Notes that it is used now: the modification time of its record. What cannot be noted is not. */
void store_note_use(const struct image *image);

/* "layers/MAP/HEX" relative to the store (owned by the caller), and whether it is there. */
char *store_layer_path(const char *map, const char *diff_id);
bool store_has_layers(const struct store *store, const char *map, const struct image *image);

#define autostore CLEANUP(store_close) struct store
#define autoimage CLEANUP(image_release) struct image
#define autoname  CLEANUP(image_name_release) struct image_name

#define STORE_INIT ((struct store){.fd = -1})
#define IMAGE_INIT ((struct image){.lock = -1})

#endif
