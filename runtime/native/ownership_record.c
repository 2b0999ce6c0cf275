#include "runtime/native/ownership_record.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/file.h"
#include "runtime/native/ownership.h"

#define AGAIN_MS 100  /* that a call waits for what was not done in time before */
#define LOOK_MS  30   /* after which a child that has looked at nothing more is none at work */
#define TRIED    0400 /* mode of a record of such */

bool ownership_record_text(const struct ownership_record *record, struct buf *text)
{
    bool ok = buf_printf(text, "%u %u %jd %ld %s", record->uid, record->gid,
                         (intmax_t)record->start.tv_sec, record->start.tv_nsec, record->step) &&
              buf_append(text, "", 1);

    for (size_t i = 0; ok && i < record->plan.count; i++) {
        const struct mount_source *source = &record->plan.mounts[i].source;

        if (ownership_is_writable(&record->plan.mounts[i]))
            ok = buf_printf(text, "%ju %ju %jd %ld %u %u %s", (uintmax_t)source->dev,
                            (uintmax_t)source->ino, (intmax_t)source->birth.tv_sec,
                            source->birth.tv_nsec, source->uid, source->gid, source->resolved) &&
                 buf_append(text, "", 1);
    }
    return ok;
}

static bool parse_source(const char *text, struct mount_plan *plan)
{
    struct mount *mount;
    uintmax_t dev, ino;
    intmax_t birth;
    int path = 0;

    if (plan->count == MOUNT_PLAN_MAX)
        return false;
    mount = realloc(plan->mounts, (plan->count + 1) * sizeof(*mount));
    if (!mount)
        return false;
    plan->mounts = mount;
    mount += plan->count++;
    *mount = (struct mount){.kind = MOUNT_BIND};
    if (sscanf(text, "%ju %ju %jd %ld %u %u %n", &dev, &ino, &birth, &mount->source.birth.tv_nsec,
               &mount->source.uid, &mount->source.gid, &path) != 6 ||
        text[path] != '/')
        return false;
    mount->source.dev = dev;
    mount->source.ino = ino;
    mount->source.birth.tv_sec = birth;
    mount->source.resolved = strdup(text + path);
    return mount->source.resolved;
}

bool ownership_record_parse(const struct buf *text, struct ownership_record *record)
{
    autobuf again = BUF_INIT(OWNERSHIP_RECORD_MAX);
    intmax_t seconds;
    int step = 0;
    bool ok;

    *record = (struct ownership_record){0};
    if (text->len == 0 ||
        sscanf(text->data, "%u %u %jd %ld %n", &record->uid, &record->gid, &seconds,
               &record->start.tv_nsec, &step) != 4 ||
        step == 0)
        return false;
    record->start.tv_sec = seconds;
    record->step = strdup(text->data + step);
    ok = record->step;
    for (size_t at = strlen(text->data) + 1; ok && at < text->len;
         at += strlen(text->data + at) + 1)
        ok = parse_source(text->data + at, &record->plan);
    return ok && ownership_record_text(record, &again) && again.len == text->len &&
           memcmp(again.data, text->data, text->len) == 0;
}

void ownership_record_release(struct ownership_record *record)
{
    mount_plan_release(&record->plan);
    free(record->step);
}
#define autorecord CLEANUP(ownership_record_release) struct ownership_record

