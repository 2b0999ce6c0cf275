/* The tags of a repository. */
#ifndef STEPCELL_RUNTIME_IMAGE_TAGS_H
#define STEPCELL_RUNTIME_IMAGE_TAGS_H

#include "base/buf.h"
#include "base/err.h"
#include "runtime/image/reference.h"

#define TAGS_MAX 200000

/*
 * Lists all tags of the reference's repository, every page of them, sorted by bytes, each once;
 * what is no tag by the grammar is left out. image.not-found when the registry does not know the
 * repository. The caller releases `tags`.
 */
bool tags_list(const struct reference *reference, struct strv *tags, struct err *err);

/* A tag by the grammar: a letter, digit or "_", then up to 127 of these, "." and "-". */
bool tag_is_valid(const char *text);

#endif
