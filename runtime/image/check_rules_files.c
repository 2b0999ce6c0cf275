/* Rules about the files of an image of Linux. */
#include <stdio.h>
#include <string.h>

#include "runtime/image/check_elf.h"
#include "runtime/image/check_rules.h"

#define MIB       ((double)(1 << 20))
#define WASTE_MIN (10 << 20) /* bytes; less than that is not worth a word */
#define LISTS_MIN (1 << 20)  /* of apt's lists */

/* What depends on the architecture. */
static const struct {
    const char *arch, *loader, *triplet;
} arches[] = {
    {"amd64", "/lib64/ld-linux-x86-64.so.2", "x86_64-linux-gnu"},
    {"arm64", "/lib/ld-linux-aarch64.so.1", "aarch64-linux-gnu"},
    {"arm", "/lib/ld-linux-armhf.so.3", "arm-linux-gnueabihf"},
    {"386", "/lib/ld-linux.so.2", "i386-linux-gnu"},
    {"ppc64le", "/lib64/ld64.so.2", "powerpc64le-linux-gnu"},
    {"s390x", "/lib/ld64.so.1", "s390x-linux-gnu"},
    {"riscv64", "/lib/ld-linux-riscv64-lp64d.so.1", "riscv64-linux-gnu"},
};

/* The row of the image's architecture, or -1. */
static int find_arch(const struct check_run *run)
{
    for (size_t i = 0; i < ARRAY_SIZE(arches); i++) {
        if (strcmp(arches[i].arch, run->image->config.image.platform.arch) == 0)
            return (int)i;
    }
    return -1;
}

static bool is_program(const struct check_node *node)
{
    return node->kind == CHECK_FILE && (node->mode & 0111);
}

/* ---- distribution and C library ---- */

/* Looks for etc/os-release, and where that is missing where distributions keep it. */
static enum check_found look_os_release(struct check_run *run, struct check_node *node)
{
    enum check_found found = check_look_text(run, "/etc/os-release", node);

    return found == CHECK_ABSENT ? check_look_text(run, "/usr/lib/os-release", node) : found;
}

static bool is_musl(const char *id)
{
    static const char *const ids[] = {"alpine", "postmarketos", "chimera", "adelie"};

    for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
        if (strcmp(id, ids[i]) == 0)
            return true;
    }
    return false;
}

static const char use_glibc[] = "build the image on a distribution with the GNU C library";

/* Alpine's gcompat has a loader of the name that is looked for, and is not the GNU C library. */
static bool finds_musl(struct check_run *run)
{
    struct check_node node;
    char id[CHECK_VALUE_MAX];
    enum check_found found = look_os_release(run, &node);

    if (found == CHECK_OPEN)
        return true;
    if (found == CHECK_FOUND && check_os_release(node.text, node.text_len, "ID", id) &&
        is_musl(id)) {
        check_find(run, use_glibc, "its C library is musl: the distribution is '%s'", id);
        return true;
    }
    found = check_look(run, "/bin/sh", &node);
    if (found == CHECK_FOUND && node.program == CHECK_ELF_MUSL)
        check_find(run, use_glibc, "its C library is musl: /bin/sh needs it");
    return found == CHECK_OPEN || (found == CHECK_FOUND && node.program == CHECK_ELF_MUSL);
}

void check_ask_libc(struct check_run *run)
{
    int arch = find_arch(run);
    struct check_node node;
    enum check_found found;

    if (!check_has_files(run))
        return;
    if (arch < 0) {
        check_skip(run, CHECK_UNREADABLE, "the loader of the architecture '%s' is not known",
                   run->image->config.image.platform.arch);
        return;
    }
    if (finds_musl(run))
        return;
    found = check_look(run, arches[arch].loader, &node);
    if (found == CHECK_ABSENT || (found == CHECK_FOUND && node.kind != CHECK_FILE))
        check_find(run, use_glibc, "there is no GNU C library: '%s' is missing",
                   arches[arch].loader);
}

