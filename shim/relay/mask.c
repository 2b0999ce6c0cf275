#include "shim/relay/mask.h"

#include <string.h>

#include "base/cleanup.h"
#include "shim/relay/mask_automaton.h"
#include "shim/relay/mask_forms.h"

/* The automaton is made when somebody needs it, also where the mask is const: it is a cache. */
struct mask {
    struct trie trie;
    struct automaton *automaton;
    size_t values;
    struct err failure; /* why something that should be masked is not; ERR_NONE: all is */
};

static bool no_memory(struct err *err)
{
    return err_set(err, ERR_ENGINE_FAILED, "not enough memory to mask secrets");
}

struct mask *mask_new(void)
{
    autofree struct mask *mask = calloc(1, sizeof(*mask));

    if (mask)
        mask->automaton = calloc(1, sizeof(*mask->automaton));
    return mask && mask->automaton ? TAKE_PTR(mask) : NULL;
}

void mask_free(struct mask *mask)
{
    if (!mask)
        return;
    trie_release(&mask->trie);
    automaton_release(mask->automaton);
    free(mask->automaton);
    free(mask);
}

bool mask_check(const struct mask *mask, struct err *err)
{
    if (mask->failure.code == ERR_NONE)
        return true;
    *err = mask->failure;
    return false;
}

bool mask_is_empty(const struct mask *mask)
{
    return mask->trie.generation == 0 && mask->failure.code == ERR_NONE;
}

struct adding {
    struct trie *trie;
    struct err *err;
};

static bool add_form(void *data, const char *bytes, size_t len)
{
    struct adding *adding = data;

    return trie_add(adding->trie, bytes, len, adding->err);
}

static bool add_forms(struct mask *mask, const char *value, size_t len, struct err *err)
{
    struct err cause = ERR_INIT;
    struct adding adding = {&mask->trie, &cause};
    uint64_t before = mask->trie.generation;

    if (len > MASK_VALUE_MAX)
        return err_set(err, ERR_OPTION_INVALID,
                       "a secret of %zu bytes is too long to be masked: at most %d", len,
                       MASK_VALUE_MAX);
    if (!mask_forms(value, len, add_form, &adding)) {
        if (cause.code == ERR_NONE)
            return no_memory(err);
        *err = cause;
        return false;
    }
    /* The same value again is none. */
    if (mask->trie.generation != before && mask->values++ >= MASK_VALUES_MAX)
        return err_set(err, ERR_OPTION_INVALID, "more than %d secrets cannot be masked",
                       MASK_VALUES_MAX);
    return true;
}

bool mask_add(struct mask *mask, const char *value, size_t len, bool *ignored, struct err *err)
{
    size_t core = mask_forms_trim(value, len);
    bool is_short =
        core < MASK_CHARACTERS_MIN * 4 && mask_forms_characters(value, core) < MASK_CHARACTERS_MIN;

    if (!is_short && !add_forms(mask, value, len, err)) {
        mask->failure = *err;
        return false;
    }
    *ignored = is_short;
    return true;
}

static size_t held_length(const struct mask_stream *stream)
{
    return stream->held.len - stream->held_from;
}

static const char *held_bytes(const struct mask_stream *stream)
{
    return stream->held.data ? stream->held.data + stream->held_from : "";
}

/* Drops `count` bytes of what is held. Moves the rest when as many were dropped before. */
static void drop_held(struct mask_stream *stream, size_t count)
{
    struct buf *held = &stream->held;

    stream->held_from += count;
    if (stream->held_from < held->len - stream->held_from)
        return;
    held->len -= stream->held_from;
    if (held->len)
        memmove(held->data, held->data + stream->held_from, held->len);
    stream->held_from = 0;
}

static void drop_region(struct mask_regions *regions)
{
    regions->first++;
    regions->count--;
    if (regions->first < regions->count)
        return;
    if (regions->count)
        memmove(regions->items, regions->items + regions->first,
                regions->count * sizeof(*regions->items));
    regions->first = 0;
}

/* Makes the automaton if there are new secrets, and looks with it at what is held. */
static bool prepare(struct mask_stream *stream, struct err *err)
{
    const struct mask *mask = stream->mask;
    struct mask_regions *regions = &stream->regions;

    stream->held.max = stream->out.max = SIZE_MAX / 2;
    if (mask->failure.code != ERR_NONE)
        return err_set(err, ERR_ENGINE_FAILED, "%s", mask->failure.message);
    if (mask->automaton->generation != mask->trie.generation &&
        !automaton_build(mask->automaton, &mask->trie, err))
        return false;
    if (stream->generation == mask->trie.generation)
        return true;
    stream->generation = mask->trie.generation;
    stream->state = 0;
    /* What reaches into the bytes that are held stays; whatever lies in them is found again. */
    regions->count = regions->count && regions->items[regions->first].start < stream->given;
    return automaton_scan(mask->automaton, &stream->state, held_bytes(stream), held_length(stream),
                          stream->given, regions) ||
           no_memory(err);
}

