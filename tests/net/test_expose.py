#!/usr/bin/env python3
# ctest: timeout=90 beside
"""`expose` opens a port of another program where its NAT allows that, and says why where it does not.

    coord
      |
    inet ---- [masquerade fully-random, miniupnpd] ---- a1   a server on TCP and UDP 5000
      |  `--- [a NAT of each other kind] ---- b1, c1 ...
       `----- e1, a stranger with a public address
"""
import contextlib
import json
import shutil
import socket
import sys
import time

from gateways import NatPmp
from harness import Cgn, Mesh, Site, check, main, nft, wait_until

PORT = 5000


class Servers:
    """Echoes on TCP and UDP PORT of a host, as a program does that knows nothing of warren."""

    def __init__(self, lab, host, share=False):
        self.tcp, self.udp = lab.socket(host, type=socket.SOCK_STREAM), lab.socket(host)
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share:
            self.udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for s in (self.tcp, self.udp):
            s.bind(("0.0.0.0", PORT))
        self.tcp.listen()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.tcp.close()
        self.udp.close()

    def echo(self):
        with contextlib.suppress(BlockingIOError):
            data, peer = self.udp.recvfrom(2000)
            self.udp.sendto(data, peer)
        with contextlib.suppress(BlockingIOError):
            c = self.tcp.accept()[0]
            c.sendall(b"welcome")
            c.close()


def reached_by_udp(mesh, servers, to, seconds=2):
    """Whether a stranger's datagram is answered from where it was sent to."""
    with mesh.lab.udp("e1") as s:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            s.sendto(b"hello", to)
            time.sleep(0.05)
            servers.echo()
            time.sleep(0.05)
            with contextlib.suppress(BlockingIOError):
                return s.recvfrom(2000) == (b"hello", to)
    return False


def reached_by_tcp(mesh, servers, to, seconds=2):
    with mesh.lab.socket("e1", type=socket.SOCK_STREAM) as s:
        s.connect_ex(to)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            servers.echo()
            with contextlib.suppress(BlockingIOError, ConnectionError):
                return s.recv(100) == b"welcome"
            time.sleep(0.02)
    return False


def expose(mesh, host, *words):
    r = mesh.ctl(host, "expose", *words, "--json")
    return r.returncode, json.loads(r.stdout)["exposed"] if r.stdout else r.stderr


def the_gateway_opens_it():
    with Mesh([Site("a", "symrand", upnp=True), Site("e", "open")]) as mesh, Servers(mesh.lab, "a1") as servers:
        outside = (mesh.lab.pub["a"], PORT)
        mesh.start("coord", "a1")
        mesh.wait_registered("a1")
        check(not reached_by_udp(mesh, servers, outside, 0.5) and not reached_by_tcp(mesh, servers, outside, 0.5),
              "open before it was exposed")
        for protocol, reached in (("udp", reached_by_udp), ("tcp", reached_by_tcp)):
            code, said = expose(mesh, "a1", protocol, str(PORT))
            check(code == 0 and said == [{"protocol": protocol, "port": PORT, "endpoint": f"{outside[0]}:{PORT}", "by": "pcp",
                                          "until": None}], f"{protocol}: {code} {said}")
            check(reached(mesh, servers, outside), f"a stranger does not reach {protocol}")
        check(len(expose(mesh, "a1", "list")[1]) == 2, "both are listed")
        check(f"{PORT}  {outside[0]}:{PORT}  pcp" in mesh.ctl("a1", "expose", "list").stdout, "in a table, too")

        # For a time, and no more.
        check(expose(mesh, "a1", "udp", str(PORT), "--seconds", "1")[0] == 0, "said again")
        wait_until(lambda: len(expose(mesh, "a1", "list")[1]) == 1, 3, "the time is over")
        wait_until(lambda: not reached_by_udp(mesh, servers, outside, 0.3), 2, "closed")
        check(mesh.ctl("a1", "expose", "tcp", str(PORT), "--stop").returncode == 0, "stopped")
        wait_until(lambda: not reached_by_tcp(mesh, servers, outside, 0.3), 2, "closed")
        check(expose(mesh, "a1", "tcp", str(PORT), "--stop")[0] == 1, "stopped twice")

        # The node's own port is open already; a refusal has its reason.
        own = str(mesh.nodes["a1"].ask("status")["underlay"]["port"])
        code, said = expose(mesh, "a1", "udp", own)
        check(code == 1 and "this node's own" in said, f"{code} {said}")
        code, said = expose(mesh, "a1", "tcp", "80")  # miniupnpd maps no ports below 1024 here
        check(code == 1 and "cannot be exposed: the gateway does not map it: " in said and "TCP needs a mapping" in said,
              f"{code} {said}")
        check(expose(mesh, "a1", "list")[1] == [], "what was refused is not listed")
        expose(mesh, "a1", "tcp", str(PORT))
        mesh.nodes["a1"].stop()
        wait_until(lambda: not reached_by_tcp(mesh, servers, outside, 0.3), 2, "nothing stays open when the daemon ends")


