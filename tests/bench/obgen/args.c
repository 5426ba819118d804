/* SPDX-License-Identifier: BSD-3-Clause */
/* Device arguments, from one table. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_kvargs.h>
#include <rte_log.h>

#include "obgen.h"

RTE_LOG_REGISTER(obg_args_log, pmd.net.obgen.args, NOTICE);

const char *const obg_mode_names[] = {"established", "crr", "latency", NULL};
const char *const obg_encap_names[] = {"vxlan", "geneve", "none", NULL};
static const char *const role_names[] = {"guest", "wire", NULL};
static const char *const expect_names[] = {"plain", "tunnel", "any", NULL};
static const char *const proto_names[] = {"udp", "tcp", NULL};

enum type { ENUM, FLAG, U8, U16, U32, UINT, REAL, IP4, IP4_HOST, MAC, TEXT, SIZE };

struct arg {
	const char *name;
	enum type type;
	size_t at; /* in struct obg_conf, or struct obg_port_conf for the port's own */
	double min, max;
	const char *const *names;
};

#define IN_PORT(m) offsetof(struct obg_port_conf, m)
#define IN_PAIR(m) offsetof(struct obg_conf, m)
#define NUMBER(n, t, at, a, b)       \
	{                            \
		n, t, at, a, b, NULL \
	}
#define NAMED(n, at, list)              \
	{                               \
		n, ENUM, at, 0, 0, list \
	}
#define OTHER(n, t, at)              \
	{                            \
		n, t, at, 0, 0, NULL \
	}

static const struct arg port_args[] = {
    NAMED("role", IN_PORT(role), role_names),
    OTHER("mac", MAC, IN_PORT(mac)),
    NUMBER("queues", UINT, IN_PORT(queues), 1, OBG_MAX_QUEUES),
    NAMED("expect", IN_PORT(expect), expect_names),
    NUMBER("check", UINT, IN_PORT(check), 0, 1e9),
    OTHER("txcsum", FLAG, IN_PORT(txcsum)),
};

static const struct arg pair_args[] = {
    NAMED("mode", IN_PAIR(mode), obg_mode_names),
    NUMBER("flows", U32, IN_PAIR(flows), 1, OBG_MAX_FLOWS),
    NUMBER("zipf", REAL, IN_PAIR(zipf), 0, 1.5),
    NUMBER("size", SIZE, IN_PAIR(size), 64, OBG_MAX_FRAME),
    NAMED("proto", IN_PAIR(tcp), proto_names),
    NUMBER("rate", REAL, IN_PAIR(rate), 0, 1e9),
    NUMBER("inflight", U32, IN_PAIR(inflight), 16, 1 << 20),
    NUMBER("live", U32, IN_PAIR(live), 0, OBG_MAX_FLOWS),
    NUMBER("touch", REAL, IN_PAIR(touch), 0.01, 1e6),
    NAMED("encap", IN_PAIR(encap), obg_encap_names),
    NUMBER("vni", U32, IN_PAIR(vni), 0, 0xffffff),
    OTHER("card", IP4, IN_PAIR(card)),
    OTHER("far", IP4, IN_PAIR(far)),
    OTHER("far_mac", MAC, IN_PAIR(far_mac)),
    OTHER("guest", IP4, IN_PAIR(guest)),
    OTHER("guest_mac", MAC, IN_PAIR(guest_mac)),
    NUMBER("peers", U32, IN_PAIR(peers), 1, 65536),
    OTHER("peer", IP4_HOST, IN_PAIR(peer)),
    OTHER("peer_mac", MAC, IN_PAIR(peer_mac)),
    OTHER("gw_mac", MAC, IN_PAIR(gw_mac)),
    NUMBER("dport", U16, IN_PAIR(dport), 1, 60000),
    NUMBER("ttl_drop", U8, IN_PAIR(ttl_drop), 0, 63),
    OTHER("go", TEXT, IN_PAIR(go)),
    OTHER("open", FLAG, IN_PAIR(open)),
    NUMBER("warm", REAL, IN_PAIR(warm), 0, 1e6),
    NUMBER("measure", REAL, IN_PAIR(measure), 0, 1e6),
    NUMBER("windows", UINT, IN_PAIR(windows), 1, OBG_MAX_WINDOWS),
    OTHER("report", TEXT, IN_PAIR(report)),
};

