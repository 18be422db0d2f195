#include "daemon/path/path_mtu.h"
#include "daemon/path/path_set_private.h"
#include "daemon/wire/frame.h"
#include "daemon/wire/relay.h"

#include <string.h>

#define UDP4_HEADERS_BYTES 28
#define UDP6_HEADERS_BYTES 48
#define WAIT_LEAST_MS 200
#define WAIT_MOST_MS 2000
#define WAIT_UNKNOWN_MS 400 /* no RTT yet */

/* Where links usually end: IPv6's least, tunnels in tunnels, WireGuard, 6in4 and GRE, PPPoE, Ethernet, jumbo frames. */
static const uint16_t link_mtus[] = { 1280, 1400, 1420, 1480, 1492, 1500, 9000 };
#define N_LINK_MTUS (sizeof(link_mtus) / sizeof(link_mtus[0]))
static_assert(N_LINK_MTUS + 5 <= PATH_MTU_SIZES_MAX,
	      "with the least, the base, that in use, that in doubt, the largest");

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* ---------------------------------------------------------------- sizes */

/* A frame's length is all that counts over TCP. 0: it is to be searched. */
static uint16_t fixed_size(const struct path_set *set, const struct path_entry *e)
{
	if (!path_is_tcp(e) || !set->mtu.max_bytes)
		return 0;
	return set->mtu.max_bytes < WIRE_FRAME_MAX_BYTES ? set->mtu.max_bytes : WIRE_FRAME_MAX_BYTES;
}

/* Which family a relay's two halves use is not known here: the larger headers. */
static uint16_t headers_of(const struct path_addr *a)
{
	if (a->kind != PATH_UDP)
		return UDP6_HEADERS_BYTES + WIRE_RELAY_HEADER_BYTES;
	return a->endpoint.ip.len == 4 ? UDP4_HEADERS_BYTES : UDP6_HEADERS_BYTES;
}

/* What data may have now. */
static uint16_t size_in_use(const struct path_set *set, const struct path_entry *e)
{
	uint32_t bytes = path_datagram_max(&e->path);

	return (uint16_t)(set->mtu.max_bytes && bytes > set->mtu.max_bytes ? set->mtu.max_bytes : bytes);
}

/* To less than what is in use: what was lost before says nothing about the path any more. */
static void size_lower(struct path_set *set, struct path_entry *e, uint16_t bytes)
{
	e->path.mtu_bytes = bytes;
	if (e == set->current)
		path_loss_reset(set);
}

static void size_add(struct path_mtu *m, uint32_t bytes)
{
	unsigned at = 0;

	if (bytes <= m->low_bytes || bytes >= m->high_bytes || bytes > m->max_bytes || m->n_sizes == PATH_MTU_SIZES_MAX)
		return;
	while (at < m->n_sizes && m->sizes[at] < bytes)
		at++;
	if (at < m->n_sizes && m->sizes[at] == bytes)
		return;
	memmove(&m->sizes[at + 1], &m->sizes[at], (m->n_sizes - at) * sizeof(m->sizes[0]));
	m->sizes[at] = (uint16_t)bytes;
	m->n_sizes++;
}

/* What is worth a probe between low and high. */
static void sizes_fill(struct path_mtu *m, const struct path_entry *e)
{
	uint16_t headers = headers_of(&e->path.addr);
	uint32_t gap = m->high_bytes - m->low_bytes;

	m->n_sizes = 0;
	size_add(m, PATH_MTU_MIN_BYTES);
	size_add(m, PATH_MTU_BASE_BYTES);
	for (unsigned i = 0; i < N_LINK_MTUS; i++)
		size_add(m, link_mtus[i] - headers);
	size_add(m, m->max_bytes);
	if (m->low_bytes == 0) {
		size_add(m, e->path.mtu_bytes);
		size_add(m, m->doubted_bytes);
	}
	for (unsigned i = 1; m->low_bytes && gap > PATH_MTU_GRAIN_BYTES && i < 4 && m->n_sizes < i; i++)
		size_add(m, m->low_bytes + gap * i / 4);
}

