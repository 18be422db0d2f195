#!/usr/bin/env python3
# ctest: timeout=150 beside
"""Under a network key, who has a good certificate is a member, as long as it is good, and nobody else is.

    coord (network_key, no member block)
      |
    inet ---- [open] ---- a1
        |---- [open] ---- b1
        `---- [open] ---- c1
"""
import os
import re
import time

import certs
from harness import FACTOR, Mesh, Site, check, main, sh, wait_until

SITES = [Site("a", "open"), Site("b", "open"), Site("c", "open")]


def refused(mesh, host, other):
    """The words for why there is no session, if it is for a certificate."""
    document = mesh.nodes[host].ask("why", peer=other)
    return document["text"] if document["cause"] == "key-refused" and document["state"] == "down" else None


def listed(mesh):
    return {p["name"] for p in mesh.nodes["coord"].ask("peers")["peers"]}


def members_by_certificate_talk_and_others_do_not():
    with Mesh(SITES, trust=True) as mesh:
        mesh.write_certificate("c1", certs.certificate(mesh.network, "c1", mesh.keys["c1"].public, [mesh.overlay("c1")],
                                                       begins=-86400, ends=-3600))
        mesh.start("coord", "a1", "b1", "c1")
        mesh.wait_registered("a1", "b1")
        check(mesh.ping("a1", "b1", 5) is not None, "a1 reaches b1")
        mesh.wait_path("a1", "b1", "direct", within=5)
        check(mesh.ping("b1", "a1", 5, six=True) is not None, "b1 reaches a1 over IPv6")
        # Expired: it is told by the coordinator, and no one lists it.
        wait_until(lambda: any("has expired" in (c.get("error") or "") for c in
                               mesh.nodes["c1"].ask("status")["coordinators"]), 5, "c1 is told why it is refused")
        check(listed(mesh) == {"a1", "b1"}, f"the coordinator lists {listed(mesh)}")
        check(mesh.peer("a1", "c1") is None, "a1 knows no c1")
        check(any("expired" in n for n in mesh.nodes["c1"].ask("status")["notices"]), "c1 complains of its certificate")
        check(mesh.counter("coord", "handshake_untrusted") >= 1, "the coordinator counts it")
        # A new one is taken by a reload, without a restart.
        mesh.certify("c1", "--days", "20")
        check(mesh.ctl("c1", "reload").returncode == 0, "c1 reloads")
        check(any(re.search("expires in (19|20) days", n) for n in mesh.nodes["c1"].ask("status")["notices"]), "c1 is warned ahead")
        check(mesh.ping("a1", "c1", 10) is not None, "a1 reaches c1 by its new certificate")
        check(mesh.counter("a1", "certificates_checked") == 2, "each certificate's signatures are checked once")
        # And in the middle of a session: nothing is lost, and the coordinator knows it at once.
        before = mesh.nodes["coord"].ask("peers")["peers"][0]["serial"]
        with mesh.pinger("a1", "b1") as pinger:
            begin = time.monotonic()
            wait_until(lambda: pinger.answered, 2, "a1 reaches b1")
            mesh.certify("a1")
            check(mesh.ctl("a1", "reload").returncode == 0, "a1 reloads")
            wait_until(lambda: mesh.nodes["coord"].ask("peers")["peers"][0]["serial"] != before, 5, "a1 registers by it")
            gap = pinger.longest_gap(begin)
        check(gap < 1, f"a ping was missing for {gap:.1f} s")


def revoked_member_is_out_everywhere_within_10_s():
    with Mesh(SITES, trust=True) as mesh:
        mesh.start("coord", "a1", "b1", "c1")
        mesh.wait_registered("a1", "b1", "c1")
        for source, target in (("a1", "b1"), ("c1", "b1"), ("a1", "c1")):
            check(mesh.ping(source, target, 5) is not None, f"{source} reaches {target}")
        mesh.wait_path("a1", "b1", "direct", within=5)
        mesh.wait_path("c1", "b1", "direct", within=5)
        r = mesh.ctl("coord", "node", "revoke", "b1", "--signing-key", mesh.network.path)
        since = time.monotonic()
        check(r.returncode == 0, f"revoke: {r.stderr}")
        for host in ("a1", "c1"):
            wait_until(lambda: mesh.peer(host, "b1") is None, 10, f"{host} lists b1 no more", since)
            check("peer b1: refused: its certificate is revoked" in mesh.nodes[host].log(), f"{host} says why")
            check(mesh.ping(host, "b1", 1) is None, f"{host} reaches b1 no more")
        check(mesh.ping("b1", "a1", 1) is None, "b1 reaches a1 no more")
        check(listed(mesh) == {"a1", "c1"}, f"the coordinator lists {listed(mesh)}")
        check(mesh.ping("a1", "c1", 2) is not None, "a1 still reaches c1")
        # c1, who is away when the coordinator comes back, is remembered, and b1 is not.
        mesh.nodes["c1"].stop()
        # Nor after everything began anew: the list is kept.
        for host in ("a1", "coord", "b1"):
            mesh.nodes[host].stop()
        mesh.start("coord", "a1", "b1")
        check(listed(mesh) - {"a1"} == {"c1"}, f"the coordinator lists {listed(mesh)}")
        check(mesh.nodes["a1"].ask("status")["certificate"]["revocations"] == 1, "a1 has the list after its restart")
        wait_until(lambda: any("is revoked" in (c.get("error") or "") for c in
                               mesh.nodes["b1"].ask("status")["coordinators"]), 10, "b1 is refused by the coordinator")
        # And never goes back.
        again = mesh.nodes["coord"].ask("revocations")
        check(again["epoch"] == 1 and again["entries"] == 1, f"the list: {again}")


