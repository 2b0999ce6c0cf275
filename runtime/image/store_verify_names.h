/*
 * The half of store_verify.h that looks at what names images: the records of references, and the
 * files by which the store is an OCI layout for other tools.
 */
#ifndef STEPCELL_RUNTIME_IMAGE_STORE_VERIFY_NAMES_H
#define STEPCELL_RUNTIME_IMAGE_STORE_VERIFY_NAMES_H

#include "runtime/image/store_verify.h"

/*
 * The store's lock is held exclusively, and images were verified. A damaged reference is written
 * anew out of index.json, or where that cannot be it is removed, and the next pull writes it;
 * oci-layout and index.json are written anew, index.json out of what the references name.
 */
bool store_verify_names(const struct store *store, struct store_check *check, struct err *err);

/*
 * The same for the one reference, if it is damaged and can be written anew. Before a pull writes
 * the name: index.json may have another platform of it, until it has the one that was pulled.
 */
void store_mend_name(const struct store *store, const struct reference *reference);

#endif
