#include "base/history.h"

#include <string.h>
#include <strings.h>

static bool begins(const char *line, const char *word)
{
    return strncasecmp(line, word, strlen(word)) == 0;
}

bool history_sets_entrypoint(const char *line)
{
    static const char none[] = "#(nop)"; /* of a shell that runs nothing */
    const char *instruction = strstr(line, none);

    if (begins(line, "|") || begins(line, "RUN "))
        return false;
    if (!instruction)
        return begins(line, "ENTRYPOINT");
    instruction += strlen(none);
    return begins(instruction + strspn(instruction, " "), "ENTRYPOINT");
}