def where_it_cannot_work_the_reason_is_said():
    sites = [Site("b", "port"), Site("c", "symrand"), Site("d", "port", cgn="isp"), Site("e", "open"), Site("f", "addr"),
             Site("g", "udpblocked")]
    with Mesh(sites, [Cgn("isp", "port")]) as mesh, NatPmp(mesh.lab, "d", mesh.lab.pub["d"]):
        mesh.start("coord", "b1", "c1", "d1", "e1", "f1", "g1")
        mesh.wait_registered("b1", "c1", "d1", "e1", "f1", "g1")
        wait_until(lambda: mesh.nodes["f1"].ask("netcheck")["filtering"] == "address-dependent", 8, "f1 knows its NAT")
        wait_until(lambda: mesh.nodes["g1"].ask("netcheck")["udp_blocked"], 8, "g1 knows that UDP is blocked")
        for host, protocol, words in (("b1", "tcp", "the gateway maps nothing: neither PCP nor NAT-PMP nor UPnP; TCP needs a mapping by the gateway"),
                                      ("b1", "udp", "lets in"),
                                      ("c1", "udp", "gives another port to each destination"),
                                      ("f1", "udp", "lets in only those that were sent to"),
                                      ("g1", "udp", "UDP does not get out of here at all"),
                                      ("d1", "tcp", "the gateway does not map it: not authorized; TCP needs")):
            code, said = expose(mesh, host, protocol, str(PORT))
            check(code == 1 and f"{protocol} port {PORT} cannot be exposed: " in said and words in said,
                  f"{host} {protocol}: {code} {said}")
        code, said = expose(mesh, "e1", "tcp", "22")
        check(code == 0 and said[0]["endpoint"] == f"{mesh.lab.pub['e']}:22" and said[0]["by"] == "address", f"{code} {said}")
        mesh.configure_peer("b1", "listen { portmap = off }")
        check(mesh.ctl("b1", "reload").returncode == 0, "reload")
        code, said = expose(mesh, "b1", "tcp", str(PORT))
        check(code == 1 and "port mapping is switched off (listen.portmap)" in said, f"{code} {said}")


def a_full_cone_is_kept_open():
    with Mesh([Site("f", "fullcone"), Site("e", "open")]) as mesh:
        outside = (mesh.lab.pub["f"], PORT)
        mesh.start("coord", "f1")
        mesh.wait_registered("f1")
        wait_until(lambda: mesh.nodes["f1"].ask("netcheck")["filtering"] == "endpoint-independent", 10, "f1 knows its NAT")
        with Servers(mesh.lab, "f1"):  # which let nobody have the port besides
            code, said = expose(mesh, "f1", "udp", str(PORT))
            check(code == 1 and "only one that has set SO_REUSEADDR" in said, f"{code} {said}")
        with Servers(mesh.lab, "f1", share=True) as servers:
            check(not reached_by_udp(mesh, servers, outside, 0.5), "open before it was exposed")
            code, said = expose(mesh, "f1", "udp", str(PORT))
            check(code == 0 and said == [{"protocol": "udp", "port": PORT, "endpoint": f"{outside[0]}:{PORT}", "by": "stun",
                                          "until": None}], f"{code} {said}")
            check(reached_by_udp(mesh, servers, outside), "a stranger does not reach it")
            check(expose(mesh, "f1", "list")[1] == said, f"listed is {expose(mesh, 'f1', 'list')[1]}")
            check(mesh.ctl("f1", "expose", "udp", str(PORT), "--stop").returncode == 0, "stopped")
            nft(mesh.lab.gw("f"), "flush map ip natlab eim\n")  # as when its time is over, for nobody renews it
            check(not reached_by_udp(mesh, servers, outside, 0.5), "it is kept open although it was stopped")
            # TCP is no cone's to give.
            code, said = expose(mesh, "f1", "tcp", str(PORT))
            check(code == 1 and "TCP needs a mapping" in said, f"{code} {said}")


if not shutil.which("miniupnpd", path="/usr/sbin:/usr/bin"):
    print("skipped: no miniupnpd")
    sys.exit(77)
main(the_gateway_opens_it, where_it_cannot_work_the_reason_is_said, a_full_cone_is_kept_open)
