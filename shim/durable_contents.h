/*
 * What a durable step was given besides its options: the script, and what --env and --env-file
 * take from files and from the caller's environment. The record of a step has a digest of each,
 * made with a key of the step's own: who sees the record cannot try which value it may be of.
 *
 *     contents_take(&options, environ, &contents, &err)      what the caller gives now
 *     contents_note(&contents, key, asked, &err)             into what is recorded, and compared
 *
 * What cannot be read (any more), or is an empty stdin, is not known, and not compared.
 */
#ifndef STEPCELL_SHIM_DURABLE_CONTENTS_H
#define STEPCELL_SHIM_DURABLE_CONTENTS_H

#include "base/digest.h"
#include "shim/options.h"
#include "shim/state/step_dir.h"

struct contents {
    char script[DIGEST_TEXT_MAX], env[DIGEST_TEXT_MAX],
        env_file[DIGEST_TEXT_MAX]; /* "": not known */
};

/*
 * A script from stdin is read to its end, and stdin becomes a file that holds it: whoever carries
 * the step on reads that, and not what a caller may be killed in the middle of.
 */
bool contents_take(const struct run_options *options, char **caller, struct contents *contents,
                   struct err *err);

/* Whether there is something to note. */
bool contents_are_known(const struct contents *contents);

/* Puts the digests into `asked`, over those that are there. */
bool contents_note(const struct contents *contents, const struct step_key *key, json_t *asked,
                   struct err *err);

/*
 * What a member of the record is called towards the user; *is_digest tells that it is one of these
 * digests, which are compared where both sides have them.
 */
const char *contents_name(const char *member, bool *is_digest);

#endif
