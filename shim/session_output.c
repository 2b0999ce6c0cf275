/* The file that the step writes its outputs to ($STEPCELL_OUTPUT). */
#include "shim/session.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

void session_keep_output(struct session *session)
{
    int output = session->engine->exit_record(session->cell)->output;

    if (output >= 0)
        session->output_fd = fcntl(output, F_DUPFD_CLOEXEC, 3);
}

static bool failed(struct err *err)
{
    return err_errno(err, ERR_ENGINE_FAILED, "cannot read the step's '%s'", STEP_OUTPUT_PATH);
}

/* Whoever was sent a descriptor of it out of the cell may still write: what comes counts. */
bool session_read_output(struct session *session, struct buf *text, bool *too_long, struct err *err)
{
    autobuf read_so_far = BUF_INIT(STEP_OUTPUT_MAX);
    char chunk[65536];
    struct stat st;
    ssize_t n;

    *too_long = false;
    while (session->output_fd >= 0) {
        /* A file with holes may be longer than anything that could be read. */
        if (fstat(session->output_fd, &st) < 0)
            return failed(err);
        if (st.st_size > STEP_OUTPUT_MAX) {
            *too_long = true;
            return true;
        }
        n = pread(session->output_fd, chunk, sizeof(chunk), (off_t)read_so_far.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return failed(err);
        if (n == 0)
            break;
        if (read_so_far.len + (size_t)n > STEP_OUTPUT_MAX) {
            *too_long = true;
            return true;
        }
        if (!buf_append(&read_so_far, chunk, (size_t)n))
            return err_set(err, ERR_ENGINE_FAILED, "not enough memory for the step's outputs");
    }
    buf_release(text);
    *text = read_so_far;
    read_so_far = BUF_INIT(0);
    return true;
}
