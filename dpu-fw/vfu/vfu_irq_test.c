/* SPDX-License-Identifier: BSD-3-Clause */
/* Interrupts: what SET_IRQS may ask, INTx as a level, MSI-X vectors with masks and pending bits. */
#include "fake_vfu.h"

#define INTX	VFIO_PCI_INTX_IRQ_INDEX
#define MSIX	VFIO_PCI_MSIX_IRQ_INDEX
#define ERR	VFIO_PCI_ERR_IRQ_INDEX
#define NONE	VFIO_IRQ_SET_DATA_NONE
#define BOOL	VFIO_IRQ_SET_DATA_BOOL
#define EVENTFD VFIO_IRQ_SET_DATA_EVENTFD
#define MASK	VFIO_IRQ_SET_ACTION_MASK
#define UNMASK	VFIO_IRQ_SET_ACTION_UNMASK
#define TRIGGER VFIO_IRQ_SET_ACTION_TRIGGER

static int set(struct fix *f, uint32_t flags, uint32_t index, uint32_t start, uint32_t count)
{
	return vfu_client_set_irqs(&f->c, flags, index, start, count, NULL, 0, NULL, 0);
}

static int set_fd(struct fix *f, uint32_t flags, uint32_t index, uint32_t start, int fd)
{
	return vfu_client_set_irqs(&f->c, flags, index, start, 1, NULL, 0, &fd, 1);
}

static int new_fd(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	assert_true(fd >= 0);
	return fd;
}

/* How often it was signalled since the last look. */
static uint64_t fired(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, sizeof(n)) == (ssize_t)sizeof(n) ? n : 0;
}

static uint64_t pba(struct fix *f, unsigned word)
{
	uint64_t bits = 0;

	assert_int_equal(vfu_client_read(&f->c, 0, FIX_PBA + 8 * word, &bits, 8), 0);
	return bits;
}

static void irq_info_per_index(void **state)
{
	const struct vfio_irq_info want[5] = {
	    {16, VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED, 0, 1},
	    {16, 0, 1, 0},
	    {16, VFIO_IRQ_INFO_EVENTFD, 2, FIX_VECTORS}, /* without NORESIZE */
	    {16, VFIO_IRQ_INFO_EVENTFD, 3, 1},
	    {16, 0, 4, 0},
	};
	struct vfio_irq_info info = {.argsz = 16};
	struct fix f;

	(void)state;
	fix_open(&f);
	for (info.index = 0; info.index < 5; info.index++) {
		assert_int_equal(
		    vfu_client_command(&f.c, VFU_GET_IRQ_INFO, 0, &info, sizeof(info), NULL, 0), 0);
		assert_int_equal(f.c.reply_len, sizeof(info));
		assert_memory_equal(f.c.reply, &want[info.index], sizeof(info));
	}
	assert_int_equal(
	    vfu_client_command(&f.c, VFU_GET_IRQ_INFO, 0, &info, sizeof(info), NULL, 0), -EINVAL);
	info = (struct vfio_irq_info){.argsz = 15};
	assert_int_equal(
	    vfu_client_command(&f.c, VFU_GET_IRQ_INFO, 0, &info, sizeof(info), NULL, 0), -EINVAL);
	fix_close(&f);
}

