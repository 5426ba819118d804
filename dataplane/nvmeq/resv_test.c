/* SPDX-License-Identifier: BSD-3-Clause */
/* Reservations: two hosts, each with a controller of its own, on one namespace. */
#include "test_nvmeq.h"

#define CONFLICT  T_ERR(NVME_SC_RESERVATION_CONFLICT)
#define BAD_FIELD T_ERR(NVME_SC_INVALID_FIELD)

struct pair {
	struct t_env e; /* host A's controller is e.q */
	struct ob_nvmeq *qb;
	struct t_queue io_b;
	unsigned n_b;
	struct ob_nvmeq_event event_b[16];
	struct ob_nvme_resv_image stored;
	unsigned n_stored;
	int store_rc;
};

static void on_event_b(void *ctx, const struct ob_nvmeq_event *ev)
{
	struct pair *p = ctx;

	if (ev->type == OB_NVMEQ_EV_RESV && p->n_b < 16)
		p->event_b[p->n_b++] = *ev;
}

static int store(void *ctx, const struct ob_nvme_resv_image *img)
{
	struct pair *p = ctx;

	p->stored = *img;
	p->n_stored++;
	return p->store_rc;
}

static void open_pair(struct pair *p, bool with_store)
{
	struct ob_nvmeq_conf qc = {.name = "nvme1",
	    .cntlid = 2,
	    .max_qpairs = 1,
	    .max_entries = 64,
	    .mdts_bytes = 1u << 20,
	    .on_event = on_event_b,
	    .ctx = p};

	memset(p, 0, sizeof(*p));
	t_open(&p->e);
	if (with_store) {
		p->e.ns->conf.resv_store = store;
		p->e.ns->conf.resv_ctx = p;
	}
	qc.gm = p->e.gm;
	qc.arena = p->e.arena;
	assert_int_equal(ob_nvmeq_create(&qc, &p->qb), 0);
	assert_int_equal(ob_nvmeq_enable(p->qb, 12), 0);
	assert_int_equal(ob_nvmeq_set_hostid(p->e.q, (const uint8_t *)"AAAAAAAA", 8), 0);
	assert_int_equal(ob_nvmeq_set_hostid(p->qb, (const uint8_t *)"BBBBBBBB", 8), 0);
	assert_int_equal(ob_nvmeq_set_hostid(p->qb, (const uint8_t *)"BBBBBBBB", 7), -EINVAL);
	assert_int_equal(ob_nvmeq_set_ns(p->qb, 1, p->e.ns), 0);
	p->io_b = (struct t_queue){.qid = 1, .size = 64, .phase = 1};
	p->io_b.sq = fake_guest_alloc(&p->e.g, 4096, 4096);
	p->io_b.cq = fake_guest_alloc(&p->e.g, 4096, 4096);
	assert_int_equal(ob_nvmeq_start_cq(p->qb, 1, (ob_iova_t){p->io_b.cq}, 64, 1, false), 0);
	assert_int_equal(ob_nvmeq_start_sq(p->qb, 1, 1, (ob_iova_t){p->io_b.sq}, 64), 0);
}

static void close_pair(struct pair *p)
{
	ob_nvmeq_destroy(p->qb);
	t_close(&p->e);
}

/* A command of host A or B. */
static uint16_t run(struct pair *p, bool b, const struct ob_nvme_sqe *sqe)
{
	struct ob_nvmeq *a = p->e.q;
	struct t_queue io = p->e.io;
	uint16_t st;

	if (!b)
		return t_do(&p->e, sqe, NULL);
	p->e.q = p->qb;
	p->e.io = p->io_b;
	st = t_do(&p->e, sqe, NULL);
	p->io_b = p->e.io;
	p->e.io = io;
	p->e.q = a;
	return st;
}

static uint16_t resv(
    struct pair *p, bool b, uint8_t op, uint32_t cdw10, uint64_t key0, uint64_t key1)
{
	struct ob_nvme_sqe sqe = {
	    .opcode = op, .nsid = 1, .cid = 3, .cdw10 = cdw10, .dptr = {p->e.buf, 0}};

	memcpy(t_mem(&p->e, p->e.buf), &key0, 8);
	memcpy(t_mem(&p->e, p->e.buf + 8), &key1, 8);
	return run(p, b, &sqe);
}

static uint16_t reg(struct pair *p, bool b, uint64_t key)
{
	return resv(p, b, nvme_cmd_resv_register, 0, 0, key);
}

static uint16_t acquire(struct pair *p, bool b, unsigned rtype, uint64_t key)
{
	return resv(p, b, nvme_cmd_resv_acquire, rtype << 8, key, 0);
}

