/*
 * One layer on its way into a check_tree: what its entries are, without unpacking it. The child
 * that reads the layer writes records into memory that it shares with its parent, which trusts
 * neither layer nor child.
 */
#ifndef STEPCELL_RUNTIME_IMAGE_CHECK_SCAN_H
#define STEPCELL_RUNTIME_IMAGE_CHECK_SCAN_H

#include "runtime/image/check_tree.h"
#include "runtime/image/unpack.h"

#define CHECK_RECORDS_MAX (256 << 20) /* bytes of the records of a layer */
#define CHECK_TEXT_MAX    (16 << 20)  /* bytes of a package data base that are kept */
#define CHECK_SMALL_MAX   (256 << 10) /* and of every other text */

/* A descriptor of memory for records, which cannot grow; -1 on error. Sparse: it costs what is
 * used. */
int check_records_new(struct err *err);

/*
 * In the child: reads the layer to its end and checks its diff id. Only when this returns true are
 * the records what the diff id names.
 */
bool check_scan_layer(int blob, enum compression compression, const char *diff_id, int records,
                      const struct unpack_limits *limits, struct err *err);

/* In the parent: adds what the records say to the layer of the moment. */
bool check_records_read(int records, struct check_tree *tree, struct err *err);

#endif
