/* SPDX-License-Identifier: BSD-3-Clause */
/* Blocks of a pcapng file (draft-ietf-opsawg-pcapng). A block is {type, length, body, length}; options are {code, length, value}, padded to
 * 4 bytes, and end with a zero one. */
#include "capture_priv.h"

#include <string.h>

#define SHB		 0x0A0D0D0Au
#define IDB		 1u
#define ISB		 5u
#define EPB		 6u
#define BYTE_ORDER_MAGIC 0x1A2B3C4Du
#define ETHERNET	 1 /* LINKTYPE_ETHERNET */
#define OPT_COMMENT	 1
#define SHB_USERAPPL	 4
#define IF_NAME		 2
#define IF_DESCRIPTION	 3
#define IF_TSRESOL	 9
#define EPB_FLAGS	 2
#define ISB_STARTTIME	 2
#define ISB_ENDTIME	 3
#define ISB_IFRECV	 4
#define ISB_IFDROP	 5
#define ISB_FILTERACCEPT 6
#define ISB_USRDELIV	 8
#define NANOSECONDS	 9

static uint8_t *put16(uint8_t *p, uint16_t v)
{
	memcpy(p, &v, 2);
	return p + 2;
}

static uint8_t *put32(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, 4);
	return p + 4;
}

static uint8_t *put64(uint8_t *p, uint64_t v)
{
	memcpy(p, &v, 8);
	return p + 8;
}

/* Timestamps are two words, the high one first. */
static uint8_t *put_time(uint8_t *p, uint64_t ns)
{
	return put32(put32(p, (uint32_t)(ns >> 32)), (uint32_t)ns);
}

static uint8_t *put_padded(uint8_t *p, const void *bytes, uint32_t len)
{
	memcpy(p, bytes, len);
	p += len;
	while (len++ % 4 != 0)
		*p++ = 0;
	return p;
}

static uint8_t *put_option(uint8_t *p, uint16_t code, const void *value, uint16_t len)
{
	return put_padded(put16(put16(p, code), len), value, len);
}

static uint8_t *put_text(uint8_t *p, uint16_t code, const char *text)
{
	return text[0] == '\0' ? p : put_option(p, code, text, (uint16_t)strlen(text));
}

static uint8_t *put_count(uint8_t *p, uint16_t code, uint64_t n)
{
	return put64(put16(put16(p, code), 8), n);
}

static uint8_t *put_when(uint8_t *p, uint16_t code, uint64_t ns)
{
	return put_time(put16(put16(p, code), 8), ns);
}

static uint8_t *begin(uint8_t *p, uint32_t type)
{
	return put32(put32(p, type), 0);
}

/* Ends the options and the block that began at 'block'. */
static uint8_t *end(uint8_t *block, uint8_t *p)
{
	uint32_t len;

	p = put32(p, 0);
	len = (uint32_t)(p + 4 - block);
	put32(block + 4, len);
	return put32(p, len);
}

uint8_t *pcapng_section(uint8_t *block)
{
	uint8_t *p = begin(block, SHB);

	p = put32(p, BYTE_ORDER_MAGIC);
	p = put16(put16(p, 1), 0);
	p = put64(p, UINT64_MAX); /* length of the section: not known */
	p = put_text(p, SHB_USERAPPL, "Outboard ob-card");
	return end(block, p);
}

uint8_t *pcapng_interface(uint8_t *block, const char *name, const char *about, uint32_t snaplen)
{
	const uint8_t resolution = NANOSECONDS;
	uint8_t *p = begin(block, IDB);

	p = put32(put16(put16(p, ETHERNET), 0), snaplen);
	p = put_text(p, IF_NAME, name);
	p = put_text(p, IF_DESCRIPTION, about);
	p = put_option(p, IF_TSRESOL, &resolution, 1);
	return end(block, p);
}

uint8_t *pcapng_packet(uint8_t *block, const struct rec *rec, const uint8_t *bytes, uint64_t ts_ns,
    const char *comment)
{
	/* Bits 0 and 1: 1 inbound, 2 outbound, as our directions. */
	const uint32_t flags = rec->dir;
	uint8_t *p = begin(block, EPB);

	p = put_time(put32(p, rec->iface), ts_ns);
	p = put32(put32(p, rec->cap_len), rec->len);
	p = put_padded(p, bytes, rec->cap_len);
	p = put_text(p, OPT_COMMENT, comment);
	p = put_option(p, EPB_FLAGS, &flags, 4);
	return end(block, p);
}

uint8_t *pcapng_stats(uint8_t *block, uint32_t iface, uint64_t start_ns, uint64_t end_ns,
    uint64_t n_matched, uint64_t n_lost, uint64_t n_written)
{
	uint8_t *p = begin(block, ISB);

	p = put_time(put32(p, iface), end_ns);
	p = put_when(p, ISB_STARTTIME, start_ns);
	p = put_when(p, ISB_ENDTIME, end_ns);
	p = put_count(p, ISB_IFRECV, n_matched);
	p = put_count(p, ISB_IFDROP, n_lost);
	p = put_count(p, ISB_FILTERACCEPT, n_matched);
	p = put_count(p, ISB_USRDELIV, n_written);
	return end(block, p);
}
