#include "shim/image/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "shim/print.h"
#include "shim/units.h"

#define BAR_WIDTH    30
#define BAR_LINE_MAX 192
#define REDRAW_NS    (100 * NS_PER_MS)
#define LINE_NS      (5000 * NS_PER_MS)
#define REPORT_NS    (500 * NS_PER_MS)

bool progress_init(const char *mode, struct progress *progress, struct err *err)
{
    static const struct {
        const char *name;
        enum progress_mode mode;
    } modes[] = {
        {"plain", PROGRESS_PLAIN},
        {"none", PROGRESS_NONE},
    };

    if (!mode || strcmp(mode, "auto") == 0) {
        progress->mode = isatty(STDERR_FILENO) ? PROGRESS_BAR : PROGRESS_PLAIN;
        return true;
    }
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        if (strcmp(mode, modes[i].name) == 0) {
            progress->mode = modes[i].mode;
            return true;
        }
    }
    return err_set(err, ERR_OPTION_INVALID, "'%s' is not a kind of progress: auto, plain or none",
                   mode);
}

static json_t *layer_json(const struct fetch_layer *layer)
{
    char start[CLOCK_TEXT_MAX];

    clock_text(&layer->start, start);
    return json_pack("{s:o, s:I, s:s, s:f}", "digest", json_bytes(layer->name, strlen(layer->name)),
                     "bytes", (json_int_t)layer->bytes, "start", start, "ms",
                     (double)(layer->ns / 1000) / 1000);
}

/* Whoever does not read it any more learns the end by the report, or not at all. */
static void report(struct progress *progress, const struct fetch_layer *layer)
{
    autojson *line = NULL;
    autofree char *text = NULL;

    progress->reported = clock_now();
    if (progress->report < 0)
        return;
    line = json_pack("{s:{s:I, s:I, s:I, s:I, s:o*}}", "progress", "bytes",
                     (json_int_t)progress->done, "total", (json_int_t)progress->total, "layers",
                     (json_int_t)progress->complete, "layers_total", (json_int_t)progress->layers,
                     "layer", layer ? layer_json(layer) : NULL);
    text = line ? json_dump_line(line) : NULL;
    if (text)
        dprintf(progress->report, "%s\n", text);
}

static void report_warning(const struct progress *progress, const char *message)
{
    autojson *line = json_pack("{s:o}", "warning", json_bytes(message, strlen(message)));
    autofree char *text = line && progress->report >= 0 ? json_dump_line(line) : NULL;

    if (text)
        dprintf(progress->report, "%s\n", text);
}

static void report_now_and_then(struct progress *progress)
{
    if (clock_now() - progress->reported >= REPORT_NS)
        report(progress, NULL);
}

static void begin(void *data, size_t layers, uint64_t bytes)
{
    struct progress *progress = data;
    char size[UNITS_MAX];

    progress->layers = layers;
    progress->complete = 0;
    progress->done = 0;
    progress->total = bytes;
    progress->last = clock_now();
    report(progress, NULL);
    if (progress->mode != PROGRESS_NONE)
        print_note(PRINT_NORMAL, "pulling %zu layer%s, %s", layers, layers == 1 ? "" : "s",
                   units_size(bytes, size));
}

/* A line that replaces itself: the one thing that is not printed by lines. */
static void draw(struct progress *progress, const char *text)
{
    char line[BAR_LINE_MAX];
    int len = snprintf(line, sizeof(line), "\rstepcell: %s\033[K", text);

    progress->line_open = true;
    (void)!file_write_all(STDERR_FILENO, line, (size_t)len);
}

static void draw_bar(struct progress *progress, uint64_t done, uint64_t size)
{
    static const char full[] = "##############################";
    int filled = size ? (int)(done * BAR_WIDTH / size) : BAR_WIDTH;
    char text[BAR_LINE_MAX - 32], done_text[UNITS_MAX], size_of_all[UNITS_MAX];

    snprintf(text, sizeof(text), "[%.*s%*s] %s of %s, %zu/%zu layers", filled, full,
             BAR_WIDTH - filled, "", units_size(done, done_text), units_size(size, size_of_all),
             progress->complete, progress->layers);
    draw(progress, text);
}

/* A log gets a line for each layer, and one now and then while nothing else is said. */
static void bytes(void *data, uint64_t done, uint64_t size)
{
    struct progress *progress = data;
    int64_t now = clock_now();
    char text[UNITS_MAX], all[UNITS_MAX];

    /* A blob that turns out damaged was not counted among those that are missing. */
    done = done < size ? done : size;
    progress->done = done;
    report_now_and_then(progress);
    if (progress->mode == PROGRESS_BAR && now - progress->last >= REDRAW_NS) {
        progress->last = now;
        draw_bar(progress, done, size);
    } else if (progress->mode == PROGRESS_PLAIN && now - progress->last >= LINE_NS) {
        progress->last = now;
        print_note(PRINT_NORMAL, "%s of %s", units_size(done, text), units_size(size, all));
    }
}

static void layer(void *data, const struct fetch_layer *which, size_t count, size_t layers)
{
    struct progress *progress = data;

    progress->complete = count;
    report(progress, which);
    if (progress->mode != PROGRESS_PLAIN)
        return;
    progress->last = clock_now();
    print_note(PRINT_NORMAL, "layer %zu/%zu is ready", count, layers);
}

void progress_complete(struct progress *progress)
{
    if (progress->layers == 0)
        return;
    progress->done = progress->total;
    progress->complete = progress->layers;
    report(progress, NULL);
}

void progress_end(void *data)
{
    struct progress *progress = data;

    if (progress->line_open)
        (void)!file_write_all(STDERR_FILENO, "\r\033[K", 4);
    progress->line_open = false;
}

static void warning(void *data, const char *registry, const char *text)
{
    struct progress *progress = data;
    autofree char *message = text_printf("the registry '%s' warns: %s", registry, text);

    if (!message)
        return;
    progress_end(progress);
    if (progress->mode != PROGRESS_NONE)
        print_note(PRINT_NORMAL, "%s", message);
    report_warning(progress, message);
}

struct fetch_progress progress_callbacks(struct progress *progress)
{
    return (struct fetch_progress){
        .begin = begin,
        .bytes = bytes,
        .layer = layer,
        .end = progress_end,
        .warning = warning,
        .data = progress,
    };
}
