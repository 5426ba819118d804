/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "ob_client.h"

/* A card that answers each request with the next scripted packets. */
struct packet {
	struct ob_bus_hdr hdr;
	uint8_t body[512];
	int32_t seq_delta;
	uint32_t cut; /* bytes not sent */
};

static struct packet script[8];
static unsigned n_script;
static char path[64];
static pthread_t thread;
static int listen_fd;
static unsigned patience_ms = 10000; /* of the client: the machine may be busy */

/* What was uploaded, as the card saw it. */
static uint8_t uploaded[3 * OB_BUS_UPLOAD_DATA];
static uint32_t n_uploaded;

static void take_uploads(const struct ob_bus_hdr *req, const uint8_t *buf)
{
	struct ob_bus_upload u;

	for (unsigned i = 0; i < req->count; i++) {
		memcpy(&u, buf + sizeof(*req) + i * sizeof(u), sizeof(u));
		if (u.offset != n_uploaded || u.len > sizeof(uploaded) - n_uploaded)
			return;
		memcpy(uploaded + n_uploaded, u.data, u.len);
		n_uploaded += u.len;
	}
}

static void *card(void *arg)
{
	/* The test may be over, and another one's socket be in the variable, before this thread runs. */
	int listener = (int)(intptr_t)arg, fd = accept(listener, NULL, NULL);
	struct ob_bus_hdr req;
	uint8_t buf[OB_BUS_MAX_MSG];

	while (recv(fd, buf, sizeof(buf), 0) > 0) {
		memcpy(&req, buf, sizeof(req));
		if (req.noun == OB_BUS_UPLOAD)
			take_uploads(&req, buf);
		for (unsigned i = 0; i < n_script; i++) {
			struct packet p = script[i];

			p.hdr.seq = req.seq + (uint32_t)p.seq_delta;
			if (send(fd, &p, sizeof(p.hdr) + p.hdr.body_len - p.cut, MSG_NOSIGNAL) < 0)
				break;
		}
		if (n_script == 0)
			break;
	}
	close(fd);
	return NULL;
}

