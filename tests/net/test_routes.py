#!/usr/bin/env python3
# ctest: timeout=150 beside
"""A network behind a member is reached by those who named it, as far as its certificate goes, and by nobody else; and is out of the
kernel again within seconds of the end of any of that.

    coord
      |
    inet ---- [masquerade] ---- a1, a2    192.168.1.0/24: a1 is in front of it, a2 one of its hosts and no member
       `----- [masquerade] ---- b1, b2    192.168.2.0/24: the same with b1 and b2

In the LANs a2 and b2 have routes to the mesh and to the other LAN, through a1 and b1. A lying coordinator is in
test_hostile_coordinator.py.
"""
import contextlib
import json

from harness import Mesh, PROGRAMS, Pinger, Site, Transfer, check, first_answer, main, sh, wait_until
from natlab.tools import sysctl

LANS = {"a": "192.168.1.0/24", "b": "192.168.2.0/24"}
METRIC = 5000


def sites():
    return [Site("a", "port", hosts=2), Site("b", "port", hosts=2)]


def ip(mesh, host, *words):
    return sh("ip", "-netns", mesh.lab.ns(host), *words)


def become_gateway(mesh, host):
    sysctl(mesh.lab.ns(host), ipv4__ip_forward=1, ipv4__conf__all__rp_filter=0)


def lan_host(mesh, host, gateway):
    for net in ("10.77.0.0/16", *LANS.values()):
        if not mesh.lab.ip(host).startswith(net.removesuffix("0/24")):
            ip(mesh, host, "route", "add", net, "via", mesh.lab.ip(gateway))


@contextlib.contextmanager
def lans(**kw):
    with Mesh(sites(), **kw) as mesh:
        for gateway, host in (("a1", "a2"), ("b1", "b2")):
            become_gateway(mesh, gateway)
            lan_host(mesh, host, gateway)
        yield mesh


def names(peer, *nets):
    """A peer's block that uses these networks behind it."""
    return f'peer "{peer}" {{ routes = {{{", ".join(json.dumps(n) for n in nets)}}} }}\n'


def reload(mesh, host, extra):
    mesh.configure_peer(host, extra)
    r = mesh.ctl(host, "reload")
    check(r.returncode == 0, f"{host} reloads: {r.stderr}")


def kernel(mesh, host):
    """What the kernel of a host sends into the mesh, but for the mesh itself."""
    return {r["dst"]: r for r in json.loads(ip(mesh, host, "-j", "route", "show", "dev", "warren0")) if r.get("metric")}


def state(mesh, host, prefix, peer):
    """Its state, and what it overlaps with."""
    for r in mesh.nodes[host].ask("routes")["routes"]:
        if (r["prefix"], r["peer"]) == (prefix, peer):
            check(r["error"] is None, f"{host}: {r}")
            return r["state"] + (f" {r['with']}" if r["with"] else "")
    return None


def wait_state(mesh, host, prefix, peer, wanted, within=3):
    wait_until(lambda: state(mesh, host, prefix, peer) == wanted, within,
               f"{host}: {prefix} behind {peer} is {wanted} (is: {mesh.nodes[host].ask('routes')['routes']})")


def reaches(mesh, source, target, seconds):
    """One ping between two hosts of LANs, or a node and one."""
    return first_answer(mesh.lab, source, mesh.lab.ip(target), seconds)


def doctor(mesh, host, what):
    r = mesh.lab.run(host, [PROGRAMS["warrenctl"], "-s", mesh.nodes[host].control, "doctor", "--json"], capture_output=True, text=True)
    return next(f for f in json.loads(r.stdout)["findings"] if f["check"] == what)


def bytes_arrive(mesh, source, target, address):
    with Transfer(mesh.lab, source, target, address, mbit=0, total=400_000) as t:
        t.complete(10)


