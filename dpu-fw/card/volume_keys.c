/* SPDX-License-Identifier: BSD-3-Clause */
/* Keys of crypt volumes: another one on a live volume, moves that go on after a restart, crypto erase.
 *
 * While a move is under way the record has both keys, and the device a journal in a file, which is removed when the record has the new
 * key alone: a restart that finds it lets the move go on, or end at once. */
#include "volume_make.h"

#include <errno.h>
#include <event2/event.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <rte_log.h>

#define JOURNAL_PATH (OB_BUS_VOL_PATH + OB_BUS_NAME + 16)
#define LOOK_S	     1			  /* how often moves are looked at */
#define TELL_NS	     UINT64_C(1000000000) /* at least, between two lines about erasing */

RTE_LOG_REGISTER(key_log, ob.volume, NOTICE);

/* Beside a file that the volume ends in, so that it lives as long: the one that new data goes to, or the first of several. In the run folder
 * if there is none. */
void volume_journal(const struct ob_card *c, uint32_t idx, char *out, size_t len)
{
	const struct ob_bus_volume *v = &c->volume_rec[idx].conf;

	for (unsigned depth = 0; depth < MAX_VOLUMES; depth++) {
		uint32_t below;

		if (v->kind == OB_BUS_VOL_FILE && strncmp(v->path, "/dev/", 5) != 0) {
			snprintf(out, len, "%s.%s.rekey", v->path, c->volume_rec[idx].conf.name);
			return;
		}
		below = v->store[0] != '\0' ? names_find(&c->volumes, v->store)
			: v->n_on > 0	    ? names_find(&c->volumes, v->on[0])
					    : NAMES_NONE;
		if (below == NAMES_NONE)
			break;
		v = &c->volume_rec[below].conf;
	}
	snprintf(out, len, "%s/%s.rekey", c->run_dir, c->volume_rec[idx].conf.name);
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	struct ob_card *c = arg;
	bool more = false;

	(void)fd;
	(void)what;
	for (uint32_t i = 0; (i = names_next(&c->volumes, i)) != NAMES_NONE; i++) {
		volume_refresh(c, i);
		more |= c->volume_rec[i].moving;
	}
	if (!more)
		event_del(c->on_move);
}

/* Looks at moves until there is none. Without a loop (tests), whoever asks for the volume does. */
static void look_at_moves(struct ob_card *c)
{
	const struct timeval tv = {.tv_sec = LOOK_S};

	if (c->on_move == NULL && c->conf.base != NULL)
		c->on_move = event_new(c->conf.base, -1, EV_PERSIST, on_look, c);
	if (c->on_move != NULL)
		event_add(c->on_move, &tv);
}

static int start_move(struct ob_card *c, uint32_t idx, struct text *t)
{
	struct volume_rec *rec = &c->volume_rec[idx];
	char journal[JOURNAL_PATH], err[160] = "";
	uint8_t key[KEY_MAX];
	const struct ob_blk_crypt_rekey_conf conf = {
	    .key = key, .key_len = rec->next_key.len, .journal = journal};
	int rc = keyring_unwrap(&c->keyring, &rec->next_key, key, t);

	volume_journal(c, idx, journal, sizeof(journal));
	if (rc == 0) {
		rc = ob_blk_crypt_rekey(c->volume[idx].dev, &conf, err, sizeof(err));
		if (rc < 0)
			fail(t, rc, "%s", err[0] ? err : strerror(-rc));
	}
	OPENSSL_cleanse(key, sizeof(key));
	if (rc == 0) {
		rec->moving = 1;
		look_at_moves(c);
	}
	return rc;
}

static void end_move(struct ob_card *c, uint32_t idx)
{
	struct volume_rec *rec = &c->volume_rec[idx];
	char journal[JOURNAL_PATH];

	rec->key = rec->next_key;
	rec->moving = 0;
	memset(&rec->next_key, 0, sizeof(rec->next_key));
	/* Only now: until here it is what tells that the old key is not the only one. */
	volume_journal(c, idx, journal, sizeof(journal));
	(void)unlink(journal);
	rte_log(RTE_LOG_NOTICE, key_log, "card: volume %s has its new key\n", rec->conf.name);
}

int volume_check_move(struct ob_card *c, uint32_t idx, struct text *t)
{
	struct volume_rec *rec = &c->volume_rec[idx];
	char journal[JOURNAL_PATH];

	if (rec->next_key.len == 0)
		return 0;
	volume_journal(c, idx, journal, sizeof(journal));
	if (access(journal, F_OK) == 0)
		return 0;
	if (rec->moving)
		return fail(t, -ENOENT,
		    "journal %.120s of the change of its key is gone: part of the data has the new "
		    "key",
		    journal);
	memset(&rec->next_key, 0, sizeof(rec->next_key)); /* it had not begun */
	return 0;
}

int volume_check_whole(const struct ob_card *c, uint32_t idx, struct text *t)
{
	const struct volume_rec *rec = &c->volume_rec[idx];
	char journal[JOURNAL_PATH];

	if (rec->conf.kind != OB_BUS_VOL_CRYPT || rec->next_key.len != 0)
		return 0;
	volume_journal(c, idx, journal, sizeof(journal));
	if (access(journal, F_OK) != 0)
		return 0;
	return fail(t, -EUCLEAN,
	    "a change of volume %s's key had begun (%.80s): with its old key, 'obctl volume rekey "
	    "%s' with the same new one goes on",
	    rec->conf.name, journal, rec->conf.name);
}