static uint16_t preempt(struct pair *p, bool b, unsigned rtype, uint64_t key, uint64_t prkey)
{
	return resv(p, b, nvme_cmd_resv_acquire, rtype << 8 | 1, key, prkey);
}

static uint16_t rel(struct pair *p, bool b, unsigned rtype, uint64_t key)
{
	return resv(p, b, nvme_cmd_resv_release, rtype << 8, key, 0);
}

static uint16_t clear(struct pair *p, bool b, uint64_t key)
{
	return resv(p, b, nvme_cmd_resv_release, 1, key, 0);
}

/* Whether a command of this opcode is let through for the host. */
static bool allowed(struct pair *p, bool b, uint8_t op)
{
	struct ob_nvme_sqe sqe = t_rw(op, 0, 1, p->e.buf, 0);
	uint16_t st;

	if (op == nvme_cmd_dsm)
		sqe.cdw10 = sqe.cdw11 = 0;
	if (op == nvme_cmd_copy)
		memset(t_mem(&p->e, p->e.buf), 0, 32);
	st = run(p, b, &sqe);
	assert_true(st == 0 || st == CONFLICT);
	return st == 0;
}

static void each_type_denies_what_the_table_says(void **state)
{
	/* By type: what a host without registration, and a registrant that is not the holder, may read and write. */
	static const struct {
		bool read, write, reg_read, reg_write;
	} want[7] = {[1] = {true, false, true, false},
	    [2] = {false, false, false, false},
	    [3] = {true, false, true, true},
	    [4] = {false, false, true, true},
	    [5] = {true, false, true, true},
	    [6] = {false, false, true, true}};
	static const uint8_t reads[] = {nvme_cmd_read, nvme_cmd_verify};
	static const uint8_t writes[] = {
	    nvme_cmd_write, nvme_cmd_write_zeroes, nvme_cmd_dsm, nvme_cmd_flush};
	struct pair p;

	(void)state;
	open_pair(&p, false);
	assert_int_equal(reg(&p, false, 0xa), 0);
	for (unsigned type = 1; type <= 6; type++) {
		assert_int_equal(acquire(&p, false, type, 0xa), 0);
		for (unsigned registered = 0; registered < 2; registered++) {
			bool rd = registered ? want[type].reg_read : want[type].read;
			bool wr = registered ? want[type].reg_write : want[type].write;

			if (registered)
				assert_int_equal(reg(&p, true, 0xb), 0);
			for (unsigned i = 0; i < RTE_DIM(reads); i++) {
				assert_int_equal(allowed(&p, true, reads[i]), rd);
				assert_true(allowed(&p, false, reads[i]));
			}
			for (unsigned i = 0; i < RTE_DIM(writes); i++) {
				assert_int_equal(allowed(&p, true, writes[i]), wr);
				assert_true(allowed(&p, false, writes[i]));
			}
			assert_int_equal(allowed(&p, true, nvme_cmd_copy), rd && wr);
		}
		assert_int_equal(resv(&p, true, nvme_cmd_resv_register, 1, 0xb, 0), 0);
		assert_int_equal(rel(&p, false, type, 0xa), 0);
		assert_true(allowed(&p, true, nvme_cmd_write));
	}
	close_pair(&p);
}