static struct ob_client *start(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct ob_client *c;

	snprintf(path, sizeof(path), "client-test-%d.sock", getpid());
	unlink(path);
	memcpy(a.sun_path, path, strlen(path));
	listen_fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	assert_int_equal(bind(listen_fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(listen_fd, 1), 0);
	assert_int_equal(pthread_create(&thread, NULL, card, (void *)(intptr_t)listen_fd), 0);
	assert_int_equal(ob_client_open(path, patience_ms, &c), 0);
	return c;
}

static void stop(struct ob_client *c)
{
	ob_client_close(c);
	shutdown(listen_fd, SHUT_RDWR); /* if nobody was accepted */
	pthread_join(thread, NULL);
	close(listen_fd);
	unlink(path);
}

static void reply(
    unsigned flags, unsigned count, uint32_t record_len, const void *body, uint32_t body_len)
{
	struct packet *p = &script[n_script++];

	memset(p, 0, sizeof(*p));
	p->hdr = (struct ob_bus_hdr){.magic = OB_BUS_MAGIC,
	    .version = OB_BUS_VERSION,
	    .verb = OB_BUS_LIST,
	    .noun = OB_BUS_VNET,
	    .flags = (uint8_t)(OB_BUS_REPLY | flags),
	    .count = (uint16_t)count,
	    .record_len = record_len,
	    .body_len = body_len};
	memcpy(p->body, body, body_len);
}

static int sum_vni(const void *record, void *ctx)
{
	const struct ob_bus_vnet *v = record;

	*(unsigned *)ctx += v->vni;
	return v->vni == 999 ? 7 : 0;
}

static int list(struct ob_client *c, unsigned *sum)
{
	*sum = 0;
	return ob_client_list(c, OB_BUS_VNET, NULL, sizeof(struct ob_bus_vnet), sum_vni, sum);
}

static void list_gathers_packets_until_the_last(void **state)
{
	struct ob_bus_vnet v[3] = {{.vni = 1}, {.vni = 2}, {.vni = 4}};
	struct ob_client *c;
	unsigned sum;

	(void)state;
	n_script = 0;
	reply(OB_BUS_MORE, 2, sizeof(v[0]), v, 2 * sizeof(v[0]));
	reply(0, 1, sizeof(v[0]), &v[2], sizeof(v[0]));
	c = start();
	assert_int_equal(list(c, &sum), 0);
	assert_int_equal(sum, 7);
	assert_int_equal(list(c, &sum), 0);
	assert_int_equal(sum, 7);
	stop(c);
}

static void longer_and_shorter_records_of_another_version_are_understood(void **state)
{
	struct {
		struct ob_bus_vnet v;
		uint64_t newer;
	} longer[2] = {{.v.vni = 3, .newer = UINT64_MAX}, {.v.vni = 5, .newer = UINT64_MAX}};
	struct ob_bus_vnet v = {.name = "n", .vni = 9};
	struct ob_client *c;
	unsigned sum;

	(void)state;
	n_script = 0;
	reply(OB_BUS_MORE, 2, sizeof(longer[0]), longer, sizeof(longer));
	reply(0, 1, OB_BUS_NAME, &v, OB_BUS_NAME); /* no vni in it: reads 0 */
	c = start();
	assert_int_equal(list(c, &sum), 0);
	assert_int_equal(sum, 8);
	stop(c);
}

static void visitor_stops_the_list_and_the_rest_does_not_disturb_the_next(void **state)
{
	struct ob_bus_vnet v[2] = {{.vni = 999}, {.vni = 1}};
	struct ob_client *c;
	unsigned sum;

	(void)state;
	n_script = 0;
	reply(OB_BUS_MORE, 1, sizeof(v[0]), &v[0], sizeof(v[0]));
	reply(0, 1, sizeof(v[0]), &v[1], sizeof(v[0]));
	c = start();
	assert_int_equal(list(c, &sum), 7);
	assert_int_equal(list(c, &sum), 7);
	stop(c);
}

static void status_and_text_of_the_card_reach_the_caller(void **state)
{
	struct ob_bus_vnet v = {.name = "x"};
	struct ob_client *c;

	(void)state;
	n_script = 0;
	reply(0, 0, 0, "vnet x is used by eni e1", 24);
	script[0].hdr.status = -EBUSY;
	script[0].hdr.verb = OB_BUS_DEL;
	c = start();
	assert_int_equal(ob_client_change(c, OB_BUS_DEL, OB_BUS_VNET, &v, sizeof(v)), -EBUSY);
	assert_string_equal(ob_client_error(c), "vnet x is used by eni e1");
	stop(c);
}

static void answers_that_make_no_sense_are_eproto(void **state)
{
	struct ob_bus_vnet v = {.vni = 1};
	unsigned sum;

	(void)state;
	for (unsigned i = 0; i < 6; i++) {
		struct ob_client *c;
		int want = -EPROTO;

		n_script = 0;
		reply(0, 1, sizeof(v), &v, sizeof(v));
		if (i == 0)
			script[0].hdr.magic++;
		else if (i == 1)
			script[0].cut = 1;
		else if (i == 2)
			script[0].hdr.count = 2;
		else if (i == 3)
			script[0].hdr.noun++;
		else if (i == 4)
			script[0].hdr.flags = 0;
		else {
			script[0].hdr.version++;
			want = -EPROTONOSUPPORT;
		}
		c = start();
		assert_int_equal(list(c, &sum), want);
		assert_int_equal(sum, 0);
		stop(c);
	}
}

static void silence_is_a_timeout_and_hangup_is_epipe(void **state)
{
	struct ob_bus_vnet v = {.vni = 1};
	struct ob_client *c;
	unsigned sum;

	(void)state;
	n_script = 0;
	reply(0, 1, sizeof(v), &v, sizeof(v));
	script[0].seq_delta = 5; /* never an answer to us */
	patience_ms = 100;
	c = start();
	assert_int_equal(list(c, &sum), -ETIMEDOUT);
	stop(c);
	patience_ms = 10000;
	n_script = 0;
	c = start();
	assert_int_equal(list(c, &sum), -EPIPE);
	stop(c);
}

static void open_says_why_it_cannot(void **state)
{
	struct ob_client *c;
	char longpath[200];

	(void)state;
	memset(longpath, 'p', sizeof(longpath) - 1);
	longpath[sizeof(longpath) - 1] = 0;
	assert_int_equal(ob_client_open(longpath, 100, &c), -ENAMETOOLONG);
	assert_int_equal(ob_client_open("no-such.sock", 100, &c), -ENOENT);
	ob_client_close(NULL);
}

static void a_body_is_uploaded_in_pieces_in_order(void **state)
{
	static uint8_t body[2 * OB_BUS_UPLOAD_DATA + 100];
	struct ob_client *c;

	(void)state;
	for (unsigned i = 0; i < sizeof(body); i++)
		body[i] = (uint8_t)(i * 7 + i / 256);
	n_script = n_uploaded = 0;
	reply(0, 0, 0, "", 0);
	script[0].hdr.verb = OB_BUS_ADD;
	script[0].hdr.noun = OB_BUS_UPLOAD;
	c = start();
	assert_int_equal(ob_client_upload(c, NULL, 0), 0);
	assert_int_equal(ob_client_upload(c, body, sizeof(body)), 0);
	assert_int_equal(n_uploaded, sizeof(body));
	assert_memory_equal(uploaded, body, sizeof(body));
	assert_int_equal(ob_client_upload(c, body, OB_BUS_UPLOAD_MAX + 1ul), -EMSGSIZE);
	stop(c);
}

/* The two pieces of a body of 6 bytes; 'change' of the second. */
static void body_reply(uint32_t generation, uint32_t offset, uint32_t len, uint32_t total)
{
	struct ob_bus_body b[2] = {
	    {.name = "w", .generation = 1, .total = 6, .len = 4, .data = {1, 2, 3, 4}},
	    {.name = "w",
		.generation = generation,
		.total = total,
		.offset = offset,
		.len = len,
		.data = {5, 6}}};

	n_script = 0;
	for (unsigned i = 0; i < 2; i++) {
		/* Records may be cut short: what lacks is zero. */
		reply(i ? 0 : OB_BUS_MORE, 1, 128, &b[i], 128);
		script[i].hdr.noun = OB_BUS_BODY;
	}
}

static int fetched(uint8_t want[6])
{
	struct ob_client *c = start();
	void *body;
	size_t len;
	int ret = ob_client_body(c, OB_BUS_SG, "w", &body, &len);

	if (ret == 0) {
		assert_int_equal(len, 6);
		memcpy(want, body, 6);
		free(body);
	}
	stop(c);
	return ret;
}

static void a_body_is_put_together_or_refused(void **state)
{
	static const uint8_t want[6] = {1, 2, 3, 4, 5, 6};
	uint8_t got[6];

	(void)state;
	body_reply(1, 4, 2, 6);
	assert_int_equal(fetched(got), 0);
	assert_memory_equal(got, want, 6);
	body_reply(2, 4, 2, 6); /* replaced each time that it is asked for */
	assert_int_equal(fetched(got), -ESTALE);
	body_reply(1, 3, 2, 6);
	assert_int_equal(fetched(got), -EPROTO);
	body_reply(1, 4, 3, 6);
	assert_int_equal(fetched(got), -EPROTO);
	body_reply(1, 4, 1, 6);
	assert_int_equal(fetched(got), -EPROTO);
	body_reply(1, 4, 2, 7);
	assert_int_equal(fetched(got), -EPROTO);
	body_reply(1, 4, UINT32_MAX, 6);
	assert_int_equal(fetched(got), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(list_gathers_packets_until_the_last),
	    cmocka_unit_test(longer_and_shorter_records_of_another_version_are_understood),
	    cmocka_unit_test(visitor_stops_the_list_and_the_rest_does_not_disturb_the_next),
	    cmocka_unit_test(status_and_text_of_the_card_reach_the_caller),
	    cmocka_unit_test(answers_that_make_no_sense_are_eproto),
	    cmocka_unit_test(silence_is_a_timeout_and_hangup_is_epipe),
	    cmocka_unit_test(open_says_why_it_cannot),
	    cmocka_unit_test(a_body_is_uploaded_in_pieces_in_order),
	    cmocka_unit_test(a_body_is_put_together_or_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