/* The largest usual size below one that does not fit. */
static uint16_t size_below(const struct path_entry *e, uint32_t bytes)
{
	uint16_t found = PATH_MTU_BASE_BYTES < bytes ? PATH_MTU_BASE_BYTES : PATH_MTU_MIN_BYTES;
	uint16_t headers = headers_of(&e->path.addr);

	for (unsigned i = 0; i < N_LINK_MTUS; i++)
		if (link_mtus[i] - headers < (int64_t)bytes && link_mtus[i] - headers > found)
			found = (uint16_t)(link_mtus[i] - headers);
	return found;
}

/* ---------------------------------------------------------------- probes */

/* When there is room for a probe; `most` is PATH_MTU_BUDGET_PROBES or less. */
static uint64_t budget_free_ms(const struct path_mtu *m, unsigned most)
{
	uint64_t sent_ms = m->sent_ms[(m->oldest + PATH_MTU_BUDGET_PROBES - most) % PATH_MTU_BUDGET_PROBES];

	return sent_ms ? sent_ms + PATH_MTU_BUDGET_MS : 0;
}

static void probe(struct path_set *set, uint16_t bytes, uint64_t now_ms)
{
	struct path_mtu *m = &set->mtu;

	m->sent_ms[m->oldest] = now_ms;
	m->oldest = (m->oldest + 1) % PATH_MTU_BUDGET_PROBES;
	path_probe_send_size(set, set->current, bytes, now_ms);
}

/* After so long no answer will come. */
static uint64_t wait_ms(const struct path_set *set)
{
	uint32_t rtt_us = set->current->path.rtt_us;
	uint64_t wait = rtt_us ? rtt_us / 1000 * 3 / 2 + 50 : WAIT_UNKNOWN_MS;

	return later(WAIT_LEAST_MS, sooner(wait, WAIT_MOST_MS));
}

/* ---------------------------------------------------------------- search */

static void search_settle(struct path_set *set, uint64_t now_ms)
{
	struct path_mtu *m = &set->mtu;
	struct path *p = &set->current->path;
	bool was_in_doubt = m->doubted_bytes;

	if (m->low_bytes < m->doubted_bytes) {
		p->n_mtu_drops++;
		was_in_doubt = false;
		m->raise_after_ms = PATH_MTU_RAISE_MIN_MS;
	}
	m->doubted_bytes = 0;
	if (m->low_bytes >= m->max_bytes) {
		m->search_ms = PATH_NEVER;
	} else if (was_in_doubt) { /* for nothing: goes on as before */
		m->search_ms = m->raise_ms;
		if (m->raise_ms <= now_ms)
			return;
	} else {
		m->search_ms = m->raise_ms = now_ms + m->raise_after_ms;
		m->raise_after_ms = sooner(m->raise_after_ms * 2, PATH_MTU_RAISE_MAX_MS);
	}
	p->mtu_state = PATH_MTU_FOUND;
}

/* Goes on between low and high, if there is something left between them. */
static void search_narrow(struct path_set *set, uint64_t now_ms)
{
	struct path_mtu *m = &set->mtu;

	sizes_fill(m, set->current);
	m->n_volley = m->n_sizes;
	m->n_tries = 0;
	m->search_ms = now_ms;
	if (!m->n_sizes)
		search_settle(set, now_ms);
}

/* Looks for all above low. */
static void search_from(struct path_set *set, uint16_t low_bytes, uint64_t now_ms)
{
	set->mtu.raise_ms = now_ms;
	set->mtu.low_bytes = low_bytes;
	set->mtu.high_bytes = set->mtu.max_bytes + 1;
	search_narrow(set, now_ms);
}

static void confirm(struct path_set *set, uint64_t now_ms)
{
	set->mtu.n_checks = 0;
	set->mtu.confirmed_ms = now_ms;
	set->mtu.confirmed_bytes = set->activity.sent_bytes;
}

