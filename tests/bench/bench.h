/* tests/bench/bench.h - a loop timed by its own count: how often something can be done in a second
 *
 * Thread: one. Every figure is the best of several runs, since what disturbs a run only slows it. */
#ifndef TESTS_BENCH_BENCH_H
#define TESTS_BENCH_BENCH_H

#include <stdint.h>
#include <stdio.h>
#include <time.h>

#define BENCH_RUNS 5
#define BENCH_RUN_NS 200000000

static inline uint64_t bench_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* Does `step` (which does `n_each` of it) until the time is over; prints and returns how many a second, in the best run. */
static inline double bench_rate(const char *what, void (*step)(void *arg), void *arg, unsigned n_each)
{
	double best = 0;

	for (unsigned run = 0; run < BENCH_RUNS; run++) {
		uint64_t begin = bench_now_ns(), n = 0, took;
		double rate;

		do {
			step(arg);
			n += n_each;
			took = bench_now_ns() - begin;
		} while (took < BENCH_RUN_NS);
		rate = (double)n * 1e9 / (double)took;
		if (rate > best)
			best = rate;
	}
	printf("%-52s %12.0f a second %10.1f ns each\n", what, best, 1e9 / best);
	return best;
}

#endif
