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
import re
import time

import certs
from harness import Mesh, Site, check, first_answer, main, sh, wait_until

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


def seen(mesh, host):
    """Whom a person who looks at this host sees."""
    peers, status = mesh.nodes[host].ask("peers")["peers"], mesh.nodes[host].ask("status")["peers"]
    names = {p["name"] for p in peers}
    check(status["known"] == len(names), f"status counts {status['known']}, peers lists {names}")
    check({p["peer"] for p in mesh.nodes[host].ask("paths")["peers"]} <= names, "paths lists others")
    labels = set(re.findall(r'^warren_peer_info{peer="([^"]*)"', mesh.nodes[host].ask("metrics")["text"], re.M))
    check(labels == names, f"metrics name {labels}, peers {names}")
    counted = sum(int(n) for n in re.findall(r"^warren_peers{.*} (\d+)", mesh.nodes[host].ask("metrics")["text"], re.M))
    check(counted == len(names), f"metrics count {counted}, peers lists {names}")
    return names


def unknown(mesh, host, other):
    """Asked for by name, address and key."""
    words = [other, mesh.overlay(other), mesh.keys[other].public]
    return all(f'no peer "{w}" is known' in mesh.ctl(host, verb, *args, w).stderr
               for w in words for verb, args in (("why", ()), ("ping", ("-c", "1")), ("paths", ())))


TRUE = (("a1", "a1", "a1"), ("b1", "b1", "b1"), ("c1", "c1", "c1"))


def member_of_its_own_gets_no_session():
    with Mesh(SITES, trust=True, members="-") as mesh:
        tell(mesh, *TRUE)
        other = type(mesh.network)(f"{mesh.dir}/other.key", "--network")
        mesh.configure_peer("a1", "metrics { peer_labels = true }")
        mesh.configure_peer("c1", trust=False)  # the creature: knows no network key and shows nothing
        mesh.start("coord", "a1", "b1", "c1")
        mesh.wait_registered("a1", "b1", "c1")
        check(seen(mesh, "a1") == set(), f"of whom a1 has seen no certificate it shows nothing: {seen(mesh, 'a1')}")
        check(mesh.ping("a1", "b1", 5) is not None, "members reach each other through it all the same")
        check(seen(mesh, "a1") == {"b1"}, "and see each other then")
        check(not reaches(mesh, "a1", "c1"), "a1 does not reach what has no certificate, not with a byte")
        check(not reaches(mesh, "c1", "a1"), "nor is reached by it")
        check(seen(mesh, "a1") == {"b1"}, f"nor sees it: {seen(mesh, 'a1')}")
        check(unknown(mesh, "a1", "c1"), "a1 knows of no c1, whatever it is asked for")
        check(refused(mesh, "c1", "a1"), "but c1 is told why")
        # Nor after a restart, though the coordinator is away: it is not kept.
        for host in ("coord", "a1"):
            mesh.nodes[host].stop()
        mesh.start("a1")
        check(seen(mesh, "a1") == {"b1"}, f"a1 kept {seen(mesh, 'a1')}")
        mesh.start("coord")
        mesh.wait_registered("a1", "b1", "c1", within=10)
        check(seen(mesh, "a1") == {"b1"}, f"and sees {seen(mesh, 'a1')}")
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


def network_behind_a_member_is_nobody_elses_nor_any_wider():
    """b1 uses 192.168.7.0/24 behind a1. The coordinator says that a1 is c1's key; and that a1's network is wider it has no words for."""
    net, inside, beside = "192.168.7.0/24", "192.168.7.1", "192.168.8.1"
    with Mesh(SITES, trust=True, members="-") as mesh:
        tell(mesh, ("a1", "c1", "a1"), ("b1", "b1", "b1"), ("c1", "a1", "c1"))
        mesh.certify("a1", "--route", net)
        mesh.certify("c1", "--route", "192.168.8.0/24")
        mesh.configure_peer("b1", f'peer "a1" {{ routes = {{"{net}", "192.168.0.0/16"}} }}\n')
        mesh.start("coord", "a1", "b1", "c1")
        mesh.wait_registered("a1", "b1", "c1")
        check(first_answer(mesh.lab, "b1", inside, 3) is None, "nobody answers for the network")
        check(written(mesh, "c1") == 0, "and c1 has not seen what was for it")
        # It tells the truth of who is who: the network is a1's, and what its certificate lacks is still nobody's.
        tell(mesh, *TRUE)
        check(mesh.ctl("coord", "reload").returncode == 0, "the coordinator tells the truth")
        for host in "b1", "a1", "c1":
            mesh.nodes[host].stop()
        mesh.start("a1", "b1", "c1")
        sh("ip", "-netns", mesh.lab.ns("a1"), "address", "add", inside + "/32", "dev", "lo")
        check(first_answer(mesh.lab, "b1", inside, 8) is not None, "a1 answers for its network")
        check(first_answer(mesh.lab, "b1", beside, 1) is None, "and for no wider one")
        check(written(mesh, "c1") == 0, "nor is that c1's")
        states = {r["prefix"]: r["state"] for r in mesh.nodes["b1"].ask("routes")["routes"] if r["peer"] == "a1"}
        check(states == {net: "in use", "192.168.0.0/16": "not certified"}, f"b1 says {states}")


main(member_of_its_own_gets_no_session, swapped_addresses_lead_to_nobody_else, swapped_keys_change_no_session,
     hidden_revocation_spreads_from_node_to_node, network_behind_a_member_is_nobody_elses_nor_any_wider)
