#!/usr/bin/env python3
# ctest: timeout=180 beside
"""Where UDP does not pass, peers connect to each other by TCP, and go back to UDP as soon as it does.

    coord  udp 27700 27701, tcp 27700 443
      |
    inet ---- [only TCP gets out] ---- a1
        `---- b1, public
"""
import time

from harness import Mesh, Site, check, main, netns, sh, wait_until


def connected(mesh, *hosts):
    """The hosts run, a1 and b1 have a direct TCP path; returns a pinger's address."""
    mesh.start("coord", *hosts)
    mesh.wait_registered(*hosts)
    check(mesh.ping("a1", "b1", 5) is not None, "no ping answered within 5 s")
    mesh.wait_path("a1", "b1", "tcp", within=5)


def a_public_peer_is_connected_to():
    with Mesh([Site("a", "udpblocked"), Site("b", "open")]) as mesh:
        connected(mesh, "a1", "b1")
        path = mesh.path("a1", "b1")
        check(path["transport"] == "tcp" and path["remote"].startswith(mesh.lab.pub["b"]), f"a1's path is {path}")
        check(path["local"].startswith(mesh.lab.ip("a1")), f"a1's path is {path}")
        status = mesh.nodes["a1"].ask("status")
        check(status["peers"]["tcp"] == 1 and status["peers"]["relay"] == 0, f"status counts {status['peers']}")
        forwarded = mesh.counter("coord", "relay_forwarded_datagrams")
        with mesh.transfer("b1", "a1", mbit=50) as transfer:
            while transfer.got < 10_000_000 and not transfer.error:
                check(transfer.longest_stall() < 2, "a transfer over TCP stalled")
            transfer.finish()
        # They would be 7000. A few are copies, sent while a busy machine makes the connection look silent.
        forwarded = mesh.counter("coord", "relay_forwarded_datagrams") - forwarded
        check(forwarded < 700, f"the transfer was relayed: {forwarded} datagrams")
        check(mesh.ctl("a1", "ping", "-c", "1", "b1").returncode == 0, "ping does not call it direct")
        why = mesh.ctl_json("a1", "why", "b1")
        wait_until(lambda: mesh.ctl_json("a1", "why", "b1")["cause"] == "udp-blocked", 5, f"why not UDP: {why}")


def a_connection_that_ends_is_made_again():
    with Mesh([Site("a", "udpblocked"), Site("b", "open")]) as mesh:
        connected(mesh, "a1", "b1")
        with mesh.pinger("a1", "b1") as pinger:
            since = time.monotonic()
            before = mesh.path("b1", "a1")["remote"]
            mesh.lab.rebind("a", addr="203.0.113.99")  # what comes from there now is of no connection
            wait_until(lambda: mesh.path("b1", "a1").get("remote") not in (None, before), 15, "b1 has another path")
            mesh.wait_path("a1", "b1", "tcp", within=15)
            gap = pinger.longest_gap(since)
            check(gap < 5, f"no answer for {gap:.1f} s")


def udp_is_used_again_when_it_gets_through():
    with Mesh([Site("a", "udpblocked"), Site("b", "open")]) as mesh:
        connected(mesh, "a1", "b1")
        with mesh.pinger("a1", "b1") as pinger:
            mesh.lab.rekind("a", "port")
            mesh.wait_path("a1", "b1", "direct", within=45)
            time.sleep(1)
            check(len(pinger.answered) >= len(pinger.sent) - 2, f"{len(pinger.answered)} of {len(pinger.sent)} answered")
            # and TCP again when it does not
            since = time.monotonic()
            mesh.lab.rekind("a", "udpblocked")
            mesh.wait_path("a1", "b1", "tcp", within=10)
            gap = pinger.longest_gap(since)
            check(gap < 5, f"no answer for {gap:.1f} s")


def of_several_connections_one_is_kept():
    """Over both families both ends connect at once; which of the connections lasts is one end's to say."""
    with Mesh([Site("a", "open", v6="open"), Site("b", "open", v6="open")]) as mesh:
        for host in "a1", "b1":
            with netns(mesh.lab.ns(host)):
                sh("nft", "table inet noudp { chain out { type filter hook output priority 0; meta l4proto udp drop; }; }")
        connected(mesh, "a1", "b1")

        def live(host, other):
            paths = mesh.nodes[host].ask("paths", peer=other)["peers"][0]["paths"]
            return [p["remote"] for p in paths if p["kind"] == "tcp" and p["state"] in ("in use", "standby")]
        wait_until(lambda: len(live("a1", "b1")) > 1 and len(live("b1", "a1")) > 1, 3, "two connections are made")
        with mesh.pinger("a1", "b1") as pinger:
            wait_until(lambda: len(live("a1", "b1")) == 1 and len(live("b1", "a1")) == 1, 10, "one connection is kept")
            time.sleep(1)
            check(mesh.path("a1", "b1")["local"] == mesh.path("b1", "a1")["remote"], "the two ends use two connections")
            check(len(pinger.answered) >= len(pinger.sent) - 3, f"{len(pinger.answered)} of {len(pinger.sent)} answered")


def where_udp_passes_no_connection_is_made():
    with Mesh([Site("a", "port"), Site("b", "open")]) as mesh:
        mesh.start("coord", "a1", "b1")
        mesh.wait_registered("a1", "b1")
        with mesh.pinger("a1", "b1"):
            mesh.wait_path("a1", "b1", "direct", within=2)
            time.sleep(3)
        for host in "a1", "b1":
            for name in "tcp_connected", "tcp_accepted", "tcp_refused":
                check(mesh.counter(host, name) == 0, f"{host}: {name} is {mesh.counter(host, name)}")


main(a_public_peer_is_connected_to, a_connection_that_ends_is_made_again, udp_is_used_again_when_it_gets_through,
     of_several_connections_one_is_kept, where_udp_passes_no_connection_is_made)
