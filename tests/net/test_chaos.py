#!/usr/bin/env python3
# ctest: timeout=180 beside
"""Whatever happens, in whatever order: 3 s later traffic passes again, and what can be direct is direct.

    coord   ended, killed, started again
      |
    inet ---- [masquerade] ------------ a1  <--ping--  b1      direct
        |---- [address-restricted] ---- b1  <--ping--  c1      direct
        |---- [symmetric, random] ----- c1  <--ping--  d1      relayed
        |---- [symmetric, random] ----- d1
        `---- [address-restricted] ---- (a1 and b1 move here and back)

    test_chaos.py [--seed N] [--long]

Each kind of event comes in every round, at a place that the seed says; --long goes on for ten minutes, with 30 s of total loss and a
process that stands still for 200 s. Otherwise both are shorter, and so are the timers of sessions, which must run out meanwhile."""
import argparse
import contextlib
import random
import signal
import sys
import time

from harness import Mesh, Site, check, main, wait_until

WITHIN = 3          # seconds from the end of an event to traffic, and between two answers ever after
DIRECT_WITHIN = 10  # seconds from the end of an event to a direct path
PAIRS = {("b1", "a1"): True, ("c1", "b1"): True, ("d1", "c1"): False}  # the former pings the latter: can they be direct?
DIRECT = ("direct", "lan")

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
parser.add_argument("--long", action="store_true")
OPTIONS, sys.argv[1:] = parser.parse_known_args()
# A session outlives the one and not the other: it is renewed after REKEY_MS, and ends after half as long again.
LOST_SECONDS, STOPPED_SECONDS, REKEY_MS = (30, 200, 120000) if OPTIONS.long else (5, 17, 10500)
QUICK_A_ROUND, SECONDS = (4, 600) if OPTIONS.long else (1, 0)


class Chaos:
    """The events. Each returns its name and the hosts that it concerned; it is over when it returns."""

    def __init__(self, mesh, seed):
        self.mesh, self.lab, self.random = mesh, mesh.lab, random.Random(seed)
        self.n_addresses = 0

    def nat_forgets(self):
        host = self.random.choice(self.lab.hosts())
        self.lab.rebind(self.lab.site_of(host))
        return f"the NAT of {host} forgets", self.behind(self.lab.site_of(host))

    def nat_gets_another_address(self):
        host = self.random.choice(self.lab.hosts())
        self.n_addresses += 1
        self.lab.rebind(self.lab.site_of(host), f"203.0.113.{50 + self.n_addresses}")
        return f"the NAT of {host} gets another address", self.behind(self.lab.site_of(host))

    def host_moves(self):
        host = self.random.choice(("a1", "b1"))
        self.lab.roam(host, "e" if self.lab.site_of(host) != "e" else host[0])
        return f"{host} moves to {self.lab.site_of(host)}", {host}

    def link_flaps(self):
        host, seconds = self.random.choice(self.lab.hosts()), self.random.uniform(0, 1.5)
        self.lab.carrier(host, False)
        time.sleep(seconds)
        self.lab.carrier(host, True)
        return f"the link of {host} is down for {seconds:.1f} s", {host}

    def nothing_passes(self):
        host = self.random.choice((*self.lab.hosts(), "coord"))
        link = host if host == "coord" else self.lab.site_of(host)
        self.lab.cut(link)
        time.sleep(LOST_SECONDS)
        self.lab.uncut(link)
        return f"nothing reaches {host} for {LOST_SECONDS} s", {host} if host == "coord" else self.behind(link)

    def process_stands_still(self):
        host = self.random.choice(self.lab.hosts())
        self.mesh.nodes[host].process.send_signal(signal.SIGSTOP)
        time.sleep(STOPPED_SECONDS)
        self.mesh.nodes[host].process.send_signal(signal.SIGCONT)
        return f"{host} stands still for {STOPPED_SECONDS} s", {host}

    def coordinator_restarts(self):
        self.mesh.nodes["coord"].stop()
        return self.coordinator_comes_back("is restarted")

    def coordinator_is_killed(self):
        self.mesh.nodes["coord"].kill()
        return self.coordinator_comes_back("is killed")

    def coordinator_comes_back(self, what):
        seconds = self.random.uniform(0, 4)
        time.sleep(seconds)
        self.mesh.start("coord")
        return f"the coordinator {what}, away for {seconds:.1f} s", {"coord"}

    def behind(self, site):
        return {h for h in self.lab.hosts() if self.lab.site_of(h) == site}

    def round(self):
        quick = [self.nat_forgets, self.nat_gets_another_address, self.host_moves, self.link_flaps, self.coordinator_restarts,
                 self.coordinator_is_killed]
        events = [*quick * QUICK_A_ROUND, self.nothing_passes, self.process_stands_still]
        self.random.shuffle(events)
        return events


