/*
 * Entries of layers and searches: one each up to a NUL, of a byte that chooses and a path, behind
 * which "=" begins the target of a link.
 */
#include "tests/fuzz/fuzz.h"

#include "runtime/image/check_tree.h"

static void find(const struct check_tree *tree, const char *path)
{
    struct check_node node, child;
    uint32_t cursor = 0;

    if (check_tree_find(tree, path, &node) != CHECK_FOUND)
        return;
    FUZZ_CHECK(node.kind != CHECK_SYMLINK && node.kind != CHECK_WHITEOUT);
    FUZZ_CHECK(!strchr(node.name, '/'));
    while (check_tree_child(tree, &node, &cursor, &child))
        FUZZ_CHECK(*child.name && strcmp(child.name, "..") != 0 && child.kind != CHECK_WHITEOUT);
}

static void add(struct check_tree *tree, enum check_kind kind, char *path)
{
    char *link = strchr(path, '=');
    struct check_entry entry = {.kind = kind, .mode = 0755, .size = 10, .text = "text"};
    struct err err = ERR_INIT;

    if (link)
        *link++ = '\0';
    entry.link = link ? link : "";
    entry.text_len = 4;
    if (!check_tree_add(tree, path, &entry, &err))
        FUZZ_SAID(err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = ERR_INIT;
    autochecktree *tree = check_tree_new(&err);
    const struct check_waste *waste;

    FUZZ_CHECK(tree);
    while (size) {
        uint8_t choice = fuzz_choice(&data, &size) % (CHECK_KINDS + 2);
        char *text = fuzz_text(&data, &size);

        if (choice < CHECK_KINDS)
            add(tree, (enum check_kind)choice, text);
        else if (choice == CHECK_KINDS)
            check_tree_next_layer(tree);
        else
            find(tree, text);
        free(text);
    }
    check_tree_end(tree);
    find(tree, "/");
    waste = check_tree_waste(tree);
    FUZZ_CHECK(waste->wasted <= waste->total);
    return 0;
}
