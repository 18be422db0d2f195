#!/usr/bin/env python3
# ctest: timeout=120 beside
"""A port that the gateway maps opens what no punching opens, is given back, and is there again when the gateway forgot it.

    coord
      |
    inet ---- [masquerade fully-random, the real miniupnpd: PCP, NAT-PMP, UPnP IGD] ---- a1 (a2)
        `---- [masquerade fully-random] ---- b1
"""
import contextlib
import json
import os
import re
import select
import shutil
import socket
import sys
import time

from gateways import NatPmp, SlowIgd
from harness import FACTOR, Capture, Cgn, Mesh, Site, check, main, nft, wait_until


def portmap(mesh, host="a1", family="ipv4"):
    return mesh.nodes[host].ask("netcheck", wait=False)["portmap"][family]


def mapping(mesh, host="a1"):
    """The mapping of the node's own UDP port, once it is granted."""
    return next((m for m in portmap(mesh, host)["mappings"] if m["granted"] and m["protocol"] == "udp"), None)


def rules(mesh, site="a"):
    """What the gateway forwards: {(protocol number, outside port): "address:port"}."""
    listed = nft(mesh.lab.gw(site), "list chain inet natlab_upnp prerouting_miniupnpd\n")
    return {(int(m[1], 16), int(m[2])): m[3] for m in
            re.finditer(r"@nh,72,8 0x(\w+) th dport (\d+) dnat ip to ([\d.:]+)", listed)}


def wait_mapped(mesh, host="a1", within=3):
    return wait_until(lambda: mapping(mesh, host), within, f"{host}: its port is mapped")


def symmetric_meets_symmetric_directly():
    with Mesh([Site("a", "symrand", upnp=True), Site("b", "symrand")]) as mesh:
        check(rules(mesh) == {}, "the gateway maps something before anybody asked")
        mesh.start("coord", "a1", "b1")
        mesh.wait_registered("a1", "b1")
        m = wait_mapped(mesh)
        port = mesh.nodes["a1"].ask("status")["underlay"]["port"]
        check(m["external"] == f"{mesh.lab.pub['a']}:{port}", f"mapped is {m}")
        check(m["by"] == "pcp" and m["lifetime_s"] == 7200 and m["protocol"] == "udp" and m["error"] is None, f"mapped is {m}")
        inside = f"{mesh.lab.ip('a1')}:{port}"
        wait_until(lambda: rules(mesh) == {(17, port): inside, (6, port): inside}, 1, "the gateway forwards UDP and TCP")
        check(mesh.nodes["a1"].ask("status")["underlay"]["portmap"] == {"endpoint": m["external"], "by": "pcp"}, "status")

        begin = time.monotonic()
        check(mesh.ping("b1", "a1", 1) is not None, "a ping is answered")
        mesh.wait_path("a1", "b1", "direct", within=2, since=begin)
        check(mesh.path("b1", "a1")["remote"] == m["external"], "b1 reaches a1 where its gateway lets it in")
        row = next(p for p in mesh.nodes["b1"].ask("paths", peer="a1")["peers"][0]["paths"] if p["remote"] == m["external"])
        check(row["candidate"] == "mapped" and row["state"] == "in use", f"paths says {row}")
        said = mesh.ctl("a1", "netcheck").stdout
        check(f"udp {port} is {m['external']} by pcp, for 7200 s" in said, f"netcheck says: {said}")

        mesh.nodes["a1"].stop()
        wait_until(lambda: rules(mesh) == {}, 1, "the gateway forwards nothing any more")


def each_protocol_alone():
    sites = (("a", "pcp", "pcp", {"pcp": "yes", "nat_pmp": "no", "upnp": "not tried"}),
             ("b", "natpmp", "nat-pmp", {"pcp": "no", "nat_pmp": "yes", "upnp": "not tried"}),
             ("c", "igd", "upnp", {"pcp": "no", "nat_pmp": "no", "upnp": "yes"}))
    with Mesh([Site(name, "symrand", upnp=True, maps=speaks) for name, speaks, _, _ in sites]) as mesh:
        mesh.start("coord", "a1", "b1", "c1")
        for name, speaks, by, answers in sites:
            host = name + "1"
            m = wait_mapped(mesh, host, within=5)
            check(m["by"] == by and m["external"].startswith(mesh.lab.pub[name] + ":"), f"{speaks}: mapped is {m}")
            inside = f"{mesh.lab.ip(host)}:{m['port']}"
            wait_until(lambda: list(rules(mesh, name).values()) == [inside, inside], 2, f"{speaks}: {name} forwards both ports")
            wait_until(lambda: {p: portmap(mesh, host)[p]["state"] for p in answers} == answers, 6,
                       f"{speaks}: netcheck tells {answers}")
            mesh.nodes[host].stop()
            wait_until(lambda: rules(mesh, name) == {}, 1, f"{speaks}: the gateway forwards nothing any more")


