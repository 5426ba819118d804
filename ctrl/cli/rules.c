/* SPDX-License-Identifier: BSD-3-Clause */
/* The language of security groups: a rule is a line.
 *
 * PRIORITY ACTION PROTOCOLS [from ADDRESSES [port PORTS]] [to ADDRESSES [port PORTS]] [type TYPE[/CODE][,...]]
 */
#include "body.h"

#include <ctype.h>
#include <errno.h>
#include <json-c/json.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define MAX_ITEMS 65535 /* of one list, as the bus counts */

static const char grammar[] =
    "a rule is PRIORITY ACTION PROTOCOLS [from ADDRESSES [port PORTS]] [to ADDRESSES [port PORTS]]";

static const struct choice actions[] = {{"permit", OB_BUS_PERMIT}, {"deny", OB_BUS_DENY},
    {"permit-continue", OB_BUS_PERMIT_CONTINUE}, {"deny-continue", OB_BUS_DENY_CONTINUE},
    {NULL, 0}};

const struct choice ip_protocols[] = {{"icmp", IPPROTO_ICMP}, {"igmp", IPPROTO_IGMP},
    {"tcp", IPPROTO_TCP}, {"udp", IPPROTO_UDP}, {"gre", IPPROTO_GRE}, {"esp", IPPROTO_ESP},
    {"ah", IPPROTO_AH}, {"icmp6", IPPROTO_ICMPV6}, {"sctp", IPPROTO_SCTP},
    {"udplite", IPPROTO_UDPLITE}, {NULL, 0}};

/* A rule while it is read: its lists grow apart and are put behind each other at the end. */
struct reader {
	char *rest; /* of the line */
	char *err;
	size_t err_len;
	struct ob_bus_rule r;
	struct body src, dst, src_tags, dst_tags, sports, dports;
};

