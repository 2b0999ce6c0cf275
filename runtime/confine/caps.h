/*
 * Capabilities of a step: docker's default set at most, in the bounding set too, none inheritable
 * and none ambient (CVE-2022-24769, CVE-2022-29162). Linked into the cell's static pid 1, so it
 * makes the system calls itself.
 */
#ifndef STEPCELL_RUNTIME_CONFINE_CAPS_H
#define STEPCELL_RUNTIME_CONFINE_CAPS_H

#include <stdbool.h>
#include <stdint.h>

/* Docker's fourteen: moby daemon/pkg/oci/caps/defaults.go. */
#define CAPS_DEFAULT UINT64_C(0xa80425fb)

/* Drops everything outside `keep` from the bounding set. errno on failure. */
bool caps_bound(uint64_t keep);

/* Permitted and effective become `caps`, inheritable and ambient empty. errno on failure. */
bool caps_set(uint64_t caps);

/*
 * What this process is permitted, the program that it becomes has, too, whoever its user is. For
 * stepcell's own tools. errno on failure.
 */
bool caps_keep(void);

#endif