static void begin(struct path_set *set, uint64_t now_ms)
{
	struct path_mtu *m = &set->mtu;

	m->is_begun = true;
	m->doubted_bytes = 0;
	confirm(set, now_ms);
	m->raise_after_ms = PATH_MTU_RAISE_MIN_MS;
	set->current->path.mtu_state = PATH_MTU_SEARCHING;
	search_from(set, 0, now_ms);
}

/* A size had its tries. */
static void too_big(struct path_set *set, uint16_t bytes, uint64_t now_ms)
{
	struct path_mtu *m = &set->mtu;

	if (m->low_bytes == 0 && bytes == m->sizes[0]) { /* that is no matter of size */
		m->n_sizes = 0;
		m->search_ms = now_ms + PATH_MTU_AGAIN_MS;
		return;
	}
	m->high_bytes = bytes;
	if (size_in_use(set, set->current) >= bytes)
		size_lower(set, set->current, m->low_bytes);
	search_narrow(set, now_ms);
}

static void volley_step(struct path_set *set, uint64_t now_ms)
{
	struct path_mtu *m = &set->mtu;

	if (m->sizes[m->n_volley - 1] <= m->low_bytes) {
		m->n_volley = 0; /* the others are smaller still */
	} else {
		probe(set, m->sizes[--m->n_volley], now_ms);
		m->n_tries = 1;
	}
	m->search_ms = now_ms + (m->n_volley ? PATH_PACE_MS : wait_ms(set));
}

static void search_step(struct path_set *set, uint64_t now_ms)
{
	struct path_mtu *m = &set->mtu;
	uint16_t next = 0;

	if (!m->n_sizes) {
		search_from(set, m->low_bytes, now_ms);
		return;
	}
	if (m->n_volley) {
		volley_step(set, now_ms);
		return;
	}
	/* What was assumed had its chance; the smaller one was probed after it and answered. */
	if (m->low_bytes && m->low_bytes < size_in_use(set, set->current))
		size_lower(set, set->current, m->low_bytes);
	for (unsigned i = m->n_sizes; i-- > 0 && m->sizes[i] > m->low_bytes;)
		next = m->sizes[i];
	if (!next) {
		search_narrow(set, now_ms);
	} else if (m->n_tries < PATH_MTU_TRIES) {
		probe(set, next, now_ms);
		m->n_tries++;
		m->search_ms = now_ms + wait_ms(set);
	} else {
		too_big(set, next, now_ms);
	}
}

static bool search_sends(const struct path_mtu *m)
{
	return !m->n_sizes || m->n_volley || m->n_tries < PATH_MTU_TRIES;
}

/* ---------------------------------------------------------------- check */

static uint64_t check_due_ms(const struct path_set *set)
{
	const struct path_mtu *m = &set->mtu;

	uint16_t in_use = size_in_use(set, set->current);

	if (in_use <= PATH_MTU_MIN_BYTES || m->low_bytes < in_use) /* the search itself asks for it */
		return PATH_NEVER;
	if (set->activity.sent_bytes - m->confirmed_bytes >= PATH_MTU_BUSY_BYTES)
		return m->confirmed_ms + PATH_MTU_BUSY_MS;
	return m->confirmed_ms + PATH_MTU_VERIFY_MS;
}

/* Too large, though nobody said so? */
static void doubt(struct path_set *set, uint64_t now_ms)
{
	struct path_mtu *m = &set->mtu;

	confirm(set, now_ms); /* not it, but what comes now */
	m->doubted_bytes = size_in_use(set, set->current);
	m->low_bytes = 0;
	m->high_bytes = m->doubted_bytes + 1;
	set->current->path.mtu_state = PATH_MTU_SEARCHING;
	search_narrow(set, now_ms);
}

static void check_step(struct path_set *set, uint64_t now_ms)
{
	struct path_mtu *m = &set->mtu;

	if (m->n_checks == PATH_MTU_CHECK_PROBES) {
		doubt(set, now_ms);
		return;
	}
	m->n_checks++;
	m->check_ms = now_ms + wait_ms(set) / PATH_MTU_CHECK_PROBES;
	probe(set, size_in_use(set, set->current), now_ms);
}

