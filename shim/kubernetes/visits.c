/* Starts visits, and knows which there are. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/libexec.h"
#include "shim/kubernetes/visit.h"

static int write_spec(const json_t *request, bool attach)
{
    autojson *spec =
        json_pack("{s:s?, s:s?, s:s?, s:s?, s:s?, s:b}", "kubeconfig",
                  json_text(request, "kubeconfig"), "context", json_text(request, "context"),
                  "namespace", json_text(request, "namespace"), "name", json_text(request, "name"),
                  "program", json_text(request, "program"), "attach", attach);
    autofree char *text = spec ? json_dump_line(spec) : NULL;
    autofd fd = memfd_create("visit", MFD_CLOEXEC);

    if (!text || fd < 0 || !file_write_all(fd, text, strlen(text)) || lseek(fd, 0, SEEK_SET) < 0)
        return -1;
    return TAKE_FD(fd);
}

static pid_t start(const json_t *request, const int *fds, size_t count, int *control,
                   struct err *err)
{
    char *const words[] = {"stepcell-kubernetes", "visit", NULL};
    autofd spec = write_spec(request, count == 1);
    int all[] = {spec, fds[0], count > 1 ? fds[1] : -1};

    if (spec < 0) {
        err_errno(err, ERR_ENGINE_FAILED, "cannot prepare a way into the Pod");
        return 0;
    }
    return libexec_start_beside(words, all, 1 + count, control, err);
}

static pid_t *free_place(struct visits *visits)
{
    for (size_t i = 0; i < VISITORS_MAX; i++) {
        if (!visits->pids[i])
            return &visits->pids[i];
    }
    return NULL;
}

void visits_admit(struct visits *visits, const json_t *request, int asked, int socket)
{
    const int fds[] = {socket, asked};
    pid_t *place = free_place(visits);
    int control = -1;
    struct err err;

    if (place)
        *place = start(request, fds, ARRAY_SIZE(fds), &control, &err);
    if (!place)
        (void)!handshake_send(socket, MESSAGE_INIT_FAILED, EUSERS, -1);
    else if (!*place)
        handshake_fail(socket, &err);
    close_fd(control);
    close(asked);
    close(socket);
}

bool visits_attach(struct visits *visits, const json_t *request, int in, struct err *err)
{
    visits->input = start(request, &in, 1, &visits->control, err);
    return visits->input > 0;
}

void visits_reap(struct visits *visits)
{
    for (size_t i = 0; i < VISITORS_MAX; i++) {
        if (visits->pids[i] && waitpid(visits->pids[i], NULL, WNOHANG) == visits->pids[i])
            visits->pids[i] = 0;
    }
}
