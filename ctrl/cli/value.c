/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	uint8_t bit;
	const char *name;
} status_bits[] = {{1, "ACKNOWLEDGE"}, {2, "DRIVER"}, {4, "DRIVER_OK"}, {8, "FEATURES_OK"},
    {64, "NEEDS_RESET"}, {128, "FAILED"}};

static int bad(char *err, size_t len, const char *what, const char *text)
{
	snprintf(err, len, "'%s' is not %s", text, what);
	return -EINVAL;
}

static void store_uint(void *to, unsigned size, uint64_t v)
{
	uint8_t v8 = (uint8_t)v;
	uint16_t v16 = (uint16_t)v;
	uint32_t v32 = (uint32_t)v;

	memcpy(to,
	    size == 1	? (void *)&v8
	    : size == 2 ? (void *)&v16
	    : size == 4 ? (void *)&v32
			: (void *)&v,
	    size);
}

static uint64_t load_uint(const void *from, unsigned size)
{
	uint64_t v = 0;

	memcpy(&v, from, size); /* little endian, as the bus is */
	return v;
}

static int64_t load_int(const void *from, unsigned size)
{
	unsigned shift = 64 - 8 * size;

	return (int64_t)(load_uint(from, size) << shift) >> shift;
}

static int parse_uint(const struct field *f, const char *text, void *to, char *err, size_t len)
{
	uint64_t max = f->size >= 8 ? UINT64_MAX : (1ull << (8 * f->size)) - 1;
	char *end;
	uint64_t v;

	errno = 0;
	v = strtoull(text, &end, 0);
	if (!isdigit((unsigned char)text[0]) || *end != 0 || errno != 0)
		return bad(err, len, "a number", text);
	if (v > max) {
		snprintf(err, len, "%s is too large: at most %" PRIu64, text, max);
		return -EINVAL;
	}
	store_uint(to, f->size, v);
	return 0;
}

/* Digits, perhaps a fraction, perhaps k, M, G or T. */
static int parse_rate(const char *text, void *to, char *err, size_t len)
{
	static const char units[] = "kMGT";
	double scale = 1, v;
	const char *unit;
	char *end;

	v = strtod(text, &end);
	if (*end != 0 && (unit = strchr(units, *end == 'K' ? 'k' : *end)) != NULL && end[1] == 0) {
		for (const char *u = units; u <= unit; u++)
			scale *= 1000;
		end++;
	}
	if (!isdigit((unsigned char)text[0]) || *end != 0)
		return bad(err, len, "a number such as 1000, 500M or 2.5G", text);
	if (v * scale > 1e15) {
		snprintf(err, len, "%s is too large", text);
		return -EINVAL;
	}
	store_uint(to, 8, (uint64_t)(v * scale + 0.5));
	return 0;
}

/* Digits and a unit; the units are those of memory. */
static int parse_size(const char *text, void *to, char *err, size_t len)
{
	static const char units[] = "KMGTP";
	const char *unit;
	unsigned shift = 0;
	uint64_t v;
	char *end;

	errno = 0;
	v = strtoull(text, &end, 10);
	unit = *end != 0 ? strchr(units, toupper((unsigned char)*end)) : NULL;
	if (unit != NULL) {
		shift = 10 * (unsigned)(unit - units + 1);
		end++;
		if (strcmp(end, "iB") == 0)
			end += 2;
	}
	if (!isdigit((unsigned char)text[0]) || *end != 0 || errno != 0)
		return bad(err, len, "a size such as 4096, 512M or 10G (powers of 1024)", text);
	if (v > UINT64_MAX >> shift || v << shift > 1ull << 60) {
		snprintf(err, len, "%s is too large", text);
		return -EINVAL;
	}
	store_uint(to, 8, v << shift);
	return 0;
}

