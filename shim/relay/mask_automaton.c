#include "shim/relay/mask_automaton.h"

#include <string.h>

#include "base/cleanup.h"

#define TRIE_FIRST    1024 /* nodes */
#define REGIONS_FIRST 16

#define STRIDE_MAX 8 /* more would fill the bitmap and gain nothing: the load is the limit */
#define BLOCK_READ 4 /* bytes that are read for a block, also for one of three */
#define LONG_BLOCK_MIN                                                                             \
    7 /* bytes of the shortest pattern that leave a stride of four to long blocks */

/*
 * Bits of the bitmap. What is found for nothing costs a dozen times what is skipped, so it is
 * sparse; but it stays in the second level of the cache.
 */
#define BITS_PER_BLOCK 128
#define BITS_MIN       10 /* binary logarithms */
#define BITS_MAX       22

static bool no_memory(struct err *err)
{
    return err_set(err, ERR_ENGINE_FAILED, "not enough memory to mask secrets");
}

/* A new child of `parent`, behind its child `before` (0: the first); 0 on failure. */
static uint32_t insert_node(struct trie *trie, uint32_t parent, uint32_t before, uint8_t byte,
                            struct err *err)
{
    struct trie_node *nodes = trie->nodes;

    if (trie->count >= MASK_STATES_MAX) {
        err_set(err, ERR_OPTION_INVALID, "the secrets are too long to be masked together");
        err_hint(err, "secrets and their encodings may have %d different beginnings",
                 MASK_STATES_MAX);
        return 0;
    }
    if (trie->count == trie->capacity) {
        nodes = realloc(nodes, 2 * (size_t)trie->capacity * sizeof(*nodes));
        if (!nodes) {
            no_memory(err);
            return 0;
        }
        trie->nodes = nodes;
        trie->capacity *= 2;
    }
    nodes[trie->count] =
        (struct trie_node){.byte = byte, .next = before ? nodes[before].next : nodes[parent].child};
    if (before)
        nodes[before].next = trie->count;
    else
        nodes[parent].child = trie->count;
    return trie->count++;
}

bool trie_add(struct trie *trie, const char *pattern, size_t len, struct err *err)
{
    uint32_t node = 0;

    if (!trie->nodes) {
        trie->nodes = calloc(TRIE_FIRST, sizeof(*trie->nodes));
        if (!trie->nodes)
            return no_memory(err);
        trie->capacity = TRIE_FIRST;
        trie->count = 1;
    }
    for (size_t i = 0; i < len; i++) {
        uint8_t byte = (uint8_t)pattern[i];
        uint32_t before = 0;
        uint32_t child = trie->nodes[node].child;

        while (child && trie->nodes[child].byte < byte) {
            before = child;
            child = trie->nodes[child].next;
        }
        if (!child || trie->nodes[child].byte != byte)
            child = insert_node(trie, node, before, byte, err);
        if (!child)
            return false;
        node = child;
    }
    if (trie->nodes[node].is_pattern)
        return true;
    trie->nodes[node].is_pattern = true;
    trie->generation++;
    if (trie->shortest == 0 || len < trie->shortest)
        trie->shortest = len;
    return true;
}

void trie_release(struct trie *trie)
{
    free(trie->nodes);
    *trie = (struct trie){0};
}

/* The state that `byte` leads to, 0 for none: the root is no state's child. */
static inline uint32_t child_of(const struct automaton *automaton, uint32_t state, uint8_t byte)
{
    uint32_t from = automaton->states[state].children;
    uint32_t to = automaton->states[state + 1].children;

    while (to - from > 4) {
        uint32_t middle = from + (to - from) / 2;

        if (automaton->bytes[middle] <= byte)
            from = middle;
        else
            to = middle;
    }
    for (; from < to; from++) {
        if (automaton->bytes[from] == byte)
            return from;
    }
    return 0;
}