static_assert(
    RTE_DIM(pair_args) <= RTE_DIM(((struct obg_pair *)0)->value), "room for every argument");

static bool parse_enum(const struct arg *a, const char *text, void *to)
{
	for (unsigned i = 0; a->names[i] != NULL; i++) {
		if (strcmp(a->names[i], text) != 0)
			continue;
		if (a->names == proto_names)
			*(bool *)to = i == 1;
		else
			memcpy(to, &i, sizeof(i));
		return true;
	}
	return false;
}

static bool parse_number(const struct arg *a, const char *text, void *to)
{
	char *end;
	double v = strtod(text, &end);

	if (end == text || *end != '\0' || !(v >= a->min && v <= a->max))
		return false;
	if (a->type == REAL) {
		*(double *)to = v;
		return true;
	}
	if (v != (double)(uint64_t)v)
		return false;
	if (a->type == U8)
		*(uint8_t *)to = (uint8_t)v;
	else if (a->type == U16 || a->type == SIZE)
		*(uint16_t *)to = (uint16_t)v;
	else
		*(uint32_t *)to = (uint32_t)v;
	return true;
}

static bool parse(const struct arg *a, const char *text, void *to)
{
	uint32_t ip;

	switch (a->type) {
	case ENUM:
		return parse_enum(a, text, to);
	case FLAG:
		*(bool *)to = text[0] == '1';
		return (text[0] == '0' || text[0] == '1') && text[1] == '\0';
	case IP4:
	case IP4_HOST:
		if (inet_pton(AF_INET, text, &ip) != 1)
			return false;
		*(uint32_t *)to = a->type == IP4 ? ip : rte_be_to_cpu_32(ip);
		return true;
	case MAC:
		return rte_ether_unformat_addr(text, to) == 0;
	case TEXT:
		*(const char **)to = text;
		return text[0] != '\0';
	case SIZE:
		if (strcmp(text, "imix") == 0) {
			*(uint16_t *)to = 0;
			return true;
		}
		return parse_number(a, text, to);
	default:
		return parse_number(a, text, to);
	}
}

static const struct arg *find(const struct arg *args, unsigned n, const char *name)
{
	for (unsigned i = 0; i < n; i++) {
		if (strcmp(args[i].name, name) == 0)
			return &args[i];
	}
	return NULL;
}

static int bad(const char *name, const char *value, const char *what)
{
	rte_log(
	    RTE_LOG_ERR, obg_args_log, "net_obgen: %s=%s: %s\n", name, value ? value : "", what);
	return -EINVAL;
}

int obg_args_port(const char *args, struct obg_port_conf *conf, char *pair_name)
{
	struct rte_kvargs *kv = rte_kvargs_parse(args, NULL);
	bool has_role = false, has_expect = false, has_mac = false;
	int rc = 0;

	if (kv == NULL)
		return bad("arguments", args, "malformed");
	*conf = (struct obg_port_conf){.queues = 8, .check = 64};
	strcpy(pair_name, "0");
	for (unsigned i = 0; i < kv->count && rc == 0; i++) {
		const char *name = kv->pairs[i].key, *value = kv->pairs[i].value;
		const struct arg *a = find(port_args, RTE_DIM(port_args), name);

		if (value == NULL) {
			rc = bad(name, value, "wants a value");
		} else if (strcmp(name, "pair") == 0) {
			if (value[0] == '\0' || strlen(value) > 31 ||
			    strpbrk(value, "\"\\") != NULL)
				rc = bad(name, value, "a name of 1 to 31 characters");
			else
				strcpy(pair_name, value);
		} else if (a != NULL && !parse(a, value, (char *)conf + a->at)) {
			rc = bad(name, value, "malformed or out of range");
		} else if (a == NULL && find(pair_args, RTE_DIM(pair_args), name) == NULL) {
			rc = bad(name, value, "no such argument");
		}
		has_role |= strcmp(name, "role") == 0;
		has_expect |= strcmp(name, "expect") == 0;
		has_mac |= strcmp(name, "mac") == 0;
	}
	rte_kvargs_free(kv);
	if (rc == 0 && !has_role)
		rc = bad("role", "", "has to be given: guest or wire");
	if (!has_expect)
		conf->expect = conf->role == OBG_GUEST ? OBG_WANT_PLAIN : OBG_WANT_TUNNEL;
	if (!has_mac)
		conf->mac =
		    (struct rte_ether_addr){{2, 0x0b, 0, 0, 0, conf->role == OBG_GUEST ? 1 : 2}};
	return rc;
}

