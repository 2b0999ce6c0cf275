#include "shim/script.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/path.h"

#define BLANKS " \t"

static const struct {
    const char *ending;
    const char *program;
} endings[] = {
    {".sh", "sh"}, {".bash", "bash"}, {".py", "python3"}, {".ps1", "pwsh"}, {".js", "node"},
};

static bool add_words(struct strv *argv, const char *text)
{
    while (*(text += strspn(text, BLANKS))) {
        size_t len = strcspn(text, BLANKS);

        if (!strv_take(argv, strndup(text, len)))
            return false;
        text += len;
    }
    return argv->count > 0;
}

/* As the kernel does: the program, and all the rest of the line as one argument. */
static bool add_line(struct strv *argv, const char *line)
{
    autofree char *copy = strndup(line, strcspn(line, "\r\n"));
    char *argument;
    size_t len;

    if (!copy)
        return false;
    for (len = strlen(copy); len && strchr(BLANKS, copy[len - 1]); len--)
        copy[len - 1] = '\0';
    line = copy + strspn(copy, BLANKS);
    argument = (char *)line + strcspn(line, BLANKS);
    if (!strv_take(argv, strndup(line, (size_t)(argument - line))))
        return false;
    argument += strspn(argument, BLANKS);
    return !*argument || strv_add(argv, argument);
}

/* "/usr/bin/env python3" and "env -S python3 -u" need the program behind env as well. */
static bool add_needs(const struct strv *argv, struct strv *needs)
{
    autostrv words = {0};

    if (!strv_add(needs, argv->items[0]))
        return false;
    if (strcmp(path_name(argv->items[0]), "env") != 0)
        return true;
    for (size_t i = 1; i < argv->count; i++)
        add_words(&words, argv->items[i]);
    for (size_t i = 0; i < words.count; i++) {
        if (words.items[i][0] != '-' && !strchr(words.items[i], '='))
            return strv_add(needs, words.items[i]);
    }
    return true;
}

static const char *by_ending(const char *path)
{
    size_t len = strlen(path);

    for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
        size_t ending = strlen(endings[i].ending);

        if (len > ending && strcmp(path + len - ending, endings[i].ending) == 0)
            return endings[i].program;
    }
    return "sh";
}

bool script_choose(const char *path, const char *head, const char *shell,
                   struct interpreter *interpreter, struct err *err)
{
    struct interpreter made = {0};
    bool ok;

    if (shell)
        ok = add_words(&made.argv, shell);
    else if (strncmp(head, "#!", 2) == 0 && head[2 + strspn(head + 2, BLANKS)] == '/')
        ok = add_line(&made.argv, head + 2);
    else
        ok = strv_add(&made.argv, by_ending(path));
    if (ok && add_needs(&made.argv, &made.needs)) {
        *interpreter = made;
        return true;
    }
    interpreter_release(&made);
    return err_set(err, ERR_OPTION_INVALID, "'%s' names no interpreter", shell ? shell : path);
}

void interpreter_release(struct interpreter *interpreter)
{
    strv_release(&interpreter->argv);
    strv_release(&interpreter->needs);
}

static bool missing(const char *path, struct err *err)
{
    err_errno(err, ERR_SCRIPT_MISSING, "cannot read the script '%s'", path);
    return err_hint(err, "give the path of a file that the caller can read, or '-' for stdin");
}

bool script_read_head(const char *path, char head[SCRIPT_HEAD_MAX], struct err *err)
{
    autofd fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    ssize_t n;

    if (fd < 0 || fstat(fd, &st) < 0)
        return missing(path, err);
    if (!S_ISREG(st.st_mode)) {
        err_set(err, ERR_SCRIPT_MISSING, "the script '%s' is not a regular file", path);
        return err_hint(err, "give the path of a file, or '-' for stdin");
    }
    n = read(fd, head, SCRIPT_HEAD_MAX - 1);
    if (n < 0)
        return missing(path, err);
    head[n] = '\0';
    return true;
}
