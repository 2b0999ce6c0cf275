/*
 * The administrator's policy: what may run, which nothing that a caller says loosens.
 *
 *   policy_load       reads /etc/stepcell/policy.json and /etc/containers/policy.json
 *   policy_check      judges what is known of a step (pure), and names the rule that decided
 *   policy_release    in any case
 *
 * A file that is there but cannot be read, is not root's, can be written by others, or is not
 * understood to its last key, refuses everything. docs/policy.md is the manual for administrators,
 * docs/design/policy.md says who is held by it and who is not.
 */
#ifndef STEPCELL_SHIM_POLICY_H
#define STEPCELL_SHIM_POLICY_H

#include <stdint.h>
#include <sys/types.h>

#include "base/errs.h"
#include "base/json.h"
#include "mounts/mount_spec.h"
#include "runtime/image/reference.h"
#include "runtime/image/signature.h"
#include "runtime/run_spec.h"

#define POLICY_FILE            "/etc/stepcell/policy.json"
#define POLICY_CONTAINERS_FILE "/etc/containers/policy.json"
#define POLICY_SCHEMA          "stepcell.policy/1"

#define POLICY_SYSTEM_STORE "/var/lib/stepcell" /* of root, where a policy says nothing else */
#define POLICY_HOME_STORE   "~/.local/share/stepcell"

#define POLICY_UNIX "unix://" /* how daemons are named that a policy can allow: a path follows */

#define POLICY_MAX       (1 << 20) /* bytes of a file */
#define POLICY_RULES_MAX 1000      /* of each list */
#define POLICY_TEXT_MAX  8192      /* bytes of what a pattern is compared with */
#define POLICY_RULE_MAX  512       /* bytes of a rule's name in messages and results */

/* ---- the policy, parsed ---- */

enum policy_pinned { POLICY_ANY, POLICY_DIGEST, POLICY_LOCK };
enum policy_access { POLICY_NONE, POLICY_READ, POLICY_WRITE };
enum policy_engine {
    POLICY_NATIVE,
    POLICY_DOCKER,
    POLICY_PODMAN,
    POLICY_KUBERNETES,
    POLICY_ENGINES
};

struct policy_image_rule {
    unsigned int line;
    char *id; /* or NULL */
    struct strv match, tags;
    bool allow;
    bool clear_entrypoint;
    enum policy_pinned pinned;
    struct signature_demand demand; /* without keys: none */
};

struct policy_mount_rule {
    unsigned int line;
    char *tree;     /* clean */
    char *resolved; /* where that leads, or NULL: such a rule takes away there, and gives nothing */
    enum policy_access access;
};

struct policy_range {
    uint32_t first, last;
};

struct policy_ranges {
    struct policy_range *items;
    size_t count;
};

struct policy_limit {
    unsigned int line;
    bool required;
    uint64_t max; /* 0: none */
};

enum policy_limit_of { POLICY_MEMORY, POLICY_CPUS, POLICY_PIDS, POLICY_TIMEOUT, POLICY_LIMITS };

/* Which of its parts a policy has. */
enum policy_part {
    PART_STORES = 1 << 0,
    PART_ENGINES = 1 << 1,
    PART_IMAGES = 1 << 2,
    PART_NETWORKS = 1 << 3,
    PART_CAPABILITIES = 1 << 4,
    PART_MOUNTS = 1 << 5,
    PART_USERS = 1 << 6,
    PART_GROUPS = 1 << 7,
};

struct policy {
    bool exists; /* /etc/stepcell/policy.json is there */
    unsigned int parts;
    char *audit; /* a file, or NULL */
    struct strv stores, locks, seccomp;
    bool engines[POLICY_ENGINES];
    struct strv
        hosts[POLICY_ENGINES]; /* of engines that are daemons; of a cluster the kubeconfig */
    bool networks[NETWORK_PRIVATE + 1];
    uint64_t capabilities;
    struct policy_image_rule *images;
    size_t image_count;
    struct policy_mount_rule *mounts;
    size_t mount_count;
    struct policy_limit limits[POLICY_LIMITS];
    struct policy_ranges users, groups;
    json_t *containers; /* of the other file, checked; NULL when it is not there */
};

