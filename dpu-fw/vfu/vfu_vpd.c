/* SPDX-License-Identifier: BSD-3-Clause */
/* Vital Product Data: what identifies the card to the host without any driver. Spec: PCI 3.0, appendix I; PCI 2.2, 6.4. */
#include "vfu_priv.h"

#include <errno.h>
#include <string.h>

#define TAG_IDENT 0x82u /* large resource: identifier string */
#define TAG_RO	  0x90u /* large resource: read-only fields */
#define TAG_END	  0x78u /* small resource: end, length 0 */

struct out {
	uint8_t *buf;
	size_t cap, len;
};

static int put(struct out *o, const void *bytes, size_t n)
{
	if (n > o->cap - o->len)
		return -EINVAL;
	memcpy(o->buf + o->len, bytes, n);
	o->len += n;
	return 0;
}

static int put_tag(struct out *o, uint8_t tag, size_t len)
{
	uint8_t hdr[3] = {tag, (uint8_t)len, (uint8_t)(len >> 8)};

	return put(o, hdr, sizeof(hdr));
}

static bool printable(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (s[i] < ' ' || s[i] > '~')
			return false;
	}
	return n > 0;
}

static int put_field(struct out *o, const char *keyword, const char *text)
{
	size_t n = strlen(text);
	uint8_t hdr[3] = {(uint8_t)keyword[0], (uint8_t)keyword[1], (uint8_t)n};
	int rc;

	if (n > UINT8_MAX || !printable(text, n))
		return -EINVAL;
	rc = put(o, hdr, sizeof(hdr));
	return rc < 0 ? rc : put(o, text, n);
}

/* RV ends the read-only part: the byte makes the sum of everything from the first tag to itself zero. */
static int put_checksum(struct out *o)
{
	uint8_t field[4] = {'R', 'V', 1, 0}, sum = 0;
	int rc;

	for (size_t i = 0; i < o->len; i++)
		sum = (uint8_t)(sum + o->buf[i]);
	for (size_t i = 0; i < 3; i++)
		sum = (uint8_t)(sum + field[i]);
	field[3] = (uint8_t)(0 - sum);
	rc = put(o, field, sizeof(field));
	return rc;
}

int vfu_vpd_build(const struct ob_vfu_conf *conf, uint8_t *buf, size_t cap)
{
	const char *ident = conf->vpd_ident != NULL ? conf->vpd_ident : "Outboard DPU";
	struct out o = {.buf = buf, .cap = cap};
	size_t ro, ident_len = strlen(ident);
	const uint8_t end = TAG_END;
	int rc;

	if (!printable(ident, ident_len))
		return -EINVAL;
	rc = put_tag(&o, TAG_IDENT, ident_len);
	if (rc == 0)
		rc = put(&o, ident, ident_len);
	ro = o.len;
	if (rc == 0)
		rc = put_tag(&o, TAG_RO, 0);
	if (rc == 0 && conf->vpd_part != NULL)
		rc = put_field(&o, "PN", conf->vpd_part);
	if (rc == 0)
		rc = put_field(&o, "SN", conf->vpd_serial);
	if (rc < 0)
		return rc;
	/* The length covers RV too, and is part of the checksum. */
	buf[ro + 1] = (uint8_t)(o.len - ro - 3 + 4);
	buf[ro + 2] = (uint8_t)((o.len - ro - 3 + 4) >> 8);
	rc = put_checksum(&o);
	if (rc == 0)
		rc = put(&o, &end, sizeof(end));
	return rc < 0 ? rc : (int)o.len;
}