def a_gateway_that_restarted_is_asked_again():
    with Mesh([Site("a", "symrand", upnp=True)]) as mesh:
        mesh.start("coord", "a1")
        first = wait_mapped(mesh)
        mesh.lab.stop_miniupnpd("a")
        mesh.lab.start_miniupnpd("a")
        check(rules(mesh) == {}, "the gateway did not forget")
        wait_until(lambda: len(rules(mesh)) == 2, 10, "the mappings are made again")
        check(mapping(mesh)["external"] == first["external"], "at the endpoint that others know")

        # A life that ended without giving anything back; the gateway remembers, and knows the one who asks.
        mesh.nodes["a1"].kill()
        check(rules(mesh), "nobody gave the mapping back")
        mesh.start("a1")
        check(wait_mapped(mesh)["by"] == "pcp", "PCP renews what the life before made")
        check(len(rules(mesh)) == 2, f"the gateway has {rules(mesh)}")


def whoever_has_no_udp_connects_to_the_mapped_tcp_port():
    with Mesh([Site("a", "symrand", upnp=True), Site("b", "udpblocked")]) as mesh:
        mesh.start("coord", "a1", "b1")
        mesh.wait_registered("a1", "b1")
        external = wait_mapped(mesh)["external"]
        check(mesh.ping("b1", "a1", 5) is not None, "a ping is answered")
        mesh.wait_path("a1", "b1", "tcp", within=10)
        check(mesh.path("b1", "a1")["remote"] == external, f"the path is {mesh.path('b1', 'a1')}")
        row = next(p for p in mesh.nodes["b1"].ask("paths", peer="a1")["peers"][0]["paths"] if p["state"] == "in use")
        check(row["candidate"] == "tcp-mapped", f"paths says {row}")


def a_program_hears_of_the_endpoints():
    with Mesh([Site("a", "port", upnp=True)]) as mesh:
        heard, program = f"{mesh.dir}/heard", f"{mesh.dir}/program"
        with open(os.open(program, os.O_WRONLY | os.O_CREAT, 0o700), "w") as f:
            f.write(f"#!/bin/sh\ncat >>{heard}\n[ ! -e {heard}.hang ] || sleep 100\n")
        mesh.configure_peer("a1", f'on_mapping_change = "{program}"\nlisten {{ portmap = off }}')
        mesh.start("coord", "a1")

        def said():
            with contextlib.suppress(FileNotFoundError), open(heard) as f:
                return [json.loads(line) for line in f]
            return []

        def told(kind):
            documents = said()
            return documents and (documents[-1]["udp"]["ipv4"] or {}).get("kind") == kind and documents[-1]
        port = mesh.nodes["a1"].ask("status")["underlay"]["port"]
        d = wait_until(lambda: told("reflexive"), 4, "it hears of the reflexive endpoint")
        check(d["schema"] == "warren.endpoints/1" and d["self"] == "a1" and d["udp"]["port"] == port, f"{d}")
        check(d["udp"]["ipv4"]["address"] == mesh.lab.pub["a"], f"{d}")
        mesh.configure_peer("a1", f'on_mapping_change = "{program}"')
        check(mesh.ctl("a1", "reload").returncode == 0, "reload")
        d = wait_until(lambda: told("mapped"), 4, "it hears of the mapped one")
        check(d["udp"]["ipv4"]["endpoint"] == f"{mesh.lab.pub['a']}:{port}", f"{d}")
        check(wait_until(lambda: (said()[-1]["tcp"]["ipv4"] or {}).get("endpoint"), 3, "TCP") == f"{mesh.lab.pub['a']}:{port}",
              "it hears of TCP")
        runs = mesh.nodes["a1"].ask("status")["on_mapping_change"]
        check(runs["program"] == program and runs["error"] is None and runs["runs"] == len(said()), f"{runs}, heard {said()}")
        with open(heard + ".hang", "w"):
            pass
        mesh.lab.rebind("a", "9.0.113.99")
        wait_until(lambda: said()[-1]["udp"]["ipv4"]["address"] == "9.0.113.99", 30, "it hears of another address")
        begin = time.monotonic()
        mesh.nodes["a1"].stop()  # while it hangs
        check(time.monotonic() - begin < 2, "the daemon does not wait for it")