/*
 * Parses a text of /etc/stepcell/policy.json (pure); keys are read by `read_key`, which gives the
 * text of a file, owned by the caller. config.invalid, with the line.
 */
typedef char *policy_read_key(const char *path, struct err *err);
bool policy_parse(const char *text, size_t len, const char *file, policy_read_key *read_key,
                  struct policy *policy, struct err *err);

/* The same for /etc/containers/policy.json (pure). NULL on error. */
json_t *policy_parse_containers(const char *text, size_t len, const char *file, struct err *err);

/* Reads both files. With neither there is nothing to check, and all this costs two opens. */
bool policy_load(struct policy *policy, struct err *err);
void policy_release(struct policy *policy);

#define autopolicy CLEANUP(policy_release) struct policy

/*
 * Whether there is anything that it does not allow: then what decides is guarded. The other file
 * may be there and accept everything.
 */
bool policy_decides(const struct policy *policy);

/* ---- a step, as far as it is known ---- */

struct policy_source {
    const char *path; /* resolved */
    bool writable;
};

struct policy_facts {
    const struct reference *reference;
    const char *image;      /* what patterns are compared with, see policy_image_name */
    const char *lock_file;  /* resolved, which has the image; or NULL */
    const char *locked_tag; /* that the lock has the digest of, or NULL */
    bool asks_digest; /* which was the step's own word: then that denies, and allows nothing */
    bool only_image;  /* nothing runs: the rest is not looked at */
    bool clears_entrypoint;
    const char *store; /* resolved */
    const char *home;  /* of the caller, by the host's passwd; NULL: none is known */
    uid_t caller;
    enum policy_engine engine;
    const char *engine_host; /* resolved, or NULL; of a cluster the kubeconfig that is used */
    bool chooses_cluster; /* the step says itself where its Pod runs, and by which first program */
    enum network_mode network;
    uint64_t capabilities;
    const char *seccomp; /* resolved file of --seccomp, or NULL */
    struct limits limits;
    uint64_t timeout_ms; /* 0: none */
    uint64_t keep_ms;    /* that the cell may stay behind its step */
    const struct policy_source *sources;
    size_t source_count;
    const struct strv *guarded; /* policy_guarded_places; NULL where there are no sources */
    bool knows_user;
    uid_t uid; /* in the cell */
    gid_t gid;
    const gid_t *groups;
    size_t group_count;
};

/*
 * "docker.io/library/debian", or "oci:/path" for a local one, which reference_resolve has seen:
 * what is judged is what is opened. Owned by the caller.
 */
char *policy_image_name(const struct reference *reference);

/* What was decided, by which rule; borrowed from the policy. It points into itself: it is not
 * copied. */
struct policy_verdict {
    const char *file;           /* NULL: no policy has anything to say */
    char rule[POLICY_RULE_MAX]; /* "images[2] 'our own' (line 14)" */
    const struct signature_demand *demands[SIGNATURE_DEMANDS_MAX];
    size_t demand_count;
    struct signature_demand own[SIGNATURE_DEMANDS_MAX]; /* made for this image */
    size_t own_count;
    struct errs refusals; /* all of them; the rule is that of the first */
    bool denies_image;    /* one is of the image or of where it comes from: it is not looked at */
    /* While there are further checks: what the first refusal was by. */
    const char *refusing_file;
    char refusing_rule[POLICY_RULE_MAX];
};

void policy_verdict_release(struct policy_verdict *verdict);

/* {"file", "rule"}, or null where no policy has anything to say: for results. */
json_t *policy_verdict_json(const struct policy_verdict *verdict);

#define autoverdict CLEANUP(policy_verdict_release) struct policy_verdict

/*
 * Judges a step by everything that is known of it: policy.denied, image.denied, image.unpinned or
 * mount.denied when it may not run, and *verdict names the rule in both cases. One refusal does not
 * keep another from being found: `err` is the first of them. The demands of the verdict are still
 * to be met. Pure, but that keys of the other file are read by `read_key`.
 */
bool policy_check(const struct policy *policy, const struct policy_facts *facts,
                  policy_read_key *read_key, struct policy_verdict *verdict, struct err *err);

