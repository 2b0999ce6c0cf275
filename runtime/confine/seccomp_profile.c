#include "runtime/confine/seccomp_profile.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/cleanup.h"

#define ARGUMENTS_MAX     6 /* of a system call */
#define ARCHITECTURES_MAX 8 /* native, and what its archMap entry adds */
#define ERRNO_MAX         4095
#define OPTIMIZE_RULES    32 /* libseccomp 2.5.4 mishandles its binary tree with very few rules */
#define OPTIMIZE_TREE     2
#define X32_FIRST         0x40000000U /* numbers of x32 on x86_64 */
#define ARM_FIRST         0x000f0000U /* numbers of 32-bit ARM's own */
#define STUB_MAX          (1 + 4 * ARCHITECTURES_MAX + 2)
#define LOAD(field)       BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))

/* Numbers are the same on every architecture from 424 on. libseccomp 2.5.4 ends with 453. */
static const struct {
    const char *name;
    int number;
} newer_calls[] = {
    {"futex_wake", 454},        {"futex_wait", 455},       {"futex_requeue", 456},
    {"statmount", 457},         {"listmount", 458},        {"lsm_get_self_attr", 459},
    {"lsm_set_self_attr", 460}, {"lsm_list_modules", 461}, {"mseal", 462},
    {"setxattrat", 463},        {"getxattrat", 464},       {"listxattrat", 465},
    {"removexattrat", 466},     {"open_tree_attr", 467},   {"file_getattr", 468},
    {"file_setattr", 469},
#ifdef __x86_64__
    {"uretprobe", 335},
#endif
};