static void set_irqs_refuses_what_it_must(void **state)
{
	const struct {
		uint32_t flags, index, start, count;
		int rc;
	} cases[] = {
	    {NONE | TRIGGER, 5, 0, 1, -EINVAL},
	    {NONE, MSIX, 0, 1, -EINVAL},
	    {TRIGGER, MSIX, 0, 1, -EINVAL},
	    {NONE | BOOL | TRIGGER, MSIX, 0, 1, -EINVAL},
	    {NONE | MASK | TRIGGER, MSIX, 0, 1, -EINVAL},
	    {NONE | TRIGGER | 1u << 6, MSIX, 0, 1, -EINVAL},
	    {NONE | TRIGGER, MSIX, FIX_VECTORS, 1, -EINVAL},
	    {NONE | TRIGGER, MSIX, 1, FIX_VECTORS, -EINVAL},
	    {NONE | TRIGGER, MSIX, UINT32_MAX, 1, -EINVAL},
	    {NONE | TRIGGER, MSIX, 1, UINT32_MAX, -EINVAL},
	    {NONE | TRIGGER, MSIX, 1, 0, -EINVAL},
	    {EVENTFD | TRIGGER, MSIX, 0, 0, -EINVAL},
	    {NONE | MASK, MSIX, 0, 0, -EINVAL},
	    {NONE | TRIGGER, VFIO_PCI_MSI_IRQ_INDEX, 0, 1, -EINVAL},
	    {NONE | TRIGGER, VFIO_PCI_REQ_IRQ_INDEX, 0, 1, -EINVAL},
	    {BOOL | TRIGGER, MSIX, 0, 2, -EINVAL}, /* without its two bytes */
	    {NONE | MASK, ERR, 0, 1, -ENOTSUP},
	    {EVENTFD | MASK, INTX, 0, 1, -ENOTSUP},
	    {EVENTFD | MASK, MSIX, 0, 1, -ENOTSUP},
	    {EVENTFD | UNMASK, MSIX, 0, 1, -ENOTSUP},
	    {NONE | TRIGGER, VFIO_PCI_MSI_IRQ_INDEX, 0, 0, 0},
	    {NONE | TRIGGER, VFIO_PCI_REQ_IRQ_INDEX, 0, 0, 0},
	    {NONE | TRIGGER, ERR, 0, 0, 0},
	    {NONE | TRIGGER, INTX, 0, 0, 0},
	    {NONE | TRIGGER, MSIX, 0, 0, 0},
	};
	struct vfio_irq_set s = {.argsz = 19, .flags = NONE | TRIGGER, .index = MSIX};
	int fd[2] = {new_fd(), new_fd()}, pipefd[2];
	struct fix f;

	(void)state;
	fix_open(&f);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(
		    set(&f, cases[i].flags, cases[i].index, cases[i].start, cases[i].count),
		    cases[i].rc);
	assert_int_equal(
	    vfu_client_command(&f.c, VFU_SET_IRQS, 0, &s, sizeof(s), NULL, 0), -EINVAL);
	/* Descriptors: as many as the range, only with EVENTFD, and only eventfds. */
	assert_int_equal(
	    vfu_client_set_irqs(&f.c, EVENTFD | TRIGGER, MSIX, 0, 3, NULL, 0, fd, 2), -EINVAL);
	assert_int_equal(
	    vfu_client_set_irqs(&f.c, EVENTFD | TRIGGER, MSIX, 0, 1, NULL, 0, fd, 2), -EINVAL);
	assert_int_equal(
	    vfu_client_set_irqs(&f.c, NONE | TRIGGER, MSIX, 0, 2, NULL, 0, fd, 2), -EINVAL);
	assert_int_equal(pipe2(pipefd, O_CLOEXEC), 0);
	assert_int_equal(set_fd(&f, EVENTFD | TRIGGER, MSIX, 0, pipefd[1]), -EBADF);
	assert_int_equal(ob_vfu_irq_fd(f.v, 0), -1);
	close(pipefd[0]);
	close(pipefd[1]);
	close(fd[0]);
	close(fd[1]);
	fix_close(&f);
}

/* ---- INTx ---- */

static void intx_is_a_level_that_masks_itself(void **state)
{
	int fd = new_fd();
	struct fix f;

	(void)state;
	fix_open(&f);
	assert_int_equal(set_fd(&f, EVENTFD | TRIGGER, INTX, 0, fd), 0);
	assert_int_equal(fired(fd), 0);
	ob_vfu_irq(f.v, 3); /* MSI-X is off: it is the one line */
	ob_vfu_irq(f.v, 4);
	assert_int_equal(fired(fd), 1);
	assert_true(vfu_client_cfg16(&f.c, PCI_STATUS) & PCI_STATUS_INTERRUPT);
	/* The guest acknowledged something, but the line is still up. */
	assert_int_equal(set(&f, NONE | UNMASK, INTX, 0, 1), 0);
	assert_int_equal(fired(fd), 1);
	ob_vfu_intx(f.v, false);
	assert_false(vfu_client_cfg16(&f.c, PCI_STATUS) & PCI_STATUS_INTERRUPT);
	assert_int_equal(set(&f, NONE | UNMASK, INTX, 0, 1), 0);
	assert_int_equal(fired(fd), 0);
	ob_vfu_intx(f.v, true);
	assert_int_equal(fired(fd), 1);
	assert_int_equal(fix_stats(&f).n_irqs, 3);
	close(fd);
	fix_close(&f);
}

