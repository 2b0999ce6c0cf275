/*
 * Events to an HTTP receiver, seen from the main program: it says where they go, and starts
 * `stepcell-events` (docs/events.md), which reads the log of the step's directory and outlives
 * whoever started it.
 *
 * The order: the directory with its log (empty or not), deliver_write_target, the writer's lock,
 * then deliver_start. Starting it once more is never wrong: a second one ends at once.
 */
#ifndef STEPCELL_SHIM_DELIVER_H
#define STEPCELL_SHIM_DELIVER_H

#include <sys/types.h>

#include "base/err.h"

/*
 * The URL has to be http or https, with a host, and without user information, which `ps` and logs
 * would show; `token_file` an absolute path, or NULL; it is read when something is sent.
 * Otherwise option.invalid.
 */
bool deliver_check(const char *url, const char *token_file, struct err *err);

/*
 * Writes target.json, of what passes deliver_check. With `no_links` a token file is read through no
 * link, whatever comes into its place: somebody has judged where it lies.
 */
bool deliver_write_target(int dirfd, const char *url, const char *token_file, bool no_links,
                          struct err *err);

/*
 * Starts `stepcell-events` for the directory `dir`: in a session of its own, at /, with nothing
 * open but /dev/null as its standard streams, signals as the kernel gives them, and of the
 * environment only what connections need (proxies, SSL_CERT_FILE). It is nobody's child to wait
 * for. *pid is its process.
 */
bool deliver_start(const char *dir, pid_t *pid, struct err *err);

/*
 * Whether the receiver has confirmed the log of the directory up to its end, or the directory has
 * been removed since it was opened, which happens only behind that.
 */
bool deliver_is_done(int dirfd);

#endif
