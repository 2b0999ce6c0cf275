#include "runtime/native/dns.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/child.h"
#include "base/loop.h"
#include "mounts/idmap.h"
#include "runtime/confine/caps.h"

#define NAME           "stepcell-dns"
#define QUERIES        128
#define STREAMS        8 /* some servers serve no more than twenty in all */
#define QUERY_MS       10000
#define STREAM_IDLE_MS 10000
#define PACKET_MAX     65535
#define QUESTION_MAX   512
#define CHUNK          4096
#define BACKLOG        16
#define OWN_ID         IDMAP_NOBODY

/* The header of RFC 1035, as far as it matters here. */
#define HEADER_SIZE    12
#define IS_RESPONSE    0x80 /* byte 2 */
#define SERVER_FAILURE 0x02 /* byte 3 */

/* What listens for one server in the cell. */
struct ears {
    int packets, connections;
};

struct dns;

/* A server of the host's, and what the cell asks it by. */
struct server {
    struct dns *dns;
    const union resolv_server *address;
    struct loop_io packets, connections;
};

/* A packet that waits for its answer. */
struct query {
    struct server *server; /* NULL: there is none */
    struct loop_io io;     /* a socket of its own, which hears nobody but the server */
    struct loop_timer timer;
    union resolv_server client;
    uint8_t question[QUESTION_MAX];
    size_t len; /* 0: longer than that */
};

/* One end of a connection, with what was read from it and not yet written to the other. */
struct end {
    struct stream *stream;
    struct loop_io io;
    bool watched, ended;
    uint8_t bytes[CHUNK];
    size_t at, len;
};

struct stream {
    struct dns *dns; /* NULL: there is none */
    struct loop_timer timer;
    struct end ends[2]; /* the cell's and the server's */
};

struct dns {
    struct loop loop;
    struct server servers[RESOLV_SERVERS_MAX];
    struct query queries[QUERIES];
    struct stream streams[STREAMS];
    size_t next_query, next_stream; /* the oldest */
    uint8_t packet[PACKET_MAX];
};

static socklen_t size_of(const union resolv_server *address)
{
    return address->any.sa_family == AF_INET ? sizeof(address->four) : sizeof(address->six);
}

/* A socket of this network namespace that is connected to the server, or going to be; -1. */
static int reach(const struct server *server, int type)
{
    autofd fd = socket(server->address->any.sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0 ||
        (connect(fd, &server->address->any, size_of(server->address)) < 0 && errno != EINPROGRESS))
        return -1;
    return TAKE_FD(fd);
}

static void end_query(struct query *query)
{
    struct loop *loop;

    if (!query->server)
        return;
    loop = &query->server->dns->loop;
    loop_clear_timer(loop, &query->timer);
    if (query->io.fd >= 0)
        loop_remove(loop, &query->io);
    close_fd(query->io.fd);
    query->server = NULL;
}

static void answer(const struct query *query, const uint8_t *bytes, size_t len)
{
    (void)!sendto(query->server->packets.fd, bytes, len, MSG_NOSIGNAL, &query->client.any,
                  sizeof(query->client.four));
}

/* So that the cell asks the next server at once, as the host would. */
static void refuse(struct query *query)
{
    uint8_t *header = query->question;

    if (query->len >= HEADER_SIZE && !(header[2] & IS_RESPONSE)) {
        header[2] |= IS_RESPONSE;
        header[3] = SERVER_FAILURE;
        answer(query, query->question, query->len);
    }
    end_query(query);
}

static bool is_late(void *data, struct err *err)
{
    (void)err;
    end_query(data);
    return true;
}

static bool take_answer(void *data, uint32_t events, struct err *err)
{
    struct query *query = data;
    uint8_t *packet = query->server->dns->packet;
    ssize_t n = recv(query->io.fd, packet, PACKET_MAX, 0);

    (void)events;
    (void)err;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n < 0) {
        refuse(query);
        return true;
    }
    answer(query, packet, (size_t)n);
    end_query(query);
    return true;
}