/*
 * The same of the store alone, by facts->store, home and caller. What lies in a store is believed,
 * images and steps alike, so it is not for a step to say which one.
 */
bool policy_check_store(const struct policy *policy, const struct policy_facts *facts,
                        struct policy_verdict *verdict, struct err *err);

/* The same of the engine alone, by facts->engine, engine_host and chooses_cluster. */
bool policy_check_engine(const struct policy *policy, const struct policy_facts *facts,
                         struct policy_verdict *verdict, struct err *err);

/* The same of the rules for mounts alone, by facts->sources. */
bool policy_check_mounts(const struct policy *policy, const struct policy_facts *facts,
                         struct policy_verdict *verdict, struct err *err);

/*
 * The same of an image alone, for who fetches it without running it. What is fetched under another
 * name is judged by both. The reference is resolved.
 */
bool policy_check_image(const struct policy *policy, const struct reference *reference,
                        struct policy_verdict *verdict, struct err *err);

/* Whether the file is root's, and nobody else may write to it. */
bool policy_check_file(const char *path, struct err *err);

/* Reads a key that a policy names: a file of root's, which nobody else may write to. */
char *policy_read_key_file(const char *path, struct err *err);

/*
 * What decides what may run, and so is nothing that a step may write to: the policies, their keys,
 * the audit log, what is configured below /etc, the stores that are believed, the lock files and
 * profiles that count, and stepcell itself. Adds patterns of paths to `places`. `store` is the one
 * of the step, which counts as well, `home` the caller's, or NULL.
 */
bool policy_guarded_places(const struct policy *policy, const char *store, const char *home,
                           struct strv *places, struct err *err);

/* The place that the clean path is, holds or lies in, or NULL (pure). */
const char *policy_find_guarded(const struct strv *places, const char *path);

/* A daemon's socket becomes the one where its path leads. False without memory. */
bool policy_resolve_socket(char **host);

/* The daemon that is asked when a step names none, where the policy says so; or NULL. */
const char *policy_default_host(const struct policy *policy, enum policy_engine engine);

/* ---- for the parts of it ---- */

/*
 * Whether the whole text fits the pattern: '?' is a byte and '*' any number of them, but no '/';
 * '**' is any number of bytes.
 */
bool policy_glob(const char *pattern, const char *text);
bool policy_glob_any(const struct strv *patterns, const char *text);

/*
 * Whether the path is, holds or lies in what the pattern fits: whether such a thing could be
 * changed through it. The path is clean.
 */
bool policy_glob_touches(const char *pattern, const char *path);

/* A pattern of image names in full ("debian" is "docker.io/library/debian"), owned by the caller;
 * NULL for one that could not match. */
char *policy_image_pattern(const char *pattern);

/*
 * The line of a value in a JSON text that was parsed without an error. The path has POLICY_STEP
 * before each key and each index. The line of its parent when it is not found.
 */
#define POLICY_STEP "\x1f"
unsigned int policy_line(const char *text, const char *path);

/* A parser's place in a file: for messages, and for who wants to know the line of a rule. */
struct policy_place {
    const char *file, *text;
    char path[POLICY_RULE_MAX]; /* as policy_line takes it; "" is the whole */
};

/* Goes to a member or an item, and back to where `mark` says; the mark is what the first gave. */
size_t policy_enter(struct policy_place *place, const char *key);
size_t policy_enter_item(struct policy_place *place, size_t index);
void policy_leave(struct policy_place *place, size_t mark);

unsigned int policy_line_of(const struct policy_place *place);

/* config.invalid at this place: "'KEY' in 'FILE', line N, WHY". Returns false. */
bool policy_invalid(const struct policy_place *place, const char *why, struct err *err);

/* Takes a key out of its text in PEM: its id. */
bool policy_take_key(const char *file, char *pem, struct signature_key *key, struct err *err);

/* What the other file says of an image; adds to the demands. */
bool policy_check_containers(const struct policy *policy, const struct policy_facts *facts,
                             policy_read_key *read_key, struct policy_verdict *verdict,
                             struct err *err);

#endif
