/* `stepcell report`: what happened to a durable step, and when. */
#include <fcntl.h>
#include <string.h>

#include "shim/cells.h"
#include "shim/commands.h"
#include "shim/durable.h"
#include "shim/print.h"
#include "shim/report/report.h"

#define TEXT_MAX (16 << 20) /* bytes of a report */

static bool find_step(const char *store_option, const char *id, struct step_dir *step,
                      enum ledger_record *state, struct err *err)
{
    autofree char *store = session_believed_store(store_option, err);
    bool found;

    if (!store)
        return false;
    if (!step_id_is_good(id))
        return cells_unknown_step(store, id, err);
    if (!step_dir_open(store, id, step, &found, err))
        return false;
    if (!found || faccessat(step->fd, STEP_LEDGER, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
        return cells_unknown_step(store, id, err);
    if (!durable_look_after(store, step, id, state, err))
        return false;
    *state = durable_state(step, *state);
    return true;
}

static bool no_memory(struct err *err)
{
    return err_set(err, ERR_ENGINE_FAILED, "there is not enough memory for the report");
}

/* As a result: what is no regular file is written to as it is. */
static bool save_page(const struct step_dir *step, const char *store_option, const struct buf *html,
                      const char *file, struct err *err)
{
    struct result_place place = RESULT_PLACE_INIT;
    autooutlets outlets = {0};
    bool ok = durable_find_outlets(step, store_option, &outlets, err) &&
              result_open(file, &outlets, &place, err) &&
              result_write_bytes(html->data, html->len, &place, err);

    result_close(&place);
    return ok;
}

static bool write_page(const struct report *report, const struct step_dir *step,
                       const char *store_option, const char *file, struct err *err)
{
    autobuf html = BUF_INIT(TEXT_MAX);

    if (!report_page(report, &html))
        return no_memory(err);
    if (strcmp(file, "-") != 0)
        return save_page(step, store_option, &html, file, err);
    print_out("%s", html.data);
    return true;
}

static bool write_text(const struct report *report, struct err *err)
{
    autobuf text = BUF_INIT(TEXT_MAX);

    if (!report_text(report, &text))
        return no_memory(err);
    print_out("%s", text.data);
    return true;
}

int cmd_report(int argc, char **argv)
{
    const char *id = NULL, *store = NULL, *html = NULL;
    bool json = false;
    const struct option_spec options[] = {
        OPTION("--id", "ID", &id, "the step; its id may also stand alone"),
        OPTION("--store", "DIR", &store, "the store that it was started with"),
        FLAG("--json", &json, "as JSON"),
        OPTION("--html", "FILE", &html, "as a page that needs nothing else; - for stdout"),
        OPTIONS_END,
    };
    const struct command command = {
        .usage = "stepcell report [OPTIONS] ID",
        .about =
            "Tells what happened to a durable step, and when: its phases, the layers of its pull,\n"
            "its output, and what its cell used of processors and memory.",
        .missing = "one step is needed, by its id",
        .words_max = 1,
        .options = options,
    };
    autostepdir step = STEP_DIR_INIT;
    autoreport report = REPORT_INIT;
    enum ledger_record state;
    size_t words;
    struct err err;
    int status;

    if (!command_begin(argc, argv, &command, &words, &status))
        return status;
    if ((words > 0) == (id != NULL)) {
        err_set(&err, ERR_OPTION_INVALID, "one step has to be named, by its id");
        err_hint(&err, "stepcell report ID, which is what --id was");
        return command_failed(&err);
    }
    id = id ? id : argv[0];
    if (!find_step(store, id, &step, &state, &err) || !report_read(&step, id, state, &report, &err))
        return command_failed(&err);
    if (html && !write_page(&report, &step, store, html, &err))
        return command_failed(&err);
    if (html && !json)
        return 0;
    if (json)
        return command_print_json(report_json(&report));
    return write_text(&report, &err) ? 0 : command_failed(&err);
}
