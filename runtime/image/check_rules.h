/* What the files of rules share: how a rule looks at facts, and how it says what it found. */
#ifndef STEPCELL_RUNTIME_IMAGE_CHECK_RULES_H
#define STEPCELL_RUNTIME_IMAGE_CHECK_RULES_H

#include "runtime/image/check.h"
#include "runtime/image/check_text.h"

#define CHECK_NAMES_SHOWN 5 /* of a list in a message */

struct check_run {
    const struct check_facts *facts;
    const struct check_image *image; /* NULL for a rule of the reference */
    const struct check_profile *profile;
    const struct check_rule *rule;
    enum check_level level;
    struct check_results *results;
    bool open;  /* an answer depends on layers that were not read */
    bool spoke; /* something was found, or the rule was skipped */
    bool no_memory;
};

/* A finding, of the rule's level or, with `check_find_at`, of `level` where that is less. */
void check_find(struct check_run *run, const char *hint, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void check_find_at(struct check_run *run, enum check_level level, const char *hint,
                   const char *format, ...) __attribute__((format(printf, 4, 5)));

/* The rule does not apply, or cannot be told (CHECK_UNREADABLE). */
void check_skip(struct check_run *run, enum check_reason reason, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As check_tree_find; CHECK_OPEN has run->open set, and the rule returns. */
enum check_found check_look(struct check_run *run, const char *path, struct check_node *node);

/* A program on the image's PATH: a regular file that may be executed. */
enum check_found check_look_program(struct check_run *run, const char *name,
                                    struct check_node *node);

/*
 * The next directory of the image's PATH, "" for one that is relative; *rest is NULL at first.
 * False at the end. One of more than `size` bytes counts as relative.
 */
bool check_next_path(const struct check_run *run, const char **rest, char *directory, size_t size);

/*
 * The text of a file: CHECK_ABSENT, too, for what is no file. Skips the rule when it was not kept.
 */
enum check_found check_look_text(struct check_run *run, const char *path, struct check_node *node);

/* What is installed. CHECK_ABSENT: the image has no data base that is read. */
enum check_found check_look_packages(struct check_run *run, struct check_packages *packages);

/* Whether the rule needs files of Linux; it is skipped where there are none. */
bool check_has_files(struct check_run *run);

/* Of check_rules_reference.c. */
void check_ask_image(struct check_run *run);
void check_ask_os(struct check_run *run);
void check_ask_os_version(struct check_run *run);
void check_ask_win_age(struct check_run *run);
void check_ask_latest(struct check_run *run);
void check_ask_digest(struct check_run *run);
/* Of check_rules_config.c. */
void check_ask_entrypoint(struct check_run *run);
void check_ask_cmd(struct check_run *run);
void check_ask_workdir(struct check_run *run);
void check_ask_user(struct check_run *run);
void check_ask_volume(struct check_run *run);
void check_ask_onbuild(struct check_run *run);
void check_ask_healthcheck(struct check_run *run);
void check_ask_stopsignal(struct check_run *run);
void check_ask_env_secrets(struct check_run *run);
void check_ask_version(struct check_run *run);
void check_ask_labels(struct check_run *run);
void check_ask_size(struct check_run *run);
/* Of check_rules_files.c. */
void check_ask_libc(struct check_run *run);
void check_ask_distro(struct check_run *run);
void check_ask_packages(struct check_run *run);
void check_ask_dotnet_deps(struct check_run *run);
void check_ask_icu_invariant(struct check_run *run);
void check_ask_shell(struct check_run *run);
void check_ask_path(struct check_run *run);
void check_ask_helpers(struct check_run *run);
void check_ask_bashrc_path(struct check_run *run);
void check_ask_waste(struct check_run *run);
void check_ask_root_owned(struct check_run *run);
void check_ask_binaries(struct check_run *run);
void check_ask_setuid(struct check_run *run);
void check_ask_sudo(struct check_run *run);

/* A list that grows name by name, the first few of them, and how many more there are. */
struct check_list {
    struct buf text;
    size_t count;
};

#define CHECK_LIST_INIT ((struct check_list){.text = BUF_INIT(1024)})

void check_list_add(struct check_list *list, const char *name);

/* "a, b and 3 more"; owned by the list. */
const char *check_list_text(struct check_list *list);

static inline void check_list_release(struct check_list *list)
{
    buf_release(&list->text);
}
#define autochecklist CLEANUP(check_list_release) struct check_list

#endif