static void intx_respects_mask_disable_and_late_fd(void **state)
{
	int fd = new_fd();
	struct fix f;

	(void)state;
	fix_open(&f);
	ob_vfu_intx(f.v, true);
	assert_int_equal(set_fd(&f, EVENTFD | TRIGGER, INTX, 0, fd), 0);
	assert_int_equal(fired(fd), 1);
	ob_vfu_intx(f.v, false);
	assert_int_equal(set(&f, NONE | UNMASK, INTX, 0, 1), 0);
	assert_int_equal(set(&f, NONE | MASK, INTX, 0, 1), 0);
	ob_vfu_intx(f.v, true);
	assert_int_equal(fired(fd), 0);
	assert_int_equal(vfu_client_cfg_set16(&f.c, PCI_COMMAND, PCI_COMMAND_INTX_DISABLE), 0);
	assert_int_equal(set(&f, NONE | UNMASK, INTX, 0, 1), 0);
	assert_int_equal(fired(fd), 0);
	assert_int_equal(vfu_client_cfg_set16(&f.c, PCI_COMMAND, 0), 0);
	assert_int_equal(fired(fd), 1);
	/* A reset takes the line down; the client's descriptor stays. */
	assert_int_equal(vfu_client_reset(&f.c), 0);
	assert_int_equal(set(&f, NONE | UNMASK, INTX, 0, 1), 0);
	assert_int_equal(fired(fd), 0);
	assert_int_equal(set(&f, NONE | TRIGGER, INTX, 0, 1), 0);
	assert_int_equal(fired(fd), 1);
	assert_int_equal(set(&f, NONE | TRIGGER, INTX, 0, 0), 0);
	ob_vfu_intx(f.v, true);
	assert_int_equal(fired(fd), 0);
	close(fd);
	fix_close(&f);
}

static void intx_is_unmasked_by_an_eventfd(void **state)
{
	int fd = new_fd(), unmask = new_fd();
	struct fix f;

	(void)state;
	fix_open(&f);
	assert_int_equal(set_fd(&f, EVENTFD | TRIGGER, INTX, 0, fd), 0);
	assert_int_equal(set_fd(&f, EVENTFD | UNMASK, INTX, 0, unmask), 0);
	ob_vfu_intx(f.v, true);
	assert_int_equal(fired(fd), 1);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(eventfd_write(unmask, 1), 0);
		fix_settle(&f);
		assert_int_equal(fired(fd), 1);
	}
	fix_settle(&f);
	assert_int_equal(fired(fd), 0);
	assert_int_equal(set(&f, EVENTFD | UNMASK, INTX, 0, 1), 0);
	assert_int_equal(eventfd_write(unmask, 1), 0);
	fix_settle(&f);
	assert_int_equal(fired(fd), 0);
	close(fd);
	close(unmask);
	fix_close(&f);
}

/* ---- MSI-X ---- */

static void msix_vectors_fire_their_own_eventfd(void **state)
{
	int fd[VFU_MAX_FDS];
	struct fix f;

	(void)state;
	fix_open(&f);
	for (unsigned i = 0; i < VFU_MAX_FDS; i++)
		fd[i] = new_fd();
	assert_int_equal(vfu_client_set_irqs(&f.c, EVENTFD | TRIGGER, MSIX, 50, VFU_MAX_FDS, NULL,
			     0, fd, VFU_MAX_FDS),
	    0);
	assert_int_equal(ob_vfu_irq_fd(f.v, 50), -1);
	assert_int_equal(vfu_client_msix(&f.c, 49, fd[0]), 0);
	assert_true(ob_vfu_msix_enabled(f.v));
	for (unsigned i = 0; i < VFU_MAX_FDS; i++) {
		assert_true(ob_vfu_irq_fd(f.v, 50 + i) >= 0);
		ob_vfu_irq(f.v, 50 + i);
		assert_int_equal(fired(fd[i]), 1);
	}
	ob_vfu_irq(f.v, FIX_VECTORS);
	ob_vfu_irq(f.v, UINT32_MAX);
	assert_int_equal(ob_vfu_irq_fd(f.v, FIX_VECTORS), -1);
	assert_int_equal(fix_stats(&f).n_irqs, VFU_MAX_FDS);
	/* TRIGGER by the client: all of a range, or those whose byte is not zero. */
	assert_int_equal(set(&f, NONE | TRIGGER, MSIX, 50, 2), 0);
	assert_int_equal(fired(fd[0]) + fired(fd[1]), 2);
	assert_int_equal(
	    vfu_client_set_irqs(&f.c, BOOL | TRIGGER, MSIX, 50, 3, "\0\1\0", 3, NULL, 0), 0);
	assert_int_equal(fired(fd[0]) + fired(fd[2]), 0);
	assert_int_equal(fired(fd[1]), 1);
	for (unsigned i = 0; i < VFU_MAX_FDS; i++)
		close(fd[i]);
	fix_close(&f);
}