static void registration_has_its_rules(void **state)
{
	struct pair p;

	(void)state;
	open_pair(&p, false);
	assert_int_equal(acquire(&p, false, 1, 0xa), CONFLICT); /* not registered */
	assert_int_equal(rel(&p, false, 1, 0xa), CONFLICT);
	assert_int_equal(reg(&p, false, 0xa), 0);
	assert_int_equal(reg(&p, false, 0xa), 0);
	assert_int_equal(reg(&p, false, 0xc), CONFLICT);
	assert_int_equal(resv(&p, false, nvme_cmd_resv_register, 2, 0xb, 0xc), CONFLICT);
	assert_int_equal(resv(&p, false, nvme_cmd_resv_register, 2, 0xa, 0xc), 0);
	assert_int_equal(resv(&p, false, nvme_cmd_resv_register, 2 | 8, 0, 0xd), 0); /* IEKEY */
	assert_int_equal(resv(&p, false, nvme_cmd_resv_register, 3, 0xd, 0), BAD_FIELD);
	assert_int_equal(resv(&p, false, nvme_cmd_resv_register, 1u << 30, 0, 0xd), BAD_FIELD);
	assert_int_equal(resv(&p, false, nvme_cmd_resv_register, 3u << 30, 0, 0xd), BAD_FIELD);
	assert_int_equal(resv(&p, false, nvme_cmd_resv_register, 1, 0xa, 0), CONFLICT);
	assert_int_equal(resv(&p, false, nvme_cmd_resv_register, 1, 0xd, 0), 0);
	assert_int_equal(resv(&p, false, nvme_cmd_resv_register, 1, 0xd, 0), CONFLICT);
	assert_int_equal(p.e.ns->resv.gen, 4);
	assert_int_equal(reg(&p, false, 0xa), 0);
	assert_int_equal(acquire(&p, false, 0, 0xa), BAD_FIELD);
	assert_int_equal(acquire(&p, false, 7, 0xa), BAD_FIELD);
	assert_int_equal(acquire(&p, false, 1, 0xb), CONFLICT);
	assert_int_equal(resv(&p, false, nvme_cmd_resv_acquire, 1 << 8 | 8, 0xa, 0), BAD_FIELD);
	assert_int_equal(resv(&p, false, nvme_cmd_resv_acquire, 1 << 8 | 3, 0xa, 0), BAD_FIELD);
	assert_int_equal(acquire(&p, false, 1, 0xa), 0);
	assert_int_equal(acquire(&p, false, 1, 0xa), 0);
	assert_int_equal(acquire(&p, false, 2, 0xa), CONFLICT);
	assert_int_equal(reg(&p, true, 0xb), 0);
	assert_int_equal(acquire(&p, true, 1, 0xb), CONFLICT);
	assert_int_equal(rel(&p, true, 1, 0xb), 0); /* not the holder: nothing happens */
	assert_int_equal(p.e.ns->resv.rtype, 1);
	assert_int_equal(rel(&p, false, 2, 0xa), BAD_FIELD);
	assert_int_equal(resv(&p, false, nvme_cmd_resv_release, 1 << 8 | 2, 0xa, 0), BAD_FIELD);
	/* The holder leaves: so does the reservation. */
	assert_int_equal(resv(&p, false, nvme_cmd_resv_register, 1, 0xa, 0), 0);
	assert_int_equal(p.e.ns->resv.rtype, 0);
	/* Of all registrants: the last one. */
	assert_int_equal(reg(&p, false, 0xa), 0);
	assert_int_equal(acquire(&p, false, 5, 0xa), 0);
	assert_int_equal(resv(&p, false, nvme_cmd_resv_register, 1, 0xa, 0), 0);
	assert_int_equal(p.e.ns->resv.rtype, 5);
	assert_int_equal(resv(&p, true, nvme_cmd_resv_register, 1, 0xb, 0), 0);
	assert_int_equal(p.e.ns->resv.rtype, 0);
	close_pair(&p);
}

static void preempt_takes_over_and_tells(void **state)
{
	struct pair p;

	(void)state;
	open_pair(&p, false);
	assert_int_equal(reg(&p, false, 0xa), 0);
	assert_int_equal(reg(&p, true, 0xb), 0);
	assert_int_equal(acquire(&p, true, 1, 0xb), 0);
	assert_int_equal(preempt(&p, false, 1, 0xa, 0), BAD_FIELD);
	assert_int_equal(preempt(&p, false, 1, 0xa, 0x77), CONFLICT);
	assert_int_equal(preempt(&p, false, 2, 0xa, 0xb), 0);
	assert_int_equal(p.e.ns->resv.rtype, 2);
	assert_int_equal(p.e.ns->resv.n, 1);
	assert_int_equal(p.n_b, 1);
	assert_int_equal(p.event_b[0].value, NVME_RESV_NOTIFY_RNLPT_REGISTRATION_PREEMPTED);
	assert_int_equal(p.event_b[0].nsid, 1);
	assert_false(allowed(&p, true, nvme_cmd_read));
	/* A registrant that does not hold it is only taken out. */
	assert_int_equal(reg(&p, true, 0xb), 0);
	assert_int_equal(preempt(&p, false, 1, 0xa, 0xb), 0);
	assert_int_equal(p.e.ns->resv.rtype, 2);
	assert_int_equal(p.n_b, 2);
	/* Clear: everybody. */
	assert_int_equal(reg(&p, true, 0xb), 0);
	assert_int_equal(clear(&p, false, 0xa), 0);
	assert_int_equal(p.e.ns->resv.n, 0);
	assert_int_equal(p.n_b, 3);
	assert_int_equal(p.event_b[2].value, NVME_RESV_NOTIFY_RNLPT_RESERVATION_PREEMPTED);
	/* All registrants, by key 0. */
	assert_int_equal(reg(&p, false, 0xa), 0);
	assert_int_equal(reg(&p, true, 0xb), 0);
	assert_int_equal(acquire(&p, true, 6, 0xb), 0);
	assert_int_equal(preempt(&p, false, 3, 0xa, 0), 0);
	assert_int_equal(p.e.ns->resv.n, 1);
	assert_int_equal(p.e.ns->resv.rtype, 3);
	/* Released: registrants are told. */
	assert_int_equal(reg(&p, true, 0xb), 0);
	p.n_b = 0;
	assert_int_equal(rel(&p, false, 3, 0xa), 0);
	assert_int_equal(p.n_b, 1);
	assert_int_equal(p.event_b[0].value, NVME_RESV_NOTIFY_RNLPT_RESERVATION_RELEASED);
	close_pair(&p);
}

