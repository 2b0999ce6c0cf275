/*
 * Many patterns, found in one pass over the bytes (Aho-Corasick). Pure.
 *
 * Patterns are collected in a trie, which is cheap to extend. An automaton is made of it in one go:
 * its states are numbered by depth, so the children of a state lie side by side, and those of the
 * next state behind them. A state needs no table of its own: 17 bytes each, and one table of 256
 * for the root.
 *
 * Hardly any byte of an ordinary text begins a pattern, so most are never looked at: among the
 * first bytes of every pattern one block of three or four lies on a position that is a multiple of
 * the stride, wherever the pattern begins. Only blocks at these positions are looked up, in a
 * bitmap of hashes, and the automaton runs only where one is found.
 */
#ifndef STEPCELL_SHIM_RELAY_MASK_AUTOMATON_H
#define STEPCELL_SHIM_RELAY_MASK_AUTOMATON_H

#include "shim/relay/mask.h"

struct trie_node {
    uint32_t child, next; /* nodes; 0 is the root and stands for none. Siblings are in order */
    uint8_t byte;
    bool is_pattern;
};

/* Zeroed it is empty. */
struct trie {
    struct trie_node *nodes;
    uint32_t count, capacity;
    size_t shortest;     /* bytes of a pattern */
    uint64_t generation; /* counts the patterns */
};

/* False with err set: memory, more than MASK_STATES_MAX nodes. `len` is MASK_FORM_MIN or more. */
bool trie_add(struct trie *trie, const char *pattern, size_t len, struct err *err);
void trie_release(struct trie *trie);

struct automaton_state {
    uint32_t children; /* the first; they end where those of the next state begin */
    uint32_t fallback; /* the longest proper suffix that is a state */
    uint32_t match;    /* bytes of the longest pattern that ends here; 0 for none */
    uint32_t depth;    /* bytes since the root */
};

/* Zeroed it is none, of no trie. */
struct automaton {
    uint64_t generation;            /* of the trie it was made of; 0 while it is none */
    struct automaton_state *states; /* `count`, and one that ends the children of the last */
    uint8_t *bytes;                 /* by which a state is reached */
    uint32_t count;
    uint32_t root[256]; /* children of the root; 0 for none */

    uint32_t *blocks; /* bitmap */
    uint32_t block_mask;
    unsigned block_len, block_shift, stride;
    uint32_t shallow; /* states below this one say less than a block does */
};

/* On failure (memory) it is none; it stays the caller's, to be released. */
bool automaton_build(struct automaton *automaton, const struct trie *trie, struct err *err);
void automaton_release(struct automaton *automaton);

/*
 * Goes on from *state with bytes that lie at `position` of the stream, and adds what is found to
 * `regions`. The depth of the new *state is the number of bytes at the end that may be the
 * beginning of a pattern. False without memory.
 */
bool automaton_scan(const struct automaton *automaton, uint32_t *state, const char *bytes,
                    size_t len, uint64_t position, struct mask_regions *regions);

#endif