def switched_off_asks_nobody():
    with Mesh([Site("a", "symrand", upnp=True)]) as mesh:
        mesh.configure_peer("a1", "listen { portmap = off }")
        with Capture(mesh.lab.gw("a"), "lan") as lan:
            mesh.start("coord", "a1")
            mesh.wait_registered("a1")
            check(mesh.nodes["a1"].ask("netcheck", wait=False)["portmap"] == {"enabled": False, "ipv4": None, "ipv6": None}, "netcheck")
            check("portmap       off" in mesh.ctl("a1", "netcheck").stdout, "netcheck says it is off")
            time.sleep(1)  # four times as long as it takes to ask by all three
        ports = [int.from_bytes(frame[36:38], "big") for frame, _ in lan.udp(source=mesh.lab.ip("a1"))]
        check(ports and not {5351, 1900} & set(ports), f"sent to the ports {ports}")
        mesh.configure_peer("a1", "listen { portmap = auto }")
        check(mesh.ctl("a1", "reload").returncode == 0, "reload")
        wait_mapped(mesh)
        mesh.configure_peer("a1", "listen { portmap = off }")
        check("listen.portmap" in mesh.ctl("a1", "reload").stdout, "reload says what it applied")
        wait_until(lambda: rules(mesh) == {}, 3, "given back")


def another_network_is_another_gateway():
    with Mesh([Site("a", "symrand", upnp=True), Site("c", "symrand", upnp=True, maps="igd"), Site("b", "symrand")]) as mesh:
        mesh.start("coord", "a1")
        check(wait_mapped(mesh)["external"].startswith(mesh.lab.pub["a"] + ":"), "mapped at home")
        mesh.lab.roam("a1", "c")
        wait_until(lambda: (mapping(mesh) or {"external": ""})["external"].startswith(mesh.lab.pub["c"] + ":"), 5,
                   "mapped where it is now")
        check(mapping(mesh)["by"] == "upnp", "by what is spoken there")
        check(portmap(mesh)["gateway"] == "192.168.2.1", f"{portmap(mesh)}")


def two_homes_behind_one_carrier_meet_at_their_outer_addresses():
    """The carrier's NAT does not loop; the gateways map nothing, and only say what address they have from the carrier."""
    with Mesh([Site("a", "port", cgn="isp"), Site("b", "port", cgn="isp")], [Cgn("isp", "port")]) as mesh:
        mesh.start("coord", "a1", "b1")
        mesh.wait_registered("a1", "b1")
        mesh.ping("a1", "b1", 1)
        time.sleep(2)
        check(mesh.kind("a1", "b1") == "relay", "without the outer addresses they are relayed")
        with NatPmp(mesh.lab, "a", mesh.lab.pub["a"]) as a, NatPmp(mesh.lab, "b", mesh.lab.pub["b"]):
            for host in ("a1", "b1"):
                mesh.nodes[host].stop()
            mesh.start("a1", "b1")
            wait_until(lambda: portmap(mesh)["external"] == mesh.lab.pub["a"] and a.refused, 3, "the gateway is asked")
            check(portmap(mesh)["double_nat"] is True, "netcheck sees the second NAT")
            check("there is another NAT behind it" in mesh.ctl("a1", "netcheck").stdout, "netcheck says so")
            check(portmap(mesh)["nat_pmp"] == {"state": "no", "error": "not authorized"}, f"{portmap(mesh)}")
            check(mapping(mesh) is None and mesh.nodes["a1"].ask("status")["underlay"]["portmap"] is None, "nothing is mapped")
            check(mesh.ping("a1", "b1", 3) is not None, "a ping is answered")
            for host, other in (("a1", "b1"), ("b1", "a1")):
                port = mesh.nodes[other].ask("status")["underlay"]["port"]
                wait_until(lambda: mesh.path(host, other).get("remote") == f"{mesh.lab.pub[other[0]]}:{port}", 3,
                           f"{host} reaches {other} at its gateway's outer address")