static void msix_without_eventfd_is_pending_until_it_has_one(void **state)
{
	int fd = new_fd();
	unsigned cap;
	struct fix f;

	(void)state;
	fix_open(&f);
	cap = vfu_client_cap(&f.c, PCI_CAP_ID_MSIX, 0);
	assert_int_equal(vfu_client_cfg16(&f.c, cap + PCI_MSIX_FLAGS), FIX_VECTORS - 1);
	assert_int_equal(vfu_client_cfg32(&f.c, cap + PCI_MSIX_TABLE), FIX_TABLE);
	assert_int_equal(vfu_client_cfg32(&f.c, cap + PCI_MSIX_PBA), FIX_PBA);
	assert_int_equal(
	    vfu_client_cfg_set16(&f.c, cap + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE), 0);
	assert_int_equal(f.n_irq_changed, 1);
	/* QEMU: "enable, no eventfd yet". */
	assert_int_equal(set(&f, EVENTFD | TRIGGER, MSIX, 0, 1), 0);
	ob_vfu_irq(f.v, 0);
	ob_vfu_irq(f.v, 0);
	ob_vfu_irq(f.v, 69);
	assert_int_equal(pba(&f, 0), 1);
	assert_int_equal(pba(&f, 1), 1u << 5);
	assert_int_equal(set_fd(&f, EVENTFD | TRIGGER, MSIX, 0, fd), 0);
	assert_int_equal(fired(fd), 1);
	assert_int_equal(pba(&f, 0), 0);
	assert_int_equal(vfu_client_reset(&f.c), 0);
	assert_int_equal(pba(&f, 1), 0);
	close(fd);
	fix_close(&f);
}

static void masked_vectors_keep_their_interrupt(void **state)
{
	int fd = new_fd();
	unsigned cap;
	struct fix f;

	(void)state;
	fix_open(&f);
	cap = vfu_client_cap(&f.c, PCI_CAP_ID_MSIX, 0);
	assert_int_equal(vfu_client_msix(&f.c, 7, fd), 0);
	/* One vector. */
	f.n_irq_changed = 0;
	assert_int_equal(set(&f, NONE | MASK, MSIX, 7, 1), 0);
	assert_int_equal(f.n_irq_changed, 1);
	assert_int_equal(f.last_vector, 7);
	assert_int_equal(f.fd_at_change, -1);
	ob_vfu_irq(f.v, 7);
	assert_int_equal(fired(fd), 0);
	assert_int_equal(pba(&f, 0), 1u << 7);
	assert_int_equal(
	    vfu_client_set_irqs(&f.c, BOOL | UNMASK, MSIX, 6, 2, "\0\1", 2, NULL, 0), 0);
	assert_true(f.fd_at_change >= 0);
	assert_int_equal(fired(fd), 1);
	/* The whole function. */
	assert_int_equal(vfu_client_cfg_set16(&f.c, cap + PCI_MSIX_FLAGS,
			     PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL),
	    0);
	assert_int_equal(f.fd_at_change, -1);
	ob_vfu_irq(f.v, 7);
	assert_int_equal(fired(fd), 0);
	assert_int_equal(
	    vfu_client_cfg_set16(&f.c, cap + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE), 0);
	assert_int_equal(fired(fd), 1);
	assert_int_equal(pba(&f, 0), 0);
	close(fd);
	fix_close(&f);
}

