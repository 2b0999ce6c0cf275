#include "base/caller.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define HOST_PASSWD "/etc/passwd"

bool caller_check(struct err *err)
{
    if (geteuid() == getuid() && getegid() == getgid())
        return true;
    err_set(err, ERR_ENGINE_UNAVAILABLE,
            "stepcell was started with the rights of user %u by user %u", (unsigned int)geteuid(),
            (unsigned int)getuid());
    return err_hint(err, "remove its set-user-ID and set-group-ID bits; it needs no privileges");
}

char *caller_home(void)
{
    FILE *file = fopen(HOST_PASSWD, "re");
    struct passwd *entry = NULL;
    char *home = NULL;

    while (file && (entry = fgetpwent(file)) && entry->pw_uid != geteuid())
        ;
    if (entry && entry->pw_dir[0] == '/')
        home = realpath(entry->pw_dir, NULL);
    if (file)
        fclose(file);
    return home;
}
