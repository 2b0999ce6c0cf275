#include "runtime/kubernetes/shipped_list.h"

#include <string.h>

static struct shipped_state state_of(const struct stat *st)
{
    return (struct shipped_state){
        .inode = st->st_ino,
        .seconds = st->st_ctim.tv_sec,
        .nanoseconds = (uint32_t)st->st_ctim.tv_nsec,
        .mode = st->st_mode,
    };
}

bool shipped_list_add(FILE *list, const char *name, const struct stat *st)
{
    struct shipped_state state = state_of(st);

    state.name_size = (uint32_t)strlen(name);
    return fwrite(&state, sizeof(state), 1, list) == 1 &&
           fwrite(name, state.name_size, 1, list) == 1;
}

bool shipped_list_next(FILE *list, struct shipped_entry *entry, struct err *err)
{
    struct shipped_state *state = &entry->state;
    bool some = fread(state, 1, sizeof(*state), list) == sizeof(*state);

    entry->name[0] = '\0';
    if (!some && feof(list))
        return true;
    if (!some || !state->name_size || state->name_size >= sizeof(entry->name) ||
        fread(entry->name, state->name_size, 1, list) != 1)
        return err_set(err, ERR_ENGINE_FAILED, "the list of what was shipped cannot be read");
    entry->name[state->name_size] = '\0';
    return true;
}

bool shipped_is_same(const struct shipped_entry *entry, const struct stat *st)
{
    struct shipped_state now = state_of(st);

    return now.inode == entry->state.inode && now.seconds == entry->state.seconds &&
           now.nanoseconds == entry->state.nanoseconds && now.mode == entry->state.mode;
}