static int wrong(struct reader *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int wrong(struct reader *p, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p->err, p->err_len, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static char *next_word(struct reader *p)
{
	return strtok_r(NULL, " \t\r\n", &p->rest);
}

/* The next element of a list "a,b, c": '*list' is the word that it is in; NULL: the list ended. A comma at the end goes on with the
 * next word. */
static char *next_item(struct reader *p, char **list)
{
	char *item = *list, *comma;

	if (item == NULL)
		return NULL;
	comma = strchr(item, ',');
	if (comma == NULL) {
		*list = NULL;
	} else {
		*comma = '\0';
		*list = comma[1] != '\0' ? comma + 1 : next_word(p);
		if (*list == NULL)
			*list = comma; /* an item is missing: an empty one is refused */
	}
	return item;
}

static bool number(const char *text, unsigned long max, unsigned long *v)
{
	char *end;

	errno = 0;
	*v = strtoul(text, &end, 10);
	return isdigit((unsigned char)text[0]) && *end == '\0' && errno == 0 && *v <= max;
}

static const struct choice *find_choice(const struct choice *c, const char *text)
{
	while (c->name != NULL && strcmp(c->name, text) != 0)
		c++;
	return c->name != NULL ? c : NULL;
}

static const char *near_of(const struct choice *c, const char *word)
{
	const char *list[16];
	unsigned n = 0;

	for (; c->name != NULL && n < 16; c++)
		list[n++] = c->name;
	return nearest(word, list, n);
}

static int read_protocols(struct reader *p, char *list)
{
	char *item;

	if (list == NULL)
		return wrong(p, "the protocols are missing; %s", grammar);
	if (strcmp(list, "any") == 0)
		return 0;
	while ((item = next_item(p, &list)) != NULL) {
		const struct choice *c = find_choice(ip_protocols, item);
		unsigned long v = 0;

		if (c != NULL) {
			v = c->value;
		} else if (!number(item, 255, &v)) {
			const char *near = near_of(ip_protocols, item);

			return wrong(p,
			    "'%s' is no protocol%s%s%s: any, tcp, udp, icmp, icmp6, sctp, esp, "
			    "ah, gre, or a number up to 255",
			    item, near ? " (did you mean '" : "", near ? near : "",
			    near ? "'?)" : "");
		}
		if (p->r.n_protos == OB_BUS_RULE_PROTOS)
			return wrong(p, "a rule takes at most %d protocols; write two rules",
			    OB_BUS_RULE_PROTOS);
		p->r.proto[p->r.n_protos++] = (uint8_t)v;
	}
	return 0;
}

static int read_tag(struct reader *p, const char *name, struct body *tags)
{
	char *to;

	if (name[0] == '\0' || strlen(name) >= OB_BUS_NAME)
		return wrong(
		    p, "'tag:%s': a tag's name has 1 to %d characters", name, OB_BUS_NAME - 1);
	to = body_grow(tags, OB_BUS_NAME);
	if (to == NULL)
		return wrong(p, "out of memory");
	memcpy(to, name, strlen(name));
	return 0;
}

static int read_addresses(
    struct reader *p, const char *side, char *list, struct body *ips, struct body *tags)
{
	char *item;

	if (list == NULL)
		return wrong(p, "addresses must follow '%s': any, prefixes, tag:NAME", side);
	if (strcmp(list, "any") == 0)
		return 0;
	while ((item = next_item(p, &list)) != NULL) {
		struct ob_bus_ip ip, *to;
		char err[128];

		if (strncmp(item, "tag:", 4) == 0) {
			if (read_tag(p, item + 4, tags) < 0)
				return -EINVAL;
			continue;
		}
		if (strcmp(item, "any") == 0)
			return wrong(p, "'any' stands alone: '%s any'", side);
		if (body_prefix(item, &ip, err, sizeof(err)) < 0)
			return wrong(p, "%s: %s (any, prefixes, or tag:NAME)", side, err);
		to = body_grow(ips, sizeof(*to));
		if (to == NULL)
			return wrong(p, "out of memory");
		*to = ip;
	}
	return 0;
}

static int add_range(struct reader *p, struct body *to, unsigned long first, unsigned long last)
{
	struct ob_bus_ports *r = body_grow(to, sizeof(*r));

	if (r == NULL)
		return wrong(p, "out of memory");
	r->first = (uint16_t)first;
	r->last = (uint16_t)last;
	return 0;
}

static int read_ports(struct reader *p, char *list, struct body *to)
{
	char *item;

	if (list == NULL)
		return wrong(p, "ports must follow 'port': any, or a list such as 22,80-90");
	for (unsigned i = 0; i < p->r.n_protos || i == 0; i++) {
		uint8_t proto = p->r.proto[i];

		if (p->r.n_protos == 0 ||
		    (proto != IPPROTO_TCP && proto != IPPROTO_UDP && proto != IPPROTO_SCTP))
			return wrong(p, "only tcp, udp and sctp have ports: name those protocols, "
					"or leave 'port' out");
	}
	if (strcmp(list, "any") == 0)
		return 0;
	while ((item = next_item(p, &list)) != NULL) {
		char *dash = strchr(item, '-');
		unsigned long first, last;
		bool ok;

		if (dash != NULL)
			*dash = '\0';
		ok = number(item, UINT16_MAX, &first) &&
		     (dash == NULL || number(dash + 1, UINT16_MAX, &last));
		if (dash != NULL)
			*dash = '-';
		else
			last = first;
		if (!ok)
			return wrong(p,
			    "'%s' is no port: a number up to 65535, or a range such as 80-90",
			    item);
		if (last < first)
			return wrong(p, "the range %s ends before it begins", item);
		if (add_range(p, to, first, last) < 0)
			return -EINVAL;
	}
	return 0;
}

/* TYPE or TYPE/CODE of ICMP: a range of what the card has as its destination port. */
static int read_types(struct reader *p, char *list)
{
	char *item;

	if (p->r.n_protos != 1 ||
	    (p->r.proto[0] != IPPROTO_ICMP && p->r.proto[0] != IPPROTO_ICMPV6))
		return wrong(p, "'type' goes with protocol icmp or icmp6 alone");
	if (list == NULL)
		return wrong(p, "types must follow 'type': a list such as 8,3/4");
	while ((item = next_item(p, &list)) != NULL) {
		char *slash = strchr(item, '/');
		unsigned long type, code = 0;
		bool ok;

		if (slash != NULL)
			*slash = '\0';
		ok = number(item, 255, &type) && (slash == NULL || number(slash + 1, 255, &code));
		if (slash != NULL)
			*slash = '/';
		if (!ok)
			return wrong(
			    p, "'%s' is no ICMP type: a number up to 255, or TYPE/CODE", item);
		if (add_range(p, &p->dports, type << 8 | code,
			type << 8 | (slash != NULL ? code : 255)) < 0)
			return -EINVAL;
	}
	return 0;
}

/* What follows the protocols. */
static int read_clauses(struct reader *p)
{
	bool from = false, to = false, port_due = false, type = false, sport = false;
	char *word;

	while ((word = next_word(p)) != NULL) {
		int rc;

		if (strcmp(word, "from") == 0 && !from && !to) {
			rc = read_addresses(p, word, next_word(p), &p->src, &p->src_tags);
			from = port_due = sport = true;
		} else if (strcmp(word, "to") == 0 && !to) {
			rc = read_addresses(p, word, next_word(p), &p->dst, &p->dst_tags);
			to = port_due = true;
			sport = false;
		} else if (strcmp(word, "port") == 0 && port_due) {
			rc = read_ports(p, next_word(p), sport ? &p->sports : &p->dports);
			port_due = false;
		} else if (strcmp(word, "type") == 0 && !type) {
			rc = read_types(p, next_word(p));
			type = true;
			port_due = false;
		} else {
			return wrong(p, "'%s' is not understood here; %s", word, grammar);
		}
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int append(struct reader *p, struct body *b)
{
	const struct {
		const struct body *from;
		uint16_t *n;
		size_t size;
	} lists[] = {{&p->src, &p->r.n_src, sizeof(struct ob_bus_ip)},
	    {&p->dst, &p->r.n_dst, sizeof(struct ob_bus_ip)},
	    {&p->src_tags, &p->r.n_src_tags, OB_BUS_NAME},
	    {&p->dst_tags, &p->r.n_dst_tags, OB_BUS_NAME},
	    {&p->sports, &p->r.n_sports, sizeof(struct ob_bus_ports)},
	    {&p->dports, &p->r.n_dports, sizeof(struct ob_bus_ports)}};
	size_t len = sizeof(p->r);
	uint8_t *to;

	for (unsigned i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		if (lists[i].from->len / lists[i].size > MAX_ITEMS)
			return wrong(p, "a list of more than %d; use a tag", MAX_ITEMS);
		*lists[i].n = (uint16_t)(lists[i].from->len / lists[i].size);
		len += lists[i].from->len;
	}
	to = body_grow(b, len);
	if (to == NULL)
		return wrong(p, "the group is longer than %u bytes; use tags", OB_BUS_UPLOAD_MAX);
	memcpy(to, &p->r, sizeof(p->r));
	to += sizeof(p->r);
	for (unsigned i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		if (lists[i].from->len > 0)
			memcpy(to, lists[i].from->bytes, lists[i].from->len);
		to += lists[i].from->len;
	}
	b->n_items++;
	return 0;
}

static int read_rule(struct reader *p, char *first)
{
	const struct choice *action;
	unsigned long priority;
	char *word;

	if (!number(first, UINT32_MAX, &priority))
		return wrong(p, "'%s' is no priority (a number; the lowest is tried first); %s",
		    first, grammar);
	p->r.priority = (uint32_t)priority;
	word = next_word(p);
	if (word == NULL)
		return wrong(p, "the action is missing; %s", grammar);
	action = find_choice(actions, word);
	if (action == NULL) {
		const char *near = near_of(actions, word);

		return wrong(p,
		    "'%s' is no action%s%s%s: permit, deny, permit-continue or deny-continue", word,
		    near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
	}
	p->r.action = (uint8_t)action->value;
	return read_protocols(p, next_word(p)) < 0 || read_clauses(p) < 0 ? -EINVAL : 0;
}

static int parse(char *line, struct body *b, char *err, size_t err_len)
{
	struct reader p = {.err = err, .err_len = err_len};
	struct body *const lists[] = {
	    &p.src, &p.dst, &p.src_tags, &p.dst_tags, &p.sports, &p.dports};
	char *first;
	int rc;

	line[strcspn(line, "#")] = '\0';
	first = strtok_r(line, " \t\r\n", &p.rest);
	if (first == NULL)
		return 0;
	rc = read_rule(&p, first);
	if (rc == 0)
		rc = append(&p, b);
	for (unsigned i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		body_free(lists[i]);
	return rc;
}

/* ---- the way back ---- */

/* Where the lists of a rule lie. */
struct view {
	struct ob_bus_rule r;
	const uint8_t *src, *dst, *src_tags, *dst_tags, *sports, *dports;
};

static const uint8_t *take(const uint8_t *bytes, size_t len, size_t *at, size_t n)
{
	const uint8_t *p = bytes + *at;

	if (p == NULL || n > len - *at)
		return NULL;
	*at += n;
	return p;
}

static int view_rule(const uint8_t *bytes, size_t len, size_t *at, struct view *v)
{
	const uint8_t *head = take(bytes, len, at, sizeof(v->r));

	if (head == NULL)
		return -EPROTO;
	memcpy(&v->r, head, sizeof(v->r));
	v->src = take(bytes, len, at, v->r.n_src * sizeof(struct ob_bus_ip));
	v->dst = v->src ? take(bytes, len, at, v->r.n_dst * sizeof(struct ob_bus_ip)) : NULL;
	v->src_tags = v->dst ? take(bytes, len, at, (size_t)v->r.n_src_tags * OB_BUS_NAME) : NULL;
	v->dst_tags =
	    v->src_tags ? take(bytes, len, at, (size_t)v->r.n_dst_tags * OB_BUS_NAME) : NULL;
	v->sports =
	    v->dst_tags ? take(bytes, len, at, v->r.n_sports * sizeof(struct ob_bus_ports)) : NULL;
	v->dports =
	    v->sports ? take(bytes, len, at, v->r.n_dports * sizeof(struct ob_bus_ports)) : NULL;
	return v->dports != NULL && v->r.n_protos <= OB_BUS_RULE_PROTOS ? 0 : -EPROTO;
}

static const char *choice_name(const struct choice *c, unsigned v)
{
	while (c->name != NULL && c->value != v)
		c++;
	return c->name;
}

/* A list is an array of texts; what prints it decides about commas. */
static struct json_object *list_protocols(const struct ob_bus_rule *r)
{
	struct json_object *list = json_object_new_array();
	char text[8];

	for (unsigned i = 0; i < r->n_protos; i++) {
		const char *name = choice_name(ip_protocols, r->proto[i]);

		snprintf(text, sizeof(text), "%u", r->proto[i]);
		json_object_array_add(list, json_object_new_string(name ? name : text));
	}
	return list;
}

static struct json_object *list_addresses(
    const uint8_t *ips, unsigned n_ips, const uint8_t *tags, unsigned n_tags)
{
	static const struct field prefix = {.kind = K_PREFIX};
	struct json_object *list = json_object_new_array();
	char text[64];

	for (unsigned i = 0; i < n_ips; i++) {
		struct ob_bus_ip ip;

		memcpy(&ip, ips + i * sizeof(ip), sizeof(ip));
		value_text(&prefix, &ip, text, sizeof(text));
		json_object_array_add(list, json_object_new_string(text));
	}
	for (unsigned i = 0; i < n_tags; i++) {
		snprintf(text, sizeof(text), "tag:%.*s", OB_BUS_NAME,
		    (const char *)tags + (size_t)i * OB_BUS_NAME);
		json_object_array_add(list, json_object_new_string(text));
	}
	return list;
}

static struct json_object *list_ranges(const uint8_t *at, unsigned n, bool icmp)
{
	struct json_object *list = json_object_new_array();
	char text[32];

	for (unsigned i = 0; i < n; i++) {
		struct ob_bus_ports r;

		memcpy(&r, at + i * sizeof(r), sizeof(r));
		if (icmp && (r.first & 255) == 0 && (r.last & 255) == 255 &&
		    r.first >> 8 == r.last >> 8)
			snprintf(text, sizeof(text), "%u", r.first >> 8);
		else if (icmp && r.first == r.last)
			snprintf(text, sizeof(text), "%u/%u", r.first >> 8, r.first & 255);
		else if (r.first == r.last)
			snprintf(text, sizeof(text), "%u", r.first);
		else
			snprintf(text, sizeof(text), "%u-%u", r.first, r.last);
		json_object_array_add(list, json_object_new_string(text));
	}
	return list;
}

static void print_list(FILE *to, const char *before, struct json_object *list)
{
	size_t n = json_object_array_length(list);

	if (n > 0)
		fputs(before, to);
	for (size_t i = 0; i < n; i++)
		fprintf(to, "%s%s", i ? "," : "",
		    json_object_get_string(json_object_array_get_idx(list, i)));
}

static int print(const uint8_t *bytes, size_t len, size_t *at, FILE *to, struct json_object **json)
{
	struct json_object *o, *protos, *src, *dst, *sports, *dports;
	const char *action;
	struct view v;
	bool icmp;

	if (view_rule(bytes, len, at, &v) < 0)
		return -EPROTO;
	action = choice_name(actions, v.r.action);
	icmp =
	    v.r.n_protos == 1 && (v.r.proto[0] == IPPROTO_ICMP || v.r.proto[0] == IPPROTO_ICMPV6);
	protos = list_protocols(&v.r);
	src = list_addresses(v.src, v.r.n_src, v.src_tags, v.r.n_src_tags);
	dst = list_addresses(v.dst, v.r.n_dst, v.dst_tags, v.r.n_dst_tags);
	sports = list_ranges(v.sports, v.r.n_sports, false);
	dports = list_ranges(v.dports, v.r.n_dports, icmp);
	o = json_object_new_object();
	json_object_object_add(o, "priority", json_object_new_int64(v.r.priority));
	json_object_object_add(o, "action", json_object_new_string(action ? action : "?"));
	json_object_object_add(o, "protocols", protos);
	json_object_object_add(o, "from", src);
	json_object_object_add(o, "from_ports", sports);
	json_object_object_add(o, "to", dst);
	json_object_object_add(o, icmp ? "types" : "to_ports", dports);
	if (to == NULL) {
		*json = o;
		return 0;
	}
	fprintf(to, "%u %s ", v.r.priority, action ? action : "?");
	print_list(to, "", protos);
	fputs(v.r.n_protos == 0 ? "any from " : " from ", to);
	fputs(json_object_array_length(src) == 0 ? "any" : "", to);
	print_list(to, "", src);
	print_list(to, " port ", sports);
	fputs(json_object_array_length(dst) == 0 ? " to any" : " to ", to);
	print_list(to, "", dst);
	print_list(to, icmp ? " type " : " port ", dports);
	fputs("\n", to);
	json_object_put(o);
	return 0;
}

const struct body_format body_rules = {.item = "rule",
    .items = "rules",
    .arg = "RULE",
    .help = "one rule, in quotes",
    .parse = parse,
    .print = print};
