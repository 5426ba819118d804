/* SPDX-License-Identifier: BSD-3-Clause */
/* 'obctl trace': its arguments are a packet, its answer is a list of steps. */
#include "cli.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define R ob_bus_trace

static const struct choice verdicts[] = {{"dropped", OB_BUS_TRACE_DROPPED},
    {"sent", OB_BUS_TRACE_SENT}, {"delivered", OB_BUS_TRACE_DELIVERED},
    {"answered", OB_BUS_TRACE_ANSWERED}, {"unknown", OB_BUS_TRACE_UNKNOWN}, {NULL, 0}};

static const struct field fields[] = {
    {.name = "stage", .head = "STAGE", .kind = K_STR, FIELD(R, stage)},
    {.name = "result", .head = "RESULT", .kind = K_STR, FIELD(R, result)},
    {.name = "text", .head = "WHY", .kind = K_STR, FIELD(R, text)},
    {.name = "verdict", .kind = K_CHOICE, FIELD(R, verdict), .choices = verdicts},
    {.name = "reason", .kind = K_STR, FIELD(R, reason)},
};

const struct noun noun_trace = {
    .name = "trace",
    .bus = OB_BUS_TRACE,
    .record_len = sizeof(struct R),
    .verbs = V_LIST,
    .help = "what would happen to a packet, stage by stage, and why",
    .about = "",
    .fields = fields,
    .n_fields = sizeof(fields) / sizeof(fields[0]),
};

void help_trace(FILE *to)
{
	fputs(
	    "obctl trace: what would happen to a packet, stage by stage, and why\n\n"
	    "The decisions are those that a packet would meet now. Nothing is sent, opened, "
	    "counted or "
	    "charged. Not judged:\n"
	    "TCP state and window of a connection that is known, what is left of allowances, "
	    "whether "
	    "the guest or the port\n"
	    "takes the packet.\n\n"
	    "usage:\n"
	    "  obctl trace --from ENI PROTO SOURCE DESTINATION [options]\n"
	    "  obctl trace --to ENI PROTO SOURCE DESTINATION [--vni N] [--tunnel NAME] "
	    "[options]\n\n"
	    "PROTO is tcp (a SYN), udp, sctp, icmp, icmp6 (an echo request) or a number. An end is "
	    "ADDR:PORT, [ADDR]:PORT\n"
	    "or ADDR. A '>' between the ends is taken too; a shell wants it quoted.\n\n"
	    "options:\n"
	    "  --from ENI                   sent by the guest of it\n"
	    "  --to ENI                     come from the wire for it\n"
	    "  --tunnel NAME                that it came by\n"
	    "  --vni N                      that it came with; default that of the ENI's VNET\n"
	    "  --len BYTES                  of the IP packet; default as short as it can be\n"
	    "  --ttl N                      default 64\n"
	    "  --df on|off                  off: IPv4 that may be cut\n"
	    "  --id N                       of an echo request\n"
	    "  --smac MAC, --dmac MAC       default what belongs there\n\n"
	    "examples:\n"
	    "  obctl trace --from e1 tcp 10.0.0.5:1234 10.1.0.9:80\n"
	    "  obctl trace --to e1 --vni 100 udp '[fd00::9]:53' '[fd00::5]:4000'\n"
	    "  obctl trace --from e1 icmp 10.0.0.5 '>' 10.0.0.1\n",
	    to);
}

static int bad(const char *what, const char *word)
{
	fprintf(stderr, "obctl: trace: '%s' is not %s; see 'obctl trace --help'\n", word, what);
	return -EINVAL;
}

static int number(const char *text, unsigned long max, unsigned long *out)
{
	char *end;

	errno = 0;
	*out = strtoul(text, &end, 0);
	return text[0] >= '0' && text[0] <= '9' && *end == 0 && errno == 0 && *out <= max ? 0
											  : -EINVAL;
}

/* ADDR, ADDR:PORT or [ADDR]:PORT. */
static int end_of(const char *text, struct ob_bus_ip *ip, uint16_t *port)
{
	char addr[INET6_ADDRSTRLEN + 2];
	const char *colon = strrchr(text, ':');
	bool bracket = text[0] == '[', one = colon != NULL && strchr(text, ':') == colon;
	size_t n = (bracket || one) && colon != NULL ? (size_t)(colon - text) : strlen(text);
	unsigned long v = 0;

	if (bracket && text[strlen(text) - 1] == ']') {
		n = strlen(text);
		colon = NULL;
	} else if (!bracket && !one) {
		colon = NULL;
	}
	if (n >= sizeof(addr) || (bracket && (n < 3 || text[n - 1] != ']')))
		return -EINVAL;
	memcpy(addr, text + bracket, n - 2 * bracket);
	addr[n - 2 * bracket] = 0;
	if (colon != NULL && number(colon + 1, UINT16_MAX, &v) < 0)
		return -EINVAL;
	*port = (uint16_t)v;
	memset(ip, 0, sizeof(*ip));
	if (inet_pton(AF_INET, addr, ip->b) == 1)
		ip->family = 4;
	else if (inet_pton(AF_INET6, addr, ip->b) == 1)
		ip->family = 6;
	ip->prefix_len = ip->family == 4 ? 32 : 128;
	return ip->family != 0 ? 0 : -EINVAL;
}

