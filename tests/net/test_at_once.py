#!/usr/bin/env python3
# ctest: timeout=120
"""A hundred pairs and more that want each other at the same moment, through one coordinator, are all direct within seconds, and nobody
sends more than his budget.

    coord
      |
    inet ---- [masquerade; what leaves it for other sites is counted] ---- a1 ... o1      105 pairs
"""
import itertools
import json
import time

from harness import FACTOR, Mesh, Site, check, main, nft, sh, wait_until
from traffic import echo_all

NAMES = "abcdefghijklmno"
FIRST_SECONDS, DIRECT_SECONDS = 4, 6
# To each peer's public endpoint: 5 probes of a round and 5 out of turn, as many answers, an opener, and data; to its private one, of
# which nothing is ever heard, a round and an opener.
PUBLIC_MOST, PRIVATE_MOST = 25, 6

COUNT = """table ip sent { counter public { }
    counter private { }
    chain c { type filter hook forward priority 10; policy accept;
        oifname "wan" ip daddr 203.0.113.0/24 meta l4proto udp counter name public
        oifname "wan" ip daddr 192.168.0.0/16 meta l4proto udp counter name private
    }
}
"""


def counted(mesh, site):
    listed = json.loads(sh("ip", "netns", "exec", mesh.lab.gw(site), "nft", "-j", "list", "counters", "table", "ip", "sent"))
    return {c["counter"]["name"]: c["counter"]["packets"] for c in listed["nftables"] if "counter" in c}


def all_at_once():
    with Mesh([Site(n, "port") for n in NAMES], relay='rate_total = "1Gbit"') as mesh:
        hosts = mesh.lab.hosts()
        pairs = list(itertools.combinations(hosts, 2))
        for host in hosts:
            mesh.configure_peer(host, "workers = 1")
        mesh.start("coord", *hosts)
        mesh.wait_registered(*hosts, within=10 * FACTOR)
        wait_until(lambda: all(mesh.nodes[h].ask("netcheck", wait=False)["mapping"] == "endpoint-independent" for h in hosts), 10 * FACTOR,
                   "each knows its NAT")
        for n in NAMES:
            nft(mesh.lab.gw(n), COUNT)

        def missing():
            direct = {(h, p["name"]) for h in hosts for p in mesh.nodes[h].ask("peers")["peers"]
                      if (p["path"] or {}).get("kind") == "direct"}
            return [p for p in pairs if not {p, p[::-1]} <= direct]
        begin = time.monotonic()
        echo_all(mesh.lab, {h: [mesh.overlay(o) for o in hosts if o != h] for h in hosts}, 56, FIRST_SECONDS * FACTOR)
        first = time.monotonic() - begin
        wait_until(lambda: not missing(), DIRECT_SECONDS * FACTOR, "every pair is direct", begin)
        took = time.monotonic() - begin
        sent = {n: counted(mesh, n) for n in NAMES}
        others = len(hosts) - 1
        most = {k: max(s[k] for s in sent.values()) / others for k in ("public", "private")}
        print(f"  {len(pairs)} pairs: each answered within {first:.1f} s, all direct within {took:.1f} s; at most {most['public']:.1f} "
              f"datagrams to a peer's public endpoint, {most['private']:.1f} to its private one")
        check(0 < most["public"] <= PUBLIC_MOST and most["private"] <= PRIVATE_MOST, f"over the budget: {sent}")
        for a, b in pairs:
            check(mesh.nodes[a].ask("why", peer=b)["search"] is None, f"{a} searched for {b}")


main(all_at_once)