/* ---------------------------------------------------------------- when */

/* Padded probes go to paths that are proven only. One in doubt is asked small questions first. */
static bool may_probe(const struct path_set *set)
{
	const struct path_entry *e = set->current;

	if (!set->is_running || !set->mtu.max_bytes || !e || fixed_size(set, e))
		return false;
	return !e->is_given_up && path_is_proven(e) && !set->watch.n_sent;
}

static uint64_t search_due_ms(const struct path_set *set)
{
	const struct path_mtu *m = &set->mtu;
	bool is_in_doubt = m->low_bytes < size_in_use(set, set->current);

	if (!search_sends(m))
		return m->search_ms;
	return later(m->search_ms, budget_free_ms(m, is_in_doubt ? PATH_MTU_BUDGET_PROBES : PATH_MTU_CALM_PROBES));
}

static uint64_t next_check_ms(const struct path_set *set)
{
	const struct path_mtu *m = &set->mtu;

	if (m->n_checks)
		return m->check_ms;
	return later(check_due_ms(set), budget_free_ms(m, PATH_MTU_BUDGET_PROBES));
}

/* Data is being lost for its size. Who sends it waits longer and longer between its tries: what will be found does not wait for them. */
static bool is_urgent(const struct path_set *set, uint64_t now_ms)
{
	const struct path_mtu *m = &set->mtu;

	return m->is_begun && (m->doubted_bytes || m->n_checks) && set->activity.in_contact &&
	       now_ms < set->activity.last_sent_ms + PATH_MTU_URGENT_MS;
}

uint64_t path_mtu_next_ms(const struct path_set *set)
{
	uint64_t due = set->now_ms;

	if (!may_probe(set))
		return PATH_NEVER;
	if (set->mtu.is_begun)
		due = later(due, sooner(search_due_ms(set), next_check_ms(set)));
	return path_is_sending(set, due) || is_urgent(set, due) ? due : PATH_NEVER;
}

void path_mtu_tick(struct path_set *set, uint64_t now_ms)
{
	while (path_mtu_next_ms(set) <= now_ms) {
		if (!set->mtu.is_begun)
			begin(set, now_ms);
		else if (next_check_ms(set) <= now_ms)
			check_step(set, now_ms);
		else
			search_step(set, now_ms);
	}
}

/* ---------------------------------------------------------------- what is heard */

void path_mtu_answered(struct path_set *set, const struct path_entry *e, uint32_t bytes, uint64_t sent_ms,
		       uint64_t now_ms)
{
	struct path_mtu *m = &set->mtu;
	struct path *p;
	uint16_t in_use;

	if (e != set->current || !m->is_begun || sent_ms < m->refused_ms || bytes > m->max_bytes)
		return;
	p = &set->current->path;
	in_use = size_in_use(set, e);
	if (bytes >= in_use)
		confirm(set, now_ms);
	if (bytes > in_use || (bytes == in_use && !p->mtu_bytes))
		p->mtu_bytes = bytes;
	if (bytes <= m->low_bytes)
		return;
	/* The larger ones were probed before it. At first that is no reason yet to leave the base. */
	if (m->doubted_bytes && bytes < in_use)
		size_lower(set, set->current, (uint16_t)bytes);
	m->low_bytes = (uint16_t)bytes;
	if (bytes >= m->high_bytes) { /* it was late, not lost */
		search_from(set, m->low_bytes, now_ms);
	} else if (m->n_sizes && bytes >= m->sizes[m->n_sizes - 1]) {
		search_narrow(set, now_ms);
	} else if (m->n_sizes && !m->n_volley && m->n_tries > 1) {
		m->n_tries = 1; /* the next size had the volley's */
		m->search_ms = now_ms;
	}
}

