#include "runtime/image/check_tree.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define NONE        UINT32_MAX
#define ROOT        0
#define NODES_FIRST 1024
#define SLOTS_FIRST 4096
#define NAME_LEN    255

/*
 * A name in a directory. Children are found by `own` of the directory, which changes when a
 * directory is replaced by something else: that drops what was in it.
 */
struct node {
    uint32_t directory; /* the node that it is in */
    uint32_t parent;    /* `own` of it then */
    uint32_t own;
    uint32_t next, first; /* sibling, child */
    uint32_t name, link;  /* in names; NONE for no link */
    uint32_t content;     /* or NONE */
    uint64_t size;
    uint32_t layer;  /* that says what it is */
    uint32_t closed; /* the lowest layer that adds to the directory, or NONE */
    uint32_t mode;
    uint16_t machine;
    uint8_t kind, program;
};

struct content {
    char *text;
    size_t len;
    bool cut;
};

struct check_tree {
    struct node *nodes;
    uint32_t node_count, node_room;
    uint32_t next_own;
    uint32_t *slots; /* an open hash table of nodes; a power of two, at most half full */
    uint32_t slot_count;
    struct buf names; /* each with its NUL */
    struct content *contents;
    uint32_t content_count, content_room;
    size_t content_bytes;
    uint32_t layer;
    uint32_t followed; /* links, by entries whose path goes through them */
    bool ended;
    uint64_t seed[2]; /* names are hostile: nobody can know which of them collide */
    struct check_waste waste;
};

static bool no_memory(struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot look into an image");
}

static bool beyond(const char *what, unsigned long limit, struct err *err)
{
    return err_set(err, ERR_IMAGE_CORRUPT,
                   "the layers of an image have more than the limit of %lu %s", limit, what);
}

/* ---- names ---- */

static const char *name_of(const struct check_tree *tree, const struct node *node)
{
    return tree->names.data + node->name;
}

