#include "runtime/native/resolv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "base/num.h"
#include "base/program.h"

#define KEYWORD     "nameserver"
#define ADDRESS_MAX 64

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

/* False for what no resolver takes for an address either. */
static bool parse(const char *address, union resolv_server *server)
{
    char plain[ADDRESS_MAX];
    const char *zone = strchrnul(address, '%');
    uint64_t number = 0;

    *server =
        (union resolv_server){.four = {.sin_family = AF_INET, .sin_port = htons(RESOLV_PORT)}};
    if (inet_pton(AF_INET, address, &server->four.sin_addr) == 1)
        return true;
    *server =
        (union resolv_server){.six = {.sin6_family = AF_INET6, .sin6_port = htons(RESOLV_PORT)}};
    snprintf(plain, sizeof(plain), "%.*s", (int)(zone - address), address);
    if (*zone && !num_parse(zone + 1, UINT32_MAX, &number))
        number = if_nametoindex(zone + 1);
    server->six.sin6_scope_id = (uint32_t)number;
    return inet_pton(AF_INET6, plain, &server->six.sin6_addr) == 1;
}

/* Whether a single forwarder has to take the place of all servers. */
static bool needs_forwarder(const char *text, const struct resolv_host *host)
{
    for (; host->forward && *text; text += strcspn(text, "\n"), text += *text == '\n') {
        char address[ADDRESS_MAX];

        if (server_of(text, strcspn(text, "\n"), address) && !can_reach(address, host))
            return true;
    }
    return false;
}

/* The line of a server that has a forwarder of its own from now on, if there is room for one. */
static bool add_forwarder(const union resolv_server *server, struct buf *out,
                          struct resolv_servers *asked)
{
    struct in_addr where = {htonl(RESOLV_FORWARDER + (uint32_t)asked->count)};
    char address[INET_ADDRSTRLEN];

    if (asked->count == RESOLV_SERVERS_MAX)
        return true;
    asked->items[asked->count++] = *server;
    return buf_printf(out, KEYWORD " %s\n", inet_ntop(AF_INET, &where, address, sizeof(address)));
}

enum resolv_verdict resolv_make(const char *text, const struct resolv_host *host, struct buf *out,
                                struct resolv_servers *asked)
{
    bool one_for_all = needs_forwarder(text, host);
    bool named = false, ok = true;

    asked->count = 0;
    while (*text && ok) {
        size_t len = strcspn(text, "\n");
        char address[ADDRESS_MAX];
        union resolv_server server;
        bool is_server = server_of(text, len, address);

        if (is_server && one_for_all) {
            ok = named || buf_printf(out, KEYWORD " %s\n", host->forward);
            named = true;
        } else if (is_server && !can_reach(address, host) && parse(address, &server)) {
            ok = add_forwarder(&server, out, asked);
        } else {
            ok = buf_append(out, text, len) && buf_append_text(out, "\n");
        }
        text += len + (text[len] == '\n');
    }
    if (!ok)
        return RESOLV_TOO_LONG;
    return one_for_all || asked->count ? RESOLV_FORWARDED : RESOLV_OK;
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

bool resolv_for_cell(struct buf *out, bool *forwarded, struct resolv_servers *asked,
                     struct err *err)
{
    char path[PROGRAM_PATH_MAX];
    /* pasta gives the cell the host's own addresses; slirp4netns and root's bridge have no IPv6. */
    struct resolv_host host = {
        .is_own = is_own, .has_ipv6 = program_find("pasta", path), .forward = RESOLV_USER_DNS};
    autobuf text = BUF_INIT(RESOLV_MAX);
    enum resolv_verdict verdict;

    if (geteuid() == 0)
        host = (struct resolv_host){.is_own = NULL};
    *forwarded = false;
    asked->count = 0;
    if (access("/etc/resolv.conf", F_OK) < 0)
        return true; /* a host without the file has cells without it */
    if (!file_read(AT_FDCWD, "/etc/resolv.conf", &text, ERR_ENGINE_FAILED, err))
        return false;
    verdict = resolv_make(text.data ? text.data : "", &host, out, asked);
    *forwarded = verdict == RESOLV_FORWARDED;
    return verdict != RESOLV_TOO_LONG ||
           err_set(err, ERR_ENGINE_FAILED, "'/etc/resolv.conf' has more than %d bytes", RESOLV_MAX);
}
