/* SPDX-License-Identifier: BSD-3-Clause */
/* The peer's memory: which ranges the function may reach, and whether what was shared is what the guest sees. */
#include "vfu_priv.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <linux/magic.h>

#define CHECK_MAX 4096u

/* A page of a file system that another process serves (FUSE) or that a disk is slow to bring would stall the worker that
 * touches it; the peer chooses the file, so only memory is taken. */
static bool is_memory(int fd)
{
	struct statfs fs;
	struct stat st;

	/* A device node of /dev lies in a tmpfs, too. */
	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && fstatfs(fd, &fs) == 0 &&
	       (fs.f_type == TMPFS_MAGIC || fs.f_type == HUGETLBFS_MAGIC);
}

int vfu_on_dma_map(struct ob_vfu *v, struct vfu_msg *msg, struct vfu_reply *rep)
{
	int fd = msg->n_fds == 1 ? msg->fd[0] : -1;
	struct vfu_dma_map m;
	unsigned prot = 0;
	int rc;

	(void)rep;
	memcpy(&m, msg->body, sizeof(m));
	if (m.argsz < sizeof(m) ||
	    (m.flags & ~(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)) != 0)
		return -EINVAL;
	if (m.flags & VFIO_DMA_MAP_FLAG_READ)
		prot |= OB_GMEM_READ;
	if (m.flags & VFIO_DMA_MAP_FLAG_WRITE)
		prot |= OB_GMEM_WRITE;
	if (fd >= 0 && !is_memory(fd)) {
		VFU_LOG_PEER(WARNING, v,
		    "DMA_MAP of a file that is not memory (memfd, tmpfs, hugetlbfs) is refused");
		return -EMEDIUMTYPE;
	}
	rc = ob_gmem_add(v->conf.gm, (ob_iova_t){m.iova}, m.size, prot, fd, fd >= 0 ? m.offset : 0);
	if (rc == 0) {
		v->stats.n_dma_map++;
		v->dma_dirty = true;
	}
	return rc;
}

int vfu_on_dma_unmap(struct ob_vfu *v, struct vfu_msg *msg, struct vfu_reply *rep)
{
	struct vfu_dma_unmap m;
	int n;

	memcpy(&m, msg->body, sizeof(m));
	if (m.argsz < sizeof(m))
		return -EINVAL;
	if (m.flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP)
		return -ENOTSUP;
	if (m.flags == VFIO_DMA_UNMAP_FLAG_ALL && m.iova == 0 && m.size == 0)
		n = ob_gmem_del_all(v->conf.gm);
	else if (m.flags == 0 && m.size != 0 && msg->len == sizeof(m))
		n = ob_gmem_del(v->conf.gm, (ob_iova_t){m.iova}, m.size);
	else
		return -EINVAL;
	if (n < 0)
		return n;
	/* Only here the peer may free the pages: gmem returned, so no reader is left. Spec: vfio-user, DMA_UNMAP, "Reply". */
	if (n > 0) {
		v->stats.n_dma_unmap += (unsigned)n;
		v->dma_dirty = true;
	} else if (m.flags == 0) {
		return -ENOENT;
	}
	memcpy(rep->body, &m, sizeof(m));
	rep->len = sizeof(m);
	return 0;
}

static int ask(struct ob_vfu *v)
{
	struct {
		struct vfu_hdr hdr;
		struct vfu_dma_io io;
	} req = {
	    .hdr = {.id = ++v->check.id,
		.cmd = VFU_DMA_READ,
		.size = sizeof(req),
		.flags = VFU_F_COMMAND},
	    .io = {.iova = v->check.iova, .count = v->check.len},
	};

	vfu_send(v, &req, sizeof(req), -1);
	return v->conn.dead == NULL ? 0 : -ENOTCONN;
}

int ob_vfu_check_shared(
    struct ob_vfu *v, ob_iova_t iova, uint32_t len, ob_vfu_shared_cb cb, void *ctx)
{
	uint8_t probe[CHECK_MAX];
	int rc;

	if (v->conn.fd < 0 || !v->conn.ready || v->conn.dead != NULL)
		return -ENOTCONN;
	/* QEMU answers as the bus would. */
	if (!(ob_vfu_command(v) & PCI_COMMAND_MASTER))
		return -EPERM;
	if (v->check.busy)
		return -EBUSY;
	if (len == 0 || len > sizeof(probe) || len > v->conn.peer_max_xfer)
		return -EINVAL;
	rc = ob_gmem_fetch(ob_gmem_map_get(v->conf.gm), probe, iova, len);
	if (rc < 0)
		return rc;
	v->check = (struct vfu_shared_check){
	    .busy = true, .id = v->check.id, .iova = iova.v, .len = len, .cb = cb, .cb_ctx = ctx};
	rc = ask(v);
	v->check.busy = rc == 0;
	return rc;
}

static void verdict(struct ob_vfu *v, bool shared)
{
	v->check.busy = false;
	if (!shared) {
		v->stats.not_shared = true;
		VFU_LOG_PEER(WARNING, v,
		    "the guest's memory is not shared with the card, no packet can pass: give QEMU "
		    "'-object memory-backend-memfd,id=mem,size=...,share=on -machine "
		    "memory-backend=mem'");
	}
	if (v->check.cb != NULL)
		v->check.cb(v->check.cb_ctx, shared);
}

void vfu_on_dma_read_reply(struct ob_vfu *v, const struct vfu_msg *msg)
{
	uint8_t mapped[CHECK_MAX];
	struct vfu_dma_io io;

	if (!v->check.busy || msg->hdr.cmd != VFU_DMA_READ || msg->hdr.id != v->check.id) {
		v->stats.n_bad_messages++;
		v->conn.dead = "a reply to nothing that was asked";
		return;
	}
	if (msg->hdr.flags & VFU_F_ERROR) {
		VFU_LOG_PEER(DEBUG, v,
		    "the peer does not tell whether its memory is shared: errno %u",
		    msg->hdr.error);
		v->check.busy = false;
		return;
	}
	if (msg->len != sizeof(io) + v->check.len) {
		v->stats.n_bad_messages++;
		v->conn.dead = "DMA_READ reply of a wrong size";
		return;
	}
	/* The driver may have unmapped it meanwhile; then there is nothing to say. */
	if (ob_gmem_fetch(ob_gmem_map_get(v->conf.gm), mapped, (ob_iova_t){v->check.iova},
		v->check.len) < 0) {
		v->check.busy = false;
		return;
	}
	if (memcmp(mapped, msg->body + sizeof(io), v->check.len) == 0)
		verdict(v, true);
	else if (++v->check.n_mismatch == 2)
		verdict(v, false);
	else
		(void)ask(v);
}
