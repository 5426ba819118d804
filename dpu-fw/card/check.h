/* SPDX-License-Identifier: BSD-3-Clause */
/* Checks of fields that come over the bus. Each says in 'err' what is wrong with which field. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ob_bus.h"
#include "ob_encap.h"

/* Where a handler puts its text; the answer carries it when the status is not 0. */
struct text {
	char s[256];
};

/* Writes the text and returns 'rc', so that a handler can return it. */
int fail(struct text *t, int rc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* True if the OB_BUS_NAME bytes are a name: 1..31 of [A-Za-z0-9._-], a NUL, and NULs to the end. */
bool check_name(const char name[OB_BUS_NAME]);
/* 0, or -EINVAL with a text that names the field. */
int check_key(struct text *t, const char *field, const char name[OB_BUS_NAME]);
/* Empty, or a name. */
int check_filter(struct text *t, const char *field, const char name[OB_BUS_NAME]);
/* A path that ends within its array and has no control characters; empty is legal. */
int check_path(struct text *t, const char path[OB_BUS_PATH]);
/* Unicast and not zero. */
int check_mac(struct text *t, const char *field, const uint8_t mac[6]);
bool mac_is_zero(const uint8_t mac[6]);

enum ip_kind {
	IP_HOST, /* one address: prefix length 0 or full; not unspecified, multicast or broadcast */
	IP_ON_LINK, /* an address with the prefix of its link */
	IP_PREFIX,  /* a network: host bits are zero */
};
/* Checks and converts. '*prefix_len' may be NULL. IPv4 leaves bytes 4..15 zero. */
int check_ip(struct text *t, const char *field, const struct ob_bus_ip *in, enum ip_kind kind,
    struct ob_ip *out, uint8_t *prefix_len);
/* The other way; prefix_len as given. */
void put_ip(struct ob_bus_ip *out, const struct ob_ip *in, uint8_t prefix_len);
uint8_t ip_bits(uint8_t family); /* 32, 128, or 0 */
/* Text of an address, for messages. 'buf' has IP_TEXT bytes. */
#define IP_TEXT 64
const char *ip_text(const struct ob_ip *ip, char buf[IP_TEXT]);
