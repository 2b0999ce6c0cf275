#include "tests/unit/check_script.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

static bool add(struct check_tree *tree, char *line, struct err *err)
{
    static const enum check_kind kinds[] = {
        ['d'] = CHECK_DIRECTORY, ['f'] = CHECK_FILE,     ['x'] = CHECK_FILE,  ['l'] = CHECK_SYMLINK,
        ['h'] = CHECK_HARDLINK,  ['w'] = CHECK_WHITEOUT, ['o'] = CHECK_OPAQUE};
    char kind = line[0], *path = line + 2, *more = strchr(path, ' ');
    struct check_entry entry = {.kind = kinds[(unsigned char)kind], .mode = 0644};
    char text[1024], *out = text;

    if (more)
        *more++ = '\0';
    if (kind == 'd' || kind == 'x')
        entry.mode = 0755;
    if (kind == 'x') {
        entry.program = CHECK_ELF_GLIBC;
        entry.machine = EM_X86_64;
        entry.size = 1000;
    }
    if (kind == 'l' || kind == 'h')
        entry.link = more;
    if (kind == 'f' && more) {
        /* "|" stands for the end of a line. */
        for (; *more && out < text + sizeof(text) - 1; more++)
            *out++ = *more == '|' ? '\n' : *more;
        *out = '\0';
        entry.text = text;
        entry.text_len = strlen(text);
        entry.size = entry.text_len;
    }
    return check_tree_add(tree, path, &entry, err);
}

struct check_tree *check_script(const char *lines, struct err *err)
{
    autochecktree *tree = check_tree_new(err);
    autofree char *copy = strdup(lines);
    char *rest = copy, *line;

    while (tree && copy && (line = strsep(&rest, "\n"))) {
        if (strcmp(line, "--") == 0)
            check_tree_next_layer(tree);
        else if (strcmp(line, "==") == 0)
            check_tree_end(tree);
        else if (*line && !add(tree, line, err))
            return NULL;
    }
    return TAKE_PTR(tree);
}