bool path_mtu_on_loss(struct path_set *set, uint64_t since_ms, uint64_t now_ms)
{
	struct path_mtu *m = &set->mtu;
	uint16_t in_use;

	if (!may_probe(set) || !m->is_begun)
		return false;
	in_use = size_in_use(set, set->current);
	if (m->n_checks || (m->n_sizes && m->low_bytes < in_use))
		return true;
	if (in_use <= PATH_MTU_MIN_BYTES || m->low_bytes < in_use || m->confirmed_ms >= since_ms ||
	    budget_free_ms(m, PATH_MTU_BUDGET_PROBES) > now_ms)
		return false;
	check_step(set, now_ms);
	return true;
}

void path_mtu_on_silence(struct path_set *set, uint64_t now_ms)
{
	const struct path_activity *a = &set->activity;

	if (!set->mtu.is_begun || now_ms < set->mtu.suspected_ms + PATH_MTU_SUSPECT_MS)
		return;
	if (!path_is_sending(set, now_ms) || a->last_sent_ms <= a->path_received_ms)
		return;
	set->mtu.suspected_ms = now_ms;
	path_set_suspect_mtu(set, now_ms);
}

void path_set_suspect_mtu(struct path_set *set, uint64_t now_ms)
{
	struct path_mtu *m = &set->mtu;

	set->now_ms = now_ms;
	if (m->is_begun && !(m->doubted_bytes && !m->low_bytes))
		doubt(set, now_ms);
}

void path_set_on_too_big(struct path_set *set, const struct path_addr *addr, uint32_t datagram_bytes, uint64_t now_ms)
{
	struct path_entry *e = path_find(set, addr);
	struct path_mtu *m = &set->mtu;

	set->now_ms = now_ms;
	if (!e || datagram_bytes <= PATH_MTU_MIN_BYTES)
		return;
	if (path_datagram_max(&e->path) >= datagram_bytes)
		size_lower(set, e, size_below(e, datagram_bytes));
	if (e != set->current || !m->is_begun || datagram_bytes >= m->high_bytes)
		return;
	m->refused_ms = now_ms;
	m->high_bytes = (uint16_t)datagram_bytes;
	if (m->low_bytes >= datagram_bytes) { /* the size below it is not proven yet */
		m->low_bytes = 0;
		set->current->path.mtu_state = PATH_MTU_SEARCHING;
		confirm(set, now_ms);
		m->raise_after_ms = PATH_MTU_RAISE_MIN_MS;
	} else if (!m->n_sizes) {
		return;
	}
	search_narrow(set, now_ms);
}

void path_set_set_max_datagram(struct path_set *set, uint32_t bytes, uint64_t now_ms)
{
	struct path_mtu *m = &set->mtu;

	set->now_ms = now_ms;
	if (bytes > PATH_MTU_MOST_BYTES)
		bytes = PATH_MTU_MOST_BYTES;
	if (bytes && bytes < PATH_MTU_MIN_BYTES)
		bytes = PATH_MTU_MIN_BYTES;
	if (bytes == m->max_bytes)
		return;
	m->max_bytes = (uint16_t)bytes;
	m->is_begun = false;
	for (unsigned i = 0; i < PATH_SET_MAX; i++) {
		struct path_entry *e = &set->entries[i];

		if (path_is_tcp(e))
			path_mtu_forget(set, e);
		else if (e->path.mtu_bytes > bytes)
			e->path.mtu_bytes = bytes;
	}
}

/* ---------------------------------------------------------------- of which path */

void path_mtu_forget(struct path_set *set, struct path_entry *e)
{
	e->path.mtu_bytes = fixed_size(set, e);
	e->path.mtu_state = e->path.mtu_bytes ? PATH_MTU_FOUND : PATH_MTU_UNKNOWN;
	if (e == set->current)
		set->mtu.is_begun = false;
}

void path_mtu_use(struct path_set *set, struct path_entry *e, uint64_t now_ms)
{
	set->mtu.is_begun = false;
	set->mtu.refused_ms = 0;
	set->mtu.suspected_ms = 0;
	if (e && now_ms - e->path.since_ms > PATH_MTU_KEEP_MS)
		path_mtu_forget(set, e);
}
