/* SPDX-License-Identifier: BSD-3-Clause */
/* Functions that show volumes, and namespaces, on the bus. */
#include "test_volume.h"

#define MB (1ull << 20)

static void add_volumes(void)
{
	struct ob_bus_volume a = volume("d0", OB_BUS_VOL_RAM, MB),
			     b = volume("d1", OB_BUS_VOL_NULL, MB);

	b.block_bytes = 4096;
	assert_int_equal(ADD(OB_BUS_VOLUME, a), 0);
	assert_int_equal(ADD(OB_BUS_VOLUME, b), 0);
}

static void disks_get_defaults(void **state)
{
	struct ob_bus_function b = disk("b0", OB_BUS_BLK, "d0"), n = disk("n0", OB_BUS_NVME, "d1"),
			       r;

	(void)state;
	add_volumes();
	assert_int_equal(ADD(OB_BUS_FUNCTION, b), 0);
	assert_int_equal(list(OB_BUS_FUNCTION, &b, sizeof(b), &r, sizeof(r)), 1);
	assert_string_equal(r.socket, "/run/test/b0.sock");
	assert_string_equal(r.volume, "d0");
	assert_int_equal(r.n_pairs, 1);
	assert_int_equal(r.queue_size, 256);
	assert_true(r.mtu == 0 && r.link == 0 && r.rx_pkts == 0);
	assert_int_equal(r.state, OB_BUS_FN_RUNNING);
	assert_int_equal(r.reads, 7);
	assert_int_equal(r.write_bytes, 4096);
	assert_string_equal(fake_models.last_blk.id, "d0");
	assert_int_equal(ADD(OB_BUS_FUNCTION, n), 0);
	assert_int_equal(list(OB_BUS_FUNCTION, &n, sizeof(n), &r, sizeof(r)), 1);
	assert_int_equal(r.n_pairs, 16);
	assert_int_equal(r.n_namespaces, 1);
	assert_string_equal(fake_models.last_nvme.serial, "SN1");
	/* What clients send back unchanged is taken. */
	assert_int_equal(SET(OB_BUS_FUNCTION, r), 0);
	strcpy(r.volume, "d0");
	assert_int_equal(SET(OB_BUS_FUNCTION, r), -ENOTSUP);
	r.type = OB_BUS_NET;
	assert_int_equal(SET(OB_BUS_FUNCTION, r), -ENOTSUP);
	/* Neither has packets. */
	assert_int_equal(list(OB_BUS_QUEUE, NULL, 0, NULL, 0), 0);
	assert_int_equal(list(OB_BUS_DROP, NULL, 0, NULL, 0), 0);
}

static void disk_fields_are_checked(void **state)
{
	struct ob_bus_function b = disk("b0", OB_BUS_BLK, "d0"), n = disk("n0", OB_BUS_NVME, "d0");
	struct ob_bus_function net = function("f1");

	(void)state;
	add_volumes();
	REFUSED(OB_BUS_FUNCTION, b, bad.volume[0] = '\0', -EINVAL, "volume");
	REFUSED(OB_BUS_FUNCTION, b, strcpy(bad.volume, "d9"), -ENOENT, "obctl volume list");
	REFUSED(OB_BUS_FUNCTION, b, bad.transport = OB_BUS_PORT, -EINVAL, "port");
	REFUSED(OB_BUS_FUNCTION, b, bad.mac[5] = 1, -EINVAL, "mac");
	REFUSED(OB_BUS_FUNCTION, b, bad.mtu = 1500, -EINVAL, "mtu");
	REFUSED(OB_BUS_FUNCTION, b, bad.link = 1, -EINVAL, "link");
	REFUSED(OB_BUS_FUNCTION, b, bad.n_pairs = 65, -EINVAL, "64");
	REFUSED(OB_BUS_FUNCTION, b, bad.queue_size = 8192, -EINVAL, "64..4096");
	REFUSED(OB_BUS_FUNCTION, b, bad.packed = 3, -EINVAL, "packed");
	REFUSED(OB_BUS_FUNCTION, n, bad.transport = OB_BUS_VHOST_USER, -EINVAL, "vfio-user");
	REFUSED(OB_BUS_FUNCTION, n, bad.queue_size = 3, -EINVAL, "2..32768");
	REFUSED(OB_BUS_FUNCTION, n, bad.packed = 1, -EINVAL, "packed");
	REFUSED(OB_BUS_FUNCTION, net, strcpy(bad.volume, "d0"), -EINVAL, "volume");
	fake_models.create_rc = -EADDRINUSE;
	REFUSED(OB_BUS_FUNCTION, b, (void)bad, -EADDRINUSE, "b0.sock");
	REFUSED(OB_BUS_FUNCTION, n, (void)bad, -EADDRINUSE, "n0.sock");
	fake_models.create_rc = 0;
	assert_int_equal(shown_volume("d0").n_users, 0);
	assert_int_equal(list(OB_BUS_NAMESPACE, NULL, 0, NULL, 0), 0);
}

static void an_eni_needs_a_net_function(void **state)
{
	struct ob_bus_function b = disk("b0", OB_BUS_BLK, "d0");
	struct ob_bus_vnet v = vnet("red", 100);
	struct ob_bus_eni e = eni("e1", "b0", "red");

	(void)state;
	add_volumes();
	assert_int_equal(ADD(OB_BUS_FUNCTION, b), 0);
	assert_int_equal(ADD(OB_BUS_VNET, v), 0);
	assert_int_equal(ADD(OB_BUS_ENI, e), -EINVAL);
	assert_true(says("net function"));
}

