#include "base/process.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"

#define STAT_MAX 4096 /* bytes */

static bool read_boot(char boot[PROCESS_BOOT_MAX])
{
    autobuf text = BUF_INIT(PROCESS_BOOT_MAX - 1);
    struct err ignored;

    if (!file_read(AT_FDCWD, "/proc/sys/kernel/random/boot_id", &text, ERR_ENGINE_FAILED,
                   &ignored) ||
        !text.data)
        return false;
    text.data[strcspn(text.data, "\n")] = '\0';
    snprintf(boot, PROCESS_BOOT_MAX, "%s", text.data);
    return true;
}

bool process_look(pid_t pid, struct process *process)
{
    struct process found = {.pid = pid};
    autobuf text = BUF_INIT(STAT_MAX);
    char path[64];
    struct err ignored;
    const char *rest;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if (!file_read(AT_FDCWD, path, &text, ERR_ENGINE_FAILED, &ignored) || !text.data)
        return false;
    /* The name, in brackets, may hold anything. */
    rest = strrchr(text.data, ')');
    if (!rest || sscanf(rest + 1,
                        " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d "
                        "%*d %" SCNu64,
                        &found.state, &found.start) != 2)
        return false;
    if (!read_boot(found.boot))
        return false;
    *process = found;
    return true;
}

bool process_lives(const struct process *process)
{
    struct process now;

    return process_look(process->pid, &now) && now.start == process->start &&
           strcmp(now.boot, process->boot) == 0;
}
