/* SPDX-License-Identifier: BSD-3-Clause */
/* Namespaces that come and go, Format, self-test, firmware, several controllers of a subsystem, life. */
#include "nvme_test_util.h"

/* ---- the card's hooks ---- */

static struct {
	int create_rc, delete_rc, erase_rc, update_rc;
	uint64_t blocks;
	uint32_t block_bytes;
	unsigned n_erased, n_deleted, n_updates, n_changed;
	size_t len;
	unsigned slot;
	bool now;
	uint8_t first, last;
} hook;

static int hook_create(
    void *ctx, uint64_t blocks, uint32_t block_bytes, bool shared, struct ob_nvme_ns **ns)
{
	(void)ctx;
	(void)shared;
	hook.blocks = blocks;
	hook.block_bytes = block_bytes;
	if (hook.create_rc == 0)
		*ns = t_new_ns("made", blocks * block_bytes, 99);
	return hook.create_rc;
}

static int hook_delete(void *ctx, struct ob_nvme_ns *ns)
{
	(void)ctx;
	(void)ns;
	hook.n_deleted++;
	return hook.delete_rc;
}

static int hook_erase(void *ctx, struct ob_nvme_ns *ns)
{
	(void)ctx;
	(void)ns;
	hook.n_erased++;
	return hook.erase_rc;
}

static int hook_update(void *ctx, const void *image, size_t len, unsigned slot, bool now)
{
	(void)ctx;
	hook.n_updates++;
	hook.len = len;
	hook.slot = slot;
	hook.now = now;
	hook.first = ((const uint8_t *)image)[0];
	hook.last = ((const uint8_t *)image)[len - 1];
	return hook.update_rc;
}

static void hook_capacity(void *ctx, uint64_t *total, uint64_t *unallocated)
{
	(void)ctx;
	*total = 1ull << 40;
	*unallocated = 1ull << 39;
}

static void hook_changed(void *ctx, uint32_t nsid)
{
	(void)ctx;
	(void)nsid;
	hook.n_changed++;
}

static int setup_hooks(void **state)
{
	struct t *t;

	memset(&hook, 0, sizeof(hook));
	if (t_setup(state) != 0)
		return -1;
	t = *state;
	t->hooks = (struct ob_nvme_hooks){
	    .update = hook_update,
	    .ns_create = hook_create,
	    .ns_delete = hook_delete,
	    .capacity = hook_capacity,
	    .crypto_erase = hook_erase,
	    .ns_changed = hook_changed,
	};
	t_enable(t);
	return 0;
}
#define TH(f) cmocka_unit_test_setup_teardown(f, setup_hooks, t_teardown)

/* ---- live add and delete ---- */

static void numbers_are_given_and_checked(void **state)
{
	struct t *t = *state;
	struct ob_nvme_ns *a = t_new_ns("a", 1 << 20, 8), *got;
	uint32_t nsid = 0;
	bool attached;

	assert_int_equal(ob_nvme_add_ns(t->c, &nsid, a), 0);
	assert_int_equal(nsid, 2);
	assert_int_equal(ob_nvme_add_ns(t->c, &nsid, a), -EALREADY);
	nsid = 257;
	assert_int_equal(ob_nvme_del_ns(t->c, 257), -ENOENT);
	assert_int_equal(ob_nvme_del_ns(t->c, 2), 0);
	assert_int_equal(ob_nvme_del_ns(t->c, 2), -ENOENT);
	assert_int_equal(ob_nvme_add_ns(t->c, &nsid, a), -EINVAL);
	nsid = 1;
	assert_int_equal(ob_nvme_add_ns(t->c, &nsid, a), -EEXIST);
	assert_int_equal(ob_nvme_next_ns(t->c, 0, &got, &attached), 1);
	assert_ptr_equal(got, t->ns);
	assert_true(attached);
	assert_int_equal(ob_nvme_next_ns(t->c, 1, &got, NULL), 0);
	ob_nvme_ns_put(a);
}

static void io_to_a_namespace_that_went_away_ends_with_its_status(void **state)
{
	struct t *t = *state;
	struct t_q q = t_io_queues(t, 1);

	assert_int_equal(t_io(t, &q, 1, nvme_cmd_read, 1, 0, 1), 0);
	assert_int_equal(ob_nvme_del_ns(t->c, 1), 0);
	assert_int_equal(t_io(t, &q, 1, nvme_cmd_read, 1, 0, 1), NVME_SC_INVALID_NS);
}

