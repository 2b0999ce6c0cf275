/*
 * What is told of a pull: on stderr in lines, or in one line that changes where that is a terminal;
 * and to whoever asked for the image, as JSON:
 *
 *     {"progress": {"bytes", "total", "layers", "layers_total", "layer"}}
 *
 * when the pull begins, twice a second at the most, and when everything is there; and once for each
 * layer that has become complete, then with {"digest", "bytes", "start", "ms"} as "layer"; and
 * {"warning"}.
 */
#ifndef STEPCELL_SHIM_IMAGE_PROGRESS_H
#define STEPCELL_SHIM_IMAGE_PROGRESS_H

#include "runtime/image/fetch.h"

enum progress_mode { PROGRESS_NONE, PROGRESS_PLAIN, PROGRESS_BAR };

struct progress {
    enum progress_mode mode;
    int64_t last;            /* clock_now() of the last change of the bar, or of the last line */
    size_t layers, complete; /* of those that were missing */
    bool line_open;          /* the bar stands in a line that is not ended */
    int report;              /* where the JSON goes, or -1; borrowed */
    uint64_t done, total;    /* bytes */
    int64_t reported;        /* clock_now() of the last line of JSON */
};

#define PROGRESS_INIT ((struct progress){.report = -1})

/* `mode` is "auto", "plain", "none", or NULL for "auto". */
bool progress_init(const char *mode, struct progress *progress, struct err *err);
struct fetch_progress progress_callbacks(struct progress *progress);

/* Reports the end of a pull, when there was anything to pull. */
void progress_complete(struct progress *progress);

/* Ends the line of a bar, so that a message can follow. */
void progress_end(void *data);

#endif
