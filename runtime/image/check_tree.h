/*
 * The files of an image as far as its layers were read, from the top one down (pure). Nothing of
 * the host is looked at.
 *
 *   struct check_tree *tree = check_tree_new(&err);
 *   check_tree_add …            what the top layer says, in any order
 *   check_tree_next_layer       the layer below
 *   check_tree_add …
 *   check_tree_end              there is no layer below
 *
 * In between, check_tree_find answers what is certain already. Whiteouts, opaque directories and
 * what is not a directory hide lower layers as overlayfs does it. Paths and links are untrusted:
 * they never lead out of the tree, and everything has a limit.
 */
#ifndef STEPCELL_RUNTIME_IMAGE_CHECK_TREE_H
#define STEPCELL_RUNTIME_IMAGE_CHECK_TREE_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define CHECK_PATH_MAX     4096       /* bytes of a path with its NUL */
#define CHECK_DEPTH_MAX    256        /* directories of a path */
#define CHECK_NODES_MAX    (1 << 20)  /* names in all layers */
#define CHECK_NAMES_MAX    (64 << 20) /* bytes of them and of links */
#define CHECK_CONTENTS_MAX (64 << 20) /* bytes of texts */
#define CHECK_LINKS_MAX    40         /* that are followed in one search, as Linux does */
#define CHECK_FOLLOWED_MAX (1 << 20)  /* on the way to where entries lie, of all layers */

enum check_kind {
    CHECK_DIRECTORY,
    CHECK_FILE,
    CHECK_SYMLINK,
    CHECK_HARDLINK, /* to a file of the same layer */
    CHECK_OTHER,    /* devices, FIFOs */
    CHECK_WHITEOUT,
    CHECK_OPAQUE, /* the directory, whose lower content is hidden */
    CHECK_KINDS,
};

/* What the beginning of a file says of it. */
enum check_program {
    CHECK_NO_ELF,
    CHECK_ELF_STATIC,
    CHECK_ELF_GLIBC,
    CHECK_ELF_MUSL,
    CHECK_ELF_OTHER, /* a loader that is none of these */
    CHECK_PROGRAMS,
};

/* One entry of a layer. */
struct check_entry {
    enum check_kind kind;
    uint32_t mode;
    uint64_t size;
    enum check_program program;
    uint16_t machine; /* ELF's e_machine, 0 for none */
    const char *link; /* of links, otherwise NULL */
    const char *text; /* of a file that is kept, otherwise NULL */
    size_t text_len;
    bool text_cut; /* the file is larger than what is kept */
};

/* What is at a path. */
struct check_node {
    const char *name; /* its last component; "" of the root */
    enum check_kind kind;
    uint32_t mode;
    uint64_t size;
    enum check_program program;
    uint16_t machine;
    const char *text; /* NULL when it is not kept */
    size_t text_len;
    bool text_cut;
    uint32_t id; /* for check_tree_child */
};

enum check_found { CHECK_ABSENT, CHECK_FOUND, CHECK_OPEN };

struct check_waste {
    uint64_t total;  /* bytes of all files of the layers that were read */
    uint64_t wasted; /* of them, those that upper layers replace or remove */
    uint64_t worst;  /* the largest such file */
    char worst_path[CHECK_PATH_MAX];
};

struct check_tree;

struct check_tree *check_tree_new(struct err *err);
void check_tree_free(struct check_tree *tree);

/*
 * Adds an entry of the layer of the moment. `path` need not be clean; for a whiteout it is the path
 * that is gone. Fails only at a limit (image.corrupt) or without memory.
 */
bool check_tree_add(struct check_tree *tree, const char *path, const struct check_entry *entry,
                    struct err *err);
void check_tree_next_layer(struct check_tree *tree);
void check_tree_end(struct check_tree *tree);

/*
 * Looks for an absolute path, through links, the last one too. CHECK_OPEN: a layer below decides.
 * The strings of *node live as long as the tree and nothing is added.
 */
enum check_found check_tree_find(const struct check_tree *tree, const char *path,
                                 struct check_node *node);

/* As check_tree_find, but the last component may be a link. */
enum check_found check_tree_find_nofollow(const struct check_tree *tree, const char *path,
                                          struct check_node *node);

/*
 * The entries of a directory, each once, in no order: *cursor is 0 at the beginning. False at the
 * end.
 */
bool check_tree_child(const struct check_tree *tree, const struct check_node *directory,
                      uint32_t *cursor, struct check_node *child);

/* Whether layers below can add to the directory. */
bool check_tree_is_open(const struct check_tree *tree, const struct check_node *directory);

const struct check_waste *check_tree_waste(const struct check_tree *tree);

/*
 * The path without leading '/', "." and ".." (which stops at the root). False when it is too long
 * or too deep.
 */
bool check_path_clean(const char *path, char clean[CHECK_PATH_MAX]);

static inline void cleanup_check_tree(struct check_tree **tree)
{
    check_tree_free(*tree);
}
#define autochecktree CLEANUP(cleanup_check_tree) struct check_tree

#endif
