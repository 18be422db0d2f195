/* What sealing and opening a packet costs with each implementation, one thread; then with two threads on one key, where
 * each should cost what it does alone (on a machine with two idle cores).
 * The cipher runs over a packet in the cache, with 16 bytes of header; the best of several runs, thread CPU time. */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "crypto/aead.h"
#include "crypto/key.h"

#define RUNS 3
#define RUN_BYTES (8 << 20)
#define PACKET_MAX 16384
#define PACKET_OVERHEAD \
	256 /* of the run's bytes, what a packet's fixed cost counts as, so that short ones take no longer */
#define HEADER_BYTES 16

struct job {
	struct aead_key *key;
	size_t len;
	bool is_open;
	double ns; /* per packet */
};

static double cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void *measure(void *arg)
{
	struct job *job = arg;
	unsigned long n = RUN_BYTES / (job->len + PACKET_OVERHEAD);
	uint8_t *in = calloc(1, PACKET_MAX + AEAD_TAG_BYTES), *out = calloc(1, PACKET_MAX + AEAD_TAG_BYTES);
	uint8_t header[HEADER_BYTES] = { 4 };

	if (!in || !out)
		abort();
	aead_seal(job->key, out, in, job->len, header, sizeof(header), 1);
	if (job->is_open)
		memcpy(in, out, job->len + AEAD_TAG_BYTES);
	job->ns = 1e12;
	for (int run = 0; run < RUNS; run++) {
		double begin = cpu_ns(), took;
		int failed = 0;

		for (unsigned long i = 0; i < n; i++)
			if (job->is_open)
				failed |= aead_open(job->key, out, in, job->len, header, sizeof(header), 1);
			else
				aead_seal(job->key, out, in, job->len, header, sizeof(header), i);
		took = (cpu_ns() - begin) / (double)n;
		if (failed) {
			fprintf(stderr, "bench_aead: a packet did not open\n");
			exit(1);
		}
		if (took < job->ns)
			job->ns = took;
	}
	free(in);
	free(out);
	return NULL;
}

static void print(const struct aead_key *key, const struct job *job, const char *note)
{
	printf("%-18s %-10s %-5s %6zu bytes %9.1f ns/packet %7.2f GB/s%s\n", aead_suite_name(key->impl->suite),
	       key->impl->name, job->is_open ? "open" : "seal", job->len, job->ns, (double)job->len / job->ns, note);
}

int main(void)
{
	static const size_t lengths[] = { 64, 512, 1420, PACKET_MAX };
	static const uint8_t secret[32] = { 1 };

	if (crypto_start() < 0)
		return 1;
	for (size_t i = 0; aead_impl_at(i); i++) {
		struct aead_key key;

		if (aead_key_init_with(&key, aead_impl_at(i), secret) < 0)
			return 1;
		for (int is_open = 0; is_open < 2; is_open++)
			for (size_t k = 0; k < sizeof(lengths) / sizeof(lengths[0]); k++) {
				struct job job = { &key, lengths[k], is_open, 0 };

				measure(&job);
				print(&key, &job, "");
			}
		for (size_t k = 0; k < sizeof(lengths) / sizeof(lengths[0]); k += 2) {
			struct job ours = { &key, lengths[k], false, 0 }, other = ours;
			pthread_t thread;

			if (pthread_create(&thread, NULL, measure, &other) != 0)
				return 1;
			measure(&ours);
			pthread_join(thread, NULL);
			if (other.ns > ours.ns)
				ours.ns = other.ns;
			print(&key, &ours, "  the slower of two threads");
		}
		aead_key_wipe(&key);
	}
	return 0;
}