void check_ask_distro(struct check_run *run)
{
    const struct check_profile *profile = run->profile;
    struct check_node node;
    char id[CHECK_VALUE_MAX];
    enum check_found found;

    if (!check_has_files(run))
        return;
    found = look_os_release(run, &node);
    if (found == CHECK_OPEN)
        return;
    if (found == CHECK_ABSENT || !check_os_release(node.text, node.text_len, "ID", id)) {
        check_find(run, NULL, "the distribution is unknown: there is no os-release with an ID");
        return;
    }
    if (profile->distributions.count && !strv_contains(&profile->distributions, id))
        check_find(run, "build the image on a distribution that the profile names",
                   "the distribution '%s' is none of those that are fit", id);
    else if (profile->recommended.count && !strv_contains(&profile->recommended, id))
        check_find_at(run, CHECK_WARNING, NULL, "the distribution is '%s'; recommended is '%s'", id,
                      profile->recommended.items[0]);
}

/* ---- packages ---- */

/* A program that stands for a package of another name. */
static const char *program_of(const char *package)
{
    static const struct {
        const char *package, *program;
    } known[] = {
        {"apt-utils", "apt-ftparchive"},
        {"software-properties-common", "add-apt-repository"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        if (strcmp(known[i].package, package) == 0)
            return known[i].program;
    }
    return package;
}

void check_ask_packages(struct check_run *run)
{
    const struct strv *wanted = &run->profile->packages;
    autopackages packages = CHECK_PACKAGES_INIT;
    autochecklist missing = CHECK_LIST_INIT;
    struct check_node node;

    if (wanted->count == 0) {
        check_skip(run, CHECK_NOT_APPLICABLE, "the profile names no packages");
        return;
    }
    if (!check_has_files(run) || check_look_packages(run, &packages) == CHECK_OPEN)
        return;
    for (size_t i = 0; i < wanted->count; i++) {
        const char *name = wanted->items[i];

        if (!check_packages_find(&packages, name) &&
            check_look_program(run, program_of(name), &node) == CHECK_ABSENT)
            check_list_add(&missing, name);
    }
    if (missing.count)
        check_find(run, "install them in the image", "packages are missing: %s",
                   check_list_text(&missing));
}

/* ---- .NET ---- */

static const struct need {
    const char *name;
    const char *packages[4]; /* patterns of check_packages_find */
    const char *library;     /* the beginning of a file's name in a directory of libraries ... */
    const char *file;        /* ... or another file */
    bool vital;
} needs[] = {
    {"ca-certificates", {"ca-certificates"}, NULL, "/etc/ssl/certs", false},
    {"libc6", {"libc6"}, "libc.so.6", NULL, false},
    {"libgcc-s1", {"libgcc-s1", "libgcc1"}, "libgcc_s.so.1", NULL, false},
    {"libgssapi-krb5-2", {"libgssapi-krb5-2"}, "libgssapi_krb5.so.2", NULL, false},
    {"libicu", {"libicu#", "icu-libs"}, "libicuuc.so.", NULL, true},
    {"libssl", {"libssl3t64", "libssl3", "libssl1.1", "libssl1.0.#"}, "libssl.so.", NULL, true},
    {"libstdc++6", {"libstdc++6"}, "libstdc++.so.6", NULL, true},
    {"tzdata", {"tzdata"}, NULL, "/usr/share/zoneinfo", false},
    {"zlib1g", {"zlib1g"}, "libz.so.1", NULL, false},
};

static enum check_found look_in_directory(struct check_run *run, const char *path,
                                          const char *beginning)
{
    struct check_node directory, child;
    uint32_t cursor = 0;
    enum check_found found = check_look(run, path, &directory);

    if (found != CHECK_FOUND)
        return found;
    while (check_tree_child(run->image->tree, &directory, &cursor, &child)) {
        if (strncmp(child.name, beginning, strlen(beginning)) == 0)
            return CHECK_FOUND;
    }
    if (!check_tree_is_open(run->image->tree, &directory))
        return CHECK_ABSENT;
    run->open = true;
    return CHECK_OPEN;
}

static enum check_found look_library(struct check_run *run, const char *beginning)
{
    static const char *const roots[] = {"/usr/lib", "/lib", "/usr/lib64", "/lib64",
                                        "/usr/local/lib"};
    int arch = find_arch(run);
    bool was_open = run->open;
    enum check_found found = CHECK_ABSENT;

    for (size_t i = 0; found != CHECK_FOUND && i < ARRAY_SIZE(roots); i++) {
        char path[64];

        snprintf(path, sizeof(path), "%s/%s", roots[i], arch < 0 ? "" : arches[arch].triplet);
        found = look_in_directory(run, path, beginning);
        if (found != CHECK_FOUND)
            found = look_in_directory(run, roots[i], beginning);
    }
    if (found == CHECK_FOUND) {
        run->open = was_open;
        return found;
    }
    return run->open ? CHECK_OPEN : CHECK_ABSENT;
}

static bool is_invariant(const struct check_run *run)
{
    const char *value =
        check_config_env(&run->image->config, "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT");

    return value && (strcmp(value, "1") == 0 || strcasecmp(value, "true") == 0);
}

static enum check_found look_need(struct check_run *run, const struct need *need,
                                  const struct check_packages *packages)
{
    struct check_node node;

    for (size_t i = 0; i < ARRAY_SIZE(need->packages) && need->packages[i]; i++) {
        if (check_packages_find(packages, need->packages[i]))
            return CHECK_FOUND;
    }
    return need->library ? look_library(run, need->library) : check_look(run, need->file, &node);
}

void check_ask_dotnet_deps(struct check_run *run)
{
    autopackages packages = CHECK_PACKAGES_INIT;
    autochecklist vital = CHECK_LIST_INIT, other = CHECK_LIST_INIT;

    if (!check_has_files(run) || check_look_packages(run, &packages) == CHECK_OPEN)
        return;
    for (size_t i = 0; i < ARRAY_SIZE(needs); i++) {
        if (strcmp(needs[i].name, "libicu") == 0 && is_invariant(run))
            continue;
        if (look_need(run, &needs[i], &packages) == CHECK_ABSENT)
            check_list_add(needs[i].vital ? &vital : &other, needs[i].name);
    }
    if (vital.count)
        check_find(
            run,
            "install them, or set DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1 where libicu alone "
            "is missing",
            "what .NET cannot start without is missing: %s", check_list_text(&vital));
    if (other.count)
        check_find_at(run, CHECK_WARNING, "install them in the image",
                      "what .NET may need is missing: %s", check_list_text(&other));
}

void check_ask_icu_invariant(struct check_run *run)
{
    if (check_has_files(run) && is_invariant(run))
        check_find(run, NULL,
                   "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT is set: .NET does without libicu, and "
                   "without cultures");
}

/* ---- programs ---- */

void check_ask_shell(struct check_run *run)
{
    const struct strv *shells = &run->profile->shells;
    struct check_node node;
    enum check_found found;

    if (!check_has_files(run))
        return;
    found = check_look(run, "/bin/sh", &node);
    if (found == CHECK_ABSENT || (found == CHECK_FOUND && !is_program(&node)))
        check_find(run, "install a shell: scripts need one", "there is no /bin/sh");
    for (size_t i = 0; i < shells->count; i++) {
        if (check_look_program(run, shells->items[i], &node) == CHECK_ABSENT)
            check_find(run, "install it in the image", "the shell '%s' is not on PATH",
                       shells->items[i]);
    }
}

static void look_tools(struct check_run *run, const char *const *names, size_t count,
                       const char *hint)
{
    autochecklist missing = CHECK_LIST_INIT;
    struct check_node node;

    for (size_t i = 0; i < count; i++) {
        if (check_look_program(run, names[i], &node) == CHECK_ABSENT)
            check_list_add(&missing, names[i]);
    }
    if (missing.count)
        check_find(run, hint, "programs are not on PATH: %s", check_list_text(&missing));
}

void check_ask_path(struct check_run *run)
{
    const struct strv *tools = &run->profile->tools;

    if (tools->count == 0)
        check_skip(run, CHECK_NOT_APPLICABLE, "the profile names no tools");
    else if (check_has_files(run))
        look_tools(run, (const char *const *)tools->items, tools->count,
                   "install them, or add their directory with ENV PATH");
}

void check_ask_helpers(struct check_run *run)
{
    static const char *const names[] = {"bash", "openssl"};

    if (check_has_files(run))
        look_tools(run, names, ARRAY_SIZE(names),
                   "install them: functions such as set_octopusvariable need both");
}

/* ---- start-up files ---- */

static bool is_on_path(const struct check_run *run, const char *directory)
{
    char element[CHECK_PATH_MAX];
    const char *rest = NULL;

    while (check_next_path(run, &rest, element, sizeof(element))) {
        if (strcmp(element, directory) == 0)
            return true;
    }
    return false;
}

static void judge_startup(struct check_run *run, const char *name, const struct check_node *node)
{
    autostrv directories = {0}, tools = {0};
    autochecklist hidden = CHECK_LIST_INIT;

    if (!check_shell_paths(node->text, node->text_len, "/root", &directories, &tools)) {
        run->no_memory = true;
        return;
    }
    for (size_t i = 0; i < directories.count; i++) {
        if (!is_on_path(run, directories.items[i]))
            check_list_add(&hidden, directories.items[i]);
    }
    for (size_t i = 0; i < tools.count; i++)
        check_list_add(&hidden, tools.items[i]);
    if (hidden.count)
        check_find(run, "set it with ENV PATH in the Dockerfile",
                   "'%.200s' adds to PATH what no script sees, since steps are not interactive: %s",
                   name, check_list_text(&hidden));
}

void check_ask_bashrc_path(struct check_run *run)
{
    struct check_node node, child;
    enum check_found found;
    uint32_t cursor = 0;

    if (!check_has_files(run))
        return;
    found = check_look_text(run, "/root/.bashrc", &node);
    if (found == CHECK_FOUND)
        judge_startup(run, "/root/.bashrc", &node);
    found = check_look(run, "/etc/profile.d", &node);
    if (found != CHECK_FOUND)
        return;
    run->open |= check_tree_is_open(run->image->tree, &node);
    while (check_tree_child(run->image->tree, &node, &cursor, &child)) {
        if (child.text)
            judge_startup(run, child.name, &child);
    }
}

/* ---- what lies on PATH ---- */

void check_ask_root_owned(struct check_run *run)
{
    autochecklist missing = CHECK_LIST_INIT, open = CHECK_LIST_INIT;
    char directory[CHECK_PATH_MAX];
    const char *rest = NULL;

    if (!check_has_files(run))
        return;
    while (check_next_path(run, &rest, directory, sizeof(directory))) {
        struct check_node node;
        enum check_found found;

        if (!*directory) {
            check_find(run, "name absolute directories",
                       "PATH has a directory that is not absolute");
            continue;
        }
        found = check_look(run, directory, &node);
        if (found == CHECK_ABSENT || (found == CHECK_FOUND && node.kind != CHECK_DIRECTORY))
            check_list_add(&missing, directory);
        else if (found == CHECK_FOUND && (node.mode & 0002))
            check_list_add(&open, directory);
    }
    if (missing.count)
        check_find(run, NULL, "directories of PATH are not there: %s", check_list_text(&missing));
    if (open.count)
        check_find(run, "take the right to write away from others",
                   "everybody may write to directories of PATH: %s", check_list_text(&open));
}

/* amd64 runs 386. */
static bool runs(uint16_t machine, uint16_t program)
{
    return program == machine ||
           (machine == check_elf_machine("amd64") && program == check_elf_machine("386"));
}

/* Of the programs in a directory of PATH that were seen: those of another architecture. */
static size_t judge_programs(struct check_run *run, const struct check_node *directory,
                             uint16_t machine, struct check_list *foreign)
{
    struct check_node child;
    uint32_t cursor = 0;
    size_t seen = 0;

    while (check_tree_child(run->image->tree, directory, &cursor, &child)) {
        if (!is_program(&child) || !child.machine)
            continue;
        seen++;
        if (!runs(machine, child.machine))
            check_list_add(foreign, child.name);
    }
    return seen;
}

void check_ask_binaries(struct check_run *run)
{
    uint16_t machine = check_elf_machine(run->image->config.image.platform.arch);
    autochecklist foreign = CHECK_LIST_INIT;
    char directory[CHECK_PATH_MAX];
    const char *rest = NULL;
    struct check_node node;
    size_t seen = 0;

    if (!check_has_files(run) || check_look(run, "/bin/sh", &node) == CHECK_OPEN)
        return;
    while (machine && check_next_path(run, &rest, directory, sizeof(directory))) {
        /* Of layers that nobody needs nothing is asked. */
        if (check_tree_find(run->image->tree, directory, &node) == CHECK_FOUND)
            seen += judge_programs(run, &node, machine, &foreign);
    }
    if (foreign.count)
        check_find(run, "build the image for the platform that it names",
                   "programs are not for %s: %s", run->image->config.image.platform.arch,
                   check_list_text(&foreign));
    else if (!seen)
        check_skip(run, CHECK_NOT_APPLICABLE, "no ELF program was seen on PATH");
}

/* ---- waste ---- */

/* Whether layers are left that were not read; with --all-layers they have to be. */
static bool is_partial(struct check_run *run)
{
    bool partial = run->image->layers_read < run->image->manifest.layer_count;

    run->open |= partial && run->facts->all_layers;
    return partial;
}

static uint64_t apt_lists(const struct check_run *run)
{
    struct check_node directory, child;
    uint32_t cursor = 0;
    uint64_t bytes = 0;

    if (check_tree_find(run->image->tree, "/var/lib/apt/lists", &directory) != CHECK_FOUND)
        return 0;
    while (check_tree_child(run->image->tree, &directory, &cursor, &child))
        bytes += child.kind == CHECK_FILE ? child.size : 0;
    return bytes;
}

/* What was seen so far is there, whatever the rest is. */
void check_ask_waste(struct check_run *run)
{
    const struct check_waste *waste;
    uint64_t lists;
    bool partial;

    if (!check_has_files(run))
        return;
    partial = is_partial(run);
    if (!run->image->tree || run->image->unreadable) {
        run->open = true;
        return;
    }
    waste = check_tree_waste(run->image->tree);
    lists = apt_lists(run);
    if (lists > LISTS_MIN)
        check_find(run, "remove /var/lib/apt/lists in the layer that makes it",
                   "apt's package lists have %.0f MiB", (double)lists / MIB);
    if (waste->wasted > WASTE_MIN &&
        (double)waste->wasted * 100 > (double)waste->total * (double)run->profile->waste_max)
        check_find(run, "build it in fewer layers, or remove files in the layer that makes them",
                   "%.0f of %.0f MiB are files that upper layers replace or remove, '%.200s' the "
                   "largest",
                   (double)waste->wasted / MIB, (double)waste->total / MIB, waste->worst_path);
    if (partial && !run->spoke)
        check_skip(run, CHECK_NOT_NEEDED,
                   "%zu of %zu layers were read, and nothing is wasted there",
                   run->image->layers_read, run->image->manifest.layer_count);
}

/* ---- set-id programs ---- */

static void collect_setuid(const struct check_tree *tree, const struct check_node *directory,
                           struct check_list *list)
{
    struct check_node child;
    uint32_t cursor = 0;

    while (check_tree_child(tree, directory, &cursor, &child)) {
        if (child.kind == CHECK_DIRECTORY)
            collect_setuid(tree, &child, list);
        else if (child.kind == CHECK_FILE && (child.mode & 06000))
            check_list_add(list, child.name);
    }
}

void check_ask_setuid(struct check_run *run)
{
    autochecklist list = CHECK_LIST_INIT;
    struct check_node root;

    if (!check_has_files(run) || check_look(run, "/", &root) != CHECK_FOUND)
        return;
    if (check_tree_is_open(run->image->tree, &root)) {
        run->open = true;
        return;
    }
    collect_setuid(run->image->tree, &root, &list);
    if (list.count)
        check_find(run, "take the bits away where no step needs them",
                   "programs have a set-id bit: %s", check_list_text(&list));
}

void check_ask_sudo(struct check_run *run)
{
    struct check_node node;

    if (check_has_files(run) && check_look_program(run, "sudo", &node) == CHECK_FOUND)
        check_find(run, NULL, "there is a sudo, which a step has no use for");
}