static inline uint32_t step(const struct automaton *automaton, uint32_t state, uint8_t byte)
{
    while (state) {
        uint32_t child = child_of(automaton, state, byte);

        if (child)
            return child;
        state = automaton->states[state].fallback;
    }
    return automaton->root[byte];
}

/* Numbers the states by depth. `nodes` gets the node of the trie for each state. */
static void number_states(struct automaton *automaton, const struct trie *trie, uint32_t *nodes)
{
    struct automaton_state *states = automaton->states;
    uint32_t count = 1;

    nodes[0] = 0;
    states[0] = (struct automaton_state){.children = 1};
    for (uint32_t state = 0; state < trie->count; state++) {
        states[state].children = count;
        for (uint32_t node = trie->nodes[nodes[state]].child; node; node = trie->nodes[node].next) {
            uint32_t depth = states[state].depth + 1;

            nodes[count] = node;
            automaton->bytes[count] = trie->nodes[node].byte;
            states[count] = (struct automaton_state){
                .depth = depth, .match = trie->nodes[node].is_pattern ? depth : 0};
            if (state == 0)
                automaton->root[trie->nodes[node].byte] = count;
            count++;
        }
    }
    states[count].children = count;
    automaton->count = count;
}

/* Where to go on when no child fits; what matches there, matches here too. */
static void set_fallbacks(struct automaton *automaton)
{
    struct automaton_state *states = automaton->states;

    for (uint32_t state = 1; state < automaton->count; state++) {
        for (uint32_t i = states[state].children; i < states[state + 1].children; i++) {
            uint32_t fallback = step(automaton, states[state].fallback, automaton->bytes[i]);

            states[i].fallback = fallback;
            if (states[i].match == 0)
                states[i].match = states[fallback].match;
        }
    }
}

static inline uint32_t block_hash(const struct automaton *automaton, uint32_t block)
{
    return ((block & automaton->block_mask) * 0x9e3779b1u) >> automaton->block_shift;
}

/* The bitmap: the blocks at the first `stride` positions of every pattern. */
static bool set_blocks(struct automaton *automaton, size_t shortest, uint32_t *last)
{
    size_t longest_block = shortest >= LONG_BLOCK_MIN ? 4 : 3;
    size_t stride = shortest - longest_block + 1;
    const struct automaton_state *states = automaton->states;
    uint32_t begin, end, deepest;
    unsigned bits = BITS_MIN;

    automaton->stride = stride < STRIDE_MAX ? (unsigned)stride : STRIDE_MAX;
    automaton->block_len = (unsigned)longest_block;
    automaton->block_mask = longest_block == 4 ? UINT32_MAX : 0xffffff;
    deepest = automaton->stride + automaton->block_len - 1;
    for (begin = 0; states[begin].depth < automaton->block_len; begin++)
        ;
    for (end = begin; end < automaton->count && states[end].depth <= deepest; end++)
        ;
    /* A state this shallow holds no block, and its bytes lie in front of the next one looked up. */
    automaton->shallow = 0;
    while (states[automaton->shallow].depth < automaton->block_len &&
           states[automaton->shallow].depth < automaton->stride)
        automaton->shallow++;

    while (bits < BITS_MAX && (1u << bits) / BITS_PER_BLOCK < end - begin)
        bits++;
    automaton->block_shift = 32 - bits;
    automaton->blocks = calloc((1u << bits) / 32, sizeof(*automaton->blocks));
    if (!automaton->blocks)
        return false;
    /* The last four bytes on the way to a state, in the order in which load() has them. */
    last[0] = 0;
    for (uint32_t state = 0; state < end; state++) {
        for (uint32_t i = states[state].children; i < states[state + 1].children && i < end; i++)
            last[i] = last[state] >> 8 | (uint32_t)automaton->bytes[i] << 24;
    }
    for (uint32_t state = begin; state < end; state++) {
        uint32_t hash = block_hash(automaton, last[state] >> (32 - 8 * automaton->block_len));

        automaton->blocks[hash / 32] |= 1u << hash % 32;
    }
    return true;
}