static void replaced_eventfd_is_told_before_the_old_is_closed(void **state)
{
	int fd[2] = {new_fd(), new_fd()}, first, second;
	struct fix f;

	(void)state;
	fix_open(&f);
	assert_int_equal(vfu_client_msix(&f.c, 0, fd[0]), 0);
	first = ob_vfu_irq_fd(f.v, 0);
	f.n_irq_changed = 0;
	assert_int_equal(set_fd(&f, EVENTFD | TRIGGER, MSIX, 0, fd[1]), 0);
	assert_int_equal(f.n_irq_changed, 1);
	second = f.fd_at_change;
	/* Both were open at the moment of the change, so the numbers differ. */
	assert_true(second >= 0 && second != first);
	ob_vfu_irq(f.v, 0);
	assert_int_equal(fired(fd[0]), 0);
	assert_int_equal(fired(fd[1]), 1);
	assert_int_equal(set(&f, EVENTFD | TRIGGER, MSIX, 0, 1), 0);
	assert_int_equal(f.fd_at_change, -1);
	assert_int_equal(fcntl(second, F_GETFD), -1);
	assert_int_equal(set_fd(&f, EVENTFD | TRIGGER, MSIX, 0, fd[0]), 0);
	assert_int_equal(set(&f, NONE | TRIGGER, MSIX, 0, 0), 0);
	assert_int_equal(f.fd_at_change, -1);
	assert_int_equal(ob_vfu_irq_fd(f.v, 0), -1);
	close(fd[0]);
	close(fd[1]);
	fix_close(&f);
}

static void eventfds_survive_flr(void **state)
{
	int fd = new_fd();
	unsigned exp, cap;
	struct fix f;

	(void)state;
	fix_open(&f);
	exp = vfu_client_cap(&f.c, PCI_CAP_ID_EXP, 0);
	cap = vfu_client_cap(&f.c, PCI_CAP_ID_MSIX, 0);
	assert_int_equal(vfu_client_msix(&f.c, 2, fd), 0);
	assert_int_equal(
	    vfu_client_cfg_set16(&f.c, exp + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR), 0);
	assert_int_equal(ob_vfu_irq_fd(f.v, 2), -1);
	/* The guest restores its capability; QEMU sees no change and sends no descriptor again. */
	assert_int_equal(
	    vfu_client_cfg_set16(&f.c, cap + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE), 0);
	assert_true(f.fd_at_change >= 0);
	ob_vfu_irq(f.v, 2);
	assert_int_equal(fired(fd), 1);
	close(fd);
	fix_close(&f);
}

static void full_or_blocking_eventfd_does_not_stop_the_server(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC); /* blocking, as a hostile peer would send it */
	struct fix f;

	(void)state;
	fix_open(&f);
	assert_int_equal(vfu_client_msix(&f.c, 0, fd), 0);
	assert_int_equal(eventfd_write(fd, UINT64_MAX - 1), 0);
	ob_vfu_irq(f.v, 0);
	assert_int_equal(fix_stats(&f).n_irqs, 0);
	assert_int_equal(fired(fd), UINT64_MAX - 1);
	ob_vfu_irq(f.v, 0);
	assert_int_equal(fired(fd), 1);
	close(fd);
	fix_close(&f);
}

static void error_vector_is_the_peers_to_trigger(void **state)
{
	int fd = new_fd();
	struct fix f;

	(void)state;
	fix_open(&f);
	assert_int_equal(set_fd(&f, EVENTFD | TRIGGER, ERR, 0, fd), 0);
	assert_int_equal(fired(fd), 0);
	assert_int_equal(set(&f, NONE | TRIGGER, ERR, 0, 1), 0);
	assert_int_equal(fired(fd), 1);
	assert_int_equal(set(&f, NONE | TRIGGER, ERR, 0, 0), 0);
	assert_int_equal(set(&f, NONE | TRIGGER, ERR, 0, 1), 0);
	assert_int_equal(fired(fd), 0);
	close(fd);
	fix_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(irq_info_per_index),
	    cmocka_unit_test(set_irqs_refuses_what_it_must),
	    cmocka_unit_test(intx_is_a_level_that_masks_itself),
	    cmocka_unit_test(intx_respects_mask_disable_and_late_fd),
	    cmocka_unit_test(intx_is_unmasked_by_an_eventfd),
	    cmocka_unit_test(msix_vectors_fire_their_own_eventfd),
	    cmocka_unit_test(msix_without_eventfd_is_pending_until_it_has_one),
	    cmocka_unit_test(masked_vectors_keep_their_interrupt),
	    cmocka_unit_test(replaced_eventfd_is_told_before_the_old_is_closed),
	    cmocka_unit_test(eventfds_survive_flr),
	    cmocka_unit_test(full_or_blocking_eventfd_does_not_stop_the_server),
	    cmocka_unit_test(error_vector_is_the_peers_to_trigger),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