static const struct {
    const char *name;
    uint32_t action;
    bool has_errno;
} actions[] = {
    {"SCMP_ACT_ALLOW", SCMP_ACT_ALLOW, false},
    {"SCMP_ACT_ERRNO", SCMP_ACT_ERRNO(0), true},
    {"SCMP_ACT_KILL", SCMP_ACT_KILL_THREAD, false},
    {"SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD, false},
    {"SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS, false},
    {"SCMP_ACT_TRAP", SCMP_ACT_TRAP, false},
    {"SCMP_ACT_TRACE", SCMP_ACT_TRACE(0), true},
    {"SCMP_ACT_LOG", SCMP_ACT_LOG, false},
};

static const struct {
    const char *name;
    enum scmp_compare compare;
} comparisons[] = {
    {"SCMP_CMP_NE", SCMP_CMP_NE},
    {"SCMP_CMP_LT", SCMP_CMP_LT},
    {"SCMP_CMP_LE", SCMP_CMP_LE},
    {"SCMP_CMP_EQ", SCMP_CMP_EQ},
    {"SCMP_CMP_GE", SCMP_CMP_GE},
    {"SCMP_CMP_GT", SCMP_CMP_GT},
    {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ},
};

/* The names by which rules choose an architecture, which are Go's. */
#if defined(__x86_64__)
static const char native_go[] = "amd64", native_name[] = "SCMP_ARCH_X86_64";
#elif defined(__aarch64__)
static const char native_go[] = "arm64", native_name[] = "SCMP_ARCH_AARCH64";
#else
#error "seccomp profiles are for x86_64 and aarch64"
#endif

struct architecture {
    uint32_t token; /* SCMP_ARCH_* */
    int newest;     /* the highest number of a system call in the profile, -1 for none */
};

struct compiler {
    const char *what;
    uint64_t caps;
    scmp_filter_ctx native;
    scmp_filter_ctx foreign;                              /* NULL without other architectures */
    struct architecture architectures[ARCHITECTURES_MAX]; /* the native one first */
    size_t architecture_count;
    uint32_t default_action;
    size_t rules;
};

static bool invalid(const struct compiler *compiler, struct err *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static bool invalid(const struct compiler *compiler, struct err *err, const char *format, ...)
{
    char text[512];
    va_list list;

    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    err_set(err, ERR_CONFIG_INVALID, "the seccomp profile '%s' %s", compiler->what, text);
    return err_hint(err, "the form is that of Docker's and Podman's seccomp profiles");
}

/* Every member of the object is one of the words. */
static bool only_keys(const struct compiler *compiler, json_t *object, const char *const *keys,
                      const char *where, struct err *err)
{
    const char *key;
    json_t *value;

    if (!json_is_object(object))
        return invalid(compiler, err, "has %s that is not an object", where);
    json_object_foreach (object, key, value) {
        size_t i = 0;

        while (keys[i] && strcmp(keys[i], key) != 0)
            i++;
        if (!keys[i])
            return invalid(compiler, err, "has the unknown key '%s' in %s", key, where);
    }
    return true;
}

/* "EPERM" and the like, as Podman's files have them beside the number. */
static int errno_of(const char *name)
{
    for (int i = 1; i < 256; i++) {
        const char *known = strerrorname_np(i);

        if (known && strcmp(known, name) == 0)
            return i;
    }
    return -1;
}

/* The number of an action that has one; EPERM when the profile gives none. */
static bool action_errno(const struct compiler *compiler, const json_t *number, const json_t *name,
                         uint32_t *out, struct err *err)
{
    json_int_t value = EPERM;

    if (json_is_string(name) && *json_string_value(name))
        value = errno_of(json_string_value(name));
    else if (json_is_integer(number))
        value = json_integer_value(number);
    else if (number && !json_is_null(number))
        value = -1;
    if (value < 0 || value > ERRNO_MAX)
        return invalid(compiler, err, "has an error number that cannot be understood");
    *out = (uint32_t)value;
    return true;
}

static bool parse_action(const struct compiler *compiler, const json_t *action,
                         const json_t *number, const json_t *name, uint32_t *out, struct err *err)
{
    const char *word = json_string_value(action);
    uint32_t value = 0;

    for (size_t i = 0; word && i < ARRAY_SIZE(actions); i++) {
        if (strcmp(actions[i].name, word) != 0)
            continue;
        if (!action_errno(compiler, number, name, &value, err))
            return false;
        *out = actions[i].action | (actions[i].has_errno ? value : 0);
        return true;
    }
    return invalid(compiler, err, "has the action '%s', which is none that stepcell knows",
                   word ? word : "");
}

static bool has_word(const json_t *list, const char *word)
{
    size_t i;
    json_t *item;

    json_array_foreach (list, i, item) {
        const char *text = json_string_value(item);

        if (text && strcmp(text, word) == 0)
            return true;
    }
    return false;
}

static bool is_list_of_words(const json_t *list)
{
    size_t i;
    json_t *item;

    if (list && !json_is_array(list) && !json_is_null(list))
        return false;
    json_array_foreach (list, i, item) {
        if (!json_is_string(item))
            return false;
    }
    return true;
}

/* How many of the capabilities the cell has. False for a name that is none. */
static bool count_caps(const struct compiler *compiler, const json_t *list, size_t *had,
                       struct err *err)
{
    size_t i;
    json_t *item;

    *had = 0;
    json_array_foreach (list, i, item) {
        cap_value_t cap;

        /* One that only a newer library knows is one that the cell has not. */
        if (cap_from_name(json_string_value(item), &cap) < 0) {
            if (strncmp(json_string_value(item), "CAP_", 4) != 0)
                return invalid(compiler, err, "names the capability '%s', which is none",
                               json_string_value(item));
            continue;
        }
        *had += compiler->caps >> cap & 1;
    }
    return true;
}

/* Whether the kernel is "4.8" or newer. */
static bool kernel_is_at_least(const struct compiler *compiler, const json_t *version, bool *out,
                               struct err *err)
{
    const char *text = json_string_value(version);
    unsigned int want[2], have[2];
    struct utsname uts;
    int end = 0;

    uname(&uts);
    if (!text || sscanf(text, "%u.%u%n", &want[0], &want[1], &end) != 2 || text[end] ||
        sscanf(uts.release, "%u.%u", &have[0], &have[1]) != 2)
        return invalid(compiler, err, "has a minKernel that is not of the form '4.8'");
    *out = have[0] > want[0] || (have[0] == want[0] && have[1] >= want[1]);
    return true;
}

/*
 * Whether a rule with these conditions counts: all capabilities of `includes`, none of `excludes`.
 */
static bool applies(const struct compiler *compiler, json_t *rule, bool *out, struct err *err)
{
    static const char *const keys[] = {"arches", "caps", "minKernel", NULL};
    static const char *const names[] = {"includes", "excludes"};

    *out = true;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        json_t *conditions = json_object_get(rule, names[i]);
        const json_t *caps = json_object_get(conditions, "caps");
        const json_t *arches = json_object_get(conditions, "arches");
        const json_t *kernel = json_object_get(conditions, "minKernel");
        bool includes = i == 0, is_new = false;
        size_t had;

        if (!conditions || json_is_null(conditions))
            continue;
        if (!only_keys(compiler, conditions, keys, names[i], err))
            return false;
        if (!is_list_of_words(caps) || !is_list_of_words(arches))
            return invalid(compiler, err, "has %s that are not lists of words", names[i]);
        if (!count_caps(compiler, caps, &had, err))
            return false;
        if (includes ? had < json_array_size(caps) : had > 0)
            *out = false;
        if (json_array_size(arches) && has_word(arches, native_go) != includes)
            *out = false;
        if (!kernel || json_is_null(kernel))
            continue;
        if (!kernel_is_at_least(compiler, kernel, &is_new, err))
            return false;
        if (is_new != includes)
            *out = false;
    }
    return true;
}

static bool parse_argument(const struct compiler *compiler, json_t *argument,
                           struct scmp_arg_cmp *out, struct err *err)
{
    static const char *const keys[] = {"index", "value", "valueTwo", "op", NULL};
    const json_t *index = json_object_get(argument, "index");
    const json_t *values[] = {json_object_get(argument, "value"),
                              json_object_get(argument, "valueTwo")};
    const char *word = json_text(argument, "op");

    if (!only_keys(compiler, argument, keys, "an argument", err))
        return false;
    if (!json_is_integer(index) || json_integer_value(index) < 0 ||
        json_integer_value(index) >= ARGUMENTS_MAX || !json_is_integer(values[0]) ||
        (values[1] && !json_is_integer(values[1])))
        return invalid(compiler, err, "has an argument without index or value");
    for (size_t i = 0; word && i < ARRAY_SIZE(comparisons); i++) {
        if (strcmp(comparisons[i].name, word) != 0)
            continue;
        *out = (struct scmp_arg_cmp){
            .arg = (unsigned int)json_integer_value(index),
            .op = comparisons[i].compare,
            .datum_a = (scmp_datum_t)json_integer_value(values[0]),
            .datum_b = (scmp_datum_t)json_integer_value(values[1]),
        };
        return true;
    }
    return invalid(compiler, err, "has the comparison '%s', which is none", word ? word : "");
}

static bool add_to(const struct compiler *compiler, scmp_filter_ctx context, uint32_t action,
                   int number, const struct scmp_arg_cmp *arguments, size_t count, struct err *err)
{
    int rc = seccomp_rule_add_array(context, action, number, (unsigned int)count, arguments);

    if (rc == -EEXIST)
        return invalid(compiler, err, "has rules for one system call that contradict each other");
    if (rc < 0) {
        errno = -rc;
        return err_errno(err, ERR_CONFIG_INVALID, "cannot use the seccomp profile '%s'",
                         compiler->what);
    }
    return true;
}

static int number_of(const char *name)
{
    int number = seccomp_syscall_resolve_name(name);

    for (size_t i = 0; number == __NR_SCMP_ERROR && i < ARRAY_SIZE(newer_calls); i++) {
        if (strcmp(newer_calls[i].name, name) == 0)
            return newer_calls[i].number;
    }
    return number;
}

/* Where numbers begin that say nothing about how new a system call is. */
static uint32_t first_apart(uint32_t token)
{
    return token == SCMP_ARCH_X86_64 ? X32_FIRST : token == SCMP_ARCH_ARM ? ARM_FIRST : UINT32_MAX;
}

static bool add_call(struct compiler *compiler, const char *name, uint32_t action,
                     const struct scmp_arg_cmp *arguments, size_t count, struct err *err)
{
    int number = number_of(name);
    bool translates = seccomp_syscall_resolve_name(name) != __NR_SCMP_ERROR;

    if (number == __NR_SCMP_ERROR) {
        if (action == SCMP_ACT_ALLOW)
            return true;
        return invalid(compiler, err, "forbids the system call '%s', which nobody knows", name);
    }
    for (size_t i = 0; i < compiler->architecture_count; i++) {
        struct architecture *architecture = &compiler->architectures[i];
        int own = i == 0 ? number : seccomp_syscall_resolve_name_arch(architecture->token, name);

        if (own > architecture->newest && (uint32_t)own < first_apart(architecture->token))
            architecture->newest = own;
    }
    /* A rule that says what happens anyway is an error to libseccomp. */
    if (action == compiler->default_action)
        return true;
    compiler->rules++;
    return add_to(compiler, compiler->native, action, number, arguments, count, err) &&
           (!compiler->foreign || !translates ||
            add_to(compiler, compiler->foreign, action, number, arguments, count, err));
}

/* Conditions on different arguments hold together; on the same one, each is a rule of its own. */
static bool add_conditions(struct compiler *compiler, const char *name, uint32_t action,
                           const struct scmp_arg_cmp *arguments, size_t count, struct err *err)
{
    unsigned int seen = 0;
    bool repeated = false;

    for (size_t i = 0; i < count; i++) {
        repeated = repeated || (seen >> arguments[i].arg & 1);
        seen |= 1U << arguments[i].arg;
    }
    if (!repeated)
        return add_call(compiler, name, action, arguments, count, err);
    for (size_t i = 0; i < count; i++) {
        if (!add_call(compiler, name, action, &arguments[i], 1, err))
            return false;
    }
    return true;
}

static bool add_rule(struct compiler *compiler, json_t *rule, struct err *err)
{
    static const char *const keys[] = {"comment",  "name",  "names",    "action",   "args",
                                       "errnoRet", "errno", "includes", "excludes", NULL};
    const json_t *names = json_object_get(rule, "names"), *args = json_object_get(rule, "args");
    const char *single = json_text(rule, "name");
    struct scmp_arg_cmp arguments[ARGUMENTS_MAX];
    size_t count = json_array_size(args), i;
    uint32_t action;
    bool counts;
    json_t *item;

    if (!only_keys(compiler, rule, keys, "a rule", err))
        return false;
    if (!is_list_of_words(names) || (!json_array_size(names) && !single))
        return invalid(compiler, err, "has a rule without names");
    if ((args && !json_is_array(args) && !json_is_null(args)) || count > ARGUMENTS_MAX)
        return invalid(compiler, err, "has a rule with arguments that cannot be understood");
    if (!parse_action(compiler, json_object_get(rule, "action"), json_object_get(rule, "errnoRet"),
                      json_object_get(rule, "errno"), &action, err) ||
        !applies(compiler, rule, &counts, err))
        return false;
    json_array_foreach (args, i, item) {
        if (!parse_argument(compiler, item, &arguments[i], err))
            return false;
    }
    if (!counts)
        return true;
    if (single && !add_conditions(compiler, single, action, arguments, count, err))
        return false;
    json_array_foreach (names, i, item) {
        if (!add_conditions(compiler, json_string_value(item), action, arguments, count, err))
            return false;
    }
    return true;
}

/* "SCMP_ARCH_X86" → its token, 0 for a word that is none. */
static uint32_t architecture_token(const char *word)
{
    static const char prefix[] = "SCMP_ARCH_";
    char name[32];
    size_t i = 0;

    if (!word || strncmp(word, prefix, strlen(prefix)) != 0)
        return 0;
    for (word += strlen(prefix); word[i] && i + 1 < sizeof(name); i++)
        name[i] = (char)(word[i] >= 'A' && word[i] <= 'Z' ? word[i] - 'A' + 'a' : word[i]);
    name[i] = '\0';
    return seccomp_arch_resolve_name(name);
}

static bool add_architecture(struct compiler *compiler, const json_t *name, struct err *err)
{
    uint32_t token = architecture_token(json_string_value(name));
    int rc;

    if (!token || compiler->architecture_count >= ARCHITECTURES_MAX)
        return invalid(compiler, err, "names the architecture '%s', which is none",
                       json_is_string(name) ? json_string_value(name) : "");
    if (token == seccomp_arch_native())
        return true;
    if (!compiler->foreign) {
        compiler->foreign = seccomp_init(compiler->default_action);
        if (!compiler->foreign || seccomp_arch_remove(compiler->foreign, SCMP_ARCH_NATIVE) < 0)
            return invalid(compiler, err, "cannot be compiled for other architectures");
    }
    rc = seccomp_arch_add(compiler->foreign, token);
    if (rc < 0 && rc != -EEXIST)
        return invalid(compiler, err, "cannot be compiled for '%s'", json_string_value(name));
    compiler->architectures[compiler->architecture_count++] = (struct architecture){token, -1};
    return true;
}

static bool add_architectures(struct compiler *compiler, json_t *profile, bool sub, struct err *err)
{
    static const char *const keys[] = {"architecture", "subArchitectures", NULL};
    const json_t *map = json_object_get(profile, "archMap");
    const json_t *list = json_object_get(profile, "architectures");
    size_t i, j;
    json_t *entry, *item;

    if (!is_list_of_words(list) || (map && !json_is_array(map) && !json_is_null(map)))
        return invalid(compiler, err, "has architectures that are no list");
    if (json_array_size(list) && !has_word(list, native_name))
        return invalid(compiler, err, "is not for this machine ('%s')", native_name);
    json_array_foreach (list, i, item) {
        if (sub && !add_architecture(compiler, item, err))
            return false;
    }
    json_array_foreach (map, i, entry) {
        const char *name = json_text(entry, "architecture");

        if (!only_keys(compiler, entry, keys, "archMap", err))
            return false;
        if (!is_list_of_words(json_object_get(entry, "subArchitectures")))
            return invalid(compiler, err, "has subArchitectures that are no list");
        if (!sub || !name || strcmp(name, native_name) != 0)
            continue;
        json_array_foreach (json_object_get(entry, "subArchitectures"), j, item) {
            if (!add_architecture(compiler, item, err))
                return false;
        }
    }
    return true;
}

static bool make_contexts(struct compiler *compiler, json_t *profile, bool sub, struct err *err)
{
    static const char *const keys[] = {"comment",      "defaultAction", "defaultErrnoRet",
                                       "defaultErrno", "archMap",       "architectures",
                                       "syscalls",     "flags",         NULL};
    const json_t *flags = json_object_get(profile, "flags");

    if (!only_keys(compiler, profile, keys, "it", err) ||
        !parse_action(compiler, json_object_get(profile, "defaultAction"),
                      json_object_get(profile, "defaultErrnoRet"),
                      json_object_get(profile, "defaultErrno"), &compiler->default_action, err))
        return false;
    if (!is_list_of_words(flags) ||
        json_array_size(flags) > (size_t)has_word(flags, "SECCOMP_FILTER_FLAG_SPEC_ALLOW"))
        return invalid(compiler, err, "has flags, of which only SPEC_ALLOW is known");
    compiler->native = seccomp_init(compiler->default_action);
    compiler->architectures[0] = (struct architecture){seccomp_arch_native(), -1};
    compiler->architecture_count = 1;
    if (!compiler->native)
        return invalid(compiler, err, "cannot be compiled");
    return add_architectures(compiler, profile, sub, err);
}

/*
 * The stub in front: numbers above the newest one of the profile give ENOSYS. Only where the
 * default is another error: a profile that allows by default, or kills, means it.
 */
static size_t make_stub(const struct compiler *compiler, struct sock_filter code[STUB_MAX])
{
    size_t count = 0, n = 0, unsupported, end;

    for (size_t i = 0; i < compiler->architecture_count; i++)
        count += compiler->architectures[i].newest >= 0;
    if ((compiler->default_action & SECCOMP_RET_ACTION_FULL) != SECCOMP_RET_ERRNO || !count)
        return 0;
    unsupported = 1 + 4 * count + 1;
    end = unsupported + 1;
    code[n++] = (struct sock_filter)LOAD(arch);
    for (size_t i = 0; i < compiler->architecture_count; i++) {
        const struct architecture *architecture = &compiler->architectures[i];

        if (architecture->newest < 0)
            continue;
        code[n++] =
            (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, architecture->token, 0, 3);
        code[n++] = (struct sock_filter)LOAD(nr);
        code[n] = (struct sock_filter)BPF_JUMP(
            BPF_JMP | BPF_JGE | BPF_K, first_apart(architecture->token), (uint8_t)(end - n - 1), 0);
        n++;
        code[n] =
            (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, (uint32_t)architecture->newest,
                                         (uint8_t)(unsupported - n - 1), (uint8_t)(end - n - 1));
        n++;
    }
    code[n++] = (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, 1);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS);
    return n;
}

/* The finished program: the stub and what libseccomp makes of the rules. */
static bool export(struct compiler *compiler, struct seccomp_filter *filter, struct err *err)
{
    struct sock_filter stub[STUB_MAX];
    size_t stub_count = make_stub(compiler, stub), size;
    autofd file = memfd_create("seccomp", MFD_CLOEXEC);
    autofree struct sock_filter *code = NULL;
    struct stat st;

    if (file < 0 || seccomp_export_bpf(compiler->native, file) < 0 || fstat(file, &st) < 0)
        return invalid(compiler, err, "cannot be compiled");
    size = (size_t)st.st_size;
    if (size / sizeof(*code) + stub_count > BPF_MAXINSNS)
        return invalid(compiler, err, "is too large: the kernel takes %d instructions",
                       BPF_MAXINSNS);
    code = malloc(stub_count * sizeof(*code) + size);
    if (!code || pread(file, code + stub_count, size, 0) != (ssize_t)size)
        return invalid(compiler, err, "cannot be compiled");
    memcpy(code, stub, stub_count * sizeof(*code));
    filter->count = stub_count + size / sizeof(*code);
    filter->code = TAKE_PTR(code);
    return true;
}

static bool finish(struct compiler *compiler, struct seccomp_filter *filter, struct err *err)
{
    scmp_filter_ctx contexts[] = {compiler->native, compiler->foreign};

    for (size_t i = 0; i < ARRAY_SIZE(contexts) && contexts[i]; i++) {
        if (seccomp_attr_set(contexts[i], SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS)) < 0 ||
            (compiler->rules > OPTIMIZE_RULES &&
             seccomp_attr_set(contexts[i], SCMP_FLTATR_CTL_OPTIMIZE, OPTIMIZE_TREE) < 0))
            return invalid(compiler, err, "cannot be compiled");
    }
    if (compiler->foreign) {
        if (seccomp_merge(compiler->native, compiler->foreign) < 0)
            return invalid(compiler, err, "cannot be compiled for other architectures");
        compiler->foreign = NULL;
    }
    return export(compiler, filter, err);
}

bool seccomp_profile_compile(const json_t *profile, const char *what, uint64_t caps,
                             bool sub_architectures, struct seccomp_filter *filter, struct err *err)
{
    struct compiler compiler = {.what = what, .caps = caps};
    const json_t *rules = json_object_get(profile, "syscalls");
    bool ok = make_contexts(&compiler, (json_t *)profile, sub_architectures, err);
    size_t i;
    json_t *rule;

    if (ok && rules && !json_is_array(rules) && !json_is_null(rules))
        ok = invalid(&compiler, err, "has system calls that are no list");
    json_array_foreach (rules, i, rule)
        ok = ok && add_rule(&compiler, rule, err);
    ok = ok && finish(&compiler, filter, err);
    if (compiler.native)
        seccomp_release(compiler.native);
    if (compiler.foreign)
        seccomp_release(compiler.foreign);
    return ok;
}