def lan_is_reached_through_its_gateway_as_its_certificate_says():
    with lans(trust=True) as mesh:
        mesh.certify("a1", "--route", LANS["a"], "--group", "gateways")
        mesh.certify("b1", "--route", LANS["b"])
        mesh.configure_peer("b1", names("a1", LANS["a"], "192.168.0.0/16"))
        # b1 is there first, and the coordinator knows no a1.
        mesh.start("coord", "b1")
        mesh.wait_registered("b1")
        wait_state(mesh, "b1", LANS["a"], "a1", "no member")
        check(not kernel(mesh, "b1"), "no route to nobody")
        mesh.start("a1")
        # The first packet for the LAN is what calls its gateway.
        wait_until(lambda: LANS["a"] in kernel(mesh, "b1"), 10, "the route is in b1's kernel")
        check(kernel(mesh, "b1")[LANS["a"]]["metric"] == METRIC, "with a metric that leaves the host's own before it")
        check(reaches(mesh, "b1", "a2", 5) is not None, "b1 reaches a2")
        check(state(mesh, "b1", LANS["a"], "a1") == "in use", "and says why")
        check(mesh.peer("b1", "a1")["routes"] == [LANS["a"]] and mesh.peer("b1", "a1")["groups"] == ["gateways"],
              f"peers has what the certificate says: {mesh.peer('b1', 'a1')}")
        check(state(mesh, "a1", LANS["a"], "a1") == "own", "a1 knows what is behind it")
        # What the certificate does not have is not used, whatever the file says.
        wait_state(mesh, "b1", "192.168.0.0/16", "a1", "not certified")
        check(set(kernel(mesh, "b1")) == {LANS["a"]}, f"b1's kernel has {kernel(mesh, 'b1')}")
        check(any("192.168.0.0/16" in n for n in mesh.nodes["b1"].ask("status")["notices"]), "b1 complains")
        # From the LAN: to the node, by ping and TCP, and back.
        check(first_answer(mesh.lab, "a2", mesh.overlay("b1"), 3) is not None, "a2 reaches b1")
        bytes_arrive(mesh, "a2", "b1", mesh.overlay("b1"))
        bytes_arrive(mesh, "b1", "a2", mesh.lab.ip("a2"))
        # No endpoint within the LAN is used to reach the gateway itself.
        tried, = (p["paths"] for p in mesh.nodes["b1"].ask("paths")["peers"] if p["peer"] == "a1")
        within = [p for p in tried if (p["remote"] or "").startswith("192.168.1.")]
        check(within and all(p["note"] == "not used: the way there leads into warren0" for p in within), f"b1 tries {tried}")
        # a1 has not asked for what is behind b1: no route, and every packet of it is dropped and counted.
        check(state(mesh, "a1", LANS["b"], "b1") == "not accepted", "a1 is offered b1's LAN")
        check(not kernel(mesh, "a1"), f"a1's kernel has {kernel(mesh, 'a1')}")
        before = mesh.counter("a1", "drop_source")
        check(reaches(mesh, "b2", "a2", 1) is None, "a2 is not reached from b2")
        check(mesh.counter("a1", "drop_source") > before, "a1 counts it")
        # Now it does: site to site, both ways.
        reload(mesh, "a1", names("b1", LANS["b"]))
        wait_until(lambda: set(kernel(mesh, "a1")) == {LANS["b"]}, 2, "a1 has the route")
        check(reaches(mesh, "b2", "a2", 3) is not None and reaches(mesh, "a2", "b2", 3) is not None, "LAN to LAN")
        bytes_arrive(mesh, "b2", "a2", mesh.lab.ip("a2"))
        # A source that is in neither network gets no further than the own gateway.
        ip(mesh, "a2", "address", "add", "192.168.77.7/32", "dev", "eth0")
        before = mesh.counter("a1", "drop_source")
        check(first_answer(mesh.lab, "a2", mesh.lab.ip("b2"), 1, source="192.168.77.7") is None, "from nowhere")
        check(mesh.counter("a1", "drop_source") > before, "a1 counts that too")
        # Withdrawn by the file of one, and by the revocation of the other.
        reload(mesh, "a1", "")
        wait_until(lambda: not kernel(mesh, "a1"), 2, "a1's route is gone")
        check(reaches(mesh, "b2", "a2", 1) is None, "a2 is not reached from b2 any more")
        check(reaches(mesh, "b1", "a2", 2) is not None, "b1 still reaches a2")
        r = mesh.ctl("coord", "node", "revoke", "a1", "--signing-key", mesh.network.path)
        check(r.returncode == 0, f"revoke: {r.stderr}")
        wait_until(lambda: not kernel(mesh, "b1"), 10, "b1's route is gone")
        check(reaches(mesh, "b1", "a2", 1) is None, "b1 does not reach a2 any more")
        check(state(mesh, "b1", LANS["a"], "a1") in ("no member", "not certified"), "and says why")


