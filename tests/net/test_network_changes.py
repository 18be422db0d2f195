#!/usr/bin/env python3
# ctest: timeout=120 beside
"""What changes at a node's own network, or while it stood still, is made up for within 3 s; what does not concern it costs nothing.

    coord
      |
    inet ---- [NAT] ---- a1 ----.     a1 has a second uplink, through c's NAT
        |---- [NAT] ---- b1     |
        `---- [NAT] ---- (c) ---'
"""
import os
import signal
import time

from harness import Mesh, Site, check, main, sh, wait_until

WITHIN = 3
STOPPED_SECONDS = float(os.environ.get("WARREN_STOPPED_SECONDS", "7"))


def ip(mesh, host, *words):
    return sh("ip", "-netns", mesh.lab.ns(host), *words)


def up(mesh):
    mesh.start("coord", "a1", "b1")
    mesh.wait_registered("a1", "b1")
    check(mesh.ping("a1", "b1", 2) is not None, "a1 does not reach b1")
    mesh.wait_path("a1", "b1", "direct", within=3)


def cpu_seconds(process):
    with open(f"/proc/{process.pid}/stat") as f:
        words = f.read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def stopped_process_is_back_at_once():
    """What answers while it stands still is its kernel only; its NAT forgets and gets another address, its peer gives it up."""
    with Mesh([Site("a", "portnp"), Site("b", "port")]) as mesh:
        up(mesh)
        with mesh.pinger("b1", "a1") as pinger:
            wait_until(lambda: pinger.answered, 2, "b1 reaches a1")
            mesh.nodes["a1"].process.send_signal(signal.SIGSTOP)
            stopped = time.monotonic()
            time.sleep(1)
            mesh.lab.rebind("a", "203.0.113.77")
            time.sleep(STOPPED_SECONDS - 1)
            check(pinger.first(after=stopped + 0.5) is None, "a stopped process answers")
            begin = time.monotonic()
            mesh.nodes["a1"].process.send_signal(signal.SIGCONT)
            wait_until(lambda: pinger.first(after=begin), WITHIN, "b1 reaches a1 again", begin)
            mesh.wait_path("a1", "b1", "direct", within=5)
        check("stood still" in mesh.nodes["a1"].log(), "its log does not mention it")
        check(mesh.path("b1", "a1")["remote"].startswith("203.0.113.77:"), f"b1 has {mesh.path('b1', 'a1')}")


def default_route_moves_to_another_uplink():
    """No address comes or goes, no link goes down: only the routes are others."""
    with Mesh([Site("a", "port"), Site("b", "port"), Site("c", "port")]) as mesh:
        up(mesh)
        _, address = mesh.lab.plug("a1", "c", metric=200)
        wait_until(lambda: any(address in str(p["remote"]) for p in mesh.nodes["b1"].ask("why", peer="a1")["tried"]), 3,
                   "b1 is told of a1's second address")
        with mesh.pinger("a1", "b1") as pinger:
            home = f"default via {mesh.lab.lans['a'][0]}1 dev eth0 metric "
            for site, changes in (("c", [f"route add {home}300", f"route del {home}0"]), ("a", [f"route add {home}0"])):
                begin = time.monotonic()
                for change in changes:
                    ip(mesh, "a1", *change.split())
                wait_until(lambda: str(mesh.path("b1", "a1")["remote"]).startswith(mesh.lab.pub[site] + ":"), WITHIN,
                           f"b1 sees a1 at {site}'s address", begin)
                time.sleep(0.5)
                gap = pinger.longest_gap(begin)
                check(gap <= WITHIN, f"{gap:.1f} s without an answer")


def interface_flaps():
    with Mesh([Site("a", "port"), Site("b", "port")]) as mesh:
        up(mesh)
        with mesh.pinger("a1", "b1") as pinger:
            for seconds in (0, 1.5):
                mesh.lab.carrier("a1", False)
                time.sleep(seconds)
                begin = time.monotonic()
                mesh.lab.carrier("a1", True)
                wait_until(lambda: pinger.first(after=begin), WITHIN, f"a1 reaches b1, {seconds} s after its link went down", begin)
            mesh.wait_path("a1", "b1", "direct", within=5)


def address_that_is_deprecated_is_told_no_more():
    with Mesh([Site("a", "port"), Site("b", "port")]) as mesh:
        up(mesh)
        extra = f"{mesh.lab.lans['a'][0]}99"

        def told():
            return any(str(p["remote"]).startswith(extra + ":") for p in mesh.nodes["b1"].ask("why", peer="a1")["tried"])
        ip(mesh, "a1", "address", "add", f"{extra}/24", "dev", "eth0")
        wait_until(told, 3, "b1 is told of a new address")
        ip(mesh, "a1", "address", "change", f"{extra}/24", "dev", "eth0", "valid_lft", "1000", "preferred_lft", "0")
        wait_until(lambda: not told(), 3, "b1 is told that it is not to be used any more")
        check(mesh.kind("a1", "b1") == "direct", "the path was lost by it")


def changes_that_concern_nobody_cost_little():
    """A host that makes and unmakes containers: bridges, cables, addresses and routes."""
    with Mesh([Site("a", "port"), Site("b", "port")]) as mesh:
        up(mesh)
        time.sleep(1)
        before = mesh.counters("a1")
        busy, begin, n = cpu_seconds(mesh.nodes["a1"].process), time.monotonic(), 0
        while time.monotonic() - begin < 4:
            n += 1
            made = "".join(f"link add box{i} type veth peer name in{i}\nlink set box{i} up\n"
                           f"address add 169.254.{i}.1/24 dev box{i}\nroute add 172.31.{i}.0/24 dev box{i}\n"
                           f"link set in{i} up\nlink set in{i} down\n" for i in range(8))
            sh("ip", "-netns", mesh.lab.ns("a1"), "-batch", "-", input=made + "".join(f"link del box{i}\n" for i in range(8)))
        took = time.monotonic() - begin
        busy = cpu_seconds(mesh.nodes["a1"].process) - busy
        after = mesh.counters("a1")
        looks, changes = (after[k] - before[k] for k in ("network_looks", "network_changes"))
        print(f"  {n * 8 * 10} events in {took:.1f} s: {looks} looks, {changes} changes, {busy * 1000:.0f} ms of CPU")
        check(looks >= 1, "nobody looked")
        check(looks <= 12, f"{looks} looks in {took:.1f} s")
        check(changes == 0, f"{changes} of them were taken for changes")
        check(busy < took / 4, f"{busy:.2f} s of CPU in {took:.1f} s")


main(stopped_process_is_back_at_once, default_route_moves_to_another_uplink, interface_flaps,
     address_that_is_deprecated_is_told_no_more, changes_that_concern_nobody_cost_little)