static void namespaces_come_and_go(void **state)
{
	struct ob_bus_function n = disk("n0", OB_BUS_NVME, ""), b = disk("b0", OB_BUS_BLK, "d0");
	struct ob_bus_namespace a = ns("n0", 0, "d0"), r, second = ns("n0", 7, "d1");
	struct ob_bus_volume d = volume("d0", 0, 0);
	uint8_t uuid[16];

	(void)state;
	add_volumes();
	assert_int_equal(ADD(OB_BUS_FUNCTION, n), 0);
	assert_int_equal(ADD(OB_BUS_NAMESPACE, a), 0);
	assert_int_equal(ADD(OB_BUS_NAMESPACE, second), 0);
	assert_int_equal(list(OB_BUS_NAMESPACE, NULL, 0, &r, sizeof(r)), 2);
	assert_int_equal(r.nsid, 1);
	assert_string_equal(r.volume, "d0");
	assert_int_equal(r.bytes, MB);
	assert_int_equal(r.lba_bytes, 512);
	assert_int_equal(r.uuid[6] >> 4, 5);
	memcpy(uuid, r.uuid, 16);
	assert_int_equal(list(OB_BUS_NAMESPACE, &second, sizeof(second), &r, sizeof(r)), 1);
	assert_int_equal(r.lba_bytes, 4096);
	assert_memory_not_equal(r.uuid, uuid, 16);
	REFUSED(OB_BUS_NAMESPACE, second, (void)bad, -EEXIST, "7");
	REFUSED(OB_BUS_NAMESPACE, second, bad.nsid = 257, -EINVAL, "256");
	REFUSED(OB_BUS_NAMESPACE, second, bad.nsid = 8, -EBUSY, "namespace 7 of function n0");
	REFUSED(OB_BUS_NAMESPACE, second, strcpy(bad.function, "n9"), -ENOENT, "n9");
	REFUSED(OB_BUS_NAMESPACE, second, strcpy(bad.volume, "d9"), -ENOENT, "d9");
	assert_int_equal(ADD(OB_BUS_FUNCTION, b), -EBUSY);
	assert_int_equal(DEL(OB_BUS_VOLUME, d), -EBUSY);
	assert_true(says("obctl namespace del n0 --nsid 1"));
	a.nsid = 1;
	assert_int_equal(DEL(OB_BUS_NAMESPACE, a), 0);
	assert_int_equal(DEL(OB_BUS_NAMESPACE, a), -ENOENT);
	assert_int_equal(ADD(OB_BUS_FUNCTION, b), 0);
	a = ns("b0", 0, "d1");
	assert_int_equal(ADD(OB_BUS_NAMESPACE, a), -EINVAL);
	assert_true(says("no nvme function"));
	/* With the function go its namespaces, and the volume is free again with the identity that it had. */
	assert_int_equal(DEL(OB_BUS_FUNCTION, n), 0);
	assert_int_equal(list(OB_BUS_NAMESPACE, NULL, 0, NULL, 0), 0);
	assert_int_equal(DEL(OB_BUS_FUNCTION, b), 0);
	n = disk("n1", OB_BUS_NVME, "d0");
	assert_int_equal(ADD(OB_BUS_FUNCTION, n), 0);
	assert_int_equal(list(OB_BUS_NAMESPACE, NULL, 0, &r, sizeof(r)), 1);
	assert_memory_equal(r.uuid, uuid, 16);
}

static void a_shared_volume_is_one_namespace_of_several_controllers(void **state)
{
	struct ob_bus_volume d = volume("d0", OB_BUS_VOL_RAM, MB);
	struct ob_bus_function a = disk("n0", OB_BUS_NVME, "d0"), b = disk("n1", OB_BUS_NVME, "d0");
	struct ob_nvme_ns *first;

	(void)state;
	d.shared = 1;
	assert_int_equal(ADD(OB_BUS_VOLUME, d), 0);
	assert_int_equal(ADD(OB_BUS_FUNCTION, a), 0);
	first = fake_models.last_ns;
	assert_int_equal(ADD(OB_BUS_FUNCTION, b), 0);
	assert_ptr_equal(fake_models.last_ns, first);
	assert_int_equal(shown_volume("d0").n_users, 2);
}

static void queues_are_listed(void **state)
{
	struct ob_bus_function b = disk("b0", OB_BUS_BLK, "d0"), n = disk("n0", OB_BUS_NVME, "d1");
	struct ob_bus_function net = function("f1");
	struct ob_bus_io_queue q, want = {.function = "n0"};

	(void)state;
	add_volumes();
	assert_int_equal(ADD(OB_BUS_FUNCTION, net), 0);
	assert_int_equal(ADD(OB_BUS_FUNCTION, b), 0);
	assert_int_equal(ADD(OB_BUS_FUNCTION, n), 0);
	assert_int_equal(list(OB_BUS_IO_QUEUE, NULL, 0, &q, sizeof(q)), 4);
	assert_string_equal(q.function, "b0");
	assert_int_equal(q.queue, 1);
	assert_int_equal(q.n_reads, 7);
	assert_int_equal(list(OB_BUS_IO_QUEUE, &want, sizeof(want), &q, sizeof(q)), 2);
	strcpy(want.function, "n9");
	assert_int_equal(send_rec(OB_BUS_LIST, OB_BUS_IO_QUEUE, &want, sizeof(want)), -ENOENT);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, volume_setup, volume_teardown)
	const struct CMUnitTest tests[] = {T(disks_get_defaults), T(disk_fields_are_checked),
	    T(an_eni_needs_a_net_function), T(namespaces_come_and_go),
	    T(a_shared_volume_is_one_namespace_of_several_controllers), T(queues_are_listed)};

	rte_log_set_global_level(RTE_LOG_ERR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