def without_a_network_key_both_files_name_it():
    with lans() as mesh:
        own = f'routes = {{"{LANS["a"]}"}}\n'
        sysctl(mesh.lab.ns("a1"), ipv4__ip_forward=0)
        mesh.configure_peer("a1", own)
        mesh.configure_peer("b1", names("a1", LANS["a"]))
        # A member is one before it is there; whoever is first asks for it.
        mesh.start("coord", "a1", "b1")
        mesh.wait_registered("a1", "b1")
        wait_state(mesh, "b1", LANS["a"], "a1", "in use")
        found = doctor(mesh, "a1", "forwarding")
        check(found["state"] == "bad" and found["mend"] == "sysctl -w net.ipv4.ip_forward=1", f"doctor: {found}")
        check(reaches(mesh, "b1", "a2", 1) is None, "nothing is forwarded yet")
        become_gateway(mesh, "a1")
        check(doctor(mesh, "a1", "forwarding")["state"] == "ok", "doctor is content")
        check(reaches(mesh, "b1", "a2", 5) is not None, "b1 reaches a2")
        # IPv6 within, to an address of the gateway's own; and back to the one network.
        ip(mesh, "a1", "address", "add", "fd07::1/128", "dev", "lo")
        reload(mesh, "a1", f'routes = {{"{LANS["a"]}", "fd07::/48"}}\n')
        reload(mesh, "b1", names("a1", "fd07::/48"))
        check(first_answer(mesh.lab, "b1", "fd07::1", 5) is not None, "b1 reaches the network over IPv6")
        wait_until(lambda: not kernel(mesh, "b1"), 2, "and has left the other")
        reload(mesh, "b1", names("a1", LANS["a"]))
        wait_until(lambda: "fd07::" not in ip(mesh, "b1", "-6", "route"), 2, "the route of IPv6 is gone")
        # The host is in such a network itself: its own route goes before, and is left alone.
        ip(mesh, "b1", "link", "add", "lan9", "type", "bridge")
        ip(mesh, "b1", "link", "set", "lan9", "up")
        ip(mesh, "b1", "address", "add", "192.168.1.99/24", "dev", "lan9")
        wait_state(mesh, "b1", LANS["a"], "a1", "overlaps lan9")
        found = doctor(mesh, "b1", "routes")
        check(found["state"] == "warn" and "lan9" in found["message"], f"doctor: {found}")
        ip(mesh, "b1", "link", "del", "lan9")
        wait_state(mesh, "b1", LANS["a"], "a1", "in use")
        # Whoever takes the interface down takes its routes away, and the addresses of IPv6; they come back.
        ip(mesh, "b1", "link", "set", "warren0", "down")
        check(not kernel(mesh, "b1"), "no route is left")
        ip(mesh, "b1", "link", "set", "warren0", "up")
        wait_until(lambda: LANS["a"] in kernel(mesh, "b1"), 5, "the route is back")
        check(reaches(mesh, "b1", "a2", 5) is not None, "b1 reaches a2 again")
        check(mesh.ping("b1", "a1", 2, six=True) is not None, "and a1 over IPv6")
        # A member no more.
        mesh.configure_coordinator(["b1"])
        check(mesh.ctl("coord", "reload").returncode == 0, "the coordinator reloads")
        wait_until(lambda: not kernel(mesh, "b1"), 5, "the route is gone")
        check(state(mesh, "b1", LANS["a"], "a1") == "no member", "and b1 says why")


def another_gateway_takes_over():
    with Mesh([Site("a", "open", hosts=2), Site("b", "open")]) as mesh:
        net = "192.168.7.0/24"
        for host in ("a1", "a2"):
            mesh.configure_peer(host, f'routes = {{"{net}"}}\n')
            ip(mesh, host, "address", "add", "192.168.7.1/32", "dev", "lo")
        mesh.configure_peer("b1", names("a1", net) + names("a2", net))
        mesh.start("coord", "a1", "a2", "b1")
        mesh.wait_registered("a1", "a2", "b1")
        wait_until(lambda: {state(mesh, "b1", net, h) for h in ("a1", "a2")} in
                   ({"in use", "overlaps a1"}, {"in use", "overlaps a2"}), 3, "one of the two has it")
        first, second = sorted(("a1", "a2"), key=lambda h: state(mesh, "b1", net, h) != "in use")
        with Pinger(mesh.lab, "b1", "192.168.7.1") as pinger:
            wait_until(lambda: pinger.answered, 5, "b1 reaches the network")
            mesh.nodes[first].kill()
            wait_state(mesh, "b1", net, second, "in use", within=20)
            seen = len(pinger.answered)
            wait_until(lambda: len(pinger.answered) > seen + 5, 5, "through the other gateway")
        check(mesh.counter(second, "tun_tx_packets") > 5, "that one has had the packets")
        wait_state(mesh, "b1", net, first, f"overlaps {second}")
        check(list(kernel(mesh, "b1")) == [net], "one route in the kernel")


main(lan_is_reached_through_its_gateway_as_its_certificate_says, without_a_network_key_both_files_name_it,
     another_gateway_takes_over)
