#include "shim/state/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"

static const char *const names[] = {
    [LEDGER_NONE] = "none",
    [LEDGER_ACCEPTED] = "accepted",
    [LEDGER_SUPERVISED] = "supervised",
    [LEDGER_CELL] = "cell",
    [LEDGER_STARTED] = "started",
    [LEDGER_ENDED] = "ended",
    [LEDGER_FINISHED] = "finished",
};

const char *ledger_record_text(enum ledger_record record)
{
    return names[record];
}

static enum ledger_record record_of(const json_t *line)
{
    const char *text = json_text(line, "record");

    for (size_t i = LEDGER_ACCEPTED; text && i < ARRAY_SIZE(names); i++) {
        if (strcmp(names[i], text) == 0)
            return (enum ledger_record)i;
    }
    return LEDGER_NONE;
}

static bool failed(struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot write the ledger of the step");
}

bool ledger_append(int stepfd, enum ledger_record record, json_t *members, struct err *err)
{
    autojson *line = members ? members : json_object();
    autofree char *text = NULL, *whole = NULL;
    char when[CLOCK_TEXT_MAX];
    struct timespec now;
    autofd fd = -1;

    clock_gettime(CLOCK_REALTIME, &now);
    clock_text(&now, when);
    json_object_set_new(line, "record", json_string(names[record]));
    json_object_set_new(line, "time", json_string(when));
    text = line ? json_dump_line(line) : NULL;
    whole = text ? text_printf("%s\n", text) : NULL;
    if (!whole)
        return err_set(err, ERR_ENGINE_FAILED, "not enough memory for the ledger");
    fd = openat(stepfd, STEP_LEDGER, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    return (fd >= 0 && file_cut_line(fd) && file_write_all(fd, whole, strlen(whole)) &&
            fdatasync(fd) == 0) ||
           failed(err);
}

bool ledger_read(int stepfd, enum ledger_record *last, json_t **records, struct err *err)
{
    autobuf text = BUF_INIT(LEDGER_MAX);
    autojson *list = json_array();
    enum ledger_record latest = LEDGER_NONE;
    char *line, *end;

    if (faccessat(stepfd, STEP_LEDGER, F_OK, AT_SYMLINK_NOFOLLOW) == 0 &&
        !file_read(stepfd, STEP_LEDGER, &text, ERR_ENGINE_FAILED, err))
        return false;
    for (line = text.data; line && (end = strchr(line, '\n')); line = end + 1) {
        json_t *record = json_parse(line, (size_t)(end - line), "the ledger of the step",
                                    ERR_ENGINE_FAILED, err);

        if (!record)
            return false;
        json_array_append_new(list, record);
        latest = record_of(record);
        if (latest == LEDGER_NONE)
            return err_set(err, ERR_ENGINE_FAILED,
                           "the ledger of the step has a record that this version does not know");
    }
    *last = latest;
    *records = TAKE_PTR(list);
    return true;
}

const json_t *ledger_find(const json_t *records, enum ledger_record record)
{
    size_t i;
    json_t *item;

    json_array_foreach (records, i, item) {
        if (record_of(item) == record)
            return item;
    }
    return NULL;
}

json_t *ledger_pack_process(pid_t pid)
{
    struct process process;

    if (!process_look(pid, &process))
        return NULL;
    return json_pack("{s:i, s:I, s:s}", "pid", (int)process.pid, "start", (json_int_t)process.start,
                     "boot", process.boot);
}

bool ledger_unpack_process(const json_t *record, struct process *process)
{
    const char *boot = json_text(record, "boot");
    json_int_t pid = json_integer_value(json_object_get(record, "pid"));

    if (pid <= 0 || pid > INT_MAX || !boot)
        return false;
    process->pid = (pid_t)pid;
    process->start = (uint64_t)json_integer_value(json_object_get(record, "start"));
    snprintf(process->boot, sizeof(process->boot), "%s", boot);
    return true;
}
