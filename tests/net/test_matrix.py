#!/usr/bin/env python3
# ctest: timeout=400 labels=release
"""Every kind of NAT against every other: the kind of path, how soon, and what `why` and `netcheck` say of it. Prints the matrix.

    coord
      |
    inet ---- [each kind] ---- xa1
        `---- [each kind] ---- xb1

Pairs of different hosts are tried at the same time; each pair is tried once, for the paths of a host to others are its history.
P plain checks, S ports predicted, B ports drawn and searched for, T direct TCP, R relay (RFC 4787's behaviours allow no more)."""
import threading
import time

from harness import Mesh, Site, check, main, wait_until
from verdicts import netchecks_whole, true_verdict, verdict

KINDS = ("open", "openfw", "fullcone", "addr", "port", "symseq", "symrand", "udpblocked", "tcp443")
EASY = {"open", "fullcone", "addr"}  # let in whoever they sent to, from any port
FIRST_SECONDS, FIRST_BLOCKED_SECONDS = 1.0, 5.0
# Until the path is direct. A search that draws finds nothing once in thirty times: then it is begun anew by a new life.
SECONDS = {"P": 2.0, "S": 10.0, "B": 16.0, "T": 8.0}
RELAY_SECONDS = 4.0  # a pair that must be relayed is watched for so long


def possible(k, l):
    pair = {k, l}
    symmetric = [x for x in (k, l) if x.startswith("sym")]
    if "tcp443" in pair:
        return "R"
    if "udpblocked" in pair:
        return "R" if symmetric else "T"
    if len(symmetric) == 2:
        return "S" if pair == {"symseq"} else "R"
    if not symmetric or pair & EASY:
        return "P"
    return "S" if "symseq" in pair else "B"


def cause(k, l):
    """What `why` must say of a relayed pair."""
    return "udp-blocked" if {"udpblocked", "tcp443"} & {k, l} else "hard-hard-nat"


class Cell(threading.Thread):
    def __init__(self, mesh, k, l):
        super().__init__(daemon=True)
        self.mesh, self.k, self.l, self.want = mesh, k, l, possible(k, l)
        self.a, self.b = host(k, "a"), host(l, "b")
        self.first = self.direct = None
        self.fault, self.text = None, "?"

    def run(self):
        try:
            self.measure()
        except Exception as e:
            self.fault = f"{self.k} x {self.l}: {e}"

    def kinds(self):
        return {self.mesh.kind(self.a, self.b), self.mesh.kind(self.b, self.a)}

    def is_reached(self, kinds):
        return kinds <= {"direct", "lan"} or (self.want == "T" and kinds == {"tcp"})

    def until_direct(self, seconds):
        begin = time.monotonic()
        while time.monotonic() - begin < seconds:
            if self.is_reached(self.kinds()):
                return time.monotonic() - begin
            time.sleep(0.05)
        return None

    def measure(self):
        with self.mesh.pinger(self.a, self.b, interval=0.1) as pinger:
            limit = FIRST_BLOCKED_SECONDS if {"udpblocked", "tcp443"} & {self.k, self.l} else FIRST_SECONDS
            while not pinger.answered:
                check(time.monotonic() - pinger.begin < limit, f"no ping was answered within {limit:g} s")
                time.sleep(0.01)
            self.first = pinger.answered[0] - pinger.begin
            self.direct = self.until_direct(SECONDS.get(self.want, RELAY_SECONDS))
            if self.direct is None and self.want == "B":
                self.again()
            said = self.mesh.nodes[self.a].ask("why", peer=self.b)
        self.text = f"{self.want} {self.direct:.1f}" if self.direct is not None else "R"
        if self.want == "R":
            check(self.direct is None, f"is {self.kinds()}, which nobody thought possible")
            check(said["cause"] == cause(self.k, self.l), f"the cause is said to be {said['cause']}")
        else:
            check(self.direct is not None, f"is {self.kinds()}, not direct, after {SECONDS[self.want]:g} s: {said['cause']}; "
                                           f"search {said['search']}")
            check(said["cause"] in (None, "udp-blocked"), f"direct, and yet the cause is said to be {said['cause']}")
            check(self.want == "T" or said["cause"] is None, f"direct, and yet the cause is said to be {said['cause']}")
        for h, kind in ((self.a, self.k), (self.b, self.l)):
            wait_until(lambda: self.verdict(h) == true_verdict(kind), 6, f"netcheck of {h} says {true_verdict(kind)}")

    def verdict(self, h):
        """What is known now, without measuring anew."""
        return verdict(self.mesh.nodes[h].ask("netcheck", wait=False))

    def again(self):
        for h in (self.a, self.b):
            self.mesh.nodes[h].stop()
        self.mesh.start(self.a, self.b)
        self.direct = self.until_direct(SECONDS["B"] + 2)


def host(kind, which):
    return f"{chr(97 + KINDS.index(kind))}{which}1"


def rounds():
    """Pairs of kinds, each once; within a round no kind meets two others."""
    n = len(KINDS)
    for r in range(n):
        yield [(KINDS[i], KINDS[(r - i) % n]) for i in range(n) if i <= (r - i) % n]


def every_pair():
    sites = [Site(host(k, w)[:-1], k) for k in KINDS for w in "ab"]
    with Mesh(sites, relay='rate_total = "1Gbit"') as mesh:
        mesh.start("coord")
        hosts = [host(k, w) for k in KINDS for w in "ab"]
        mesh.start(*hosts)
        mesh.wait_registered(*hosts, within=10)
        netchecks_whole(mesh, hosts)  # each has tested its NAT
        cells = []
        for pairs in rounds():
            now = [Cell(mesh, k, l) for k, l in pairs]
            for c in now:
                c.start()
            for c in now:
                c.join()
            cells += now
        print("  " + " " * 11 + "".join(f"{k:>11}" for k in KINDS))
        for i, l in enumerate(KINDS):
            row = [next(c.text for c in cells if {c.k, c.l} == {k, l}) for k in KINDS[:i + 1]]
            print(f"  {l:11}" + "".join(f"{t:>11}" for t in row))
        slowest = max((c for c in cells if c.first is not None), key=lambda c: c.first)
        print(f"  first answer after {slowest.first:.2f} s at the latest ({slowest.k} x {slowest.l})", flush=True)
        faults = [c.fault for c in cells if c.fault]
        check(not faults, "\n    " + "\n    ".join(faults))


main(every_pair)
