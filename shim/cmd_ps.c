/* `stepcell ps`: the cells of a store, those that run and those that are kept. */
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "mounts/idmap.h"
#include "shim/cells.h"
#include "shim/commands.h"
#include "shim/print.h"
#include "shim/session.h"

#define DEPTH_MAX   200     /* directories of a cell below one another, that are counted */
#define ENTRIES_MAX 2000000 /* of a cell, that are counted */

/* What a cell has written outside of what is mounted. */
struct usage {
    const char *scratch;
    uint64_t bytes;
    bool whole; /* everything was seen */
    struct file_budget budget;
    int depth;
};

static bool count_entry(void *data, int dirfd, const char *name)
{
    struct usage *usage = data;
    struct stat st;

    if (!file_budget_take(&usage->budget) ||
        fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0) {
        usage->whole = false;
        return !file_budget_is_spent(&usage->budget);
    }
    /* A file of several names counts once, in parts. */
    usage->bytes +=
        (uint64_t)st.st_blocks * 512 / (S_ISDIR(st.st_mode) ? 1 : (uint64_t)st.st_nlink);
    if (!S_ISDIR(st.st_mode))
        return true;
    if (usage->depth++ == DEPTH_MAX || !file_each_entry(dirfd, name, count_entry, usage))
        usage->whole = false;
    usage->depth--;
    return true;
}

static int count(void *data)
{
    struct usage *usage = data;

    usage->bytes = 0;
    usage->budget.used = 0;
    usage->whole = file_each_entry(AT_FDCWD, usage->scratch, count_entry, usage) && usage->whole;
    return 0;
}

/* Some of it may belong to ids that only a user namespace with these ids can read. */
static void measure(struct usage *usage)
{
    struct usage *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct idmap map;
    struct err ignored;

    count(usage);
    if (usage->whole || shared == MAP_FAILED)
        return;
    *shared = *usage;
    shared->whole = true;
    if (idmap_for_step(0, 0, &map, &ignored) && idmap_run(&map, count, shared, &ignored) == 0)
        *usage = *shared;
    munmap(shared, sizeof(*shared));
}

static json_t *silent_facts(void)
{
    return json_pack("{s:n, s:s, s:n, s:n, s:[], s:n, s:n, s:n, s:n, s:n}", "id", "state",
                     "unresponsive", "engine", "image", "command", "started", "until", "outcome",
                     "exit_code", "supervisor");
}

static bool add_cell(void *data, struct found_cell *cell)
{
    json_t *cells = data;
    struct usage usage = {.scratch = cell->scratch, .whole = true, .budget.max = ENTRIES_MAX};

    if (!cell->facts)
        cell->facts = silent_facts();
    measure(&usage);
    json_object_set_new(cell->facts, "scratch", json_bytes(cell->scratch, strlen(cell->scratch)));
    json_object_set_new(cell->facts, "disk_bytes", json_integer((json_int_t)usage.bytes));
    json_object_set_new(cell->facts, "disk_counted", json_boolean(usage.whole));
    json_array_append(cells, cell->facts);
    return true;
}

/* "3h12m" of the seconds between a time of RFC 3339 and now, in either direction. */
static char *span(const char *text)
{
    struct tm tm = {.tm_isdst = 0};
    long seconds;

    if (!text || !strptime(text, "%Y-%m-%dT%H:%M:%S", &tm))
        return strdup("-");
    seconds = labs((long)(time(NULL) - timegm(&tm)));
    if (seconds >= 3600)
        return text_printf("%ldh%02ldm", seconds / 3600, seconds / 60 % 60);
    return seconds >= 60 ? text_printf("%ldm%02lds", seconds / 60, seconds % 60)
                         : text_printf("%lds", seconds);
}

static char *size(int64_t bytes)
{
    static const char units[] = "KMGT";
    double value = (double)bytes / 1024;
    size_t unit = 0;

    while (value >= 1024 && unit + 2 < sizeof(units)) {
        value /= 1024;
        unit++;
    }
    return text_printf(value < 10 ? "%.1f%ciB" : "%.0f%ciB", value, units[unit]);
}

static const char *or_none(const char *text)
{
    return text ? text : "-";
}

/* The words as they are in JSON, without its quotes. */
static char *words_text(const json_t *command)
{
    autobuf text = BUF_INIT(65536);
    size_t i;
    json_t *word;

    json_array_foreach (command, i, word) {
        autofree char *one = json_dump_line(word);

        if (one && strlen(one) >= 2)
            buf_printf(&text, "%s%.*s", i ? " " : "", (int)strlen(one) - 2, one + 1);
    }
    return text.data ? buf_take(&text) : strdup("-");
}

static void print_cell(const json_t *cell)
{
    autofree char *age = span(json_text(cell, "started")), *left = span(json_text(cell, "until"));
    autofree char *disk = size(json_integer_value(json_object_get(cell, "disk_bytes")));
    autofree char *command = words_text(json_object_get(cell, "command"));

    print_fact("%-14s %-8s %8s %8s %9s  %s  %s", or_none(json_text(cell, "id")),
               or_none(json_text(cell, "state")), or_none(age), or_none(left), or_none(disk),
               or_none(json_text(cell, "image")), or_none(command));
}

int cmd_ps(int argc, char **argv)
{
    const char *store = NULL;
    bool json = false;
    const struct option_spec options[] = {
        FLAG("--json", &json, "as JSON"),
        OPTION("--store", "DIR", &store, "the store of the cells"),
        OPTIONS_END,
    };
    const struct command command = {
        .usage = "stepcell ps [OPTIONS]",
        .about =
            "Lists the cells that run and those that are kept: their ids, how old they are, in\n"
            "what time a kept one ends, and what they have written to the disk outside of what\n"
            "is mounted in them.",
        .options = options,
    };
    autofree char *path = NULL;
    autojson *cells = json_array();
    struct err err;
    size_t words, i;
    json_t *cell;
    int status;

    if (!command_begin(argc, argv, &command, &words, &status))
        return status;
    path = session_believed_store(store, &err);
    if (!path)
        return command_failed(&err);
    /* The caller's own store is made by the first step. */
    if ((store || access(path, F_OK) == 0) && !cells_each(path, add_cell, cells, &err))
        return command_failed(&err);
    if (json)
        return command_print_json(
            json_pack("{s:s, s:O}", "schema", "stepcell.ps/1", "cells", cells));
    print_out("%-14s %-8s %8s %8s %9s  %s  %s\n", "ID", "STATE", "AGE", "ENDS IN", "DISK", "IMAGE",
              "COMMAND");
    json_array_foreach (cells, i, cell)
        print_cell(cell);
    return 0;
}
