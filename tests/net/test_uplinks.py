#!/usr/bin/env python3
# ctest: timeout=120 beside
"""With two uplinks traffic gets out within 5 s where the preferred one leads nowhere though its link is up, and goes back to it.

    coord
      |
    inet ---- [NAT] ---- a1 ----.     by metric a1's way out
        |        `------ a2     |     on a1's LAN
        |---- [NAT] ---- b1     |
        `---- [NAT] ------------'     a1's second uplink
"""
import time

from harness import Capture, Mesh, Site, check, main, sh, wait_until

WITHIN = 5
BACK_WITHIN = 20
METRIC = 200


def mesh_of(hosts):
    return Mesh([Site("a", "port", hosts=hosts), Site("b", "port"), Site("c", "port", hosts=0)])


def is_seen_at(mesh, site):
    return str(mesh.path("b1", "a1").get("remote")).startswith(mesh.lab.pub[site] + ":")


def preferred_uplink_leads_nowhere():
    with mesh_of(2) as mesh:
        mesh.start("coord", "a1", "a2", "b1")
        mesh.wait_registered("a1", "a2", "b1")
        link, address = mesh.lab.plug("a1", "c", metric=METRIC)
        for target in ("a2", "b1"):
            check(mesh.ping("a1", target, 2) is not None, f"a1 does not reach {target}")
        mesh.wait_path("a1", "b1", "direct", within=3)
        mesh.wait_path("a1", "a2", "lan", within=3)
        wait_until(lambda: any(str(row["remote"]).startswith(address + ":")
                               for row in mesh.nodes["b1"].ask("why", peer="a1")["tried"]), 3, "b1 is told of a1's second address")
        with mesh.pinger("a1", "b1") as far, mesh.pinger("b1", "a1") as back, mesh.pinger("a1", "a2") as near:
            time.sleep(1)
            begin = time.monotonic()
            mesh.lab.cut("a")
            wait_until(lambda: far.first(after=begin + 0.3) and back.first(after=begin + 0.3), WITHIN, "a1 and b1 talk again", begin)
            print(f"  out by the other uplink after {max(p.first(after=begin + 0.3) for p in (far, back)) - begin:.1f} s")
            wait_until(lambda: is_seen_at(mesh, "c") and mesh.kind("a1", "b1") == "direct", 2 * WITHIN,
                       "there is a direct path through the second uplink", begin)
            check(mesh.path("a1", "b1")["local"].startswith(address + ":"), f"a1 says {mesh.path('a1', 'b1')}")
            check(near.longest_gap(begin) < 1, f"on its own LAN a1 was not answered for {near.longest_gap(begin):.1f} s")
            status = mesh.nodes["a1"].ask("status")
            check(status["underlay"]["through"] == link and any(link in notice for notice in status["notices"]),
                  f"status: {status['underlay']}, {status['notices']}")
            healed = time.monotonic()
            mesh.lab.uncut("a")
            wait_until(lambda: is_seen_at(mesh, "a"), BACK_WITHIN, "a1 goes back to the preferred uplink", healed)
            check(mesh.nodes["a1"].ask("status")["underlay"]["through"] is None, "status: it is not told")
            time.sleep(1)
            gap = max(far.longest_gap(healed), back.longest_gap(healed))
            check(gap < 1, f"{gap:.1f} s without an answer while it went back")
            check(near.longest_gap(begin) < 1, f"on its own LAN a1 was not answered for {near.longest_gap(begin):.1f} s")


def it_leads_nowhere_from_the_start():
    with mesh_of(1) as mesh:
        mesh.lab.plug("a1", "c", metric=METRIC)
        mesh.lab.cut("a")
        mesh.start("coord", "b1", "a1")
        begin = time.monotonic()
        with mesh.pinger("a1", "b1") as pinger:
            wait_until(pinger.first, WITHIN, "a1 reaches b1", begin)
            wait_until(lambda: is_seen_at(mesh, "c"), 2 * WITHIN, "there is a direct path through the second uplink", begin)


def bound_to_the_second():
    with mesh_of(1) as mesh, Capture(mesh.lab.ns("a1"), "eth0") as unused:
        link, _ = mesh.lab.plug("a1", "c", metric=METRIC)
        mesh.configure_peer("a1", f'listen {{ bind_interface = "{link}" }}')
        mesh.start("coord", "a1", "b1")
        mesh.wait_registered("a1", "b1")
        with mesh.pinger("a1", "b1") as pinger:
            wait_until(lambda: is_seen_at(mesh, "c"), 5, "there is a direct path through the uplink it is bound to")
            ns = mesh.lab.ns("a1")
            sh("ip", "-netns", ns, "link", "set", link, "down")
            time.sleep(1)
            down = time.monotonic()
            time.sleep(2)
            check(pinger.first(after=down) is None, f"a1 reaches b1 though {link} is down")
            begin = time.monotonic()
            sh("ip", "-netns", ns, "-batch", "-", input=f"link set {link} up\n"
               f"route add default via {mesh.lab.lans['c'][0]}1 metric {METRIC}\n")
            wait_until(lambda: pinger.first(after=begin), 3, f"a1 reaches b1 again, {link} being up", begin)
            wait_until(lambda: is_seen_at(mesh, "c"), 5, "directly", begin)
        check(not list(unused.udp(outgoing=True)), "datagrams left by the other link")


main(preferred_uplink_leads_nowhere, it_leads_nowhere_from_the_start, bound_to_the_second)
