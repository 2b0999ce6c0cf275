/*
 * SHA-1 (RFC 3174), which protects nothing any more: for protocols that ask for it. A library of
 * its own, as digest.h is.
 */
#ifndef STEPCELL_BASE_SHA1_H
#define STEPCELL_BASE_SHA1_H

#include <stddef.h>
#include <stdint.h>

#define SHA1_SIZE 20

void sha1_of(const void *bytes, size_t len, uint8_t sum[SHA1_SIZE]);

#endif
