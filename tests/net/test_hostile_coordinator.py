#!/usr/bin/env python3
# ctest: timeout=150 beside
"""A coordinator that lies gets no session, no address, no byte: certificates under the network key say who is who.

    coord (no network_key: it takes and tells whatever its file says)
      |
    inet ---- [open] ---- a1   member by certificate
        |---- [open] ---- b1   member by certificate
        `---- [open] ---- c1   member by certificate, or the coordinator's own creature

The coordinator is an honest program with a dishonest file: one that knows no network key believes its member blocks, lists whom it
likes under any name, key and address, and lets revocation lists pass by without a word.
"""
import os
import time

import certs
from harness import Mesh, Site, check, main, wait_until

SITES = [Site("a", "open"), Site("b", "open"), Site("c", "open")]


def members(mesh, *blocks):
    """Blocks of (name, whose key, whose address)."""
    return "".join(f'member "{name}" {{ public_key = "{mesh.keys[key].public}"  address = "{mesh.overlay(address)}"  '
                   f'address6 = "{mesh.overlay(address, six=True)}" }}\n' for name, key, address in blocks)


def tell(mesh, *blocks):
    mesh.configure_coordinator(members(mesh, *blocks))


def own_addresses(mesh, host):
    return [a.split("/")[0] for a in mesh.nodes[host].ask("status")["addresses"]]


def written(mesh, host):
    """Packets that came out of the tunnel at a host."""
    return mesh.counter(host, "tun_tx_packets")


def reaches(mesh, source, target, seconds=2):
    """Does anything of a ping come out at the target, or back?"""
    before = written(mesh, target)  # the source's own tunnel says "unreachable"
    return mesh.ping(source, target, seconds) is not None or written(mesh, target) != before


def refused(mesh, host, other):
    document = mesh.nodes[host].ask("why", peer=other)
    return document["cause"] == "key-refused" and document["state"] == "down"


TRUE = (("a1", "a1", "a1"), ("b1", "b1", "b1"), ("c1", "c1", "c1"))


def member_of_its_own_gets_no_session():
    with Mesh(SITES, trust=True, members="-") as mesh:
        tell(mesh, *TRUE)
        other = type(mesh.network)(f"{mesh.dir}/other.key", "--network")
        mesh.configure_peer("c1", trust=False)  # the creature: knows no network key and shows nothing
        mesh.start("coord", "a1", "b1", "c1")
        mesh.wait_registered("a1", "b1", "c1")
        check(mesh.ping("a1", "b1", 5) is not None, "members reach each other through it all the same")
        check(not reaches(mesh, "a1", "c1"), "a1 does not reach what has no certificate, not with a byte")
        check(not reaches(mesh, "c1", "a1"), "nor is reached by it")
        check(refused(mesh, "a1", "c1"), f"a1 says why: {mesh.nodes['a1'].ask('why', peer='c1')}")
        check(refused(mesh, "c1", "a1"), "and c1 is told")
        check(mesh.kind("a1", "c1") is None, "there is no path")
        # The same with a certificate that the coordinator's friends have signed.
        mesh.nodes["c1"].stop()
        mesh.write_certificate("c1", certs.certificate(other, "c1", mesh.keys["c1"].public, [mesh.overlay("c1")]))
        mesh.nodes["c1"].conf, true = f"{mesh.dir}/c1-other.conf", mesh.nodes["c1"].conf
        with open(true) as f, open(mesh.nodes["c1"].conf, "w") as out:
            out.write(f.read() + f'network_key = "{other.public}"\ncertificate_file = "{mesh.dir}/c1.cert"\n')
        mesh.start("c1")
        check(not reaches(mesh, "a1", "c1") and not reaches(mesh, "c1", "a1"), "nor with another network's")