def member_that_was_never_met_is_listed_by_its_certificate():
    """The coordinator hands certificates on: whom it cannot show one of is nobody, however it is asked for."""
    with Mesh(SITES, trust=True) as mesh:
        mesh.start("coord", "a1", "b1", "c1")
        mesh.wait_registered("a1", "b1", "c1")
        for away in (False, True):
            check({p["name"] for p in mesh.nodes["a1"].ask("peers")["peers"]} == {"b1", "c1"}, "a1 lists both")
            check(mesh.peer("a1", "c1")["certified"] is False, "and has no session with c1")
            check(mesh.nodes["a1"].ask("status")["peers"]["known"] == 2, "status counts both")
            check(mesh.counter("a1", "records_refused") == 0, "nothing was wrong with them")
            if not away:
                mesh.nodes["c1"].stop()
                wait_until(lambda: not mesh.peer("a1", "c1")["online"], 5, "the coordinator notices that c1 is away")
        # Its coordinator restarts and has not seen c1 since: the certificate is kept.
        for host in ("coord", "b1"):
            mesh.nodes[host].stop()
        mesh.start("coord", "b1")
        mesh.wait_registered("a1", "b1")
        check({p["name"] for p in mesh.nodes["b1"].ask("peers")["peers"]} == {"a1", "c1"}, "b1 lists c1 after it all")


def session_ends_with_the_certificate():
    """Two members in contact; the certificate of one ends 60 s (what clocks may differ) before a moment that is near."""
    net = "192.168.7.0/24"

    def kernel():
        return net in sh("ip", "-netns", mesh.lab.ns("a1"), "route", "show", "dev", "warren0")

    with Mesh(SITES[:2], trust=True) as mesh:
        left = 6 * FACTOR
        mesh.write_certificate("b1", certs.certificate(mesh.network, "b1", mesh.keys["b1"].public,
                                                       [mesh.overlay("b1")], ends=-60 + int(left), routes=[net]))
        mesh.configure_peer("a1", f'peer "b1" {{ routes = {{"{net}"}} }}\n')
        begin = time.monotonic()
        mesh.start("coord", "a1", "b1")
        check(mesh.ping("a1", "b1", 5) is not None, "a1 reaches b1 as long as it is good")
        wait_until(kernel, 3, "and the network behind it")
        wait_until(lambda: refused(mesh, "a1", "b1") == "we refuse the peer: its certificate has expired", left + 5,
                   "a1's session with b1 ends", begin)
        wait_until(lambda: not kernel(), 1, "the way to the network behind it is gone")
        check(mesh.ping("a1", "b1", 1) is None, "a1 reaches b1 no more")
        wait_until(lambda: listed(mesh) == {"a1"}, 12, "the coordinator lists b1 no more")


def damaged_list_of_the_revoked_stops_the_start():
    """Rather none than one that lets the revoked in again."""
    with Mesh(SITES[:1], trust=True) as mesh:
        whole = certs.revocations(mesh.network, 3, [mesh.keys["coord"].public])
        path = f"{mesh.dir}/a1.state/revocations"
        for data in (whole[:-1], whole[:40], b"", whole[:-1] + bytes([whole[-1] ^ 1])):
            with open(path, "wb") as f:
                f.write(data)
            mesh.nodes["a1"].start()
            check(mesh.nodes["a1"].process.wait(5 * FACTOR) == 1, "the daemon ends")
            mesh.nodes["a1"].process = None
            check("the list of revoked members cannot be used" in mesh.nodes["a1"].log().splitlines()[-1], "and says why")
        with open(path, "wb") as f:
            f.write(whole)
        mesh.start("a1")
        check(mesh.nodes["a1"].ask("status")["certificate"]["revocations"] == 3, "the whole one is taken")
        check(os.stat(path).st_size == len(whole), "and stays")


main(members_by_certificate_talk_and_others_do_not, revoked_member_is_out_everywhere_within_10_s,
     member_that_was_never_met_is_listed_by_its_certificate, session_ends_with_the_certificate,
     damaged_list_of_the_revoked_stops_the_start)
