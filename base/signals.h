/* The signals that whoever is in charge of a step takes as events instead of dying of them. */
#ifndef STEPCELL_BASE_SIGNALS_H
#define STEPCELL_BASE_SIGNALS_H

#include "base/loop.h"

/*
 * Blocks INT, TERM, HUP, QUIT, USR1, USR2, ALRM, WINCH and CONT and hands them to `on_signal` by
 * the loop. The ends of children are seen, and writing to nobody is an error, whatever the caller
 * had ignored.
 */
bool signals_watch(struct loop *loop, bool (*on_signal)(void *data, int signal, struct err *err),
                   void *data, struct err *err);

#endif
