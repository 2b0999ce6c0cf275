#include "shim/phases.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

void phases_leave(struct phases *phases)
{
    if (!phases->since)
        return;
    phases->items[phases->count - 1].ms = (double)(clock_now() - phases->since) / (double)NS_PER_MS;
    phases->since = 0;
}

void phases_enter(struct phases *phases, const char *name)
{
    struct phase *phase;

    phases_leave(phases);
    if (phases->count >= PHASES_MAX)
        return;
    phase = &phases->items[phases->count++];
    snprintf(phase->name, sizeof(phase->name), "%s", name);
    clock_gettime(CLOCK_REALTIME, &phase->start);
    phases->since = clock_now();
}

json_t *phases_json(const struct phases *phases, const json_t *from_helper)
{
    json_t *list = json_array();
    size_t index;
    json_t *item;

    for (size_t i = 0; list && i < phases->count; i++) {
        const struct phase *phase = &phases->items[i];
        char start[CLOCK_TEXT_MAX];

        clock_text(&phase->start, start);
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:f}", "name", phase->name, "start", start,
                                        "ms", (double)(int64_t)(phase->ms * 1000) / 1000));
        /* What the helper did, it did while this program resolved; its own resolving is part of
         * that. */
        if (i == 0) {
            json_array_foreach (from_helper, index, item) {
                if (strcmp(json_text(item, "name") ? json_text(item, "name") : "", "resolve") != 0)
                    json_array_append(list, item);
            }
        }
    }
    return list;
}