static uint64_t mix(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t hash(const struct check_tree *tree, uint32_t parent, const char *name, size_t len)
{
    uint64_t h = mix(tree->seed[0] ^ parent, tree->seed[1] | 1);

    for (size_t i = 0; i < len; i += 8) {
        uint64_t word = 0;

        memcpy(&word, name + i, len - i < 8 ? len - i : 8);
        h = mix(h ^ word, tree->seed[1] | 1);
    }
    return mix(h ^ len, tree->seed[0] | 1);
}

/* The slot of the name, or the free one where it would go. */
static uint32_t *slot_of(const struct check_tree *tree, uint32_t parent, const char *name,
                         size_t len)
{
    uint32_t mask = tree->slot_count - 1;
    uint32_t at = (uint32_t)hash(tree, parent, name, len) & mask;

    for (;; at = (at + 1) & mask) {
        const struct node *node;

        if (tree->slots[at] == NONE)
            return &tree->slots[at];
        node = &tree->nodes[tree->slots[at]];
        if (node->parent == parent && strncmp(name_of(tree, node), name, len) == 0 &&
            name_of(tree, node)[len] == '\0')
            return &tree->slots[at];
    }
}

static bool grow_slots(struct check_tree *tree, struct err *err)
{
    uint32_t count = tree->slot_count ? tree->slot_count * 2 : SLOTS_FIRST;
    uint32_t *slots = malloc(count * sizeof(*slots));

    if (!slots)
        return no_memory(err);
    memset(slots, 0xff, count * sizeof(*slots));
    free(tree->slots);
    tree->slots = slots;
    tree->slot_count = count;
    for (uint32_t i = 1; i < tree->node_count; i++) {
        const char *name = name_of(tree, &tree->nodes[i]);

        *slot_of(tree, tree->nodes[i].parent, name, strlen(name)) = i;
    }
    return true;
}

static bool grow_nodes(struct check_tree *tree, struct err *err)
{
    uint32_t room = tree->node_room ? tree->node_room * 2 : NODES_FIRST;
    struct node *nodes;

    if (tree->node_count == CHECK_NODES_MAX)
        return beyond("files", CHECK_NODES_MAX, err);
    nodes = realloc(tree->nodes, room * sizeof(*nodes));
    if (!nodes)
        return no_memory(err);
    tree->nodes = nodes;
    tree->node_room = room;
    return true;
}

static bool keep_name(struct check_tree *tree, const char *name, size_t len, uint32_t *at,
                      struct err *err)
{
    *at = (uint32_t)tree->names.len;
    if (!buf_append(&tree->names, name, len) || !buf_append(&tree->names, "", 1))
        return beyond("bytes of names", CHECK_NAMES_MAX, err);
    return true;
}

/* ---- nodes ---- */

/* A directory that an entry implies, until the entry itself says what it is. */
static bool new_node(struct check_tree *tree, uint32_t directory, const char *name, size_t len,
                     uint32_t *out, struct err *err)
{
    uint32_t id = tree->node_count, at;
    struct node *node;

    if (id == tree->node_room && !grow_nodes(tree, err))
        return false;
    if ((tree->node_count + 1) * 2 > tree->slot_count && !grow_slots(tree, err))
        return false;
    if (!keep_name(tree, name, len, &at, err))
        return false;
    node = &tree->nodes[id];
    *node = (struct node){.directory = directory,
                          .parent = id == ROOT ? NONE : tree->nodes[directory].own,
                          .own = tree->next_own++,
                          .next = NONE,
                          .first = NONE,
                          .name = at,
                          .link = NONE,
                          .content = NONE,
                          .layer = tree->layer,
                          .closed = NONE,
                          .mode = 0755,
                          .kind = CHECK_DIRECTORY};
    if (id != ROOT) {
        *slot_of(tree, node->parent, name, len) = id;
        node->next = tree->nodes[directory].first;
        tree->nodes[directory].first = id;
    }
    tree->node_count++;
    *out = id;
    return true;
}

static uint32_t child_of(const struct check_tree *tree, uint32_t directory, const char *name,
                         size_t len)
{
    return *slot_of(tree, tree->nodes[directory].own, name, len);
}

struct check_tree *check_tree_new(struct err *err)
{
    autochecktree *tree = calloc(1, sizeof(*tree));
    uint32_t root;

    if (!tree) {
        no_memory(err);
        return NULL;
    }
    tree->names = BUF_INIT(CHECK_NAMES_MAX);
    if (getrandom(tree->seed, sizeof(tree->seed), 0) != sizeof(tree->seed)) {
        no_memory(err);
        return NULL;
    }
    return new_node(tree, ROOT, "", 0, &root, err) ? TAKE_PTR(tree) : NULL;
}

void check_tree_free(struct check_tree *tree)
{
    if (!tree)
        return;
    for (uint32_t i = 0; i < tree->content_count; i++)
        free(tree->contents[i].text);
    free(tree->contents);
    free(tree->nodes);
    free(tree->slots);
    buf_release(&tree->names);
    free(tree);
}

void check_tree_next_layer(struct check_tree *tree)
{
    tree->layer++;
}

void check_tree_end(struct check_tree *tree)
{
    tree->ended = true;
}

/* ---- adding ---- */

bool check_path_clean(const char *path, char clean[CHECK_PATH_MAX])
{
    size_t len = 0, depth = 0;
    const char *end;

    for (; *path; path = end + (*end == '/')) {
        size_t part;

        end = strchrnul(path, '/');
        part = (size_t)(end - path);
        if (part == 0 || (part == 1 && path[0] == '.'))
            continue;
        if (part == 2 && path[0] == '.' && path[1] == '.') {
            while (len && clean[--len] != '/')
                ;
            depth -= depth > 0;
            continue;
        }
        if (part > NAME_LEN || ++depth > CHECK_DEPTH_MAX || len + part + 2 > CHECK_PATH_MAX)
            return false;
        if (len)
            clean[len++] = '/';
        memcpy(clean + len, path, part);
        len += part;
    }
    clean[len] = '\0';
    return true;
}

/* "LINK/REST", or "DIR/LINK/REST" for a relative link, where DIR is the first `dir_len` bytes. */
static bool splice(char path[CHECK_PATH_MAX], size_t dir_len, const char *link, const char *rest)
{
    autofree char *joined = *link == '/'
                                ? text_printf("%s/%s", link, rest)
                                : text_printf("%.*s/%s/%s", (int)dir_len, path, link, rest);

    return joined && check_path_clean(joined, path);
}

/* Below this directory nothing more of the layer of the moment is seen. */
static bool is_hidden_in(const struct check_tree *tree, const struct node *directory)
{
    return directory->closed != NONE && directory->closed != tree->layer;
}

static void close_directory(struct check_tree *tree, struct node *node)
{
    if (node->closed == NONE)
        node->closed = tree->layer;
}

enum walk { WALK_THERE, WALK_HIDDEN, WALK_FAILED };

/*
 * Walks to the directory of the last component of the clean `path`, through links of this layer as
 * unpacking would, and makes what is missing. *name is then the last component, in `path`.
 */
static enum walk walk(struct check_tree *tree, char path[CHECK_PATH_MAX], uint32_t *directory,
                      const char **name, struct err *err)
{
    uint32_t at = ROOT, child;
    char *part = path, *slash;
    int links = 0;

    while ((slash = strchr(part, '/'))) {
        size_t len = (size_t)(slash - part);

        if (is_hidden_in(tree, &tree->nodes[at]))
            return WALK_HIDDEN;
        child = child_of(tree, at, part, len);
        if (child == NONE && !new_node(tree, at, part, len, &child, err))
            return WALK_FAILED;
        if (tree->nodes[child].kind != CHECK_DIRECTORY) {
            struct node *node = &tree->nodes[child];

            if (node->layer != tree->layer)
                return WALK_HIDDEN;
            if (node->kind == CHECK_SYMLINK) {
                if (++tree->followed > CHECK_FOLLOWED_MAX) {
                    beyond("paths through links", CHECK_FOLLOWED_MAX, err);
                    return WALK_FAILED;
                }
                if (++links > CHECK_LINKS_MAX ||
                    !splice(path, (size_t)(part - path), tree->names.data + node->link, slash + 1))
                    return WALK_HIDDEN;
                at = ROOT;
                part = path;
                continue;
            }
            /* The directory comes in place of what was there. */
            if (node->kind == CHECK_WHITEOUT)
                close_directory(tree, node);
            node->kind = CHECK_DIRECTORY;
        }
        at = child;
        part = slash + 1;
    }
    *directory = at;
    *name = part;
    return is_hidden_in(tree, &tree->nodes[at]) ? WALK_HIDDEN : WALK_THERE;
}

static bool keep_text(struct check_tree *tree, const struct check_entry *entry, uint32_t *out,
                      struct err *err)
{
    autofree char *text = NULL;

    if (entry->text_len > CHECK_CONTENTS_MAX - tree->content_bytes)
        return beyond("bytes of texts", CHECK_CONTENTS_MAX, err);
    if (tree->content_count == tree->content_room) {
        uint32_t room = tree->content_room ? tree->content_room * 2 : 64;
        struct content *contents = realloc(tree->contents, room * sizeof(*contents));

        if (!contents)
            return no_memory(err);
        tree->contents = contents;
        tree->content_room = room;
    }
    text = malloc(entry->text_len + 1);
    if (!text)
        return no_memory(err);
    memcpy(text, entry->text, entry->text_len);
    text[entry->text_len] = '\0';
    tree->content_bytes += entry->text_len;
    *out = tree->content_count;
    tree->contents[tree->content_count++] =
        (struct content){.text = TAKE_PTR(text), .len = entry->text_len, .cut = entry->text_cut};
    return true;
}

static void count_waste(struct check_tree *tree, const char *path, const struct check_entry *entry)
{
    if (entry->kind != CHECK_FILE)
        return;
    tree->waste.wasted += entry->size;
    if (entry->size > tree->waste.worst) {
        tree->waste.worst = entry->size;
        memccpy(tree->waste.worst_path, path, '\0', CHECK_PATH_MAX);
    }
}

/* A hard link is what its target is, where the target is of this layer and seen. */
static void copy_target(const struct check_tree *tree, const char *link, struct node *node)
{
    char clean[CHECK_PATH_MAX];
    const char *part = clean, *end;
    uint32_t at = ROOT;

    if (!check_path_clean(link, clean))
        return;
    for (; *part; part = end + (*end == '/')) {
        end = strchrnul(part, '/');
        at = child_of(tree, at, part, (size_t)(end - part));
        if (at == NONE)
            return;
    }
    if (tree->nodes[at].kind != CHECK_FILE || tree->nodes[at].layer != tree->layer)
        return;
    node->size = tree->nodes[at].size;
    node->mode = tree->nodes[at].mode;
    node->machine = tree->nodes[at].machine;
    node->program = tree->nodes[at].program;
    node->content = tree->nodes[at].content;
}

/* Makes the node what the entry says. */
static bool define(struct check_tree *tree, uint32_t id, const struct check_entry *entry,
                   struct err *err)
{
    uint32_t link = NONE, content = NONE;
    struct node *node;

    if (entry->kind == CHECK_SYMLINK &&
        !keep_name(tree, entry->link, strlen(entry->link), &link, err))
        return false;
    if (entry->kind == CHECK_FILE && entry->text && !keep_text(tree, entry, &content, err))
        return false;
    node = &tree->nodes[id];
    if (entry->kind != CHECK_DIRECTORY) {
        node->own = tree->next_own++;
        node->first = NONE;
    } else if (node->kind == CHECK_WHITEOUT) {
        close_directory(tree, node);
    }
    node->kind = entry->kind == CHECK_HARDLINK ? CHECK_FILE : (uint8_t)entry->kind;
    node->layer = tree->layer;
    node->mode = entry->mode;
    node->size = entry->size;
    node->machine = entry->machine;
    node->program = (uint8_t)entry->program;
    node->link = link;
    node->content = content;
    if (entry->kind == CHECK_HARDLINK)
        copy_target(tree, entry->link, node);
    return true;
}

/* What a layer says of a path of which an upper layer has spoken. */
static void merge(struct check_tree *tree, struct node *node, const char *path,
                  const struct check_entry *entry)
{
    /* overlayfs looks no deeper once a directory meets something else. */
    if (node->kind == CHECK_DIRECTORY && entry->kind != CHECK_DIRECTORY)
        close_directory(tree, node);
    count_waste(tree, path, entry);
}

static bool add_whiteout(struct check_tree *tree, uint32_t directory, const char *name,
                         struct err *err)
{
    uint32_t id = child_of(tree, directory, name, strlen(name));
    const struct check_entry whiteout = {.kind = CHECK_WHITEOUT};

    if (id != NONE) {
        if (tree->nodes[id].kind == CHECK_DIRECTORY)
            close_directory(tree, &tree->nodes[id]);
        return true;
    }
    return new_node(tree, directory, name, strlen(name), &id, err) &&
           define(tree, id, &whiteout, err);
}

static bool add_at(struct check_tree *tree, uint32_t directory, const char *name, const char *path,
                   const struct check_entry *entry, struct err *err)
{
    uint32_t id;

    if (entry->kind == CHECK_WHITEOUT)
        return !*name || add_whiteout(tree, directory, name, err);
    id = *name ? child_of(tree, directory, name, strlen(name)) : ROOT;
    if (id == NONE && !new_node(tree, directory, name, strlen(name), &id, err))
        return false;
    if (entry->kind == CHECK_OPAQUE) {
        if (tree->nodes[id].kind == CHECK_DIRECTORY)
            close_directory(tree, &tree->nodes[id]);
        return true;
    }
    if (id == ROOT)
        return true;
    if (tree->nodes[id].layer == tree->layer)
        return define(tree, id, entry, err);
    merge(tree, &tree->nodes[id], path, entry);
    return true;
}

bool check_tree_add(struct check_tree *tree, const char *path, const struct check_entry *entry,
                    struct err *err)
{
    char walked[CHECK_PATH_MAX], clean[CHECK_PATH_MAX];
    const char *name;
    uint32_t directory;

    if (!check_path_clean(path, clean))
        return err_set(err, ERR_IMAGE_CORRUPT, "a layer has a path that is too long or too deep");
    if (entry->kind == CHECK_FILE)
        tree->waste.total += entry->size;
    memcpy(walked, clean, sizeof(walked));
    switch (walk(tree, walked, &directory, &name, err)) {
    case WALK_FAILED:
        return false;
    case WALK_HIDDEN:
        count_waste(tree, clean, entry);
        return true;
    case WALK_THERE:
        break;
    }
    return add_at(tree, directory, name, clean, entry, err);
}

/* ---- finding ---- */

static void describe(const struct check_tree *tree, uint32_t id, struct check_node *out)
{
    const struct node *node = &tree->nodes[id];
    const struct content *content = node->content == NONE ? NULL : &tree->contents[node->content];

    *out = (struct check_node){.name = name_of(tree, node),
                               .kind = node->kind,
                               .mode = node->mode,
                               .size = node->size,
                               .program = node->program,
                               .machine = node->machine,
                               .text = content ? content->text : NULL,
                               .text_len = content ? content->len : 0,
                               .text_cut = content && content->cut,
                               .id = id};
}

/* Whether layers below can add to the directory: not where it, or one that it is in, is closed. */
static bool is_open(const struct check_tree *tree, uint32_t id)
{
    if (tree->ended)
        return false;
    while (tree->nodes[id].closed == NONE) {
        if (id == ROOT)
            return true;
        id = tree->nodes[id].directory;
    }
    return false;
}

/* One search: where it is, and what of the path is left. */
struct search {
    uint32_t at;
    int links;
    char rest[2 * CHECK_PATH_MAX];
};

static bool follow(const struct check_tree *tree, struct search *search, const struct node *link,
                   const char *behind)
{
    const char *target = tree->names.data + link->link;
    autofree char *rest = text_printf("%s/%s", target, behind);

    if (++search->links > CHECK_LINKS_MAX || !rest || strlen(rest) >= sizeof(search->rest))
        return false;
    strcpy(search->rest, rest);
    if (*target == '/')
        search->at = ROOT;
    return true;
}

/* The next component, which is not empty. */
static enum check_found step(const struct check_tree *tree, struct search *search, const char *part,
                             const char *end, bool nofollow)
{
    size_t len = (size_t)(end - part);
    const struct node *node = &tree->nodes[search->at];
    uint32_t child;

    if (node->kind != CHECK_DIRECTORY)
        return CHECK_ABSENT;
    if (len == 2 && part[0] == '.' && part[1] == '.') {
        search->at = node->directory;
        memmove(search->rest, end, strlen(end) + 1);
        return CHECK_FOUND;
    }
    child = child_of(tree, search->at, part, len);
    if (child == NONE)
        return is_open(tree, search->at) ? CHECK_OPEN : CHECK_ABSENT;
    node = &tree->nodes[child];
    if (node->kind == CHECK_WHITEOUT)
        return CHECK_ABSENT;
    if (node->kind == CHECK_SYMLINK && !(nofollow && end[strspn(end, "/")] == '\0'))
        return follow(tree, search, node, end) ? CHECK_FOUND : CHECK_ABSENT;
    search->at = child;
    memmove(search->rest, end, strlen(end) + 1);
    return CHECK_FOUND;
}

static enum check_found find(const struct check_tree *tree, const char *path, bool nofollow,
                             struct check_node *node)
{
    struct search search = {.at = ROOT};

    if (strlen(path) >= sizeof(search.rest))
        return CHECK_ABSENT;
    strcpy(search.rest, path);
    for (;;) {
        const char *part = search.rest + strspn(search.rest, "/"), *end = strchrnul(part, '/');
        enum check_found found;

        if (!*part)
            break;
        if (end == part + 1 && *part == '.') {
            memmove(search.rest, end, strlen(end) + 1);
            continue;
        }
        found = step(tree, &search, part, end, nofollow);
        if (found != CHECK_FOUND)
            return found;
    }
    describe(tree, search.at, node);
    return CHECK_FOUND;
}

enum check_found check_tree_find(const struct check_tree *tree, const char *path,
                                 struct check_node *node)
{
    return find(tree, path, false, node);
}

enum check_found check_tree_find_nofollow(const struct check_tree *tree, const char *path,
                                          struct check_node *node)
{
    return find(tree, path, true, node);
}

bool check_tree_child(const struct check_tree *tree, const struct check_node *directory,
                      uint32_t *cursor, struct check_node *child)
{
    uint32_t id = *cursor ? tree->nodes[*cursor].next : tree->nodes[directory->id].first;

    while (id != NONE && tree->nodes[id].kind == CHECK_WHITEOUT)
        id = tree->nodes[id].next;
    if (id == NONE)
        return false;
    *cursor = id;
    describe(tree, id, child);
    return true;
}

bool check_tree_is_open(const struct check_tree *tree, const struct check_node *directory)
{
    return is_open(tree, directory->id);
}

const struct check_waste *check_tree_waste(const struct check_tree *tree)
{
    return &tree->waste;
}
