/* Who is refused learns nothing from how long it took, whatever is wrong with what he shows. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>

#include "daemon/base/clock.h"
#include "daemon/coordinator/registration.h"
#include "tests/unit/certs.h"
#include "tests/unit/coordinator_world.h"
#include "tests/unit/netns.h"

#define ROUNDS 9
/* How far the medians may lie apart: a tenth of the time that is waited. On a quiet machine it is 0.1 ms. */
#define APART_MAX_US (REGISTRATION_REFUSAL_MS * 100)

static const char *const addrs[] = { "10.77.0.5", NULL };

enum wrong {
	EXPIRED,
	ALTERED,
	OTHER_NETWORK,
	GUESSED,
	SPENT,
	EXPIRED_UNUSED,
	NO_CERTIFICATE,
	N_WRONGS
};

static const enum cert_verdict verdicts[N_WRONGS] = { CERT_EXPIRED, CERT_FORGED, CERT_OTHER_NETWORK, CERT_FORGED,
						      CERT_SPENT,   CERT_SPENT,  CERT_NONE };

/* Of one invitation, or of a stranger's that claims to be of the same network. */
static struct cert invited(const struct client *c, uint8_t signer, int64_t expires_in_s)
{
	struct signkey network = certs_network_key(signer), invitation = { { 5 } };
	struct cert cert = certs_of("laptop", &c->member.identity.public, addrs);

	verifykey_of(&cert.invitation_key, &invitation);
	cert.expires_s = (uint64_t)((int64_t)(clock_wall_ms() / 1000) + expires_in_s);
	cert.not_before_s = cert.expires_s - 1000;
	cert.not_after_s = 0;
	assert_int_equal(cert_sign_invitation(&cert, &network), 0);
	assert_int_equal(cert_sign_invited(&cert, &invitation), 0);
	return cert;
}

static struct cert cert_of(const struct client *c, enum wrong wrong)
{
	struct signkey network = certs_network_key(0);
	struct verifykey real = certs_network(0);
	struct cert cert;

	switch (wrong) {
	case EXPIRED:
		cert = certs_of("laptop", &c->member.identity.public, addrs);
		cert.not_after_s = CERTS_NOW_S;
		assert_int_equal(cert_sign_direct(&cert, &network), 0);
		return cert;
	case ALTERED:
		cert = invited(c, 0, 500);
		cert.invitation_signature[9] ^= 4;
		return cert;
	case OTHER_NETWORK:
		return invited(c, 1, 500);
	case GUESSED: /* somebody else's key in the network's name */
		cert = invited(c, 1, 500);
		cert_network_of(&cert.network, &real);
		return cert;
	case EXPIRED_UNUSED:
		return invited(c, 0, -100);
	default:
		return invited(c, 0, 500);
	}
}

static bool is_refused(const struct client *c)
{
	return c->refused_us != 0;
}

/* From the initiation to the refusal. */
static uint64_t time_refusal(struct world *f, struct client *c, enum wrong wrong, struct trust *trust)
{
	struct cert cert = cert_of(c, wrong);
	uint64_t begun_us;

	if (wrong != NO_CERTIFICATE)
		trust_set_own(trust, &cert);
	c->member.identity.trust = wrong == NO_CERTIFICATE ? NULL : trust;
	c->refused_us = 0;
	c->is_closed = c->is_connected = false;
	begun_us = clock_now_us();
	client_connect(f, c);
	assert_true(world_run_until(f, is_refused, c));
	assert_int_equal(c->member.handshake.refusal, verdicts[wrong]);
	assert_true(world_run_until(f, client_is_closed, c));
	return c->refused_us - begun_us;
}

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void every_refusal_takes_the_same_time(void **state)
{
	static uint64_t times_us[N_WRONGS][ROUNDS];
	struct world *f = *state;
	struct client *member = &f->clients[0], *other = &f->clients[1];
	struct verifykey network = certs_network(0);
	uint64_t least = UINT64_MAX, most = 0;
	struct counters counters = { 0 };
	struct trust *trust = trust_new(&network, &counters);
	struct cert first = cert_of(member, SPENT);

	/* The invitation is used, by another. */
	assert_non_null(trust);
	trust_set_own(trust, &first);
	member->member.identity.trust = trust;
	client_join(f, 0);
	for (unsigned round = 0; round < ROUNDS; round++) /* what else the machine does meanwhile comes to all */
		for (enum wrong w = 0; w < N_WRONGS; w++)
			times_us[w][round] = time_refusal(f, other, w, trust);
	for (enum wrong w = 0; w < N_WRONGS; w++) {
		uint64_t median;

		qsort(times_us[w], ROUNDS, sizeof(uint64_t), compare);
		median = times_us[w][ROUNDS / 2];
		print_message("refusal %d: median %.2f ms\n", (int)w, (double)median / 1000);
		assert_true(times_us[w][0] >= (REGISTRATION_REFUSAL_MS - 1) * 1000);
		least = median < least ? median : least;
		most = median > most ? median : most;
	}
	assert_true(most - least < APART_MAX_US);
	member->member.identity.trust = other->member.identity.trust = NULL;
	trust_free(trust);
}

static int set_up(void **state)
{
	struct world *f;
	int ret = world_setup(state);

	f = *state;
	coordinator_stop(f->coordinator);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	f->config.n_members = 0;
	f->config.network_key = certs_network(0);
	world_start(f);
	return ret;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_refusal_takes_the_same_time, set_up, world_teardown),
	};

	signal(SIGPIPE, SIG_IGN);
	netns_enter();
	if (crypto_start() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