static bool take_query(void *data, uint32_t events, struct err *err)
{
    struct server *server = data;
    struct dns *dns = server->dns;
    struct query *query = &dns->queries[dns->next_query];
    union resolv_server client;
    socklen_t size = sizeof(client);
    ssize_t n = recvfrom(server->packets.fd, dns->packet, PACKET_MAX, 0, &client.any, &size);
    struct err ignored;

    (void)events;
    (void)err;
    if (n < 0)
        return true;
    end_query(query);
    dns->next_query = (dns->next_query + 1) % QUERIES;
    query->server = server;
    query->client = client;
    query->len = (size_t)n <= QUESTION_MAX ? (size_t)n : 0;
    memcpy(query->question, dns->packet, query->len);
    query->timer = (struct loop_timer){.fire = is_late, .data = query};
    query->io = (struct loop_io){reach(server, SOCK_DGRAM), take_answer, query};
    if (query->io.fd < 0 || send(query->io.fd, dns->packet, (size_t)n, MSG_NOSIGNAL) < 0 ||
        !loop_add(&dns->loop, &query->io, EPOLLIN, &ignored))
        refuse(query);
    else
        loop_set_timer(&dns->loop, &query->timer, QUERY_MS);
    return true;
}

static void end_stream(struct stream *stream)
{
    if (!stream->dns)
        return;
    loop_clear_timer(&stream->dns->loop, &stream->timer);
    for (size_t i = 0; i < ARRAY_SIZE(stream->ends); i++) {
        if (stream->ends[i].watched)
            loop_remove(&stream->dns->loop, &stream->ends[i].io);
        close_fd(stream->ends[i].io.fd);
    }
    stream->dns = NULL;
}

static bool is_idle(void *data, struct err *err)
{
    (void)err;
    end_stream(data);
    return true;
}

/* Passes on what one end says, as far as the other takes it; its end, too. */
static bool pass_on(struct end *from, const struct end *to)
{
    ssize_t n;

    if (from->len == 0 && !from->ended) {
        n = recv(from->io.fd, from->bytes, sizeof(from->bytes), 0);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        from->at = 0;
        from->len = (size_t)n;
        from->ended = n == 0;
        if (from->ended)
            shutdown(to->io.fd, SHUT_WR);
    }
    if (from->len > 0) {
        n = send(to->io.fd, from->bytes + from->at, from->len, MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        from->at += (size_t)n;
        from->len -= (size_t)n;
    }
    return true;
}

/* What nothing is wanted of is not watched: epoll would tell of its end again and again. */
static bool watch(struct end *end, const struct end *other)
{
    uint32_t events =
        (end->len == 0 && !end->ended ? EPOLLIN : 0U) | (other->len > 0 ? EPOLLOUT : 0U);
    struct loop *loop = &end->stream->dns->loop;
    struct err ignored;
    bool ok = true;

    if (events)
        ok = (end->watched ? loop_change : loop_add)(loop, &end->io, events, &ignored);
    else if (end->watched)
        loop_remove(loop, &end->io);
    end->watched = events && ok;
    return ok;
}

static bool move(void *data, uint32_t events, struct err *err)
{
    struct stream *stream = ((struct end *)data)->stream;
    struct end *cell = &stream->ends[0], *server = &stream->ends[1];
    bool ok = pass_on(cell, server) && pass_on(server, cell);

    (void)events;
    (void)err;
    if (!ok || (cell->ended && server->ended) || !watch(cell, server) || !watch(server, cell))
        end_stream(stream);
    else
        loop_set_timer(&stream->dns->loop, &stream->timer, STREAM_IDLE_MS);
    return true;
}

static bool take_connection(void *data, uint32_t events, struct err *err)
{
    struct server *server = data;
    struct dns *dns = server->dns;
    struct stream *stream = &dns->streams[dns->next_stream];
    autofd cell = accept4(server->connections.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    autofd there = -1;

    if (cell < 0 && errno == EAGAIN)
        return true;
    /* The oldest makes room, for descriptors too: what cannot be accepted stays readable. */
    end_stream(stream);
    if (cell < 0) {
        end_query(&dns->queries[dns->next_query]);
        dns->next_query = (dns->next_query + 1) % QUERIES;
    }
    dns->next_stream = (dns->next_stream + 1) % STREAMS;
    there = cell >= 0 ? reach(server, SOCK_STREAM) : -1;
    if (there < 0)
        return true;
    *stream = (struct stream){.dns = dns, .timer = {.fire = is_idle, .data = stream}};
    for (size_t i = 0; i < ARRAY_SIZE(stream->ends); i++)
        stream->ends[i].stream = stream;
    stream->ends[0].io = (struct loop_io){TAKE_FD(cell), move, &stream->ends[0]};
    stream->ends[1].io = (struct loop_io){TAKE_FD(there), move, &stream->ends[1]};
    return move(&stream->ends[0], events, err);
}

/* Whatever takes this process over has no rights, and what it can reach everybody can. */
static bool drop_privileges(void)
{
    return caps_bound(0) && setgroups(0, NULL) == 0 && setresgid(OWN_ID, OWN_ID, OWN_ID) == 0 &&
           setresuid(OWN_ID, OWN_ID, OWN_ID) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
}

static bool serve(const struct resolv_servers *servers, const struct ears *ears)
{
    struct dns *dns = calloc(1, sizeof(*dns));
    struct err err = ERR_INIT;

    if (!dns || !loop_open(&dns->loop, &err))
        return false;
    for (size_t i = 0; i < servers->count; i++) {
        struct server *server = &dns->servers[i];

        *server = (struct server){
            .dns = dns,
            .address = &servers->items[i],
            .packets = {ears[i].packets, take_query, server},
            .connections = {ears[i].connections, take_connection, server},
        };
        if (!loop_add(&dns->loop, &server->packets, EPOLLIN, &err) ||
            !loop_add(&dns->loop, &server->connections, EPOLLIN, &err))
            return false;
    }
    return loop_run(&dns->loop, &err);
}

_Noreturn static void become_server(const struct resolv_servers *servers, const struct ears *ears,
                                    pid_t parent)
{
    int keep[2 * RESOLV_SERVERS_MAX];

    for (size_t i = 0; i < servers->count; i++) {
        keep[2 * i] = ears[i].packets;
        keep[2 * i + 1] = ears[i].connections;
    }
    setsid();
    prctl(PR_SET_NAME, NAME);
    if (chdir("/") < 0 || !child_keep_only(keep, 2 * servers->count) || !drop_privileges())
        _exit(1);
    /* After the change of credentials, which would clear it. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    _exit(serve(servers, ears) ? 0 : 1);
}

/* Before the interface is up, too. */
static int listen_on(const struct sockaddr_in *address, int type)
{
    autofd fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;

    if (fd < 0 || setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on)) < 0 ||
        bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ||
        (type == SOCK_STREAM && listen(fd, BACKLOG) < 0))
        return -1;
    return TAKE_FD(fd);
}

static bool open_ears(struct ears *ears, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct sockaddr_in address = {
            .sin_family = AF_INET,
            .sin_port = htons(RESOLV_PORT),
            .sin_addr.s_addr = htonl(RESOLV_FORWARDER + (uint32_t)i),
        };

        ears[i].packets = listen_on(&address, SOCK_DGRAM);
        ears[i].connections = listen_on(&address, SOCK_STREAM);
        if (ears[i].packets < 0 || ears[i].connections < 0)
            return false;
    }
    return true;
}