static void a_resize_is_told(void **state)
{
	struct t *t = *state;
	struct ob_nvme_sqe e = t_cmd(t, nvme_admin_async_event, 0, 0, 0);
	const uint32_t *list = t_mem(t, t->data);
	struct t_cqe c;

	assert_int_equal(t_log(t, NVME_LOG_LID_CHANGED_NS, 0, 64, false), 0);
	assert_int_equal(t_set_feature(t, NVME_FEAT_FID_ASYNC_EVENT, 1 << 8, NULL), 0);
	(void)t_send(t, &e);
	assert_int_equal(ob_blk_resize(ob_nvme_ns_blk(t->ns), 2 * T_BYTES), 0);
	t_run(t);
	assert_true(t_done(t, &c));
	assert_int_equal(t_log(t, NVME_LOG_LID_CHANGED_NS, 0, 64, false), 0);
	assert_int_equal(list[0], 1);
	assert_int_equal(t_identify(t, 0, 1, 0), 0);
	assert_int_equal(*(uint64_t *)t_mem(t, t->data), 2 * T_BYTES / 512);
}

/* ---- namespace management ---- */

static uint16_t ns_create(struct t *t, uint64_t blocks, uint8_t flbas, uint32_t *nsid)
{
	struct nvme_id_ns *id = t_mem(t, t->data);

	memset(id, 0, 4096);
	id->nsze = id->ncap = blocks;
	id->flbas = flbas;
	return t_do(t, nvme_admin_ns_mgmt, 0, 0, 0, nsid);
}

static uint16_t ns_attach(
    struct t *t, uint32_t nsid, unsigned sel, unsigned n, uint16_t a, uint16_t b)
{
	uint16_t *l = t_mem(t, t->data);

	memset(l, 0, 4096);
	l[0] = (uint16_t)n;
	l[1] = a;
	l[2] = b;
	return t_do(t, nvme_admin_ns_attach, nsid, sel, 0, NULL);
}

static void a_host_makes_attaches_detaches_and_deletes_a_namespace(void **state)
{
	struct t *t = *state;
	struct t_q q = t_io_queues(t, 1);
	const uint32_t *list = t_mem(t, t->data);
	uint32_t nsid;

	assert_int_equal(ns_create(t, 256, 1, &nsid), 0);
	assert_int_equal(nsid, 2);
	assert_int_equal(hook.blocks, 256);
	assert_int_equal(hook.block_bytes, 4096);
	assert_int_equal(t_identify(t, NVME_IDENTIFY_CNS_NS_ACTIVE_LIST, 1, 0), 0);
	assert_int_equal(list[0], 0);
	assert_int_equal(t_identify(t, NVME_IDENTIFY_CNS_ALLOCATED_NS_LIST, 1, 0), 0);
	assert_int_equal(list[0], 2);
	assert_int_equal(t_identify(t, NVME_IDENTIFY_CNS_ALLOCATED_NS, 2, 0), 0);
	assert_true(*(uint64_t *)t_mem(t, t->data) != 0);
	assert_int_equal(t_io(t, &q, 1, nvme_cmd_read, 2, 0, 1), NVME_SC_INVALID_NS);
	assert_int_equal(ns_attach(t, 2, 0, 1, 1, 0), 0);
	assert_int_equal(ns_attach(t, 2, 0, 1, 1, 0), T_CMD(NVME_SC_NS_ALREADY_ATTACHED));
	assert_int_equal(t_io(t, &q, 1, nvme_cmd_read, 2, 0, 1), 0);
	assert_int_equal(ns_attach(t, 2, 1, 1, 1, 0), 0);
	assert_int_equal(ns_attach(t, 2, 1, 1, 1, 0), T_CMD(NVME_SC_NS_NOT_ATTACHED));
	assert_int_equal(t_io(t, &q, 1, nvme_cmd_read, 2, 0, 1), NVME_SC_INVALID_NS);
	assert_int_equal(ns_attach(t, 2, 0, 1, 1, 0), 0);
	assert_int_equal(t_do(t, nvme_admin_ns_mgmt, 2, 1, 0, NULL), 0);
	assert_int_equal(hook.n_deleted, 1);
	assert_int_equal(t_do(t, nvme_admin_ns_mgmt, 2, 1, 0, NULL), NVME_SC_INVALID_NS);
	/* The card's own is not the host's to delete, but it may be detached. */
	assert_int_equal(t_do(t, nvme_admin_ns_mgmt, 1, 1, 0, NULL), NVME_SC_OP_DENIED);
	assert_int_equal(ns_attach(t, 1, 1, 1, 1, 0), 0);
	assert_int_equal(t_io(t, &q, 1, nvme_cmd_read, 1, 0, 1), NVME_SC_INVALID_NS);
	assert_true(hook.n_changed >= 5);
}

