/* `return`: what a step has changed in a working directory that was shipped comes to where it was
 * shipped from (docs/design/kubernetes.md). */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "runtime/kubernetes/return_apply.h"
#include "shim/helper_report.h"
#include "shim/image/command.h"

struct return_call {
    const char *same, *owner, *list_path, *place;
    bool keeps;
    struct strv without;
};

static void call_release(struct return_call *call)
{
    strv_release(&call->without);
}

/* Two numbers, with a colon between them. */
static bool parse_pair(const char *text, uint64_t max, uint64_t *first, uint64_t *second)
{
    const char *colon = strchr(text, ':');
    autofree char *before = colon ? strndup(text, (size_t)(colon - text)) : NULL;

    return before && num_parse(before, max, first) && num_parse(colon + 1, max, second);
}

static bool parse_same(const char *text, struct return_plan *plan, struct err *err)
{
    uint64_t dev, ino;

    if (!text || !parse_pair(text, UINT64_MAX, &dev, &ino))
        return err_set(err, ERR_OPTION_INVALID,
                       "'%s' is no DEV:INO: --same says what DIR has to be", text ? text : "");
    plan->dev = dev;
    plan->ino = ino;
    return true;
}

static bool parse_owner(const char *text, struct return_plan *plan, struct err *err)
{
    uint64_t uid, gid;

    if (!text)
        return true;
    if (!parse_pair(text, UINT32_MAX, &uid, &gid))
        return err_set(err, ERR_OPTION_INVALID, "'%s' is no UID:GID", text);
    plan->may_chown = true;
    plan->uid = (uid_t)uid;
    plan->gid = (gid_t)gid;
    return true;
}

static bool map_place(const char *text, struct return_plan *plan, struct err *err)
{
    void *place;
    int fd;

    if (!text)
        return true;
    if (!helper_report_parse_fd(text, &fd, err))
        return false;
    place = mmap(NULL, RETURN_PLACE_MAX, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (place == MAP_FAILED)
        return err_errno(err, ERR_OPTION_INVALID, "cannot write to descriptor %d", fd);
    plan->place = place;
    return true;
}

/*
 * What reaches stepcell's process group, by the terminal say, is for stepcell: it sends RETURN_STOP
 * where this one has to end, and so does its own death.
 */
static void stay(void)
{
    sigset_t all;

    sigfillset(&all);
    prctl(PR_SET_PDEATHSIG, RETURN_STOP);
    sigprocmask(SIG_BLOCK, &all, NULL);
}

/* Nothing is changed before the whole has been looked at. */
static bool bring(const struct return_call *call, const char *stream_path, const char *directory,
                  struct strv *warnings, struct err *err)
{
    struct return_plan plan = {.path = directory, .without = &call->without, .keeps = call->keeps};
    autofd stream = open(stream_path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    autofile *list = call->list_path ? fopen(call->list_path, "re") : NULL;

    if (stream < 0 || !list)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot read what the Pod has given back");
    plan.list = list;
    return parse_same(call->same, &plan, err) && parse_owner(call->owner, &plan, err) &&
           map_place(call->place, &plan, err) && return_check(stream, err) &&
           return_apply(&plan, stream, warnings, err);
}

static json_t *report_of(const struct strv *warnings)
{
    json_t *list = json_array();

    for (size_t i = 0; i < warnings->count; i++)
        json_array_append_new(list, json_bytes(warnings->items[i], strlen(warnings->items[i])));
    return json_pack("{s:o}", "warnings", list);
}

int command_return(int argc, char **argv)
{
    CLEANUP(call_release)
    struct return_call call = {0};
    autostrv warnings = {.max = RETURN_WARNINGS_MAX + 1};
    const char *report_fd = "1";
    const struct option_spec options[] = {
        OPTION("--list", "FILE", &call.list_path, "what 'ship' has listed"),
        OPTION("--same", "DEV:INO", &call.same, "what DIR has to be"),
        OPTION("--owner", "UID:GID", &call.owner, "whom everything belongs to, default the caller"),
        OPTION_LIST("--without", "NAME", &call.without,
                    "leave what has this name in DIR as it is; repeatable"),
        FLAG("--keep", &call.keeps, "delete nothing"),
        OPTION("--place", "FD", &call.place, "memory for the directory that is worked in"),
        OPTION("--report", "FD", &report_fd, "the descriptor for the line, default stdout"),
        OPTIONS_END,
    };
    const struct command command = {
        .usage = "stepcell-image return [OPTIONS] FILE DIR",
        .about = "Brings what a step has changed, as its Pod has given it back, into DIR, and\n"
                 "writes a line of JSON about it.",
        .missing = "a file and a directory are needed",
        .words_min = 2,
        .words_max = 2,
        .options = options,
    };
    struct err err;
    size_t words;
    int status, fd = -1;
    bool ok;

    if (!command_begin(argc, argv, &command, &words, &status))
        return status;
    if (!helper_report_parse_fd(report_fd, &fd, &err))
        return command_failed(&err);
    stay();
    ok = bring(&call, argv[0], argv[1], &warnings, &err);
    return helper_report_end(fd, ok ? report_of(&warnings) : NULL, &err);
}
