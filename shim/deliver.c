#include "shim/deliver.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/child.h"
#include "base/file.h"
#include "base/json.h"
#include "base/libexec.h"
#include "runtime/net/url.h"
#include "shim/acked.h"

/* What curl reads of the environment for us: a secret of a step must not stay in a process that
 * may live for a day. */
static const char *const passed_names[] = {
    "http_proxy", "https_proxy", "all_proxy",     "no_proxy",       "HTTP_PROXY",   "HTTPS_PROXY",
    "ALL_PROXY",  "NO_PROXY",    "SSL_CERT_FILE", "REQUEST_METHOD", "ASAN_OPTIONS",
};

/* "host", "host:80", "[2001:db8::1]:80": stricter than libcurl, which reads it in the end. */
static bool is_authority(const char *text, size_t len)
{
    static const char names[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";
    size_t host;

    if (len && text[0] == '[') {
        host = 1 + strspn(text + 1, "0123456789abcdefABCDEF:.");
        if (host < 3 || text[host++] != ']')
            return false;
    } else {
        host = strspn(text, names);
    }
    if (host == 0 || host >= len)
        return host == len && host > 0;
    return text[host] == ':' && host + 1 < len &&
           strspn(text + host + 1, "0123456789") == len - host - 1;
}

static bool check_url(const char *url, struct err *err)
{
    size_t scheme = strncasecmp(url, "https://", 8) == 0 ? 8 : 7, len;

    if (scheme == 7 && strncasecmp(url, "http://", 7) != 0)
        return err_set(err, ERR_OPTION_INVALID,
                       "the receiver of events is no URL that begins with http:// or https://");
    len = strcspn(url + scheme, "/?#");
    /* Not quoted: it may hold a password. */
    if (memchr(url + scheme, '@', len)) {
        err_set(err, ERR_OPTION_INVALID, "the URL of the receiver of events names a user");
        return err_hint(err, "put the receiver's token into a file of its own");
    }
    if (!is_authority(url + scheme, len))
        return err_set(err, ERR_OPTION_INVALID,
                       "the URL of the receiver of events, '%.200s', has no valid host", url);
    for (const char *p = url; *p; p++) {
        if (*p <= ' ' || *p >= 0x7f)
            return err_set(err, ERR_OPTION_INVALID,
                           "the URL of the receiver of events holds a character that has to be "
                           "percent-encoded");
    }
    if (strlen(url) > URL_MAX)
        return err_set(err, ERR_OPTION_INVALID,
                       "the URL of the receiver of events is longer than %d bytes", URL_MAX);
    return true;
}

bool deliver_check(const char *url, const char *token_file, struct err *err)
{
    if (!check_url(url, err))
        return false;
    return !token_file || token_file[0] == '/' ||
           err_set(err, ERR_OPTION_INVALID, "the path of the token file, '%s', is not absolute",
                   token_file);
}

bool deliver_write_target(int dirfd, const char *url, const char *token_file, bool no_links,
                          struct err *err)
{
    autojson *json = NULL;
    autofree char *text = NULL;

    if (!deliver_check(url, token_file, err))
        return false;
    json = json_pack("{s:s, s:s, s:s?, s:b}", "schema", "stepcell.target/1", "url", url,
                     "token_file", token_file, "no_links", no_links);
    if (!json)
        return err_set(err, ERR_OPTION_INVALID, "the path of the token file is not UTF-8");
    text = json_dump_line(json);
    if (!text)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot write '%s'", STEP_TARGET);
    return file_replace(dirfd, STEP_TARGET, text, strlen(text), 0600, ERR_ENGINE_FAILED, err);
}

static bool select_environment(struct strv *environment)
{
    for (size_t i = 0; i < ARRAY_SIZE(passed_names); i++) {
        const char *value = getenv(passed_names[i]);

        if (value && !strv_take(environment, text_printf("%s=%s", passed_names[i], value)))
            return false;
    }
    return true;
}

/* In the grandchild; whoever started it reads its number, and errno when it comes to nothing. */
_Noreturn static void execute(const char *path, const char *dir, char **environment, int report)
{
    char *const words[] = {(char *)path, (char *)dir, NULL};
    char *const nothing[] = {NULL};
    pid_t self = getpid();
    sigset_t none;
    int error;

    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (write(report, &self, sizeof(self)) == (ssize_t)sizeof(self) && chdir("/") == 0 &&
        child_keep_only(&report, 1)) {
        /* The descriptor of /dev/null itself is one of them where the caller had closed them. */
        for (int fd = 0; fd <= STDERR_FILENO; fd++)
            fcntl(fd, F_SETFD, 0);
        execve(path, words, environment ? environment : nothing);
    }
    error = errno;
    (void)!write(report, &error, sizeof(error));
    _exit(127);
}

/* Starts it as the child of a process that is gone already. */
static pid_t start(const char *path, const char *dir, char **environment, int report)
{
    pid_t child = fork();

    if (child != 0)
        return child;
    if (setsid() < 0)
        _exit(1);
    child = fork();
    if (child == 0)
        execute(path, dir, environment, report);
    _exit(child < 0);
}

/* The whole of a value out of the pipe; the writing ends may be gone. */
static bool receive(int fd, void *value, size_t len)
{
    ssize_t n;

    do
        n = read(fd, value, len);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)len;
}

bool deliver_start(const char *dir, pid_t *pid, struct err *err)
{
    autofree char *path = libexec_path("stepcell-events", err), *real = NULL;
    autostrv environment = {0};
    autofd reader = -1, writer = -1;
    int ends[2], error;
    pid_t child, started;

    if (!path)
        return false;
    real = realpath(dir, NULL);
    if (!real)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot deliver events out of '%s'", dir);
    if (!select_environment(&environment) || pipe2(ends, O_CLOEXEC) < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot start '%s'", path);
    reader = ends[0];
    writer = ends[1];
    /* A number below 3 would be taken for a standard stream. */
    if (writer <= STDERR_FILENO) {
        int higher = fcntl(writer, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

        close_fd(writer);
        writer = higher;
    }
    child = start(path, real, environment.items, writer);
    writer = close_fd(writer);
    if (child < 0 || child_wait(child) != 0 || !receive(reader, &started, sizeof(started)))
        return err_errno(err, ERR_ENGINE_FAILED, "cannot start '%s'", path);
    if (receive(reader, &error, sizeof(error))) {
        errno = error;
        return err_errno(err, ERR_ENGINE_FAILED, "cannot start '%s'", path);
    }
    *pid = started;
    return true;
}

bool deliver_is_done(int dirfd)
{
    struct stat directory, log;
    struct acked acked;
    struct err err;

    if (fstat(dirfd, &directory) == 0 && directory.st_nlink == 0)
        return true;
    return fstatat(dirfd, STEP_EVENTS, &log, AT_SYMLINK_NOFOLLOW) == 0 &&
           acked_read(dirfd, &acked, &err) && acked.offset == (uint64_t)log.st_size;
}
