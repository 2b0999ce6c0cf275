#include "shim/relay/service_message.h"

#include <string.h>
#include <strings.h>

#include "base/base64.h"
#include "base/utf8.h"

#define BEGINNING     "##octopus["
#define BEGINNING_LEN (sizeof(BEGINNING) - 1)
#define BLANKS        " \t\r"
#define REQUIRED_MAX  3

/* The characters of names and keys. Octopus reads XML, which knows more, but uses no others. */
#define LETTERS    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"
#define NAME_CHARS LETTERS "0123456789-."

static const struct {
    const char *name;
    const char *required[REQUIRED_MAX];
} known[] = {
    {"argocd-files-updated", {0}},
    {"calamari-deployment-metric", {0}},
    {"calamari-found-package", {0}},
    {"calamari-script-isolation-alert", {0}},
    {"calamari-timed-operation", {0}},
    {"claude-code-transcript", {0}},
    {"claude-code-usage", {0}},
    {"create-aws-ecs-target", {0}},
    {"create-awsaccount", {0}},
    {"create-azureaccount", {0}},
    {"create-azureservicefabrictarget", {0}},
    {"create-azurewebapptarget", {0}},
    {"create-kubernetestarget", {0}},
    {"create-tokenaccount", {0}},
    {"create-userpassaccount", {0}},
    {"createArtifact", {"path", "name", "length"}},
    {"createStepPackageTarget", {0}},
    {"delete-target", {0}},
    {"deltaVerification", {0}},
    {"foundPackage", {0}},
    {"k8s-manifest-applied", {0}},
    {"k8s-status", {0}},
    {"mask", {"value"}},
    {"progress", {"percentage", "message"}},
    {"pull-request-created", {0}},
    {"resultMessage", {"message"}},
    {"set-environmentstate", {0}},
    {"setVariable", {"name", "value"}},
    {"stderr-default", {0}},
    {"stderr-error", {0}},
    {"stderr-ignore", {0}},
    {"stderr-progress", {0}},
    {"stdout-default", {0}},
    {"stdout-error", {0}},
    {"stdout-highlight", {0}},
    {"stdout-ignore", {0}},
    {"stdout-verbose", {0}},
    {"stdout-wait", {0}},
    {"stdout-warning", {0}},
};

const struct service_message_attribute *service_message_get(const struct service_message *message,
                                                            const char *key)
{
    for (size_t i = 0; i < message->count; i++) {
        if (strcasecmp(message->attributes[i].key, key) == 0)
            return &message->attributes[i];
    }
    return NULL;
}

/* Its row of the table, ARRAY_SIZE(known) when there is none. */
static size_t find(const char *name)
{
    size_t i = 0;

    while (i < ARRAY_SIZE(known) && strcmp(known[i].name, name) != 0)
        i++;
    return i;
}

bool service_message_known(const struct service_message *message)
{
    return find(message->name) < ARRAY_SIZE(known);
}

bool service_message_check(const struct service_message *message, const char **missing)
{
    size_t row = find(message->name);

    if (row == ARRAY_SIZE(known))
        return true;
    for (size_t i = 0; i < REQUIRED_MAX && known[row].required[i]; i++) {
        if (!service_message_get(message, known[row].required[i])) {
            *missing = known[row].required[i];
            return false;
        }
    }
    return true;
}

bool service_message_declares_secret(const struct service_message *message)
{
    const struct service_message_attribute *sensitive = service_message_get(message, "sensitive");

    return service_message_get(message, "value") &&
           (strcmp(message->name, "mask") == 0 ||
            (sensitive && strcasecmp(sensitive->value, "true") == 0));
}

/* The end of the name at `at`, `at` itself when there is none. */
static char *end_of_name(char *at)
{
    return at + (*at && strchr(LETTERS, *at) ? strspn(at, NAME_CHARS) : 0);
}

/* Decodes key='value' at *at, which is moved behind it. What is wrong, or NULL. */
static const char *parse_attribute(char **at, struct service_message *message)
{
    struct service_message_attribute *attribute = &message->attributes[message->count];
    char *key = *at, *key_end = end_of_name(key), *equals = key_end + strspn(key_end, BLANKS);
    char *quote, *end, *value;

    if (key_end == key)
        return "an attribute has no name";
    if (*equals != '=')
        return "there is no '=' behind the name of an attribute";
    quote = equals + 1 + strspn(equals + 1, BLANKS);
    if (*quote != '\'' && *quote != '"')
        return "a value is not in quotes";
    value = quote + 1;
    end = strchr(value, *quote);
    if (!end)
        return "a quote is not closed";
    *key_end = *end = '\0';
    if (service_message_get(message, key))
        return "it has an attribute twice";
    /* The decoder takes it without padding too, Octopus does not. */
    if ((end - value) % 4 != 0 || !base64_decode_in_place(value, &attribute->len))
        return "a value is not base64";
    if (!utf8_valid(value, attribute->len))
        return "a value is not UTF-8";
    attribute->key = key;
    attribute->value = value;
    message->count++;
    *at = end + 1;
    return NULL;
}