static void report_lists_the_registrants(void **state)
{
	struct ob_nvme_sqe sqe = {.opcode = nvme_cmd_resv_report, .nsid = 1, .cdw10 = 1023};
	const uint8_t long_id[16] = {[15] = 1};
	const struct nvme_resv_status *st;
	struct pair p;

	(void)state;
	open_pair(&p, false);
	sqe.dptr[0] = p.e.buf + 4096;
	st = t_mem(&p.e, p.e.buf + 4096);
	assert_int_equal(reg(&p, false, 0xa), 0);
	assert_int_equal(reg(&p, true, 0xb), 0);
	assert_int_equal(acquire(&p, true, 4, 0xb), 0);
	assert_int_equal(run(&p, false, &sqe), 0);
	assert_int_equal(st->gen, 2);
	assert_int_equal(st->rtype, 4);
	assert_int_equal(st->regctl[0], 2);
	assert_int_equal(st->regctl_ds[0].cntlid, 1);
	assert_int_equal(st->regctl_ds[0].rcsts, 0);
	assert_int_equal(st->regctl_ds[0].rkey, 0xa);
	assert_memory_equal(&st->regctl_ds[1].hostid, "BBBBBBBB", 8);
	assert_int_equal(st->regctl_ds[1].cntlid, 2);
	assert_int_equal(st->regctl_ds[1].rcsts, 1);
	/* Extended; and no more than was asked for. */
	sqe.cdw11 = 1;
	sqe.cdw10 = (64 + 64) / 4 - 1;
	memset(t_mem(&p.e, p.e.buf + 4096), 0x55, 4096);
	assert_int_equal(run(&p, false, &sqe), 0);
	assert_int_equal(st->regctl_eds[0].rkey, 0xa);
	assert_memory_equal(st->regctl_eds[0].hostid, "AAAAAAAA\0\0\0\0\0\0\0\0", 16);
	assert_int_equal(st->regctl_eds[1].cntlid, 0x5555);
	/* A host with a long identifier needs the extended one. */
	ob_nvmeq_set_hostid(p.e.q, long_id, 16);
	sqe.cdw11 = 0;
	assert_int_equal(run(&p, false, &sqe), T_ERR(NVME_SC_HOSTID_FORMAT));
	close_pair(&p);
}

static void what_persists_is_stored_before_it_counts(void **state)
{
	struct ob_nvme_ns_conf nc = {.name = "again", .ana_group = 1};
	struct ob_nvme_ns *again;
	struct pair p;

	(void)state;
	open_pair(&p, true);
	assert_int_equal(reg(&p, false, 0xa), 0);
	assert_int_equal(p.n_stored, 0);
	assert_int_equal(resv(&p, true, nvme_cmd_resv_register, 3u << 30, 0, 0xb), 0);
	assert_int_equal(p.n_stored, 1);
	assert_int_equal(p.stored.n, 2);
	assert_int_equal(p.stored.ptpl, 1);
	p.store_rc = -EIO;
	assert_int_equal(acquire(&p, false, 1, 0xa), NVME_SC_INTERNAL);
	assert_int_equal(p.e.ns->resv.rtype, 0);
	p.store_rc = 0;
	assert_int_equal(acquire(&p, false, 1, 0xa), 0);
	nc.blk = p.e.blk;
	nc.resv = &p.stored;
	assert_int_equal(ob_nvme_ns_create(&nc, &again), 0);
	assert_int_equal(again->resv.rtype, 1);
	assert_int_equal(again->resv.reg[again->resv.holder].key, 0xa);
	ob_nvme_ns_put(again);
	p.stored.n = 65;
	assert_int_equal(ob_nvme_ns_create(&nc, &again), -EINVAL);
	assert_int_equal(ob_nvme_ns_set_ptpl(p.e.ns, false), 0);
	assert_int_equal(p.stored.ptpl, 0);
	p.e.ns->conf.resv_store = NULL;
	assert_int_equal(ob_nvme_ns_set_ptpl(p.e.ns, true), -ENOTSUP);
	close_pair(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_type_denies_what_the_table_says),
	    cmocka_unit_test(registration_has_its_rules),
	    cmocka_unit_test(preempt_takes_over_and_tells),
	    cmocka_unit_test(report_lists_the_registrants),
	    cmocka_unit_test(what_persists_is_stored_before_it_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
