#include "shim/secrets.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/num.h"
#include "base/path.h"

struct secret_block {
    char *bytes;
    size_t size; /* of the mapping */
};

struct secret_value {
    const char *bytes;
    size_t len;
};

static bool no_memory(struct err *err)
{
    return err_set(err, ERR_ENGINE_FAILED, "not enough memory for the secrets");
}

static size_t whole_pages(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    return (size + page - 1) / page * page;
}

/* Memory for `max` bytes and one more; NULL without. What is not used is given back by trim. */
static char *make_block(struct secrets *secrets, size_t max)
{
    size_t size = whole_pages(max + 1);
    struct secret_block *blocks =
        realloc(secrets->blocks, (secrets->block_count + 1) * sizeof(*blocks));
    char *bytes;

    if (!blocks)
        return NULL;
    secrets->blocks = blocks;
    bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (bytes == MAP_FAILED)
        return NULL;
    madvise(bytes, size, MADV_DONTDUMP);
    blocks[secrets->block_count++] = (struct secret_block){bytes, size};
    return bytes;
}

/* Of the block that was made last. A caller's limit of locked memory is often small. */
static void trim(struct secrets *secrets, size_t len)
{
    struct secret_block *block = &secrets->blocks[secrets->block_count - 1];
    size_t size = whole_pages(len + 1);

    if (size < block->size && munmap(block->bytes + size, block->size - size) == 0)
        block->size = size;
    (void)!mlock(block->bytes, block->size);
}

static bool add_value(struct secrets *secrets, const char *bytes, size_t len, struct err *err)
{
    struct secret_value *values = secrets->values;
    size_t count = secrets->value_count;

    while (len && (bytes[len - 1] == '\n' || bytes[len - 1] == '\r'))
        len--;
    if (!len)
        return true;
    if (count >= SECRETS_MAX)
        return err_set(err, ERR_OPTION_INVALID, "more than %d values are to be masked",
                       SECRETS_MAX);
    /* Doubled whenever it is full. */
    if ((count & (count - 1)) == 0) {
        values = realloc(values, (count ? 2 * count : 1) * sizeof(*values));
        if (!values)
            return no_memory(err);
        secrets->values = values;
    }
    values[secrets->value_count++] = (struct secret_value){bytes, len};
    return true;
}

static bool add_variable(struct secrets *secrets, const char *name, char **caller, struct err *err)
{
    size_t name_len = strlen(name), len;
    char *bytes;

    while (*caller && (strncmp(*caller, name, name_len) != 0 || (*caller)[name_len] != '='))
        caller++;
    if (!*caller) {
        err_set(err, ERR_OPTION_INVALID, "'%s' is not in the environment of stepcell", name);
        return err_hint(err, "--secret-env passes a variable of the caller's: export it first");
    }
    len = strlen(*caller + name_len + 1);
    bytes = make_block(secrets, len);
    if (!bytes)
        return no_memory(err);
    memcpy(bytes, *caller + name_len + 1, len);
    trim(secrets, len);
    return add_value(secrets, bytes, len, err);
}

/* A file on its way into a block. */
struct reading {
    const char *path;
    int fd;
    char *bytes;
    size_t len, max;
    bool complete;
    struct loop *loop;
};

static bool cannot_read(const char *path, struct err *err)
{
    err_errno(err, ERR_OPTION_INVALID, "cannot read '%s'", path);
    return err_hint(err, "check the path: it has to be a file that the caller can read");
}

static bool read_some(void *data, uint32_t events, struct err *err)
{
    struct reading *reading = data;
    ssize_t n = read(reading->fd, reading->bytes + reading->len, reading->max + 1 - reading->len);

    (void)events;
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return true;
    if (n < 0)
        return cannot_read(reading->path, err);
    reading->len += (size_t)n;
    if (reading->len > reading->max)
        return err_set(err, ERR_OPTION_INVALID, "'%s' is larger than %zu bytes", reading->path,
                       reading->max);
    reading->complete = n == 0;
    if (reading->complete)
        loop_stop(reading->loop);
    return true;
}

/* The number in /dev/fd/N, which is how a shell names the pipe of <(…), or -1. */
static int descriptor_of(const char *path)
{
    static const char prefix[] = "/dev/fd/";
    uint64_t number;

    if (strncmp(path, prefix, sizeof(prefix) - 1) != 0 ||
        !num_parse(path + sizeof(prefix) - 1, INT32_MAX, &number))
        return -1;
    return (int)number;
}

/* A regular file, or a pipe that the caller has opened itself: any other could wait for ever. */
static int open_source(const char *path, bool *is_pipe, struct err *err)
{
    int number = descriptor_of(path);
    autofd fd = number >= 0 ? fcntl(number, F_DUPFD_CLOEXEC, 3)
                            : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0) {
        cannot_read(path, err);
        return -1;
    }
    *is_pipe = number >= 0 && S_ISFIFO(st.st_mode);
    if (!S_ISREG(st.st_mode) && !*is_pipe) {
        err_set(err, ERR_OPTION_INVALID, "'%s' is not a regular file", path);
        err_hint(err, "name a regular file, or a pipe as <(…) gives it");
        return -1;
    }
    return TAKE_FD(fd);
}