/* Takes the text between the brackets apart, into pieces of itself. What is wrong, or NULL. */
static const char *parse(char *body, size_t len, struct service_message *message)
{
    char *at = end_of_name(body);

    if (memchr(body, '\0', len))
        return "it holds a NUL byte";
    if (at == body)
        return "it has no name";
    message->name = body;
    message->count = 0;
    while (*at) {
        size_t blanks = strspn(at, BLANKS);
        const char *why;

        if (!blanks)
            return "a blank is missing behind its name or a value";
        *at = '\0';
        at += blanks;
        if (!*at)
            break;
        if (message->count == SERVICE_MESSAGE_ATTRIBUTES_MAX)
            return "it has too many attributes";
        why = parse_attribute(&at, message);
        if (why)
            return why;
    }
    return NULL;
}

static bool no_memory(struct err *err)
{
    return err_set(err, ERR_ENGINE_FAILED, "there is not enough memory for a service message");
}

/* Hands on what was collected: as malformed for the reason `why`, else as a message. */
static bool deliver(struct service_message_scanner *scanner, size_t end, const char *why,
                    struct err *err)
{
    autobuf text = scanner->text;
    autofree char *body = NULL;
    struct service_message message;

    scanner->text = (struct buf){0};
    scanner->matched = 0;
    if (!why) {
        size_t len = text.len - BEGINNING_LEN - 1;

        /* A copy: what is malformed is reported as it was. */
        body = malloc(len + 1);
        if (!body)
            return no_memory(err);
        memcpy(body, text.data + BEGINNING_LEN, len);
        body[len] = '\0';
        message.len = text.len;
        why = parse(body, len, &message);
    }
    if (why)
        return scanner->malformed(scanner->data, text.data, text.len, why, err);
    return scanner->message(scanner->data, &message, end, err);
}

/* How many bytes reach up to and with the beginning of a message; all when it is not whole. */
static size_t find_beginning(struct service_message_scanner *scanner, const char *bytes, size_t len)
{
    size_t at = 0;

    while (at < len && scanner->matched < BEGINNING_LEN) {
        if (scanner->matched == 0) {
            const char *hash = memchr(bytes + at, BEGINNING[0], len - at);

            if (!hash)
                return len;
            at = (size_t)(hash - bytes);
        }
        scanner->matched = bytes[at++] == BEGINNING[scanner->matched] ? scanner->matched + 1 : 0;
    }
    return at;
}

/* Collects a message from the chunk at *at, and moves *at behind what was used. */
static bool collect(struct service_message_scanner *scanner, const char *bytes, size_t len,
                    size_t *at, struct err *err)
{
    size_t room = SERVICE_MESSAGE_MAX - scanner->text.len, n = 0;
    const char *from = bytes + *at, *why = NULL;

    len -= *at;
    /* Byte by byte: looking for each of them in all of the chunk would be done for each message. */
    while (n < len && n < room && from[n] != ']' && from[n] != '\n')
        n++;
    *at += n;
    if (n == len)
        return buf_append(&scanner->text, from, n) || no_memory(err);
    if (from[n] == '\n') {
        why = "the line ends inside it";
        (*at)++;
    } else if (n == room) {
        why = "it is too long";
    }
    /* A whole one with its bracket. */
    if (!buf_append(&scanner->text, from, n + !why))
        return no_memory(err);
    *at += !why;
    return deliver(scanner, *at, why, err);
}

bool service_message_scan(struct service_message_scanner *scanner, const char *bytes, size_t len,
                          struct err *err)
{
    for (size_t at = 0; at < len;) {
        if (scanner->matched < BEGINNING_LEN) {
            at += find_beginning(scanner, bytes + at, len - at);
            if (scanner->matched < BEGINNING_LEN)
                break;
            scanner->text = BUF_INIT(SERVICE_MESSAGE_MAX);
            if (!buf_append_text(&scanner->text, BEGINNING))
                return no_memory(err);
        } else if (!collect(scanner, bytes, len, &at, err)) {
            return false;
        }
    }
    return true;
}

size_t service_message_begun(const struct service_message_scanner *scanner)
{
    return scanner->matched == BEGINNING_LEN ? scanner->text.len : 0;
}

bool service_message_end(struct service_message_scanner *scanner, struct err *err)
{
    if (scanner->matched == BEGINNING_LEN)
        return deliver(scanner, 0, "the output ends inside it", err);
    scanner->matched = 0;
    return true;
}

void service_message_release(struct service_message_scanner *scanner)
{
    buf_release(&scanner->text);
    scanner->matched = 0;
}
