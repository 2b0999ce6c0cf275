#include "runtime/native/link.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"

#define REPLY_MAX 65536 /* more than the kernel puts into one message of a list */

struct request {
    struct nlmsghdr header;
    union {
        struct ifinfomsg info;
        struct rtmsg route;
    };
    char attributes[LINK_ALIAS_MAX + 64];
};

struct reader {
    bool (*each)(void *data, const struct link *link);
    void *data;
    int master; /* only ports of this one, unless 0 */
};

static struct request new_request(int type, int flags)
{
    return (struct request){.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg)),
                                       .nlmsg_type = (uint16_t)type,
                                       .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags)}};
}

static bool add_attribute(struct request *request, int type, const void *bytes, size_t len)
{
    size_t used = NLMSG_ALIGN(request->header.nlmsg_len);
    struct rtattr *attribute = (struct rtattr *)(void *)((char *)request + used);

    if (used + RTA_SPACE(len) > sizeof(*request)) {
        errno = ENAMETOOLONG;
        return false;
    }
    attribute->rta_type = (unsigned short)type;
    attribute->rta_len = (unsigned short)RTA_LENGTH(len);
    memcpy(RTA_DATA(attribute), bytes, len);
    request->header.nlmsg_len = (uint32_t)(used + RTA_SPACE(len));
    return true;
}

static void copy_text(char *to, size_t size, const struct rtattr *attribute)
{
    snprintf(to, size, "%.*s", (int)RTA_PAYLOAD(attribute), (const char *)RTA_DATA(attribute));
}

static bool read_link(const struct nlmsghdr *message, const struct reader *reader)
{
    const struct ifinfomsg *info = NLMSG_DATA(message);
    size_t left = message->nlmsg_len - NLMSG_LENGTH(sizeof(*info));
    struct link link = {0};

    for (const struct rtattr *item = IFLA_RTA(info); RTA_OK(item, left);
         item = RTA_NEXT(item, left)) {
        if (item->rta_type == IFLA_IFNAME)
            copy_text(link.name, sizeof(link.name), item);
        else if (item->rta_type == IFLA_IFALIAS)
            copy_text(link.alias, sizeof(link.alias), item);
        else if (item->rta_type == IFLA_MASTER)
            memcpy(&link.master, RTA_DATA(item), sizeof(link.master));
    }
    return (reader->master && link.master != reader->master) || reader->each(reader->data, &link);
}

enum state { MORE, DONE, FAILED };

/* Everything in one datagram; FAILED with errno. */
static enum state read_reply(const char *reply, size_t left, const struct reader *reader)
{
    for (const struct nlmsghdr *message = (const void *)reply; NLMSG_OK(message, left);
         message = NLMSG_NEXT(message, left)) {
        const struct nlmsgerr *result = NLMSG_DATA(message);

        /* A list that changed while it was made may lack something. */
        errno = EAGAIN;
        if (message->nlmsg_flags & NLM_F_DUMP_INTR)
            return FAILED;
        if (message->nlmsg_type == NLMSG_DONE)
            return DONE;
        if (message->nlmsg_type == NLMSG_ERROR) {
            errno = -result->error;
            return result->error == 0 ? DONE : FAILED;
        }
        if (message->nlmsg_type != RTM_NEWLINK)
            continue;
        errno = ECANCELED;
        if (!read_link(message, reader))
            return FAILED;
    }
    return MORE;
}

/* Sends the request and reads the answer to its end; false with errno. */
static bool ask(const struct request *request, const struct reader *reader)
{
    autofd fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    autofree char *reply = malloc(REPLY_MAX);
    enum state state = MORE;

    if (fd < 0 || !reply || send(fd, request, request->header.nlmsg_len, 0) < 0)
        return false;
    while (state == MORE) {
        ssize_t n = recv(fd, reply, REPLY_MAX, MSG_TRUNC);

        if (n < 0 && errno == EINTR)
            continue;
        errno = n > REPLY_MAX ? EMSGSIZE : errno;
        if (n < 0 || n > REPLY_MAX)
            return false;
        state = read_reply(reply, (size_t)n, reader);
    }
    return state == DONE;
}

static bool keep(void *data, const struct link *link)
{
    *(struct link *)data = *link;
    return true;
}

bool link_find(const char *name, struct link *link)
{
    struct request request = new_request(RTM_GETLINK, NLM_F_ACK);
    struct reader reader = {.each = keep, .data = link};

    return add_attribute(&request, IFLA_IFNAME, name, strlen(name) + 1) && ask(&request, &reader);
}

bool link_each_port(const char *bridge, bool (*each)(void *data, const struct link *port),
                    void *data)
{
    struct request request = new_request(RTM_GETLINK, NLM_F_DUMP);
    struct reader reader = {.each = each, .data = data, .master = (int)if_nametoindex(bridge)};

    /* The kernel leaves out the others, if it knows how to. */
    return reader.master && add_attribute(&request, IFLA_MASTER, &reader.master, sizeof(int)) &&
           ask(&request, &reader);
}

bool link_set_alias(const char *name, const char *alias)
{
    struct request request = new_request(RTM_SETLINK, NLM_F_ACK);
    struct reader none = {.each = keep};

    return add_attribute(&request, IFLA_IFNAME, name, strlen(name) + 1) &&
           add_attribute(&request, IFLA_IFALIAS, alias, strlen(alias)) && ask(&request, &none);
}

static bool add_local_route(int interface, int family, const void *address, size_t len,
                            unsigned char bits)
{
    struct request request = {
        .header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg)),
                   .nlmsg_type = RTM_NEWROUTE,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL},
        .route = {.rtm_family = (unsigned char)family,
                  .rtm_dst_len = bits,
                  .rtm_table = RT_TABLE_LOCAL,
                  .rtm_protocol = RTPROT_STATIC,
                  .rtm_scope = RT_SCOPE_HOST,
                  .rtm_type = RTN_LOCAL}};
    const uint32_t after_lo = 1;
    struct reader none = {.each = keep};

    return add_attribute(&request, RTA_DST, address, len) &&
           add_attribute(&request, RTA_OIF, &interface, sizeof(interface)) &&
           add_attribute(&request, RTA_PRIORITY, &after_lo, sizeof(after_lo)) &&
           ask(&request, &none);
}

bool link_keep_loopback(const char *name)
{
    const struct in_addr net = {htonl(INADDR_LOOPBACK & IN_CLASSA_NET)};
    int interface = (int)if_nametoindex(name);

    if (!interface || !add_local_route(interface, AF_INET, &net, sizeof(net), 8))
        return false;
    /* An interface, or a kernel, without IPv6 sends nothing of it either. */
    return add_local_route(interface, AF_INET6, &in6addr_loopback, sizeof(in6addr_loopback), 128) ||
           errno == EACCES || errno == ENODEV || errno == EOPNOTSUPP || errno == EAFNOSUPPORT;
}