int volume_resume_move(struct ob_card *c, uint32_t idx, struct text *t)
{
	return c->volume_rec[idx].next_key.len == 0 ? 0 : start_move(c, idx, t);
}

void volume_refresh(struct ob_card *c, uint32_t idx)
{
	struct ob_blk_crypt_status st;

	if (c->volume_rec[idx].moving && c->volume[idx].dev != NULL &&
	    ob_blk_crypt_status(c->volume[idx].dev, &st) == 0 && !st.moving && st.error == 0)
		end_move(c, idx);
}

static int replace_key(
    struct ob_card *c, uint32_t idx, const struct ob_bus_key *key, struct text *t)
{
	struct volume_rec *rec = &c->volume_rec[idx];
	struct wrapped_key was = rec->next_key;
	struct ob_blk_crypt_status st = {0};
	int rc;

	if (c->volume[idx].dev == NULL)
		return fail(t, -ENODEV, "volume %s is offline: %.150s", rec->conf.name,
		    c->volume[idx].error);
	volume_refresh(c, idx);
	(void)ob_blk_crypt_status(c->volume[idx].dev, &st);
	if (st.moving)
		return fail(t, -EBUSY,
		    "volume %s is getting another key already; 'obctl volume show %s' tells how "
		    "far it is",
		    rec->conf.name, rec->conf.name);
	if (key->len != rec->key.len)
		return fail(
		    t, -EINVAL, "the new key has %u bytes, the old one %u", key->len, rec->key.len);
	rc = keyring_wrap(&c->keyring, key->bytes, key->len, &rec->next_key, t);
	if (rc == 0)
		rc = start_move(c, idx, t);
	if (rc < 0)
		rec->next_key = was;
	return rc;
}

/* Of a volume that is offline, because what its key is wrapped with is gone. */
static int give_key(struct ob_card *c, uint32_t idx, const struct ob_bus_key *key, struct text *t)
{
	struct volume_rec *rec = &c->volume_rec[idx];
	struct wrapped_key was = rec->key;
	int rc;

	if (c->volume[idx].dev != NULL)
		return fail(t, -EALREADY,
		    "volume %s has its key; 'obctl volume rekey %s' gives it another one",
		    rec->conf.name, rec->conf.name);
	rc = keyring_wrap(&c->keyring, key->bytes, key->len, &rec->key, t);
	if (rc == 0)
		rc = volume_open(c, idx, t);
	if (rc < 0)
		rec->key = was;
	return rc;
}

int volume_set_key(struct ob_card *c, uint32_t idx, const struct ob_bus_key *key, struct text *t)
{
	return key->use == OB_BUS_KEY_REPLACE ? replace_key(c, idx, key, t)
					      : give_key(c, idx, key, t);
}

/* ---- crypto erase by the host ---- */

static bool may_tell(struct ob_card *c)
{
	uint64_t now = card_now_ns();

	if (c->erase_told_ns != 0 && now - c->erase_told_ns < TELL_NS)
		return false;
	c->erase_told_ns = now;
	return true;
}

static int erase(struct ob_card *c, uint32_t idx)
{
	struct volume_rec *rec = &c->volume_rec[idx];
	struct wrapped_key was = rec->key;
	uint8_t key[KEY_MAX];
	struct text t;
	int rc;

	if (rec->next_key.len != 0)
		return -EBUSY;
	if (RAND_priv_bytes(key, sizeof(key)) != 1)
		return -EIO;
	/* The record first: a restart in between finds noise, which is what was asked for, and not the data. */
	rc = keyring_wrap(&c->keyring, key, rec->key.len, &rec->key, &t);
	if (rc == 0) {
		rc = ob_blk_crypt_erase(c->volume[idx].dev, key, was.len);
		if (rc < 0 && rc != -ETIMEDOUT)
			rec->key = was;
	}
	OPENSSL_cleanse(key, sizeof(key));
	OPENSSL_cleanse(&was, sizeof(was));
	/* A host can ask for it over and over. */
	if (may_tell(c))
		rte_log(rc < 0 ? RTE_LOG_WARNING : RTE_LOG_NOTICE, key_log,
		    "card: crypto erase of volume %s: %s\n", rec->conf.name,
		    rc == -ETIMEDOUT
			? "done, but I/O that does not end keeps the old key in memory "
			  "until the volume is closed"
		    : rc < 0 ? strerror(-rc)
			     : "done");
	return rc == -ETIMEDOUT ? 0 : rc;
}

static int crypto_erase(void *ctx, struct ob_nvme_ns *ns)
{
	struct ob_card *c = ctx;

	for (uint32_t i = 0; (i = names_next(&c->volumes, i)) != NAMES_NONE; i++) {
		if (c->volume[i].ns != ns)
			continue;
		return c->volume_rec[i].conf.kind == OB_BUS_VOL_CRYPT ? erase(c, i) : -ENOTSUP;
	}
	return -ENOTSUP;
}

const struct ob_nvme_hooks card_nvme_hooks = {.crypto_erase = crypto_erase};
