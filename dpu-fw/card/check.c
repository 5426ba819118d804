/* SPDX-License-Identifier: BSD-3-Clause */
#include "check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int fail(struct text *t, int rc, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(t->s, sizeof(t->s), fmt, ap);
	va_end(ap);
	return rc;
}

static bool all_zero(const void *p, size_t len)
{
	const uint8_t *b = p;

	while (len > 0 && *b == 0) {
		b++;
		len--;
	}
	return len == 0;
}

static bool name_char(char ch)
{
	return (ch >= 'A' && ch <= 'Z') || (ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9') ||
	       ch == '.' || ch == '_' || ch == '-';
}

bool check_name(const char name[OB_BUS_NAME])
{
	unsigned n = 0;

	while (n < OB_BUS_NAME && name_char(name[n]))
		n++;
	/* "." and ".." would be odd names of sockets. */
	if (n == 0 || n == OB_BUS_NAME || name[0] == '.' || name[0] == '-')
		return false;
	return all_zero(name + n, OB_BUS_NAME - n);
}

int check_key(struct text *t, const char *field, const char name[OB_BUS_NAME])
{
	if (check_name(name))
		return 0;
	return fail(t, -EINVAL,
	    "%s: 1 to %d characters of A-Z a-z 0-9 . _ -, not beginning with . or -", field,
	    OB_BUS_NAME - 1);
}

int check_filter(struct text *t, const char *field, const char name[OB_BUS_NAME])
{
	return all_zero(name, OB_BUS_NAME) ? 0 : check_key(t, field, name);
}

int check_path(struct text *t, const char path[OB_BUS_PATH])
{
	unsigned n = 0;

	while (n < OB_BUS_PATH && (uint8_t)path[n] >= 0x20 && path[n] != 0x7f)
		n++;
	if (n == OB_BUS_PATH || !all_zero(path + n, OB_BUS_PATH - n))
		return fail(t, -EINVAL,
		    "socket: at most %d characters, none of them a control character",
		    OB_BUS_PATH - 1);
	if (n > 0 && path[0] != '/')
		return fail(t, -EINVAL, "socket '%s': give an absolute path", path);
	return 0;
}

bool mac_is_zero(const uint8_t mac[6])
{
	return all_zero(mac, 6);
}

int check_mac(struct text *t, const char *field, const uint8_t mac[6])
{
	if (mac_is_zero(mac))
		return fail(t, -EINVAL, "%s is missing", field);
	if (mac[0] & 1)
		return fail(t, -EINVAL, "%s %02x:%02x:%02x:%02x:%02x:%02x is a multicast address",
		    field, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	return 0;
}

uint8_t ip_bits(uint8_t family)
{
	return family == AF_INET ? 32 : family == AF_INET6 ? 128 : 0;
}

const char *ip_text(const struct ob_ip *ip, char buf[IP_TEXT])
{
	if (inet_ntop(ip->family, ip->b, buf, IP_TEXT) == NULL)
		snprintf(buf, IP_TEXT, "?");
	return buf;
}

static bool is_host(const struct ob_ip *ip)
{
	if (ip->family == AF_INET)
		return ip->b[0] != 0 && ip->b[0] != 127 && ip->b[0] < 224;
	return ip->b[0] != 0xff && !all_zero(ip->b, 15); /* not ::, not ::1 and its neighbours */
}

static bool host_bits_zero(const struct ob_ip *ip, unsigned prefix_len, unsigned bits)
{
	for (unsigned i = prefix_len; i < bits; i++) {
		if (ip->b[i / 8] & (0x80u >> i % 8))
			return false;
	}
	return true;
}

static int convert(struct text *t, const char *field, const struct ob_bus_ip *in, struct ob_ip *out)
{
	memset(out, 0, sizeof(*out));
	if (in->family == 0)
		return fail(t, -EINVAL, "%s is missing", field);
	if (in->family != 4 && in->family != 6)
		return fail(
		    t, -EINVAL, "%s: address family %u is neither 4 nor 6", field, in->family);
	if (!all_zero(in->reserved, sizeof(in->reserved)) ||
	    (in->family == 4 && !all_zero(in->b + 4, 12)))
		return fail(t, -EINVAL, "%s: unused bytes of the address are not zero", field);
	out->family = in->family == 4 ? AF_INET : AF_INET6;
	memcpy(out->b, in->b, in->family == 4 ? 4 : 16);
	return 0;
}

int check_ip(struct text *t, const char *field, const struct ob_bus_ip *in, enum ip_kind kind,
    struct ob_ip *out, uint8_t *prefix_len)
{
	int rc = convert(t, field, in, out);
	char buf[IP_TEXT];
	uint8_t bits, len;

	if (rc < 0)
		return rc;
	bits = ip_bits(out->family);
	len = in->prefix_len;
	if (len > bits)
		return fail(t, -EINVAL, "%s %s: prefix length %u is more than %u", field,
		    ip_text(out, buf), len, bits);
	if (kind != IP_PREFIX && !is_host(out))
		return fail(
		    t, -EINVAL, "%s %s is not the address of one host", field, ip_text(out, buf));
	if (kind == IP_HOST && len != 0 && len != bits)
		return fail(t, -EINVAL, "%s %s: one address, not a prefix of length %u", field,
		    ip_text(out, buf), len);
	if (kind == IP_ON_LINK && len == 0)
		len = bits;
	if (kind == IP_PREFIX && !host_bits_zero(out, len, bits))
		return fail(t, -EINVAL, "%s %s/%u has bits set after its prefix", field,
		    ip_text(out, buf), len);
	if (prefix_len != NULL)
		*prefix_len = kind == IP_HOST ? bits : len;
	return 0;
}

void put_ip(struct ob_bus_ip *out, const struct ob_ip *in, uint8_t prefix_len)
{
	memset(out, 0, sizeof(*out));
	if (ip_bits(in->family) == 0)
		return;
	out->family = in->family == AF_INET ? 4 : 6;
	out->prefix_len = prefix_len;
	memcpy(out->b, in->b, in->family == AF_INET ? 4 : 16);
}