static void creation_is_checked(void **state)
{
	struct t *t = *state;
	struct nvme_id_ns *id = t_mem(t, t->data);

	hook.create_rc = -ENOSPC;
	assert_int_equal(ns_create(t, 256, 0, NULL), T_CMD(NVME_SC_NS_INSUFFICIENT_CAP));
	hook.create_rc = -EINVAL;
	assert_int_equal(ns_create(t, 256, 0, NULL), NVME_SC_INVALID_FIELD);
	hook.create_rc = -EPERM;
	assert_int_equal(ns_create(t, 256, 0, NULL), NVME_SC_OP_DENIED);
	hook.create_rc = 0;
	assert_int_equal(ns_create(t, 0, 0, NULL), NVME_SC_INVALID_FIELD);
	assert_int_equal(ns_create(t, 256, 2, NULL), T_CMD(NVME_SC_INVALID_FORMAT));
	assert_int_equal(
	    t_do(t, nvme_admin_ns_mgmt, 0, 0, 1u << 24, NULL), T_CMD(NVME_SC_IOCS_NOT_SUPPORTED));
	memset(id, 0, 4096);
	id->nsze = 256;
	id->ncap = 128;
	assert_int_equal(
	    t_do(t, nvme_admin_ns_mgmt, 0, 0, 0, NULL), T_CMD(NVME_SC_THIN_PROV_NOT_SUPP));
	id->ncap = 256;
	id->dps = 1;
	assert_int_equal(t_do(t, nvme_admin_ns_mgmt, 0, 0, 0, NULL), NVME_SC_INVALID_FIELD);
	id->dps = 0;
	id->nmic = 1; /* this subsystem has one controller */
	assert_int_equal(t_do(t, nvme_admin_ns_mgmt, 0, 0, 0, NULL), NVME_SC_INVALID_FIELD);
	id->nmic = 0;
	id->anagrpid = 1000;
	assert_int_equal(
	    t_do(t, nvme_admin_ns_mgmt, 0, 0, 0, NULL), T_CMD(NVME_SC_ANA_GROUP_ID_INVALID));
	assert_int_equal(t_do(t, nvme_admin_ns_mgmt, 0, 2, 0, NULL), NVME_SC_INVALID_FIELD);
	t->hooks.ns_create = NULL;
	assert_int_equal(ns_create(t, 256, 0, NULL), T_CMD(NVME_SC_NS_INSUFFICIENT_CAP));
}

static void controller_lists_are_checked(void **state)
{
	struct t *t = *state;

	assert_int_equal(ns_attach(t, 1, 1, 0, 1, 0), T_CMD(NVME_SC_CTRL_LIST_INVALID));
	assert_int_equal(ns_attach(t, 1, 1, 2048, 1, 0), T_CMD(NVME_SC_CTRL_LIST_INVALID));
	assert_int_equal(ns_attach(t, 1, 1, 1, 2, 0), T_CMD(NVME_SC_CTRL_LIST_INVALID));
	assert_int_equal(ns_attach(t, 1, 1, 2, 1, 1), T_CMD(NVME_SC_CTRL_LIST_INVALID));
	assert_int_equal(ns_attach(t, 2, 0, 1, 1, 0), NVME_SC_INVALID_NS);
	assert_int_equal(ns_attach(t, 0xffffffff, 0, 1, 1, 0), NVME_SC_INVALID_NS);
	assert_int_equal(ns_attach(t, 1, 2, 1, 1, 0), NVME_SC_INVALID_FIELD);
	assert_true(nvme_ns_attached(t->c, 1));
}