def swapped_addresses_lead_to_nobody_else():
    with Mesh(SITES, trust=True, members="-") as mesh:
        tell(mesh, ("a1", "a1", "a1"), ("b1", "b1", "c1"), ("c1", "c1", "b1"))
        mesh.start("coord", "a1", "b1", "c1")
        mesh.wait_registered("a1", "b1", "c1")
        # Whom it gives another's address does not take it.
        for host in ("b1", "c1"):
            check(own_addresses(mesh, host) == [], f"{host} has {own_addresses(mesh, host)}")
            check(mesh.counter(host, "records_refused") >= 1, f"{host} counts it")
        check(own_addresses(mesh, "a1") == [mesh.overlay("a1"), mesh.overlay("a1", six=True)], "a1 has its own")
        check(mesh.ping("a1", "b1", 3) is None, "what is for b1's address is answered by nobody")
        check(written(mesh, "c1") == 0, "and c1 has not seen it")


def swapped_keys_change_no_session():
    """In the middle of a conversation the coordinator says that b1's name and address are c1's key's."""
    with Mesh(SITES, trust=True, members="-") as mesh:
        tell(mesh, *TRUE)
        mesh.start("coord", "a1", "b1", "c1")
        mesh.wait_registered("a1", "b1", "c1")
        check(mesh.ping("a1", "b1", 5) is not None, "a1 reaches b1")
        mesh.wait_path("a1", "b1", "direct", within=5)
        tell(mesh, ("a1", "a1", "a1"), ("b1", "c1", "b1"), ("c1", "b1", "c1"))
        check(mesh.ctl("coord", "reload").returncode == 0, "the coordinator begins to lie")
        mesh.nodes["a1"].ask("peers")  # fetches its list
        for _ in range(3):
            check(mesh.ping("a1", "b1", 2) is not None, "b1 still is b1")
        check(written(mesh, "c1") == 0, "c1 has got nothing of it")
        check(mesh.peer("a1", "b1")["key"] == mesh.keys["b1"].public, "its key is what its certificate says")
        check(mesh.counter("a1", "records_refused") >= 1, "and the lie is counted")


def hidden_revocation_spreads_from_node_to_node():
    with Mesh(SITES, trust=True, members="-") as mesh:
        tell(mesh, *TRUE)
        kept = f"{mesh.dir}/a1.state/revocations"
        with open(kept, "wb") as f:
            f.write(certs.revocations(mesh.network, 2, [mesh.keys["b1"].public]))
        mesh.start("coord", "a1", "b1", "c1")
        mesh.wait_registered("a1", "b1", "c1")
        check(mesh.ping("a1", "b1", 2) is None, "a1, who knows, has no session with b1")
        check(refused(mesh, "a1", "b1"), "and says why")
        check(mesh.ping("c1", "b1", 5) is not None, "c1, who does not know, has")
        check(mesh.ping("c1", "a1", 5) is not None, "until it meets a1")
        since = time.monotonic()
        wait_until(lambda: refused(mesh, "c1", "b1"), 10, "c1's session with b1 ends", since)
        check(mesh.ping("c1", "b1", 1) is None, "c1 reaches b1 no more")
        check(os.path.exists(f"{mesh.dir}/c1.state/revocations"), "c1 keeps the list")
        # An older one, put in its place by whoever has the disk of a1, is no way back: c1 brings the newer.
        mesh.nodes["a1"].stop()
        with open(kept, "wb") as f:
            f.write(certs.revocations(mesh.network, 1, []))
        mesh.start("a1")
        check(mesh.ping("a1", "c1", 10) is not None, "a1 meets c1 again")
        wait_until(lambda: mesh.nodes["a1"].ask("status")["certificate"]["revocations"] == 2, 5, "a1 has the newer list")
        check(mesh.ping("a1", "b1", 1) is None, "a1 has no session with b1")


main(member_of_its_own_gets_no_session, swapped_addresses_lead_to_nobody_else, swapped_keys_change_no_session,
     hidden_revocation_spreads_from_node_to_node)