static int proto_of(const char *text, uint8_t *out)
{
	static const struct choice names[] = {{"tcp", 6}, {"udp", 17}, {"icmp", 1}, {"icmp6", 58},
	    {"sctp", 132}, {"esp", 50}, {"gre", 47}, {NULL, 0}};
	unsigned long v;

	for (const struct choice *c = names; c->name != NULL; c++) {
		if (strcmp(c->name, text) == 0) {
			*out = (uint8_t)c->value;
			return 0;
		}
	}
	if (number(text, 255, &v) < 0)
		return -EINVAL;
	*out = (uint8_t)v;
	return 0;
}

static int mac_of(const char *text, uint8_t mac[6])
{
	const struct field f = {.kind = K_MAC, .size = 6};
	char err[128];

	return value_parse(&f, text, mac, err, sizeof(err));
}

static int name_of(const char *text, char name[OB_BUS_NAME])
{
	if (strlen(text) >= OB_BUS_NAME || text[0] == 0)
		return -EINVAL;
	memset(name, 0, OB_BUS_NAME);
	memcpy(name, text, strlen(text));
	return 0;
}

static int option(struct R *r, const char *opt, const char *value)
{
	unsigned long v = 0;
	int rc = 0;

	if (strcmp(opt, "--from") == 0 || strcmp(opt, "--to") == 0) {
		if (r->eni[0] != 0) {
			fprintf(stderr, "obctl: trace takes one of --from and --to\n");
			return -EINVAL;
		}
		r->from_wire = opt[2] == 't';
		return name_of(value, r->eni) < 0 ? bad("a name", value) : 0;
	}
	if (strcmp(opt, "--tunnel") == 0)
		return name_of(value, r->tunnel) < 0 ? bad("a name", value) : 0;
	if (strcmp(opt, "--smac") == 0 || strcmp(opt, "--dmac") == 0)
		return mac_of(value, opt[2] == 's' ? r->smac : r->dmac) < 0
			   ? bad("a MAC address", value)
			   : 0;
	if (strcmp(opt, "--df") == 0) {
		r->may_cut = strcmp(value, "off") == 0;
		return r->may_cut || strcmp(value, "on") == 0 ? 0 : bad("on or off", value);
	}
	if (strcmp(opt, "--vni") == 0) {
		rc = number(value, 0xffffff, &v);
		r->vni = (uint32_t)v;
		r->has_vni = 1;
	} else if (strcmp(opt, "--len") == 0) {
		rc = number(value, UINT16_MAX, &v);
		r->len = (uint16_t)v;
	} else if (strcmp(opt, "--ttl") == 0) {
		rc = number(value, 255, &v);
		r->ttl = (uint8_t)v;
	} else if (strcmp(opt, "--id") == 0) {
		rc = number(value, UINT16_MAX, &v);
		r->sport = (uint16_t)v;
	} else {
		fprintf(stderr, "obctl: unknown option '%s'; see 'obctl trace --help'\n", opt);
		return -EINVAL;
	}
	return rc < 0 ? bad("a number that fits there", value) : 0;
}

int trace_parse(int argc, char **argv, struct ob_bus_trace *r)
{
	unsigned n = 0;
	uint16_t port;

	memset(r, 0, sizeof(*r));
	for (int i = 0; i < argc; i++) {
		const char *word = argv[i];

		if (strncmp(word, "--", 2) == 0) {
			if (i + 1 == argc) {
				fprintf(stderr, "obctl: trace: a value must follow '%s'\n", word);
				return -EINVAL;
			}
			if (option(r, word, argv[++i]) < 0)
				return -EINVAL;
			continue;
		}
		if (strcmp(word, ">") == 0 && n == 2)
			continue;
		switch (n++) {
		case 0:
			if (proto_of(word, &r->proto) < 0)
				return bad("a protocol", word);
			break;
		case 1:
		case 2:
			if (end_of(word, n == 2 ? &r->src : &r->dst, &port) < 0)
				return bad("an address, or one with a port", word);
			if (n == 3)
				r->dport = port;
			else if (port != 0)
				r->sport = port;
			break;
		default:
			return bad("expected here", word);
		}
	}
	if (r->eni[0] != 0 && n == 3)
		return 0;
	fprintf(stderr,
	    "obctl: trace needs --from or --to, a protocol, a source and a destination; "
	    "see 'obctl trace --help'\n");
	return -EINVAL;
}
