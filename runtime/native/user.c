#include "runtime/native/user.h"

#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/num.h"

#define LINE_FIELDS  7
#define LINE_MAX_LEN 4096 /* bytes; longer lines are no entries */

struct line {
    char text[LINE_MAX_LEN];
    char *fields[LINE_FIELDS];
    size_t count;
};

/* Splits the next line at ':' and moves *text behind it. False at the end. */
static bool next_line(const char **text, struct line *line)
{
    size_t len = strcspn(*text, "\n");
    char *field;

    if (!**text)
        return false;
    line->count = 0;
    if (len < sizeof(line->text)) {
        memcpy(line->text, *text, len);
        line->text[len] = '\0';
        field = line->text;
        while (field && line->count < LINE_FIELDS)
            line->fields[line->count++] = strsep(&field, ":");
    }
    *text += len + ((*text)[len] == '\n');
    return true;
}

/* What any program would take for a number, with a sign too, is never looked up as a name. */
static bool is_number(const char *text)
{
    text += *text == '-' || *text == '+';
    return *text && text[strspn(text, "0123456789")] == '\0';
}

static bool parse_id(const char *text, const char *what, unsigned int *id, struct err *err)
{
    uint64_t value;

    if (!num_parse(text, INT32_MAX, &value))
        return err_set(err, ERR_USER_UNKNOWN, "%s '%s' is not a number from 0 to %d", what, text,
                       INT32_MAX);
    *id = (unsigned int)value;
    return true;
}

/* Finds the passwd entry of a name or, when name is NULL, of a uid, and takes what it says. */
static bool find_passwd(const char *passwd, const char *name, struct cell_user *user)
{
    struct line line;
    uint64_t uid, gid;

    while (next_line(&passwd, &line)) {
        if (line.count < 6 || !num_parse(line.fields[2], INT32_MAX, &uid) ||
            !num_parse(line.fields[3], INT32_MAX, &gid))
            continue;
        if (name ? strcmp(line.fields[0], name) != 0 : uid != user->uid)
            continue;
        user->uid = (uid_t)uid;
        user->gid = (gid_t)gid;
        user->listed = true;
        user->name = strdup(line.fields[0]);
        user->home = line.fields[5][0] == '/' ? strdup(line.fields[5]) : NULL;
        return true;
    }
    return false;
}

static bool find_group(const char *group, const char *name, gid_t *gid)
{
    struct line line;
    uint64_t value;

    while (next_line(&group, &line)) {
        if (line.count < 3 || strcmp(line.fields[0], name) != 0 ||
            !num_parse(line.fields[2], INT32_MAX, &value))
            continue;
        *gid = (gid_t)value;
        return true;
    }
    return false;
}

static bool is_member(char *members, const char *name)
{
    for (char *member; (member = strsep(&members, ","));) {
        if (strcmp(member, name) == 0)
            return true;
    }
    return false;
}

static void add_groups(const char *group, struct cell_user *user)
{
    struct line line;
    uint64_t gid;

    while (user->name && next_line(&group, &line)) {
        if (line.count < 4 || !num_parse(line.fields[2], INT32_MAX, &gid) || gid == user->gid)
            continue;
        if (user->group_count < CELL_GROUPS_MAX && is_member(line.fields[3], user->name))
            user->groups[user->group_count++] = (gid_t)gid;
    }
}

static bool resolve(const char *text, const char *passwd, const char *group, struct cell_user *user,
                    struct err *err)
{
    autofree char *name = strdup(*text ? text : "0");
    char *group_name = name ? strchr(name, ':') : NULL;

    if (!name)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot look up user '%s'", text);
    if (group_name)
        *group_name++ = '\0';
    if (!*name || (group_name && !*group_name))
        return err_set(err, ERR_USER_UNKNOWN, "user '%s' is not of the form USER[:GROUP]", text);
    if (is_number(name)) {
        if (!parse_id(name, "user", &user->uid, err))
            return false;
        find_passwd(passwd, NULL, user);
    } else if (!find_passwd(passwd, name, user)) {
        err_set(err, ERR_USER_UNKNOWN, "user '%s' is not in the image's /etc/passwd", name);
        return err_hint(err, "give a number with --user, or a name that the image has");
    }
    if (!group_name) {
        add_groups(group, user);
        return true;
    }
    if (is_number(group_name))
        return parse_id(group_name, "group", &user->gid, err);
    if (find_group(group, group_name, &user->gid))
        return true;
    err_set(err, ERR_USER_UNKNOWN, "group '%s' is not in the image's /etc/group", group_name);
    return err_hint(err, "give a number with --user, or a name that the image has");
}

bool user_resolve(const char *text, const char *passwd, const char *group, struct cell_user *user,
                  struct err *err)
{
    struct cell_user found = {0};

    if (!resolve(text, passwd, group, &found, err)) {
        cell_user_release(&found);
        return false;
    }
    *user = found;
    return true;
}

bool user_is_looked_up(const char *text)
{
    const char *colon = strchr(text, ':');
    autofree char *name = strndup(text, strcspn(text, ":"));

    if (!*text || !name || strcmp(text, "0") == 0)
        return false;
    return !is_number(name) || !colon || !is_number(colon + 1);
}

void cell_user_release(struct cell_user *user)
{
    free(user->name);
    free(user->home);
    *user = (struct cell_user){0};
}