bool automaton_build(struct automaton *automaton, const struct trie *trie, struct err *err)
{
    autofree uint32_t *scratch = malloc(trie->count * sizeof(*scratch));

    automaton_release(automaton);
    automaton->states = malloc(((size_t)trie->count + 1) * sizeof(*automaton->states));
    automaton->bytes = malloc(trie->count);
    if (!scratch || !automaton->states || !automaton->bytes)
        return no_memory(err);
    number_states(automaton, trie, scratch);
    set_fallbacks(automaton);
    if (!set_blocks(automaton, trie->shortest, scratch))
        return no_memory(err);
    automaton->generation = trie->generation;
    return true;
}

void automaton_release(struct automaton *automaton)
{
    free(automaton->states);
    free(automaton->bytes);
    free(automaton->blocks);
    *automaton = (struct automaton){0};
}

/* The same on every machine, and one load on those of today. */
static inline uint32_t load(const uint8_t *bytes)
{
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static inline uint32_t is_block(const struct automaton *automaton, const uint8_t *bytes)
{
    uint32_t hash = block_hash(automaton, load(bytes));

    return automaton->blocks[hash / 32] >> hash % 32 & 1;
}

/*
 * Where the automaton has to begin: no pattern begins between `from` and there. It has to go on at
 * least to *until.
 */
static size_t skip(const struct automaton *automaton, const uint8_t *bytes, size_t from, size_t len,
                   size_t *until)
{
    size_t stride = automaton->stride;
    size_t at = from + stride - 1;

    /* Four at a time: one branch for them, and their loads do not wait for each other. */
    while (at + 3 * stride + BLOCK_READ <= len) {
        const uint8_t *p = bytes + at;

        if (is_block(automaton, p) | is_block(automaton, p + stride) |
            is_block(automaton, p + 2 * stride) | is_block(automaton, p + 3 * stride))
            break;
        at += 4 * stride;
    }
    for (; at + BLOCK_READ <= len; at += stride) {
        if (is_block(automaton, bytes + at)) {
            *until = at + automaton->block_len;
            return at - (stride - 1);
        }
    }
    *until = len;
    return at - (stride - 1);
}

static bool add_region(struct mask_regions *regions, uint64_t start, uint64_t end)
{
    while (regions->count && regions->items[regions->first + regions->count - 1].end > start) {
        struct mask_region *last = &regions->items[regions->first + regions->count - 1];

        if (last->start < start)
            start = last->start;
        /* Of a scan before this one, which may have come farther. */
        if (last->end > end)
            end = last->end;
        regions->count--;
    }
    if (regions->first + regions->count == regions->capacity) {
        size_t capacity = regions->capacity ? 2 * regions->capacity : REGIONS_FIRST;
        struct mask_region *items = realloc(regions->items, capacity * sizeof(*items));

        if (!items)
            return false;
        regions->items = items;
        regions->capacity = capacity;
    }
    regions->items[regions->first + regions->count++] = (struct mask_region){start, end};
    return true;
}

/*
 * Linear in any case: skip() begins at most `shallow` bytes behind what was scanned, and from there
 * the automaton goes beyond the block that was found, which lies in what was not.
 */
bool automaton_scan(const struct automaton *automaton, uint32_t *state, const char *bytes,
                    size_t len, uint64_t position, struct mask_regions *regions)
{
    const struct automaton_state *states = automaton->states;
    const uint8_t *text = (const uint8_t *)bytes;
    uint32_t now = *state;
    size_t i = 0, until = 0;

    while (i < len) {
        if (i >= until && now < automaton->shallow && states[now].depth <= i) {
            i = skip(automaton, text, i - states[now].depth, len, &until);
            now = 0;
        }
        now = step(automaton, now, text[i++]);
        if (states[now].match &&
            !add_region(regions, position + i - states[now].match, position + i))
            return false;
    }
    /* Where a pattern has ended and no longer one is left, its bytes are the beginning of none. */
    while (states[now].children == states[now + 1].children)
        now = states[now].fallback;
    *state = now;
    return true;
}