static void defaults(struct obg_conf *c)
{
	*c = (struct obg_conf){
	    .flows = 1000,
	    .size = 64,
	    .inflight = 1024,
	    .touch = 4,
	    .vni = 100,
	    .card = RTE_BE32(0xc0000201),
	    .far = RTE_BE32(0xc0000202),
	    .far_mac = {{2, 0x0b, 0, 0, 0xff, 2}},
	    .guest = RTE_BE32(0x0a000005),
	    .guest_mac = {{2, 0x0b, 0, 0, 0, 5}},
	    .peers = 256,
	    .peer = 0x0a010000,
	    .peer_mac = {{2, 0x0b, 0, 0, 1, 1}},
	    .gw_mac = {{2, 0x0b, 0, 0, 0, 0xfe}},
	    .dport = 80,
	    .ttl_drop = 8,
	    .open = true,
	    .warm = 1,
	    .measure = 2,
	    .windows = 1,
	};
}

static bool given(const struct obg_pair *pair, const char *name)
{
	return pair->value[find(pair_args, RTE_DIM(pair_args), name) - pair_args] != NULL;
}

int obg_args_settle(struct obg_pair *pair)
{
	struct obg_conf *c = &pair->conf;

	if (c->mode == OBG_CRR) {
		if (!given(pair, "flows"))
			c->flows = 1000000;
		if (given(pair, "proto") && !c->tcp)
			return bad("proto", "udp", "crr is of TCP");
		c->tcp = true;
		if (c->zipf > 0)
			return bad("zipf", "", "not in crr: tuples are used in turn");
	} else if (c->live > 0) {
		return bad("live", "", "only in crr");
	}
	if (c->mode == OBG_LATENCY && c->rate <= 0)
		return bad("rate", "", "latency wants one");
	if (c->zipf > 0 && c->zipf < 0.5)
		return bad("zipf", "", "0, or 0.5 to 1.5");
	if (!rte_is_power_of_2(c->inflight) || !rte_is_power_of_2(c->peers))
		return bad("inflight, peers", "", "powers of two");
	if ((c->peer & (c->peers - 1)) != 0)
		return bad("peer", "", "has to be a multiple of 'peers'");
	if ((uint64_t)c->flows + c->live > 2 * (uint64_t)OBG_MAX_FLOWS)
		return bad("flows", "", "too many with those of 'live'");
	c->peers_log2 = (unsigned)__builtin_ctz(c->peers);
	pair->total = c->flows + c->live;
	/* Every slot is one connection's at a time, also where the tuples begin anew. */
	while (c->inflight > c->flows && c->inflight > 1)
		c->inflight /= 2;
	return 0;
}

int obg_args_pair(const char *args, struct obg_pair *pair)
{
	struct rte_kvargs *kv = rte_kvargs_parse(args, NULL);
	int rc = 0;

	if (kv == NULL)
		return bad("arguments", args, "malformed");
	for (unsigned i = 0; i < kv->count && rc == 0; i++) {
		const char *name = kv->pairs[i].key, *value = kv->pairs[i].value;
		const struct arg *a = find(pair_args, RTE_DIM(pair_args), name);
		char **kept = a ? &pair->value[a - pair_args] : NULL;

		if (a == NULL)
			continue;
		if (*kept != NULL && strcmp(*kept, value) != 0)
			rc = bad(name, value, "the pair's other port says otherwise");
		else if (*kept == NULL && (*kept = strdup(value)) == NULL)
			rc = -ENOMEM;
	}
	rte_kvargs_free(kv);
	defaults(&pair->conf);
	for (unsigned i = 0; i < RTE_DIM(pair_args) && rc == 0; i++) {
		const struct arg *a = &pair_args[i];

		if (pair->value[i] != NULL &&
		    !parse(a, pair->value[i], (char *)&pair->conf + a->at))
			rc = bad(a->name, pair->value[i], "malformed or out of range");
	}
	return rc;
}