def is_concerned(pair, hosts):
    return bool(hosts & set(pair)) or ("coord" in hosts and not PAIRS[pair])


def all_direct(mesh):
    return all(mesh.kind(*ends) in DIRECT for pair, can_be in PAIRS.items() if can_be for ends in (pair, pair[::-1]))


def survive(mesh, pingers, event, pause):
    """One event, and what must hold after it. Returns how long it took until each pair talked, and until the last was direct."""
    begin = time.monotonic()
    what, hosts = event()
    end = time.monotonic()
    paths = {pair: [mesh.path(*pair), mesh.path(*pair[::-1])] for pair in PAIRS}
    for pair, pinger in pingers.items():
        try:
            wait_until(lambda: pinger.first(after=end), WITHIN, f"{pair[0]} reaches {pair[1]}", end)
        except AssertionError as e:
            raise AssertionError(f"{what}: {e}; at its end: {paths[pair]}, now: "
                                 f"{mesh.path(*pair)}, {mesh.path(*pair[::-1])}") from None
    took = max(pinger.first(after=end) - end for pinger in pingers.values())
    wait_until(lambda: all_direct(mesh), DIRECT_WITHIN, f"{what}: all that can be direct is, of {paths}", end)
    direct = time.monotonic() - end
    print(f"  {what}: traffic after {took:.1f} s, direct after {direct:.1f} s", flush=True)
    time.sleep(max(0, end + pause - time.monotonic()))
    for pair, pinger in pingers.items():
        gap = pinger.longest_gap(end if is_concerned(pair, hosts) else begin)
        check(gap <= WITHIN, f"{what}: {pair[0]} was not answered by {pair[1]} for {gap:.1f} s")
    return took, direct


def comes_back_from_everything():
    print(f"  seed {OPTIONS.seed}")
    sites = [Site("a", "port"), Site("b", "addr"), Site("c", "symrand"), Site("d", "symrand"), Site("e", "addr", hosts=0)]
    with Mesh(sites, env={"WARREN_TEST_REKEY_MS": str(REKEY_MS)}) as mesh:
        mesh.start("coord", *mesh.lab.hosts())
        mesh.wait_registered(*mesh.lab.hosts())
        pingers = {pair: mesh.pinger(*pair) for pair in PAIRS}
        chaos, begin, worst = Chaos(mesh, OPTIONS.seed), time.monotonic(), []
        with contextlib.ExitStack() as running:
            for pinger in pingers.values():
                running.enter_context(pinger)
            wait_until(lambda: all(p.answered for p in pingers.values()) and all_direct(mesh), 5, "all talk, directly where they can")
            while not worst or time.monotonic() - begin < SECONDS:
                for event in chaos.round():
                    worst.append(survive(mesh, pingers, event, chaos.random.uniform(WITHIN, WITHIN + 0.5)))
        for pair, can_be in PAIRS.items():
            kinds = mesh.kind(*pair), mesh.kind(*pair[::-1])
            check(all(k in DIRECT if can_be else k == "relay" for k in kinds), f"{pair}: in the end {kinds}")
        took, direct = (max(v) for v in zip(*worst))
        print(f"  {len(worst)} events in {time.monotonic() - begin:.0f} s: traffic after {took:.1f} s at the latest, "
              f"direct after {direct:.1f} s")


main(comes_back_from_everything)