/* What lies behind the held bytes. */
struct chunk {
    const char *bytes;
    size_t len;
};

/* Appends the bytes between two positions of the stream to what is given out. */
static bool give_raw(struct mask_stream *stream, struct chunk chunk, uint64_t from, uint64_t to)
{
    uint64_t border = stream->given + held_length(stream);

    if (from < border) {
        uint64_t end = to < border ? to : border;

        if (from < end &&
            !buf_append(&stream->out, held_bytes(stream) + (from - stream->given), end - from))
            return false;
        from = border;
    }
    return from >= to || buf_append(&stream->out, chunk.bytes + (from - border), to - from);
}

/* Gives what lies in front of `certain`: nothing that begins there can match any more. */
static bool give_masked(struct mask_stream *stream, struct chunk chunk, uint64_t certain)
{
    struct mask_regions *regions = &stream->regions;
    uint64_t at = stream->given;

    while (regions->count && regions->items[regions->first].start < certain) {
        struct mask_region region = regions->items[regions->first];

        if (region.start >= stream->given && (!give_raw(stream, chunk, at, region.start) ||
                                              !buf_append_text(&stream->out, MASK_TEXT)))
            return false;
        at = region.end;
        /* It may still grow. */
        if (region.end > certain)
            return true;
        drop_region(regions);
    }
    return give_raw(stream, chunk, at, certain);
}

/* Gives what lies in front of `certain`, and holds the rest. */
static bool give(struct mask_stream *stream, struct chunk chunk, uint64_t certain, const char **out,
                 size_t *out_len)
{
    struct mask_regions *regions = &stream->regions;
    size_t held = held_length(stream);
    uint64_t border = stream->given + held;

    stream->out.len = 0;
    if (held == 0 && (regions->count == 0 || regions->items[regions->first].start >= certain)) {
        *out = chunk.bytes;
        *out_len = certain - stream->given;
    } else {
        if (!give_masked(stream, chunk, certain))
            return false;
        *out = stream->out.data;
        *out_len = stream->out.len;
    }
    if (certain > border) {
        drop_held(stream, held);
        chunk.bytes += certain - border;
        chunk.len -= certain - border;
    } else {
        drop_held(stream, certain - stream->given);
    }
    stream->given = certain;
    return buf_append(&stream->held, chunk.bytes, chunk.len);
}

static bool feed(struct mask_stream *stream, struct chunk chunk, bool is_end, const char **out,
                 size_t *out_len, struct err *err)
{
    const struct automaton *automaton = stream->mask->automaton;
    uint64_t border, certain;
    const char *given = NULL;
    size_t given_len = 0;

    if (stream->failed)
        return err_set(err, ERR_ENGINE_FAILED, "the output cannot be masked");
    stream->failed = true; /* whatever happens below */
    if (mask_is_empty(stream->mask)) {
        given = chunk.bytes;
        given_len = chunk.len;
        stream->given += chunk.len;
    } else {
        if (!prepare(stream, err))
            return false;
        border = stream->given + held_length(stream);
        if (!automaton_scan(automaton, &stream->state, chunk.bytes, chunk.len, border,
                            &stream->regions))
            return no_memory(err);
        if (is_end)
            stream->state = 0;
        certain = border + chunk.len - automaton->states[stream->state].depth;
        if (!give(stream, chunk, certain, &given, &given_len))
            return no_memory(err);
    }
    stream->failed = false;
    *out = given_len ? given : "";
    *out_len = given_len;
    return true;
}

bool mask_feed(struct mask_stream *stream, const char *bytes, size_t len, const char **out,
               size_t *out_len, struct err *err)
{
    return feed(stream, (struct chunk){bytes, len}, false, out, out_len, err);
}

bool mask_end(struct mask_stream *stream, const char **out, size_t *out_len, struct err *err)
{
    return feed(stream, (struct chunk){"", 0}, true, out, out_len, err);
}

void mask_stream_release(struct mask_stream *stream)
{
    buf_release(&stream->held);
    buf_release(&stream->out);
    free(stream->regions.items);
    *stream = (struct mask_stream){.mask = stream->mask};
}

bool mask_text(const struct mask *mask, const char *bytes, size_t len, struct buf *out,
               struct err *err)
{
    CLEANUP(mask_stream_release) struct mask_stream stream = {.mask = mask};
    size_t before = out->len;
    const char *piece;
    size_t piece_len;

    if (mask_feed(&stream, bytes, len, &piece, &piece_len, err)) {
        if (!buf_append(out, piece, piece_len))
            err_set(err, ERR_ENGINE_FAILED, "a masked text is too long");
        else if (mask_end(&stream, &piece, &piece_len, err)) {
            if (buf_append(out, piece, piece_len))
                return true;
            err_set(err, ERR_ENGINE_FAILED, "a masked text is too long");
        }
    }
    if (out->len > before) {
        out->len = before;
        out->data[before] = '\0';
    }
    return false;
}
