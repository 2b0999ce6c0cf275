#include "runtime/native/resolv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "base/program.h"
#include "runtime/native/network.h"

#define KEYWORD     "nameserver"
#define ADDRESS_MAX 64
/* Where systemd-resolved, which itself listens on 127.0.0.53, names the servers that it asks. */
#define UPSTREAM "/run/systemd/resolve/resolv.conf"

/* The address of a "nameserver" line as resolv.conf(5) has it; false for any other line. */
static bool server_of(const char *line, size_t len, char address[ADDRESS_MAX])
{
    size_t at = strlen(KEYWORD), end;

    if (len <= at || memcmp(line, KEYWORD, at) != 0 || (line[at] != ' ' && line[at] != '\t'))
        return false;
    while (at < len && (line[at] == ' ' || line[at] == '\t'))
        at++;
    for (end = at; end < len && !strchr(" \t\r", line[end]); end++)
        ;
    if (end - at >= ADDRESS_MAX)
        end = at; /* no address is that long */
    memcpy(address, line + at, end - at);
    address[end - at] = '\0';
    return true;
}

static bool can_reach(const char *address, const struct resolv_host *host)
{
    struct in6_addr six;
    struct in_addr four;

    if (inet_pton(AF_INET, address, &four) == 1) {
        uint32_t number = ntohl(four.s_addr);

        /* 0.0.0.0 is the host itself, too. */
        return number >> 24 != 127 && number != 0 && !(host->is_own && host->is_own(address));
    }
    /* One with a zone is of a link that the cell does not have; inet_pton(3) knows no zones. */
    return host->has_ipv6 && inet_pton(AF_INET6, address, &six) == 1 &&
           !IN6_IS_ADDR_LOOPBACK(&six) && !IN6_IS_ADDR_UNSPECIFIED(&six) &&
           !IN6_IS_ADDR_LINKLOCAL(&six) && !IN6_IS_ADDR_V4MAPPED(&six) &&
           !(host->is_own && host->is_own(address));
}

static enum resolv_verdict judge(const char *text, const struct resolv_host *host)
{
    bool kept = false, dropped = false;

    for (; *text; text += strcspn(text, "\n"), text += *text == '\n') {
        char address[ADDRESS_MAX];

        if (!server_of(text, strcspn(text, "\n"), address))
            continue;
        if (can_reach(address, host))
            kept = true;
        else
            dropped = true;
    }
    if (dropped && host->forward)
        return RESOLV_FORWARDED;
    return dropped && !kept ? RESOLV_UNREACHABLE : RESOLV_OK;
}

enum resolv_verdict resolv_make(const char *text, const struct resolv_host *host, struct buf *out)
{
    enum resolv_verdict verdict = judge(text, host);
    bool named = false, ok = true;

    while (*text && ok) {
        size_t len = strcspn(text, "\n");
        char address[ADDRESS_MAX];
        bool is_server = server_of(text, len, address);

        if (is_server && verdict == RESOLV_FORWARDED) {
            ok = named || buf_printf(out, KEYWORD " %s\n", host->forward);
            named = true;
        } else if (!is_server || can_reach(address, host)) {
            ok = buf_append(out, text, len) && buf_append_text(out, "\n");
        }
        text += len + (text[len] == '\n');
    }
    return ok ? verdict : RESOLV_TOO_LONG;
}

/* The host has an address when a socket can be bound to it. */
static bool is_own(const char *address)
{
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    bool is_four = inet_pton(AF_INET, address, &four.sin_addr) == 1;
    autofd fd = socket(is_four ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (!is_four && inet_pton(AF_INET6, address, &six.sin6_addr) != 1)
        return false;
    return fd >= 0 && bind(fd, is_four ? (struct sockaddr *)&four : (struct sockaddr *)&six,
                           is_four ? sizeof(four) : sizeof(six)) == 0;
}

static enum resolv_verdict make_from(const char *path, const struct resolv_host *host,
                                     struct buf *out, struct err *err)
{
    autobuf text = BUF_INIT(RESOLV_MAX);

    if (!file_read(AT_FDCWD, path, &text, ERR_ENGINE_FAILED, err))
        return RESOLV_UNREACHABLE;
    return resolv_make(text.data ? text.data : "", host, out);
}

bool resolv_for_cell(struct buf *out, bool *forwarded, struct err *err)
{
    char path[PROGRAM_PATH_MAX];
    /* pasta gives the cell the host's own addresses; slirp4netns and root's bridge have no IPv6. */
    struct resolv_host host = {
        .is_own = is_own, .has_ipv6 = program_find("pasta", path), .forward = NETWORK_USER_DNS};
    struct err ignored;

    if (geteuid() == 0)
        host = (struct resolv_host){.is_own = NULL};
    *forwarded = false;
    if (access("/etc/resolv.conf", F_OK) < 0)
        return true; /* a host without the file has cells without it */
    *err = ERR_INIT;
    switch (make_from("/etc/resolv.conf", &host, out, err)) {
    case RESOLV_FORWARDED:
        *forwarded = true;
        return true;
    case RESOLV_OK:
        return true;
    case RESOLV_TOO_LONG:
        return err_set(err, ERR_ENGINE_FAILED, "'/etc/resolv.conf' has more than %d bytes",
                       RESOLV_MAX);
    case RESOLV_UNREACHABLE:
        break;
    }
    if (err->code != ERR_NONE)
        return false;
    buf_release(out);
    if (make_from(UPSTREAM, &host, out, &ignored) == RESOLV_OK)
        return true;
    err_set(err, ERR_ENGINE_UNAVAILABLE,
            "a cell with a private network reaches none of the name servers in '/etc/resolv.conf'");
    return err_hint(err, "name one there that is no address of this host's loopback, or run with "
                         "--network host");
}
