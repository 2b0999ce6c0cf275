/* What a step has changed in a working directory that was shipped comes back into the caller's, by
 * stepcell-image. */
#include "shim/session.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"
#include "base/path.h"
#include "runtime/kubernetes/pod_spec.h"
#include "runtime/kubernetes/return_apply.h"

#define WORDS_BEFORE 16
#define LIST_FILE    "shipped"
#define CHANGES_FILE "changes"

static bool no_memory(struct err *err)
{
    return err_set(err, ERR_ENGINE_FAILED, "not enough memory to bring back what has changed");
}

bool session_expect_return(struct session *session, const struct mount *workdir, struct err *err)
{
    session->returned = strdup(workdir->source.resolved);
    session->returned_inode = text_printf("%llu:%llu", (unsigned long long)workdir->source.dev,
                                          (unsigned long long)workdir->source.ino);
    session->returned_owner = text_printf("%u:%u", workdir->source.uid, workdir->source.gid);
    session->shipped_list = text_printf("%s/" LIST_FILE, session->scratch.path);
    session->changes = text_printf("%s/" CHANGES_FILE, session->scratch.path);
    session->cluster.changes = session->changes;
    return (session->returned && session->returned_inode && session->returned_owner &&
            session->shipped_list && session->changes &&
            pod_hidden(&session->plan, workdir, &session->hidden)) ||
           no_memory(err);
}

/* `place`: the memory of return_plan. */
static bool run_helper(struct session *session, bool keeps, int place, struct err *err)
{
    /* Nothing is torn apart by who asks once; who asks twice gets it stopped between two files. */
    static const int ends[] = {0, RETURN_STOP, SIGKILL};
    autofree char **words = calloc(WORDS_BEFORE + 2 * session->hidden.count + 1, sizeof(*words));
    int canceled = session->canceled;
    size_t count = 0;
    bool ok;

    if (!words)
        return no_memory(err);
    words[count++] = "stepcell-image";
    words[count++] = "return";
    words[count++] = "--report";
    words[count++] = "3";
    words[count++] = "--place";
    words[count++] = "4";
    words[count++] = "--list";
    words[count++] = session->shipped_list;
    words[count++] = "--same";
    words[count++] = session->returned_inode;
    /* Root's files are those of the directory's owner. */
    if (geteuid() == 0) {
        words[count++] = "--owner";
        words[count++] = session->returned_owner;
    }
    if (keeps)
        words[count++] = "--keep";
    for (size_t i = 0; i < session->hidden.count; i++) {
        words[count++] = "--without";
        words[count++] = session->hidden.items[i];
    }
    words[count++] = "--";
    words[count++] = session->changes;
    words[count++] = session->returned;
    /* A step that was canceled has its changes brought back, too. */
    session->canceled = 0;
    session->helper_ends = ends;
    ok = session_run_helper(session, "stepcell-image", words, place, err);
    session->helper_ends = NULL;
    session->canceled = canceled;
    return ok;
}

static void tell_warnings(struct session *session)
{
    const json_t *warning;
    size_t i;

    json_array_foreach (json_object_get(session->helper_report, "warnings"), i, warning)
        session_note(session, "%s", json_string_value(warning));
}

struct remains {
    struct strv *left;
    const char *directory;
};

static bool add_temporary(void *data, int dirfd, const char *name)
{
    const struct remains *remains = data;

    (void)dirfd;
    return strncmp(name, RETURN_TEMPORARY, strlen(RETURN_TEMPORARY)) != 0 ||
           !file_is_temporary(name) ||
           strv_take(remains->left, text_printf("%s/%s", remains->directory, name));
}

/* What a helper that was killed has left, where it was at work. */
static void find_remains(struct session *session, int place, struct err *err)
{
    char name[RETURN_PLACE_MAX] = "";
    autofree char *directory = NULL;
    autofd top = -1, fd = -1;

    if (pread(place, name, sizeof(name) - 1, 0) <= 0 || !name[0])
        return;
    err_hint(err, RETURN_PART_HINT, session->returned);
    directory = path_clean(session->returned, name);
    top = open(session->returned, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    fd = path_open_in_nofollow(top, name, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    if (directory && fd >= 0)
        file_each_entry(fd, ".", add_temporary,
                        &(struct remains){&session->result.left, directory});
}

static bool bring_back(struct session *session, const struct exit_record *record, struct err *err)
{
    autofd place = memfd_create("place", MFD_CLOEXEC);

    if (!record->returned) {
        if (record->unreturned.code == ERR_NONE)
            return err_set(err, ERR_ENGINE_FAILED, "what the step has changed did not come back");
        *err = record->unreturned;
        return false;
    }
    if (place < 0 || ftruncate(place, RETURN_PLACE_MAX) < 0)
        return no_memory(err);
    if (!run_helper(session, record->of_another, place, err)) {
        if (!session->helper_report)
            find_remains(session, place, err);
        return false;
    }
    tell_warnings(session);
    if (record->of_another)
        session_note(session,
                     "another worker has begun the step: '%s' has all that its Pod had, and what "
                     "the step has deleted stays",
                     session->returned);
    return true;
}

void session_bring_back(struct session *session)
{
    const struct exit_record *record = session->engine->exit_record(session->cell);
    struct result *result = &session->result;
    struct err err = ERR_INIT;

    /* Of a command that did not run there is nothing. */
    if (!session->returned || record->error.code != ERR_NONE ||
        (record->kind != EXIT_STATUS && record->kind != EXIT_SIGNAL))
        return;
    loop_clear_timer(&session->loop, &session->grace);
    if (bring_back(session, record, &err))
        return;
    if (session->canceled || session->timed_out) {
        session_note(session, "%s", err.message);
        if (err.hint[0])
            session_note(session, "%s", err.hint);
        return;
    }
    session_note(session, "the command itself has ended with %s %d",
                 record->kind == EXIT_SIGNAL ? "signal" : "status", record->value);
    result->outcome = OUTCOME_FAILED;
    result->exit_code = 125;
    result->signal = 0;
    result->error = err;
}