/* The sockets of the cell's namespace stay there when this process comes back. */
static bool open_ears_in(int netns, struct ears *ears, size_t count, struct err *err)
{
    autofd host = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    bool ok = host >= 0 && setns(netns, CLONE_NEWNET) == 0;

    if (ok) {
        ok = open_ears(ears, count) ||
             err_errno(err, ERR_ENGINE_FAILED, "cannot listen for the names of the cell");
        return (setns(host, CLONE_NEWNET) == 0 ||
                err_errno(err, ERR_ENGINE_FAILED, "cannot leave the network of the cell")) &&
               ok;
    }
    return err_errno(err, ERR_ENGINE_FAILED, "cannot enter the network of the cell");
}

static void close_ears(struct ears *ears, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        close_fd(ears[i].packets);
        close_fd(ears[i].connections);
    }
}

bool dns_start(const struct resolv_servers *servers, int netns, struct tool *tool, struct err *err)
{
    struct ears ears[RESOLV_SERVERS_MAX] = {{-1, -1}, {-1, -1}, {-1, -1}};
    pid_t parent = getpid(), pid = -1;

    if (open_ears_in(netns, ears, servers->count, err)) {
        pid = fork();
        if (pid == 0)
            become_server(servers, ears, parent);
        if (pid < 0)
            err_errno(err, ERR_ENGINE_FAILED, "cannot start '%s'", NAME);
    }
    close_ears(ears, RESOLV_SERVERS_MAX);
    if (pid < 0)
        return false;
    *tool = TOOL_INIT;
    tool->name = NAME;
    tool->pid = pid;
    tool->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    return tool->pidfd >= 0 || err_errno(err, ERR_ENGINE_FAILED, "cannot watch '%s'", NAME);
}