/* The whole of a file, which is no text: no line break is cut off. */
static int parse_key(const char *path, struct ob_bus_key *key, char *err, size_t len)
{
	FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	uint8_t buf[sizeof(key->bytes) + 1];
	size_t n;

	if (f == NULL) {
		snprintf(err, len, "%s: %s", path, strerror(errno));
		return -EINVAL;
	}
	setvbuf(f, NULL, _IONBF, 0); /* no copy of it stays in a buffer */
	n = fread(buf, 1, sizeof(buf), f);
	if (f != stdin)
		fclose(f);
	if (n == 32 || n == sizeof(key->bytes)) {
		*key = (struct ob_bus_key){.use = OB_BUS_KEY_GIVEN, .len = (uint8_t)n};
		memcpy(key->bytes, buf, n);
	} else {
		snprintf(err, len,
		    "%s has %s%zu bytes; a key has 64 (AES-256) or 32 (AES-128): 'head -c 64 "
		    "/dev/urandom >KEY'",
		    path, n == sizeof(buf) ? "more than " : "", n == sizeof(buf) ? n - 1 : n);
	}
	explicit_bzero(buf, sizeof(buf));
	return key->use == OB_BUS_KEY_NONE ? -EINVAL : 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int parse_mac(const char *text, uint8_t *mac, char *err, size_t len)
{
	for (unsigned i = 0; i < 6; i++) {
		int hi = hex_digit(text[3 * i]), lo = hi < 0 ? -1 : hex_digit(text[3 * i + 1]);

		if (lo < 0 || text[3 * i + 2] != (i < 5 ? ':' : 0))
			return bad(err, len, "a MAC address such as 02:00:00:00:00:01", text);
		mac[i] = (uint8_t)(hi << 4 | lo);
	}
	return 0;
}

static bool host_bits_zero(const struct ob_bus_ip *ip)
{
	unsigned n = ip->family == 4 ? 32 : 128;

	for (unsigned i = ip->prefix_len; i < n; i++) {
		if (ip->b[i / 8] & (0x80 >> (i % 8)))
			return false;
	}
	return true;
}

static int parse_ip(enum kind kind, const char *text, struct ob_bus_ip *ip, char *err, size_t len)
{
	char addr[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	size_t n = slash ? (size_t)(slash - text) : strlen(text);
	unsigned long bits;
	char *end;

	memset(ip, 0, sizeof(*ip));
	if (n >= sizeof(addr) || (slash && kind == K_IP))
		return bad(err, len, "an IP address", text);
	memcpy(addr, text, n);
	addr[n] = 0;
	if (inet_pton(AF_INET, addr, ip->b) == 1)
		ip->family = 4;
	else if (inet_pton(AF_INET6, addr, ip->b) == 1)
		ip->family = 6;
	else
		return bad(err, len,
		    kind == K_PREFIX || kind == K_MATCH ? "a prefix such as 10.0.0.0/8"
							: "an IP address",
		    text);
	ip->prefix_len = ip->family == 4 ? 32 : 128;
	if (slash) {
		bits = strtoul(slash + 1, &end, 10);
		if (!isdigit((unsigned char)slash[1]) || *end != 0 || bits > ip->prefix_len)
			return bad(err, len, "an address with a prefix length", text);
		ip->prefix_len = (uint8_t)bits;
	}
	if ((kind == K_PREFIX || kind == K_MATCH) && !host_bits_zero(ip)) {
		snprintf(err, len, "'%s' has bits set behind its prefix length", text);
		return -EINVAL;
	}
	return 0;
}

/* CLASS:TYPE[:HEX], numbers as C writes them; bit 7 of TYPE makes the option critical. */
static int parse_opt(const char *text, struct ob_bus_geneve_opt *o, char *err, size_t len)
{
	char *end;
	unsigned long class = strtoul(text, &end, 0), type;
	const char *hex;
	size_t n;

	memset(o, 0, sizeof(*o));
	if (end == text || *end != ':' || class > UINT16_MAX)
		return bad(err, len, "a Geneve option CLASS:TYPE:HEX", text);
	hex = end + 1;
	type = strtoul(hex, &end, 0);
	if (end == hex || (*end != ':' && *end != 0) || type > UINT8_MAX)
		return bad(err, len, "a Geneve option CLASS:TYPE:HEX", text);
	hex = *end ? end + 1 : end;
	n = strlen(hex);
	if (n % 8 != 0 || n / 2 > sizeof(o->data))
		return bad(
		    err, len, "an option with 0 to 124 bytes of data, a multiple of 4", text);
	for (size_t i = 0; i < n; i += 2) {
		int hi = hex_digit(hex[i]), lo = hex_digit(hex[i + 1]);

		if (hi < 0 || lo < 0)
			return bad(err, len, "hexadecimal data", hex);
		o->data[i / 2] = (uint8_t)(hi << 4 | lo);
	}
	o->opt_class = (uint16_t) class;
	o->type = (uint8_t)type;
	o->len = (uint8_t)(n / 2);
	return 0;
}

static int parse_choice(const struct field *f, const char *text, uint8_t *to, char *err, size_t len)
{
	size_t at;

	for (const struct choice *c = f->choices; c->name; c++) {
		if (strcmp(c->name, text) == 0) {
			*to = (uint8_t)c->value;
			return 0;
		}
	}
	at = (size_t)snprintf(err, len, "'%s' is none of", text);
	for (const struct choice *c = f->choices; c->name && at < len; c++)
		at += (size_t)snprintf(err + at, len - at, " %s", c->name);
	return -EINVAL;
}

static int parse_str(const struct field *f, const char *text, char *to, char *err, size_t len)
{
	if (text[0] == 0 || strlen(text) >= f->size) {
		snprintf(err, len, "'%s' must have 1 to %u characters", text, f->size - 1u);
		return -EINVAL;
	}
	memset(to, 0, f->size);
	memcpy(to, text, strlen(text));
	return 0;
}

/* "ADDR[,ADDR...]@VNET" */
static int parse_hops(const char *text, struct ob_bus_route *r, char *err, size_t len)
{
	const char *at = strrchr(text, '@');
	char list[OB_BUS_ROUTE_HOPS * (INET6_ADDRSTRLEN + 1)], *save, *word;

	if (at == NULL || at[1] == 0 || strlen(at + 1) >= sizeof(r->to_vnet) || at == text ||
	    (size_t)(at - text) >= sizeof(list))
		return bad(err, len, "a list of next hops in a VNET: ADDR[,ADDR...]@VNET", text);
	memcpy(r->to_vnet, at + 1, strlen(at + 1));
	memcpy(list, text, (size_t)(at - text));
	list[at - text] = 0;
	for (word = strtok_r(list, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
		if (r->n_hops == OB_BUS_ROUTE_HOPS) {
			snprintf(err, len, "a route has at most %d next hops", OB_BUS_ROUTE_HOPS);
			return -EINVAL;
		}
		if (parse_ip(K_IP, word, &r->hop[r->n_hops++], err, len) < 0)
			return -EINVAL;
	}
	return 0;
}

static int parse_route_to(const char *text, struct ob_bus_route *r, char *err, size_t len)
{
	memset(r->to_vnet, 0, sizeof(r->to_vnet));
	memset(r->hop, 0, sizeof(r->hop));
	r->n_hops = 0;
	if (strcmp(text, "drop") == 0) {
		r->action = OB_BUS_TO_DROP;
		return 0;
	}
	if (strncmp(text, "via:", 4) == 0 || strncmp(text, "nat:", 4) == 0) {
		r->action = text[0] == 'v' ? OB_BUS_TO_VIA : OB_BUS_TO_NAT;
		return parse_hops(text + 4, r, err, len);
	}
	if (strncmp(text, "vnet:", 5) != 0 || text[5] == 0 ||
	    strlen(text + 5) >= sizeof(r->to_vnet))
		return bad(err, len,
		    "'drop', 'vnet:NAME', 'via:ADDR[,ADDR...]@VNET' or 'nat:ADDR[,ADDR...]@VNET'",
		    text);
	r->action = OB_BUS_TO_VNET;
	memcpy(r->to_vnet, text + 5, strlen(text + 5));
	return 0;
}

static void put_be32(uint8_t to[4], uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		to[i] = (uint8_t)(v >> (24 - 8 * i));
}

static uint32_t get_be32(const uint8_t from[4])
{
	return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

static int parse_range(const char *text, struct ob_bus_range *r, char *err, size_t len)
{
	const char *dash = strchr(text, '-');
	char first[INET6_ADDRSTRLEN + 4];
	struct ob_bus_ip a, b;
	size_t n = dash ? (size_t)(dash - text) : strlen(text);

	if (n >= sizeof(first))
		return bad(err, len, "a range of addresses", text);
	memcpy(first, text, n);
	first[n] = 0;
	if (parse_ip(dash ? K_IP : K_PREFIX, first, &a, err, len) < 0 ||
	    (dash && parse_ip(K_IP, dash + 1, &b, err, len) < 0))
		return -EINVAL;
	if (a.family != 4 || (dash && b.family != 4))
		return bad(err, len, "a range of IPv4 addresses", text);
	memcpy(r->first, a.b, 4);
	if (dash)
		memcpy(r->last, b.b, 4);
	else
		put_be32(r->last, get_be32(a.b) | (uint32_t)(UINT32_MAX >> a.prefix_len % 32) *
						      (a.prefix_len < 32));
	if (get_be32(r->last) < get_be32(r->first)) {
		snprintf(err, len, "the range %s ends before it begins", text);
		return -EINVAL;
	}
	return 0;
}

int value_parse(const struct field *f, const char *text, void *to, char *err, size_t err_len)
{
	switch (f->kind) {
	case K_STR:
		return parse_str(f, text, to, err, err_len);
	case K_UINT:
	case K_HEX:
		return parse_uint(f, text, to, err, err_len);
	case K_MAC:
		return parse_mac(text, to, err, err_len);
	case K_IP:
	case K_IFADDR:
	case K_PREFIX:
	case K_MATCH:
		return parse_ip(f->kind, text, to, err, err_len);
	case K_PROTO:
		if (isdigit((unsigned char)text[0]))
			return parse_uint(f, text, to, err, err_len);
		return parse_choice(f, text, to, err, err_len);
	case K_CHOICE:
		return parse_choice(f, text, to, err, err_len);
	case K_RATE:
		return parse_rate(text, to, err, err_len);
	case K_SIZE:
		return parse_size(text, to, err, err_len);
	case K_KEY:
		return parse_key(text, to, err, err_len);
	case K_OPT:
		return parse_opt(text, to, err, err_len);
	case K_RANGE:
		return parse_range(text, to, err, err_len);
	case K_ROUTE_TO:
		return parse_route_to(text, to, err, err_len);
	default:
		return bad(err, err_len, "something that can be set", text);
	}
}

static void ip_text(enum kind kind, const struct ob_bus_ip *ip, char *out, size_t len)
{
	char addr[INET6_ADDRSTRLEN];

	if ((ip->family != 4 && ip->family != 6) ||
	    inet_ntop(ip->family == 4 ? AF_INET : AF_INET6, ip->b, addr, sizeof(addr)) == NULL)
		snprintf(out, len, "-");
	else if (kind == K_IP ||
		 (kind == K_MATCH && ip->prefix_len == (ip->family == 4 ? 32 : 128)))
		snprintf(out, len, "%s", addr);
	else
		snprintf(out, len, "%s/%u", addr, ip->prefix_len);
}

static void ns_text(uint64_t ns, char *out, size_t len)
{
	uint64_t s = ns / 1000000000;

	if (s >= 86400)
		snprintf(out, len, "%" PRIu64 "d %02u:%02u:%02u", s / 86400,
		    (unsigned)(s / 3600 % 24), (unsigned)(s / 60 % 60), (unsigned)(s % 60));
	else
		snprintf(out, len, "%02u:%02u:%02u", (unsigned)(s / 3600), (unsigned)(s / 60 % 60),
		    (unsigned)(s % 60));
}

static void rate_text(uint64_t v, char *out, size_t len)
{
	static const char units[] = "kMGT";
	int unit = -1;

	while (v != 0 && v % 1000 == 0 && unit < 3) {
		v /= 1000;
		unit++;
	}
	if (v == 0)
		snprintf(out, len, "-");
	else
		snprintf(out, len, unit < 0 ? "%" PRIu64 : "%" PRIu64 "%c", v,
		    units[unit < 0 ? 0 : unit]);
}

static void size_text(uint64_t v, char *out, size_t len)
{
	static const char units[] = "KMGTP";
	int unit = -1;

	while (v != 0 && v % 1024 == 0 && unit < 4) {
		v /= 1024;
		unit++;
	}
	snprintf(out, len, unit < 0 ? "%" PRIu64 : "%" PRIu64 "%c", v, units[unit < 0 ? 0 : unit]);
}

static void uuid_text(const uint8_t *b, char *out, size_t len)
{
	size_t at = 0;

	for (unsigned i = 0; i < 16 && at + 3 < len; i++)
		at += (size_t)snprintf(out + at, len - at, "%s%02x",
		    i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", b[i]);
}

static void status_text(uint8_t status, char *out, size_t len)
{
	size_t at = 0;

	snprintf(out, len, "-");
	for (unsigned i = 0; i < sizeof(status_bits) / sizeof(status_bits[0]); i++) {
		if ((status & status_bits[i].bit) && at < len)
			at += (size_t)snprintf(
			    out + at, len - at, "%s%s", at ? "|" : "", status_bits[i].name);
	}
}

static void flags_text(const struct field *f, unsigned v, char *out, size_t len)
{
	size_t at = 0;

	snprintf(out, len, "-");
	for (const struct choice *c = f->choices; c->name; c++) {
		if ((v & c->value) && at < len)
			at += (size_t)snprintf(out + at, len - at, "%s%s", at ? "," : "", c->name);
	}
}

static void opt_text(const struct ob_bus_geneve_opt *o, char *out, size_t len)
{
	size_t at = (size_t)snprintf(out, len, "0x%04x:0x%02x", o->opt_class, o->type);

	for (unsigned i = 0; i < o->len && i < sizeof(o->data) && at < len; i++)
		at += (size_t)snprintf(out + at, len - at, "%s%02x", i ? "" : ":", o->data[i]);
}

static void choice_text(const struct field *f, unsigned v, char *out, size_t len)
{
	for (const struct choice *c = f->choices; c->name; c++) {
		if (c->value == v) {
			snprintf(out, len, "%s", c->name);
			return;
		}
	}
	snprintf(out, len, v ? "%u" : "-", v);
}

/* As a prefix where it is one. */
static void range_text(const struct ob_bus_range *r, char *out, size_t len)
{
	uint32_t first = get_be32(r->first), last = get_be32(r->last), mask = first ^ last;
	char a[INET_ADDRSTRLEN], b[INET_ADDRSTRLEN];

	inet_ntop(AF_INET, r->first, a, sizeof(a));
	inet_ntop(AF_INET, r->last, b, sizeof(b));
	if (mask == 0)
		snprintf(out, len, "%s", a);
	else if ((mask & (mask + 1)) == 0 && (first & mask) == 0)
		snprintf(out, len, "%s/%d", a, __builtin_clz(mask));
	else
		snprintf(out, len, "%s-%s", a, b);
}

static void route_to_text(const struct ob_bus_route *r, char *out, size_t len)
{
	size_t at;

	if (r->action == OB_BUS_TO_DROP) {
		snprintf(out, len, "drop");
		return;
	}
	if (r->action != OB_BUS_TO_VIA && r->action != OB_BUS_TO_NAT) {
		snprintf(out, len, "vnet:%.*s", OB_BUS_NAME, r->to_vnet);
		return;
	}
	at = (size_t)snprintf(out, len, "%s:", r->action == OB_BUS_TO_VIA ? "via" : "nat");
	for (unsigned i = 0; i < r->n_hops && i < OB_BUS_ROUTE_HOPS && at + 2 < len; i++) {
		if (i > 0)
			out[at++] = ',';
		ip_text(K_IP, &r->hop[i], out + at, len - at);
		at += strlen(out + at);
	}
	snprintf(out + at, len - at, "@%.*s", OB_BUS_NAME, r->to_vnet);
}

void value_text(const struct field *f, const void *from, char *out, size_t len)
{
	const uint8_t *b = from;

	switch (f->kind) {
	case K_STR:
		snprintf(
		    out, len, "%.*s", b[0] ? (int)f->size : 1, b[0] ? (const char *)from : "-");
		break;
	case K_UINT:
		snprintf(out, len, "%" PRIu64, load_uint(from, f->size));
		break;
	case K_INT:
		snprintf(out, len, "%" PRId64, load_int(from, f->size));
		break;
	case K_HEX:
		snprintf(out, len, "0x%" PRIx64, load_uint(from, f->size));
		break;
	case K_MAC:
		if (load_uint(from, 6) == 0)
			snprintf(out, len, "-");
		else
			snprintf(out, len, "%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3],
			    b[4], b[5]);
		break;
	case K_IP:
	case K_IFADDR:
	case K_PREFIX:
	case K_MATCH:
		ip_text(f->kind, from, out, len);
		break;
	case K_RATE:
		rate_text(load_uint(from, 8), out, len);
		break;
	case K_SIZE:
		size_text(load_uint(from, 8), out, len);
		break;
	case K_KEY:
		snprintf(out, len, "-");
		break;
	case K_UUID:
		uuid_text(from, out, len);
		break;
	case K_USEC:
		snprintf(out, len, "%.1f", (double)load_uint(from, 8) / 1e3);
		break;
	case K_PROTO:
	case K_CHOICE:
		choice_text(f, b[0], out, len);
		break;
	case K_NS:
		ns_text(load_uint(from, 8), out, len);
		break;
	case K_STATUS:
		status_text(b[0], out, len);
		break;
	case K_FLAGS:
		flags_text(f, (unsigned)load_uint(from, f->size), out, len);
		break;
	case K_OPT:
		opt_text(from, out, len);
		break;
	case K_RANGE:
		range_text(from, out, len);
		break;
	case K_ROUTE_TO:
		route_to_text(from, out, len);
		break;
	}
}

struct json_object *value_json(const struct field *f, const void *from)
{
	char text[1024];

	switch (f->kind) {
	case K_UINT:
	case K_RATE:
	case K_SIZE:
		return json_object_new_uint64(load_uint(from, f->size));
	case K_NS:
		return json_object_new_double((double)load_uint(from, 8) / 1e9);
	case K_USEC:
		return json_object_new_double((double)load_uint(from, 8) / 1e3);
	case K_INT:
		return json_object_new_int64(load_int(from, f->size));
	default:
		value_text(f, from, text, sizeof(text));
		return strcmp(text, "-") == 0 ? NULL : json_object_new_string(text);
	}
}

unsigned field_count(const struct field *f, const void *record)
{
	unsigned n;

	if (f->max == 0)
		return 1;
	n = ((const uint8_t *)record)[f->count_off];
	return n < f->max ? n : f->max;
}

const void *field_elem(const struct field *f, const void *record, unsigned i)
{
	return (const uint8_t *)record + f->off + (size_t)i * f->size;
}

void field_text(const struct field *f, const void *record, char *out, size_t len)
{
	unsigned n = field_count(f, record);
	size_t at = 0;

	snprintf(out, len, "-");
	for (unsigned i = 0; i < n && at + 2 < len; i++) {
		if (i > 0)
			out[at++] = ',';
		value_text(f, field_elem(f, record, i), out + at, len - at);
		at += strlen(out + at);
	}
}

uint64_t field_uint(const struct field *f, const void *record)
{
	return load_uint((const uint8_t *)record + f->off, f->size);
}
