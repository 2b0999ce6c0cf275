/*
 * What stepcell-pod writes into the log of its Pod, and how that is read (pure).
 *
 *   stepcell/1 NUMBER KIND[ TEXT];
 *
 * One line of ASCII for each frame, closed by a semicolon. NUMBER begins with 1 and rises by one.
 * KIND, and TEXT:
 *
 *   ready              everything is mounted and proven; the command is about to start
 *   out, err, var      base64 of 1 to FRAME_BYTES_MAX bytes of stdout, stderr, the output file
 *   asked              the Pod was asked to end, and the command was told
 *   left               base64 of the name of a process that the command left running
 *   fail CODE M H      the cell cannot run the command: an error's code, message and hint, the two
 *                      in base64, "-" for none
 *   exec N, init N, filter N   why the command did not start: errno, see handshake.h
 *   end HOW N OOM OUT ERR VAR  the last: "exit" or "signal" with its number, whether memory ran out
 *                      (0 or 1), and how many bytes there were of each
 *
 * A reader takes each number once: after a break the log is read again from a moment before, and
 * what was taken is passed over. A number that is missing is never passed over without a word.
 *
 * A node that rotates the log may cut a line: its beginning is the last of the one file, its rest
 * the first of the next one, with a time of its own. The two are put together. A line that is no
 * frame is passed over; the number that it may have had is missing then.
 */
#ifndef STEPCELL_RUNTIME_KUBERNETES_FRAMES_H
#define STEPCELL_RUNTIME_KUBERNETES_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define FRAME_MARK      "stepcell/1 "
#define FRAME_CLOSE     ";"
#define FRAME_BYTES_MAX 11000 /* of a stream in one frame */
#define FRAME_LINE_MAX  15000 /* bytes of a line, with the log's time; runtimes split at 16384 */
#define FRAME_TIME_MAX  48    /* bytes of the log's time, with the NUL */
#define FRAME_STRAY_MAX 512   /* bytes of a line that is no frame, with the NUL, that are kept */

enum frame_kind {
    FRAME_READY,
    FRAME_OUT,
    FRAME_ERR,
    FRAME_VAR,
    FRAME_ASKED,
    FRAME_LEFT,
    FRAME_FAIL,
    FRAME_EXEC,
    FRAME_INIT,
    FRAME_FILTER,
    FRAME_END,
    FRAME_KINDS
};

/* A frame that was read. */
struct frame {
    enum frame_kind kind;
    /* Of OUT, ERR, VAR and LEFT. */
    const char *bytes;
    size_t len;
    int value;       /* errno; the exit status or the signal */
    bool is_signal;  /* of END */
    bool oom_killed; /* of END */
    uint64_t counts[3];
    struct err error; /* of FAIL */
};

/* ---- writing ---- */

struct frame_writer {
    uint64_t number; /* of the last frame */
    uint64_t counts[3];
};

/* Each puts a line, with its end, into `line`, and gives its length. */
size_t frame_write_bytes(struct frame_writer *writer, enum frame_kind kind, const void *bytes,
                         size_t len, char line[FRAME_LINE_MAX]);
size_t frame_write_number(struct frame_writer *writer, enum frame_kind kind, int value,
                          char line[FRAME_LINE_MAX]);
size_t frame_write_ready(struct frame_writer *writer, char line[FRAME_LINE_MAX]);
size_t frame_write_asked(struct frame_writer *writer, char line[FRAME_LINE_MAX]);
size_t frame_write_failure(struct frame_writer *writer, const struct err *failure,
                           char line[FRAME_LINE_MAX]);
size_t frame_write_end(struct frame_writer *writer, bool is_signal, int value, bool oom_killed,
                       char line[FRAME_LINE_MAX]);

/* ---- reading ---- */

enum frame_progress {
    FRAMES_MORE,  /* all bytes were taken */
    FRAMES_GAP,   /* a number is missing: read again from `time` on */
    FRAMES_ENDED, /* the last frame has come, and the counts are right */
    FRAMES_WRONG, /* more or less came than the last frame says, or `take` gave false: with err */
};

struct frame_reader {
    uint64_t number;           /* of the last frame that was taken */
    uint64_t counts[3];        /* bytes that came */
    uint64_t lost;             /* frames that were given up */
    bool ended;                /* FRAME_END was taken */
    char time[FRAME_TIME_MAX]; /* of the last frame that was taken; "" for none */
    char stray[FRAME_STRAY_MAX];
    /* Takes each frame, once and in order. */
    bool (*take)(void *data, const struct frame *frame, struct err *err);
    void *data;
    bool gives_up; /* a missing number is counted as lost: it is not going to come */
    /* Its own. */
    char line[FRAME_LINE_MAX];
    size_t used;
    bool skips; /* the rest of a line that is too long */
    char frame[FRAME_LINE_MAX];
};

/* More bytes of the log, with the log's times. */
enum frame_progress frame_reader_feed(struct frame_reader *reader, const void *bytes, size_t len,
                                      struct err *err);

/* The log breaks off, and is about to be read anew: what has come of a line is all that comes. */
enum frame_progress frame_reader_break(struct frame_reader *reader, struct err *err);

#endif
