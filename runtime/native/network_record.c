#include "runtime/native/network_record.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/file.h"
#include "base/num.h"
#include "runtime/native/subnet.h"

#define BOOT_ID "/proc/sys/kernel/random/boot_id"
#define HEX     "0123456789abcdef"

/* Hexadecimal digits in groups of these lengths with '-' between them, and nothing else. */
static bool is_grouped(const char *text, const size_t *groups, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if ((i > 0 && *text++ != '-') || strspn(text, HEX) != groups[i])
            return false;
        text += groups[i];
    }
    return *text == '\0';
}

static bool is_boot(const char *text)
{
    static const size_t groups[] = {8, 4, 4, 4, 12};

    return is_grouped(text, groups, ARRAY_SIZE(groups));
}

static bool is_token(const char *text)
{
    static const size_t groups[] = {16};

    return is_grouped(text, groups, ARRAY_SIZE(groups));
}

bool network_boot(char boot[NETWORK_BOOT_SIZE], struct err *err)
{
    autobuf text = BUF_INIT(64);

    if (!file_read(AT_FDCWD, BOOT_ID, &text, ERR_ENGINE_FAILED, err))
        return false;
    snprintf(boot, NETWORK_BOOT_SIZE, "%s", text.data ? text.data : "");
    return is_boot(boot) || err_set(err, ERR_ENGINE_FAILED, "'%s' names no boot", BOOT_ID);
}

bool network_record_make(uint32_t number, struct network_record *record, struct err *err)
{
    uint64_t random;

    if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return err_errno(err, ERR_ENGINE_FAILED, "cannot get random bytes");
    *record = (struct network_record){.number = number};
    snprintf(record->token, sizeof(record->token), "%016llx", (unsigned long long)random);
    return network_boot(record->boot, err);
}

void network_record_text(const struct network_record *record, char text[NETWORK_RECORD_SIZE])
{
    snprintf(text, NETWORK_RECORD_SIZE, "%u %s %s", record->number, record->token, record->boot);
}

bool network_record_parse(const char *text, struct network_record *record)
{
    char number[6], again[NETWORK_RECORD_SIZE];
    uint64_t value;

    if (sscanf(text, "%5[^ ] %16[^ ] %36[^ ]", number, record->token, record->boot) != 3 ||
        !num_parse(number, SUBNET_COUNT - 1, &value) || !is_token(record->token) ||
        !is_boot(record->boot))
        return false;
    record->number = (uint32_t)value;
    network_record_text(record, again);
    return strcmp(text, again) == 0;
}