def an_ipv6_firewall_gets_a_pinhole():
    with Mesh([Site("a", "port", upnp=True, v6="fw"), Site("e", "open", v6="open")]) as mesh:
        def can_connect(port, seconds):
            with mesh.lab.socket("e1", socket.AF_INET6, socket.SOCK_STREAM) as s:
                s.connect_ex((mesh.lab.ip6("a1"), port))
                return bool(select.select([], [s], [], seconds)[1]) and s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        mesh.configure_peer("a1", "listen { portmap = off }")
        mesh.start("coord", "a1")
        port = mesh.nodes["a1"].ask("status")["underlay"]["port"]
        check(not can_connect(port, 0.5), "the firewall lets strangers in")
        mesh.configure_peer("a1")
        check(mesh.ctl("a1", "reload").returncode == 0, "reload")
        outside = f"[{mesh.lab.ip6('a1')}]:{port}"
        wait_until(lambda: [m["external"] for m in portmap(mesh, family="ipv6")["mappings"] if m["by"] == "pcp"] == [outside] * 2, 3,
                   "a pinhole for UDP and one for TCP")
        check(can_connect(port, 2), "a stranger connects through the pinhole")
        mesh.nodes["a1"].stop()
        wait_until(lambda: str(port) not in nft(mesh.lab.gw("a"), "list chain inet natlab_upnp miniupnpd\n"), 1, "closed again")


def a_slow_gateway_and_a_false_one_hold_up_nobody():
    with Mesh([Site("a", "port"), Site("c", "port", hosts=2)]) as mesh:
        slow = SlowIgd(mesh.lab, mesh.lab.gw("a"), mesh.lab.lans["a"][0] + "1")
        false = SlowIgd(mesh.lab, mesh.lab.ns("c2"), mesh.lab.ip("c2"))
        with slow, false:
            mesh.start("coord", "a1", "c1")
            mesh.wait_registered("a1", "c1")
            wait_until(lambda: slow.connections, 5, "the slow gateway is asked for its description")
            check(portmap(mesh)["upnp"]["state"] == "asking", f"{portmap(mesh)}")
            check(mesh.ping("a1", "c1", 2) is not None, "a ping is answered meanwhile")
            mesh.wait_path("a1", "c1", "direct", within=2)
            # Another host of the LAN says that it is the gateway.
            wait_until(lambda: portmap(mesh, "c1")["upnp"] == {"state": "no", "error": "no answer"}, 6, "nobody true answers")
            check(false.searches > 0 and false.connections == 0, f"{false.searches} searches, {false.connections} connections")
            wait_until(lambda: portmap(mesh)["upnp"] == {"state": "no", "error": "it answers too slowly"}, 10, "given up")
            begin = time.monotonic()
            mesh.nodes["a1"].stop()  # a thread still waits for the gateway
            check(time.monotonic() - begin < 2, "the daemon ends at once")


def the_end_waits_for_no_gateway_that_is_still_looked_for():
    with Mesh([Site("a", "port")]) as mesh:
        mesh.start("coord", "a1")
        mesh.wait_registered("a1")
        wait_until(lambda: portmap(mesh)["upnp"]["state"] == "asking", 3, "UPnP looks for a gateway")
        begin = time.monotonic()
        mesh.nodes["a1"].stop()
        took = time.monotonic() - begin
        check(took < 0.5 * FACTOR, f"the daemon took {took:.2f} s to end")


if not shutil.which("miniupnpd", path="/usr/sbin:/usr/bin"):
    print("skipped: no miniupnpd")
    sys.exit(77)
main(symmetric_meets_symmetric_directly, each_protocol_alone, a_gateway_that_restarted_is_asked_again,
     whoever_has_no_udp_connects_to_the_mapped_tcp_port, a_program_hears_of_the_endpoints, switched_off_asks_nobody,
     another_network_is_another_gateway, two_homes_behind_one_carrier_meet_at_their_outer_addresses,
     an_ipv6_firewall_gets_a_pinhole, a_slow_gateway_and_a_false_one_hold_up_nobody,
     the_end_waits_for_no_gateway_that_is_still_looked_for)