bool ownership_record_write(int place, const struct run_spec *spec, const struct idmap *map,
                            const struct timespec *start, struct err *err)
{
    autobuf text = BUF_INIT(OWNERSHIP_RECORD_MAX);
    struct ownership_record record = {spec->uid, spec->gid, *start,
                                      spec->step ? (char *)spec->step : "", *spec->plan};
    autofd file = -1;

    if (map->kind == IDMAP_SINGLE || !ownership_has_other_ids(spec))
        return true;
    file = file_open_own(place, OWNERSHIP_RECORD, O_WRONLY);
    if (file < 0)
        file = openat(place, OWNERSHIP_RECORD, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    /* A cell that was refused has left one. */
    return (file >= 0 && ftruncate(file, 0) == 0 && ownership_record_text(&record, &text) &&
            file_write_all(file, text.data, text.len)) ||
           err_errno(err, ERR_ENGINE_FAILED, "cannot record whose files the step may leave");
}

bool ownership_forget(int place)
{
    autofd file = file_open_own(place, OWNERSHIP_RECORD, O_WRONLY);

    return file >= 0 ? ftruncate(file, 0) == 0 : errno == ENOENT;
}

bool ownership_is_forgotten(int place, const char *name)
{
    struct stat st;

    return strcmp(name, OWNERSHIP_RECORD) == 0 &&
           fstatat(place, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
           st.st_size == 0;
}

struct undoing {
    struct ownership_cell ended;
    int place;
    int userns;
    struct file_budget *budget; /* shared with the child: what it has looked at */
};

/* The lock of the place lasts as long as a child does that nothing ends. */
_Noreturn static void give_back(const struct undoing *undoing)
{
    const int keep[] = {undoing->place, undoing->ended.store, undoing->userns};

    prctl(PR_SET_NAME, "stepcell-tidy");
    if (!child_keep_only(keep, ARRAY_SIZE(keep)) ||
        (undoing->userns >= 0 && setns(undoing->userns, CLONE_NEWUSER) < 0))
        _exit(1);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a change of credentials may clear it */
    _exit(ownership_give_back(&undoing->ended, undoing->budget) ? 0 : 1);
}

static void mark(int place, mode_t mode)
{
    autofd file = file_open_own(place, OWNERSHIP_RECORD, O_RDONLY);

    if (file >= 0)
        fchmod(file, mode);
}

/* Whether the child ends in time; *busy: it was at work at last. */
static bool ends_until(pid_t child, const struct file_budget *budget, int64_t deadline, bool *busy)
{
    autofd pidfd = (int)syscall(SYS_pidfd_open, child, 0);
    struct pollfd end = {.fd = pidfd, .events = POLLIN};
    int64_t rest;

    *busy = false;
    while ((rest = (deadline - clock_now()) / NS_PER_MS) > 0) {
        uint64_t before = __atomic_load_n(&budget->used, __ATOMIC_RELAXED);

        if (poll(&end, 1, (int)(rest < LOOK_MS ? rest : LOOK_MS)) == 1)
            return true;
        if (rest >= LOOK_MS)
            *busy = __atomic_load_n(&budget->used, __ATOMIC_RELAXED) != before;
    }
    return false;
}

/* By a child, since a server that does not answer can hold up who asks for ever. */
static bool give_back_until(const struct undoing *undoing, int64_t deadline)
{
    bool busy;
    pid_t child = deadline > clock_now() ? fork() : -1;

    if (child == 0)
        give_back(undoing);
    if (child < 0)
        return false;
    if (ends_until(child, undoing->budget, deadline, &busy)) {
        if (child_wait(child) == 0)
            return true;
    } else {
        kill(child, SIGKILL);
    }
    mark(undoing->place, busy ? 0600 : TRIED);
    return false;
}

/* The ids of the cell are the caller's to change in a namespace that has them. */
static bool undo(const struct ownership_record *record, int place, int64_t deadline)
{
    /* The place is STORE/cells/N. */
    autofd store = openat(place, "../..", O_PATH | O_DIRECTORY | O_CLOEXEC);
    autofd userns = -1;
    struct file_budget *budget;
    struct idmap map;
    struct undoing undoing = {
        .ended = {.plan = &record->plan,
                  .map = &map,
                  .had_other_ids = true,
                  .start = record->start,
                  .store = store},
        .place = place,
    };
    struct err ignored;
    bool ok;

    if (!idmap_for_step(record->uid, record->gid, &map, &ignored) || map.kind == IDMAP_SINGLE)
        return false;
    if (map.kind == IDMAP_RANGES && (userns = idmap_open_userns(&map, &ignored)) < 0)
        return false;
    undoing.userns = userns;
    budget = mmap(NULL, sizeof(*budget), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (budget == MAP_FAILED)
        return false;
    *budget = (struct file_budget){.max = UINT64_MAX};
    undoing.budget = budget;
    ok = give_back_until(&undoing, deadline);
    munmap(budget, sizeof(*budget));
    return ok;
}

/* False with errno ENOENT without one; *mode is 0 when it was not written to its end. */
static bool read_record(int place, struct ownership_record *record, mode_t *mode)
{
    autofd file = file_open_own(place, OWNERSHIP_RECORD, O_RDONLY);
    autobuf text = BUF_INIT(OWNERSHIP_RECORD_MAX);
    struct err ignored;
    struct stat st;

    if (file < 0 || fstat(file, &st) < 0)
        return false;
    errno = EIO;
    if (!file_read_fd(file, OWNERSHIP_RECORD, &text, ERR_ENGINE_FAILED, &ignored))
        return false;
    *mode = ownership_record_parse(&text, record) ? st.st_mode & 0777 : 0;
    return true;
}

bool ownership_undo(int place, int64_t deadline)
{
    autorecord record = {0};
    mode_t mode;

    if (!read_record(place, &record, &mode))
        return errno == ENOENT;
    if (mode == TRIED && deadline > clock_now() + AGAIN_MS * NS_PER_MS)
        deadline = clock_now() + AGAIN_MS * NS_PER_MS;
    /* One that was not written to its end is of a cell whose step had not started. */
    if (mode == 0 || undo(&record, place, deadline))
        return unlinkat(place, OWNERSHIP_RECORD, 0) == 0;
    return false;
}

bool ownership_is_noted(int place, const char *step)
{
    autorecord record = {0};
    mode_t mode;

    return read_record(place, &record, &mode) && mode != 0 && strcmp(record.step, step) == 0;
}