static bool note_place(struct strv *places, int fd, const char *path, struct err *err)
{
    char place[PATH_MAX];

    if (!path_of_open(fd, place))
        return err_set(err, ERR_OPTION_INVALID, "nobody can tell where '%s' lies", path);
    return strv_add(places, place) || no_memory(err);
}

/*
 * Reads a file of at most `max` bytes into a block of its own. `places`, unless NULL, gets the path
 * of the file that was read.
 */
static bool read_file(struct secrets *secrets, struct loop *loop, const char *path, size_t max,
                      struct strv *places, struct secret_value *out, struct err *err)
{
    struct reading reading = {.path = path, .max = max, .loop = loop};
    bool is_pipe, ok = true;
    autofd fd = open_source(path, &is_pipe, err);
    struct loop_io io = {fd, read_some, &reading};

    if (fd < 0)
        return false;
    if (places && !is_pipe && !note_place(places, fd, path, err))
        return false;
    reading.fd = fd;
    reading.bytes = make_block(secrets, max);
    if (!reading.bytes)
        return no_memory(err);
    if (is_pipe) {
        ok = loop_add(loop, &io, EPOLLIN, err) && loop_run(loop, err);
        loop_remove(loop, &io);
    } else {
        while (ok && !reading.complete)
            ok = read_some(&reading, 0, err);
    }
    if (ok && !reading.complete)
        ok = err_set(err, ERR_ENGINE_FAILED, "a signal came before '%s' was read", path);
    if (!ok)
        return false;
    trim(secrets, reading.len);
    *out = (struct secret_value){reading.bytes, reading.len};
    return true;
}

/* NAME=FILE, which the options have looked at. */
static bool add_file(struct secrets *secrets, struct loop *loop, const char *given, struct err *err)
{
    const char *path = strchr(given, '=') + 1;
    struct secret_file *files = realloc(secrets->files, (secrets->file_count + 1) * sizeof(*files));
    struct secret_value content;
    char *name;

    if (!files)
        return no_memory(err);
    secrets->files = files;
    if (!read_file(secrets, loop, path, SECRET_FILE_MAX, &secrets->places, &content, err))
        return false;
    name = strndup(given, (size_t)(path - 1 - given));
    if (!name)
        return no_memory(err);
    files[secrets->file_count++] = (struct secret_file){name, content.bytes, content.len};
    return add_value(secrets, content.bytes, content.len, err);
}

static bool add_lines(struct secrets *secrets, struct loop *loop, const char *path, struct err *err)
{
    struct secret_value content;

    if (!read_file(secrets, loop, path, MASK_FILE_MAX, NULL, &content, err))
        return false;
    while (content.len) {
        const char *end = memchr(content.bytes, '\n', content.len);
        size_t len = end ? (size_t)(end - content.bytes) : content.len;

        if (!add_value(secrets, content.bytes, len, err))
            return false;
        len += end ? 1 : 0;
        content.bytes += len;
        content.len -= len;
    }
    return true;
}

bool secrets_gather(struct secrets *secrets, const struct run_options *options, char **caller,
                    struct loop *loop, struct errs *refused, struct err *err)
{
    size_t before = refused->count;

    for (size_t i = 0; i < options->secret_env.count; i++) {
        if (!errs_pass(refused, add_variable(secrets, options->secret_env.items[i], caller, err),
                       err))
            return false;
    }
    for (size_t i = 0; i < options->secret_files.count; i++) {
        if (!errs_pass(refused, add_file(secrets, loop, options->secret_files.items[i], err), err))
            return false;
    }
    for (size_t i = 0; i < options->mask_files.count; i++) {
        if (!errs_pass(refused, add_lines(secrets, loop, options->mask_files.items[i], err), err))
            return false;
    }
    secrets->incomplete = refused->count > before;
    return true;
}

void secrets_release(struct secrets *secrets)
{
    for (size_t i = 0; i < secrets->block_count; i++) {
        explicit_bzero(secrets->blocks[i].bytes, secrets->blocks[i].size);
        munmap(secrets->blocks[i].bytes, secrets->blocks[i].size);
    }
    for (size_t i = 0; i < secrets->file_count; i++)
        free((char *)secrets->files[i].name);
    strv_release(&secrets->places);
    free(secrets->blocks);
    free(secrets->values);
    free(secrets->files);
    *secrets = (struct secrets){0};
}

size_t secrets_count(const struct secrets *secrets)
{
    return secrets->value_count;
}

const char *secrets_value(const struct secrets *secrets, size_t i, size_t *len)
{
    *len = secrets->values[i].len;
    return secrets->values[i].bytes;
}
