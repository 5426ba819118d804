/* SPDX-License-Identifier: BSD-3-Clause */
/* What the commands and the exporter ask of a card, whatever carries it. Today that is the card bus (ctrl/proto); the interface knows
 * only nouns, verbs and records, so that another transport can take its place.
 *
 * Not thread-safe: one thread per client. Blocking, with a time-out.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "ob_bus.h"

struct ob_client;

/* Connects to the card bus at 'path'. Context: any.
 * Returns 0; -ENOENT no such socket; -ECONNREFUSED nobody serves it; -EACCES; -ENAMETOOLONG; -ENOMEM; -errno. */
int ob_client_open(const char *path, unsigned timeout_ms, struct ob_client **out);
void ob_client_close(struct ob_client *c); /* NULL is legal */

/* Called for each record of a list, in the card's order. Return non-zero to stop; that value is returned by ob_client_list. 'record' is
 * valid during the call, of the length that was asked for: what a newer card appended is cut off, what an older one lacks is 0. */
typedef int (*ob_client_record_fn)(const void *record, void *ctx);

/* Lists a noun (enum ob_bus_noun). 'filter': a record whose non-empty key fields select, or NULL.
 * Returns 0; fn's value; the card's -errno (see ob_client_error); -ETIMEDOUT; -EPROTO the card's answer makes no sense; -EPIPE it went away. */
int ob_client_list(struct ob_client *c, unsigned noun, const void *filter, size_t record_len,
    ob_client_record_fn fn, void *ctx);

/* ADD, SET or DEL of one record. Returns as ob_client_list. */
int ob_client_change(
    struct ob_client *c, unsigned verb, unsigned noun, const void *record, size_t record_len);

/* The same with an open file for the card, which gets a descriptor of its own. */
int ob_client_change_fd(struct ob_client *c, unsigned verb, unsigned noun, const void *record,
    size_t record_len, int fd);

/* Uploads a body (of a security group, a tag): the next ADD or SET of a record that has one takes it. Returns as ob_client_list; -EMSGSIZE. */
int ob_client_upload(struct ob_client *c, const void *body, size_t len);
/* Fetches the body of an object; '*body' is the caller's to free. Returns as ob_client_list; -ESTALE it changes too fast. */
int ob_client_body(struct ob_client *c, unsigned noun, const char *name, void **body, size_t *len);

/* What the last call that failed says to people; never NULL. */
const char *ob_client_error(const struct ob_client *c);