static void two_controllers_share_a_subsystem(void **state)
{
	struct t *t = *state;
	struct ob_nvme_conf conf = t_conf(t);
	const uint16_t *list = t_mem(t, t->data);
	struct ob_nvme *a, *b, *x;
	struct ob_nvme_ns *other = t_new_ns("other", 1 << 20, 9);
	uint32_t nsid = 5;

	ob_nvme_destroy(t->c);
	fake_nvfu_reset();
	conf.subnqn = "nqn.2026-01.io.outboard:both";
	assert_int_equal(ob_nvme_create(&conf, &a), 0);
	assert_int_equal(ob_nvme_create(&conf, &x), -EEXIST);
	conf.name = "nvme1";
	conf.cntlid = 1;
	assert_int_equal(ob_nvme_create(&conf, &x), -EEXIST); /* the first one's number */
	conf.cntlid = OB_NVME_CNTLID_AUTO;
	assert_int_equal(ob_nvme_create(&conf, &b), 0);
	t->c = a;
	t->st = a->st;
	t_map(t, a);
	t_command(PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	t_enable(t);
	assert_int_equal(ob_nvme_add_ns(a, &nsid, t->ns), 0);
	assert_int_equal(ob_nvme_add_ns(b, &nsid, other), -EEXIST);
	nsid = 0;
	assert_int_equal(ob_nvme_add_ns(b, &nsid, t->ns), 0);
	assert_int_equal(nsid, 5); /* the number it has in the subsystem */
	assert_int_equal(t_identify(t, NVME_IDENTIFY_CNS_CTRL_LIST, 0, 0), 0);
	assert_int_equal(list[0], 2);
	assert_int_equal(list[1], 1);
	assert_int_equal(list[2], 2);
	assert_int_equal(t_identify(t, NVME_IDENTIFY_CNS_CTRL_LIST, 0, 2), 0);
	assert_int_equal(list[0], 1);
	assert_int_equal(list[1], 2);
	assert_int_equal(ns_attach(t, 5, 1, 1, 2, 0), 0);
	assert_false(nvme_ns_attached(b, 5));
	assert_int_equal(t_identify(t, NVME_IDENTIFY_CNS_NS_CTRL_LIST, 5, 0), 0);
	assert_int_equal(list[0], 1);
	assert_int_equal(list[1], 1);
	assert_int_equal(t_identify(t, NVME_IDENTIFY_CNS_NS_CTRL_LIST, 0, 0), NVME_SC_INVALID_NS);
	assert_int_equal(ns_attach(t, 5, 0, 1, 2, 0), 0);
	assert_int_equal(b->st->changed[0], 1 << 4);
	assert_int_equal(t_identify(t, NVME_IDENTIFY_CNS_CTRL, 0, 0), 0);
	assert_int_equal(((struct nvme_id_ctrl *)t_mem(t, t->data))->cmic, 0xa);
	ob_nvme_destroy(b);
	ob_nvme_ns_put(other);
}

/* ---- format ---- */

static void format_changes_the_block_size_and_back(void **state)
{
	struct t *t = *state;
	struct t_q q = t_io_queues(t, 1);
	const struct nvme_id_ns *id = t_mem(t, t->data);

	assert_int_equal(t_do(t, nvme_admin_format_nvm, 1, 1, 0, NULL), 0);
	assert_int_equal(t_identify(t, 0, 1, 0), 0);
	assert_int_equal(id->flbas, 1);
	assert_int_equal(id->nsze, T_BYTES / 4096);
	assert_int_equal(t_io(t, &q, 1, nvme_cmd_write, 1, T_BYTES / 4096 - 1, 1), 0);
	assert_int_equal(t_io(t, &q, 1, nvme_cmd_write, 1, T_BYTES / 4096, 1), NVME_SC_LBA_RANGE);
	assert_int_equal(t_do(t, nvme_admin_format_nvm, 0xffffffff, 0, 0, NULL), 0);
	assert_int_equal(t_identify(t, 0, 1, 0), 0);
	assert_int_equal(id->nsze, T_BYTES / 512);
}

static void format_erases_user_data(void **state)
{
	struct t *t = *state;
	struct t_q q = t_io_queues(t, 1);
	uint8_t *p = t_mem(t, t->data);

	memset(p, 0x5a, 8192);
	assert_int_equal(t_io(t, &q, 1, nvme_cmd_write, 1, 0, 16), 0);
	assert_int_equal(t_io(t, &q, 1, nvme_cmd_write, 1, T_BYTES / 512 - 16, 16), 0);
	assert_int_equal(t_do(t, nvme_admin_format_nvm, 1, 1 << 9, 0, NULL), 0);
	assert_int_equal(t_io(t, &q, 1, nvme_cmd_read, 1, 0, 16), 0);
	assert_true(p[0] == 0 && memcmp(p, p + 1, 8191) == 0);
	memset(p, 0xee, 8192);
	assert_int_equal(t_io(t, &q, 1, nvme_cmd_read, 1, T_BYTES / 512 - 16, 16), 0);
	assert_true(p[0] == 0 && memcmp(p, p + 1, 8191) == 0);
}

static void crypto_erase_is_the_cards(void **state)
{
	struct t *t = *state;

	assert_int_equal(t_do(t, nvme_admin_format_nvm, 1, 2 << 9, 0, NULL), 0);
	assert_int_equal(hook.n_erased, 1);
	hook.erase_rc = -ENOTSUP;
	assert_int_equal(t_do(t, nvme_admin_format_nvm, 1, 2 << 9, 0, NULL), NVME_SC_INVALID_FIELD);
	hook.erase_rc = -EIO;
	assert_int_equal(t_do(t, nvme_admin_format_nvm, 1, 2 << 9, 0, NULL), NVME_SC_INTERNAL);
	t->hooks.crypto_erase = NULL;
	assert_int_equal(t_do(t, nvme_admin_format_nvm, 1, 2 << 9, 0, NULL), NVME_SC_INVALID_FIELD);
	assert_int_equal(t_identify(t, 1, 0, 0), 0);
	assert_int_equal(((struct nvme_id_ctrl *)t_mem(t, t->data))->fna, 0);
}

static void format_is_checked(void **state)
{
	struct t *t = *state;

	assert_int_equal(
	    t_do(t, nvme_admin_format_nvm, 1, 2, 0, NULL), T_CMD(NVME_SC_INVALID_FORMAT));
	assert_int_equal(
	    t_do(t, nvme_admin_format_nvm, 1, 1 << 12, 0, NULL), T_CMD(NVME_SC_INVALID_FORMAT));
	assert_int_equal(
	    t_do(t, nvme_admin_format_nvm, 1, 1 << 5, 0, NULL), T_CMD(NVME_SC_INVALID_FORMAT));
	assert_int_equal(t_do(t, nvme_admin_format_nvm, 1, 3 << 9, 0, NULL), NVME_SC_INVALID_FIELD);
	assert_int_equal(t_do(t, nvme_admin_format_nvm, 2, 0, 0, NULL), NVME_SC_INVALID_NS);
	assert_int_equal(t_do(t, nvme_admin_format_nvm, 0, 0, 0, NULL), NVME_SC_INVALID_NS);
}

static void set_host(struct t *t, uint8_t id)
{
	memset(t_mem(t, t->data), id, 16);
	assert_int_equal(t_set_feature(t, NVME_FEAT_FID_HOST_ID, 1, NULL), 0);
}

static void another_hosts_reservation_forbids_a_format(void **state)
{
	struct t *t = *state;
	struct t_q q = t_io_queues(t, 1);
	const uint64_t keys[2] = {0, 0x1234};
	struct ob_nvme_sqe e = {.opcode = nvme_cmd_resv_register, .nsid = 1, .dptr = {t->data, 0}};
	struct t_cqe c;

	set_host(t, 1);
	memcpy(t_mem(t, t->data), keys, sizeof(keys));
	t_put(t, &q, &e);
	e.opcode = nvme_cmd_resv_acquire;
	e.cdw10 = 1 << 8; /* write exclusive */
	t_write(0x1008, q.tail, 4);
	t_run(t);
	assert_true(t_reap(t, &q, 0x100c, &c));
	assert_int_equal(c.status >> 1, 0);
	memcpy(t_mem(t, t->data), &keys[1], 8);
	t_put(t, &q, &e);
	t_write(0x1008, q.tail, 4);
	t_run(t);
	assert_true(t_reap(t, &q, 0x100c, &c));
	assert_int_equal(c.status >> 1, 0);
	assert_int_equal(t_do(t, nvme_admin_format_nvm, 1, 0, 0, NULL), 0);
	set_host(t, 2);
	assert_int_equal(
	    t_do(t, nvme_admin_format_nvm, 1, 0, 0, NULL), NVME_SC_RESERVATION_CONFLICT);
}

static void format_ends_what_waits_for_a_limit(void **state)
{
	struct t *t = *state;
	struct ob_blk_qos_conf qc = {0};
	struct ob_nvme_ns_conf nc = {.name = "slow", .ana_group = 1};
	struct ob_blk *ram;
	struct ob_nvme_ns *slow;
	struct t_q q = t_io_queues(t, 1);
	uint32_t nsid = 0;
	struct t_cqe c;
	char err[128];
	unsigned n = 0;

	assert_int_equal(ob_blk_ram_create("r", 1 << 20, 512, &ram, err, sizeof(err)), 0);
	qc.rate[OB_BLK_QOS_READ_IOPS] = 1;
	assert_int_equal(ob_blk_qos_create("q", ram, &qc, &nc.blk, err, sizeof(err)), 0);
	assert_int_equal(ob_nvme_ns_create(&nc, &slow), 0);
	assert_int_equal(ob_nvme_add_ns(t->c, &nsid, slow), 0);
	for (uint16_t i = 0; i < 8; i++) {
		struct ob_nvme_sqe e = {.opcode = nvme_cmd_read,
		    .cid = i,
		    .nsid = nsid,
		    .dptr = {t->data, 0},
		    .cdw12 = 7};

		t_put(t, &q, &e);
	}
	t_write(0x1008, q.tail, 4);
	for (unsigned i = 0; i < 10; i++)
		ob_worker_round(t->w);
	assert_int_equal(t_do(t, nvme_admin_format_nvm, nsid, 1, 0, NULL), 0);
	while (t_reap(t, &q, 0x100c, &c))
		n += (c.status >> 1 & T_STATUS) == NVME_SC_FORMAT_IN_PROGRESS;
	assert_true(n >= 4);
	ob_blk_put(nc.blk);
	ob_blk_put(ram);
	ob_nvme_ns_put(slow);
}

static void a_reset_ends_a_format_and_the_namespace_works_again(void **state)
{
	struct t *t = *state;
	struct ob_nvme_sqe e = t_cmd(t, nvme_admin_format_nvm, 1, 1 << 9 | 1, 0);
	struct t_q q;

	(void)t_send(t, &e);
	assert_non_null(t->c->format);
	assert_true(nvme_format_has(t->c, e.cid));
	t_write(NVME_REG_CC, 0, 4);
	assert_null(t->c->format);
	t_enable(t);
	q = t_io_queues(t, 1);
	assert_int_equal(t_io(t, &q, 1, nvme_cmd_read, 1, T_BYTES / 512 - 1, 1), 0);
}

static void a_namespace_taken_away_ends_its_format(void **state)
{
	struct t *t = *state;
	struct ob_nvme_sqe e = t_cmd(t, nvme_admin_format_nvm, 1, 1 << 9, 0);
	struct t_cqe c;

	(void)t_send(t, &e);
	assert_int_equal(ob_nvme_del_ns(t->c, 1), 0);
	t_run(t);
	assert_true(t_done(t, &c));
	assert_int_equal(c.cid, e.cid);
	assert_int_equal(c.status >> 1 & T_STATUS, NVME_SC_INVALID_NS);
}

/* ---- self-test ---- */

static void self_tests_run_and_are_recorded(void **state)
{
	struct t *t = *state;
	const struct nvme_self_test_log *l = t_mem(t, t->data);
	struct ob_nvme_sqe e = t_cmd(t, nvme_admin_dev_self_test, 1, 2, 0);
	struct t_cqe c;

	assert_int_equal(t_do(t, nvme_admin_dev_self_test, 0xffffffff, 1, 0, NULL), 0);
	t_run(t);
	assert_int_equal(t_log(t, NVME_LOG_LID_DEVICE_SELF_TEST, 0, 64, false), 0);
	assert_int_equal(l->current_operation, 0);
	assert_int_equal(l->result[0].dsts, 1 << 4 | 0);
	assert_int_equal(l->result[1].dsts, 0xf);
	(void)t_send(t, &e); /* extended, not driven on */
	assert_true(t_done(t, &c));
	assert_non_null(t->c->selftest);
	e.cdw10 = 1;
	(void)t_send(t, &e);
	assert_true(t_done(t, &c));
	assert_int_equal(c.status >> 1 & T_STATUS, T_CMD(NVME_SC_SELF_TEST_IN_PROGRESS));
	e.cdw10 = 0xf;
	(void)t_send(t, &e);
	assert_true(t_done(t, &c));
	assert_null(t->c->selftest);
	assert_int_equal(t_log(t, NVME_LOG_LID_DEVICE_SELF_TEST, 0, 64, false), 0);
	assert_int_equal(l->result[0].dsts, 2 << 4 | 1);
	assert_int_equal(l->result[0].nsid, 1);
	assert_int_equal(
	    t_do(t, nvme_admin_dev_self_test, 0, 1, 0, NULL), 0); /* without namespaces */
	assert_int_equal(t_do(t, nvme_admin_dev_self_test, 3, 1, 0, NULL), NVME_SC_INVALID_NS);
	assert_int_equal(t_do(t, nvme_admin_dev_self_test, 1, 0xe, 0, NULL), NVME_SC_INVALID_FIELD);
	(void)t_send(
	    t, &(struct ob_nvme_sqe){.opcode = nvme_admin_dev_self_test, .nsid = 1, .cdw10 = 2});
	t_write(NVME_REG_CC, 0, 4);
	assert_int_equal(t->st->selftest.result[0].code_result, 2 << 4 | NVME_ST_RESULT_CLR);
}

/* ---- firmware ---- */

static uint16_t download(struct t *t, uint32_t off, uint32_t len)
{
	return t_do(t, nvme_admin_fw_download, 0, len / 4 - 1, off / 4, NULL);
}

static uint16_t commit(struct t *t, unsigned slot, unsigned action)
{
	return t_do(t, nvme_admin_fw_commit, 0, slot | action << 3, 0, NULL);
}

static void an_image_is_collected_and_handed_to_the_card(void **state)
{
	struct t *t = *state;
	uint8_t *p = t_mem(t, t->data);
	const struct nvme_firmware_slot *f = t_mem(t, t->data);

	assert_int_equal(commit(t, 2, 1), T_CMD(NVME_SC_FIRMWARE_IMAGE)); /* nothing there */
	memset(p, 2, 4096);
	assert_int_equal(download(t, 4096, 64), 0);			  /* the last piece first */
	assert_int_equal(commit(t, 2, 1), T_CMD(NVME_SC_FIRMWARE_IMAGE)); /* a hole */
	memset(p, 1, 4096);
	assert_int_equal(download(t, 0, 4096), 0);
	assert_int_equal(download(t, 4096, 64), T_CMD(NVME_SC_OVERLAPPING_RANGE));
	assert_int_equal(commit(t, 2, 1), 0);
	assert_int_equal(hook.n_updates, 1);
	assert_int_equal(hook.len, 4096 + 64);
	assert_int_equal(hook.first, 1);
	assert_int_equal(hook.last, 2);
	assert_int_equal(hook.slot, 2);
	assert_false(hook.now);
	assert_int_equal(t_log(t, NVME_LOG_LID_FW_SLOT, 0, 512, false), 0);
	assert_int_equal(f->afi, 1 | 2 << 4);
	assert_memory_equal(f->frs[0], "1.0     ", 8);
	assert_true(f->frs[1][0] != 0);
	t_write(NVME_REG_CC, 0, 4);
	t_enable(t);
	assert_int_equal(t_log(t, NVME_LOG_LID_FW_SLOT, 0, 512, false), 0);
	assert_int_equal(f->afi, 2);
	assert_int_equal(commit(t, 1, 2), 0); /* back */
	t_write(NVME_REG_CC, 0, 4);
	t_enable(t);
	assert_int_equal(t_log(t, NVME_LOG_LID_FW_SLOT, 0, 512, false), 0);
	assert_int_equal(f->afi, 1);
}

static void firmware_commands_are_checked(void **state)
{
	struct t *t = *state;

	assert_int_equal(download(t, 512, 4096), NVME_SC_INVALID_FIELD);
	assert_int_equal(download(t, NVME_FW_MAX, 4096), NVME_SC_INVALID_FIELD);
	assert_int_equal(download(t, 0, 2 << 20), NVME_SC_INVALID_FIELD); /* over MDTS */
	assert_int_equal(download(t, 0, 4096), 0);
	assert_int_equal(commit(t, 3, 1), T_CMD(NVME_SC_FIRMWARE_SLOT));
	assert_int_equal(commit(t, 1, 1), T_CMD(NVME_SC_FIRMWARE_SLOT)); /* read only */
	assert_int_equal(commit(t, 0, 2), T_CMD(NVME_SC_FIRMWARE_SLOT));
	assert_int_equal(commit(t, 2, 2), T_CMD(NVME_SC_FIRMWARE_SLOT)); /* empty */
	assert_int_equal(commit(t, 2, 6), NVME_SC_INVALID_FIELD);
	hook.update_rc = -EINVAL;
	assert_int_equal(commit(t, 0, 3), T_CMD(NVME_SC_FIRMWARE_IMAGE));
	assert_true(hook.now);
	hook.update_rc = -EPERM;
	assert_int_equal(commit(t, 2, 2), T_CMD(NVME_SC_FW_ACTIVATE_PROHIBITED));
	hook.update_rc = -EBUSY;
	assert_int_equal(commit(t, 2, 2), T_CMD(NVME_SC_FW_NEEDS_MAX_TIME));
	hook.update_rc = -EIO;
	assert_int_equal(commit(t, 2, 2), NVME_SC_INTERNAL);
	hook.update_rc = 0;
	assert_int_equal(commit(t, 2, 3), 0);
	assert_int_equal(t->c->fw.active_slot, 2);
	/* A reset throws away what was not committed. */
	assert_int_equal(download(t, 0, 4096), 0);
	t_write(NVME_REG_CC, 0, 4);
	t_enable(t);
	assert_int_equal(commit(t, 2, 0), T_CMD(NVME_SC_FIRMWARE_IMAGE));
}

static void capabilities_follow_the_hooks(void **state)
{
	struct t *t = *state;
	const struct nvme_id_ctrl *id = t_mem(t, t->data);
	uint64_t v;

	assert_int_equal(t_identify(t, 1, 0, 0), 0);
	assert_true(id->oacs & NVME_CTRL_OACS_FW);
	assert_int_equal(id->fna, 4);
	memcpy(&v, id->unvmcap, 8);
	assert_int_equal(v, 1ull << 39);
}

/* ---- life ---- */

static void bad_configurations_are_refused(void **state)
{
	struct t *t = *state;
	struct ob_nvme_conf good = t_conf(t), c;
	struct ob_nvme *x = NULL;

#define REFUSED(change)                                            \
	do {                                                       \
		c = good;                                          \
		c.name = "other";                                  \
		change;                                            \
		assert_int_equal(ob_nvme_create(&c, &x), -EINVAL); \
	} while (0)
	REFUSED(c.name = "");
	REFUSED(c.name = "a/b");
	REFUSED(c.name = "0123456789012345678901234567890123456789");
	REFUSED(c.path = NULL);
	REFUSED(c.serial = NULL);
	REFUSED(c.serial = "");
	REFUSED(c.serial = "123456789012345678901");
	REFUSED(c.serial = "a\nb");
	REFUSED(c.firmware = "123456789");
	REFUSED(c.subnqn = "iqn.2000-01.com.example");
	REFUSED(c.cntlid = 0xfff0);
	REFUSED(c.n_qpairs = 65);
	REFUSED(c.queue_entries = 3);
	REFUSED(c.queue_entries = 8192);
	REFUSED(c.mdts_bytes = 2048);
	REFUSED(c.mdts_bytes = 4u << 20);
	REFUSED(c.arena = NULL);
	REFUSED(c.base = NULL);
	assert_int_equal(ob_nvme_create(&good, &x), -EEXIST);
	ob_nvme_destroy(NULL);
}

static void what_fails_late_leaves_nothing_behind(void **state)
{
	struct t *t = *state;
	struct ob_nvme_conf c = t_conf(t);
	struct ob_arena_region_info info;

	ob_nvme_destroy(t->c);
	assert_int_equal(
	    ob_arena_info(t->arena, 0, &info) == 0 && strncmp(info.name, "nvme", 4) == 0, 0);
	fake_nvfu_create_rc = -EADDRINUSE;
	assert_int_equal(ob_nvme_create(&c, &t->c), -EADDRINUSE);
	assert_null(nvme_all);
	fake_nvfu_create_rc = 0;
	assert_int_equal(ob_nvme_create(&c, &t->c), 0);
}

static void status_tells_all(void **state)
{
	struct t *t = *state;
	struct ob_nvmeq_counters n;
	struct ob_nvme_status s;
	struct t_q q = t_io_queues(t, 1);

	assert_int_equal(t_io(t, &q, 1, nvme_cmd_read, 1, 0, 1), 0);
	ob_nvme_get_status(t->c, &s);
	assert_string_equal(s.name, "nvme0");
	assert_int_equal(s.state, OB_NVME_READY);
	assert_true(s.connected && s.peer_pid == 42);
	assert_int_equal(s.n_sqs, 1);
	assert_int_equal(s.n_cqs, 1);
	assert_int_equal(s.n_ns, 1);
	assert_int_equal(s.n_ranges, 1);
	assert_int_equal(s.n_bytes, T_MEM);
	assert_int_equal(s.csts, 1);
	assert_true(s.n_admin >= 2 && s.n_doorbells >= 4);
	assert_int_equal(ob_nvme_get_counters(t->c, 0, &n), 0);
	assert_int_equal(n.n_reads, 1);
	t_write(NVME_REG_CC, T_EN | 1 << 14, 4);
	t_run(t);
	ob_nvme_get_status(t->c, &s);
	assert_int_equal(s.state, OB_NVME_SHUT_DOWN);
	t_write(NVME_REG_CC, 0, 4);
	ob_nvme_get_status(t->c, &s);
	assert_int_equal(s.state, OB_NVME_DISABLED);
	nvme_fatal(t->c, "too late");
	ob_nvme_get_status(t->c, &s);
	assert_int_equal(s.state, OB_NVME_DISABLED);
	t_enable(t);
	nvme_fatal(t->c, "of the test");
	ob_nvme_get_status(t->c, &s);
	assert_int_equal(s.state, OB_NVME_FATAL);
	assert_string_equal(s.fatal_why, "of the test");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TE(numbers_are_given_and_checked),
	    TE(io_to_a_namespace_that_went_away_ends_with_its_status),
	    TE(a_resize_is_told),
	    TH(a_host_makes_attaches_detaches_and_deletes_a_namespace),
	    TH(creation_is_checked),
	    TH(controller_lists_are_checked),
	    TH(two_controllers_share_a_subsystem),
	    TE(format_changes_the_block_size_and_back),
	    TE(format_erases_user_data),
	    TH(crypto_erase_is_the_cards),
	    TE(format_is_checked),
	    TE(another_hosts_reservation_forbids_a_format),
	    TE(format_ends_what_waits_for_a_limit),
	    TE(a_reset_ends_a_format_and_the_namespace_works_again),
	    TE(a_namespace_taken_away_ends_its_format),
	    TE(self_tests_run_and_are_recorded),
	    TH(an_image_is_collected_and_handed_to_the_card),
	    TH(firmware_commands_are_checked),
	    TH(capabilities_follow_the_hooks),
	    TE(bad_configurations_are_refused),
	    TE(what_fails_late_leaves_nothing_behind),
	    TE(status_tells_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
