#!/usr/bin/env python3
# ctest: timeout=150 beside
"""Wherever the way between two hosts lets a direct path be, one is found: behind two NATs, behind the same one, on one LAN, past a
router that takes what came too early for its own. Where none can be, `why` says so.

    coord
      |
    inet ---- [x: carrier's NAT, does not loop] ---- [port-restricted] ---- a1
        |                                     `----- [port-restricted] ---- g1
        |---- [y: carrier's NAT, loops] ------------ [port-restricted] ---- d1
        |                              `------------ [port-restricted] ---- e1
        |---- [port-restricted] ---- f1
        |---- [p: port-restricted, loops] ---- p1, p2: the LAN passes nothing from one to the other
        |---- [q: port-restricted] ----------- q1, q2: a LAN whose uplink is cut
        |---- [r: port-restricted] ----------- r1, r2: 192.168.50.0/24
        |---- [s: port-restricted] ----------- s1, s2: 192.168.50.0/24
        |---- [u, v: careless: what nobody asked for goes to the router itself] ---- u1, v1
        |---- [w: port-restricted] ---- w1
        |---- [m: port-restricted, maps ports] ---- m1, whose own firewall lets in answers only
        `---- [n: symmetric, random] -------------- n1
"""
import contextlib
import select
import shutil
import threading
import time

from harness import Cgn, Mesh, Site, check, main, sh, wait_until


def up(mesh, *hosts):
    """Until each knows where it is seen: what is told of it to others is told before they try it."""
    mesh.start("coord", *hosts)
    mesh.wait_registered(*hosts)
    wait_until(lambda: all(mesh.nodes[h].ask("netcheck", wait=False)["mapping"] not in (None, "unknown") for h in hosts), 3,
               "the NATs are known")


@contextlib.contextmanager
def pinged(mesh, *pairs):
    """All pairs at the same time; each is answered within a second."""
    with contextlib.ExitStack() as stack:
        pingers = [stack.enter_context(mesh.pinger(a, b)) for a, b in pairs]
        for (a, b), pinger in zip(pairs, pingers):
            wait_until(lambda: pinger.answered, 1, f"{a} reaches {b}", pinger.begin)
        yield pingers


def direct(mesh, a, b, address, within=2, since=None):
    """Straight to where b's outermost NAT shows it."""
    mesh.wait_path(a, b, "direct", within, since)
    for host, other in ((a, b), (b, a)):
        check(mesh.path(host, other)["transport"] == "udp", f"{host} to {other}: {mesh.path(host, other)}")
        check(mesh.nodes[host].ask("why", peer=other)["cause"] is None, f"{host}: a direct path is explained")
    check(mesh.path(a, b)["remote"].startswith(address + ":"), f"{a} to {b}: {mesh.path(a, b)}")


def behind_carriers():
    sites = [Site("a", "port", cgn="x"), Site("g", "port", cgn="x"), Site("d", "port", cgn="y"), Site("e", "port", cgn="y"),
             Site("f", "port")]
    with Mesh(sites, [Cgn("x", "port"), Cgn("y", "port", hairpin=True)]) as mesh:
        pub = mesh.lab.pub
        up(mesh, *mesh.lab.hosts())
        with pinged(mesh, ("a1", "f1"), ("d1", "e1"), ("a1", "g1")) as pingers:
            begin = pingers[0].begin
            direct(mesh, "f1", "a1", pub["x"], since=begin)
            direct(mesh, "d1", "e1", pub["y"], since=begin)
            # Their gateways would have to say what address the carrier gave them: test_portmap.py
            mesh.wait_path("a1", "g1", "relay", within=1)
            for host, other in (("a1", "g1"), ("g1", "a1")):
                said = wait_until(lambda: (d := mesh.nodes[host].ask("why", peer=other))["cause"] == "no-hairpin" and d, 10,
                                  f"{host} knows why it does not reach {other} directly")
                check("routers of both sides" in said["fix"], f"{host}: {said}")


def within_one_nat():
    """No way from host to host but through the router, which leads what is sent to its outer address back inside."""
    with Mesh([Site("p", "port", hosts=2, hairpin=True)]) as mesh:
        for port in ("h1", "h2"):
            sh("ip", "-netns", mesh.lab.gw("p"), "link", "set", port, "type", "bridge_slave", "isolated", "on")
        up(mesh, "p1", "p2")
        r = mesh.lab.run("p1", ["ping", "-c1", "-W0.3", mesh.lab.ip("p2")], capture_output=True)
        check(r.returncode != 0, "the LAN passes from one host to the other: nothing is tested")
        with pinged(mesh, ("p1", "p2")) as pingers:
            direct(mesh, "p1", "p2", mesh.lab.pub["p"], since=pingers[0].begin)


class Echo(threading.Thread):
    """Sends everything that comes to a port back to where it came from."""

    def __init__(self, mesh, host, port):
        super().__init__(daemon=True)
        self.socket, self.sizes, self.ended = mesh.lab.udp(host, port), [], threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.ended.set()
        self.join()
        self.socket.close()

    def run(self):
        while not self.ended.is_set():
            if select.select([self.socket], [], [], 0.05)[0]:
                with contextlib.suppress(OSError):
                    data, source = self.socket.recvfrom(65536)
                    self.sizes.append(len(data))
                    self.socket.sendto(data, source)


def two_sites_of_one_prefix():
    """Where s2 has its address, in its own LAN, r1 has a neighbour: r2, who sends back what it gets; and so has s2."""
    with Mesh([Site(n, "port", hosts=2, lan="192.168.50.0/24") for n in "rs"]) as mesh:
        up(mesh, "r1", "s2")
        check(mesh.lab.ip("s2") == mesh.lab.ip("r2") and mesh.lab.ip("r1") == mesh.lab.ip("s1"), "another plan of addresses")
        ports = {h: mesh.nodes[h].ask("status")["underlay"]["port"] for h in ("r1", "s2")}
        with Echo(mesh, "r2", ports["s2"]) as near_r1, Echo(mesh, "s1", ports["r1"]) as near_s2:
            with mesh.pinger("r1", "s2", payload=bytes(1000)) as pinger:
                wait_until(lambda: pinger.answered, 1, "r1 reaches s2")
                direct(mesh, "r1", "s2", mesh.lab.pub["s"], since=pinger.begin)
                time.sleep(1)
                for echo in (near_r1, near_s2):
                    check(0 < len(echo.sizes) <= 5, f"the wrong host got {len(echo.sizes)} probes")
                    check(max(echo.sizes) <= 100, f"the wrong host got what is no probe: {echo.sizes}")
                seen = len(near_r1.sizes), len(near_s2.sizes)
                time.sleep(1)
                check((len(near_r1.sizes), len(near_s2.sizes)) == seen, "the wrong host is sent to on and on")
                check(len(pinger.sent) - len(pinger.answered) <= 1, "pings got lost")
        tried = mesh.nodes["r1"].ask("why", peer="s2")["tried"]
        wrong = [t for t in tried if (t["remote"] or "").startswith(mesh.lab.ip("s2") + ":")]
        check(wrong and all(t["answered"] == 0 for t in wrong), f"the wrong host's echo counts: {wrong}")
        check(mesh.counter("r1", "drop_unknown_index") > 0, "the echo did not even arrive")


def one_lan_without_a_way_out():
    """Introduced before: the session is renewed, and follows a host to another address of the LAN, with nobody else in reach."""
    with Mesh([Site("q", "port", hosts=2)], env={"WARREN_TEST_REKEY_MS": "2000"}) as mesh:
        up(mesh, "q1", "q2")
        with pinged(mesh, ("q1", "q2")) as (pinger,):
            mesh.wait_path("q1", "q2", "lan", within=2)
            mesh.lab.cut("q")
            cut, before = time.monotonic(), mesh.counter("q1", "handshakes_completed") + mesh.counter("q2", "handshakes_completed")
            wait_until(lambda: mesh.counter("q1", "handshakes_completed") + mesh.counter("q2", "handshakes_completed") > before, 6,
                       "keys are made anew")
            check(pinger.longest_gap(cut) < 0.5, f"{pinger.longest_gap(cut):.1f} s without an answer")
            old, new, router = mesh.lab.ip("q2"), mesh.lab.ip("q2")[:-1] + "77", mesh.lab.ip("q2")[:-1] + "1"
            sh("ip", "-netns", mesh.lab.ns("q2"), "-batch", "-", input=f"address del {old}/24 dev eth0\n"
               f"address add {new}/24 broadcast + dev eth0\nroute add default via {router}\n")
            moved = time.monotonic()
            wait_until(lambda: pinger.first(after=moved), 3, "q1 reaches q2 at its new address")
            wait_until(lambda: (mesh.path("q1", "q2").get("remote") or "").startswith(new + ":"), 3, "the path leads there")
            mesh.wait_path("q1", "q2", "lan", within=1)
            check(pinger.longest_gap(time.monotonic() - 0.5) < 0.5, "pings are answered")


def careless_routers():
    with Mesh([Site("u", "port", input="accept"), Site("v", "port", input="accept"), Site("w", "port")]) as mesh:
        pub = mesh.lab.pub
        up(mesh, "u1", "v1", "w1")
        with pinged(mesh, ("u1", "v1"), ("w1", "u1"), ("v1", "w1")) as pingers:
            for a, b in (("u1", "v1"), ("w1", "u1"), ("v1", "w1")):
                direct(mesh, a, b, pub[b[0]], since=pingers[0].begin)
                check(mesh.nodes[a].ask("why", peer=b)["search"] is None, "it was searched for")
        check(all(mesh.counter(h, "openers_sent") > 0 for h in ("u1", "v1", "w1")), "no openers were sent")

        # Another address of u's, from which v's router hears before v1 does: nothing passes between the ports that are known.
        mesh.lab.rebind("u", "203.0.113.99")
        begin = time.monotonic()
        with mesh.pinger("u1", "v1") as pinger:
            wait_until(lambda: pinger.first(after=begin), 3, "u1 reaches v1 again")
            wait_until(lambda: mesh.nodes["u1"].ask("why", peer="v1")["search"], 8, "a search begins")
            mesh.wait_path("u1", "v1", "direct", within=10, since=begin)
            searches = [mesh.nodes[h].ask("why", peer=o)["search"] for h, o in (("u1", "v1"), ("v1", "u1"))]
            for s in searches:
                check(s["method"] == "fresh" and s["result"] == "found", f"searched: {searches}")
                check(s["sockets"] <= 4 and s["probes"] <= 40, f"searched: {searches}")
            check(sorted(s["is_asker"] for s in searches) == [False, True], f"searched: {searches}")
            print(f"  direct again {time.monotonic() - begin:.1f} s after the change: {searches[0]['probes']} and "
                  f"{searches[1]['probes']} datagrams")
            with mesh.transfer("u1", "v1", total=2_000_000, mbit=0) as transfer:
                transfer.complete(20)
            check(mesh.kind("u1", "v1") == "direct" == mesh.kind("v1", "u1"), "the path did not last")


def mapped_port_behind_a_hosts_firewall():
    """The router lets everybody in, the host only whom it has sent to: the symmetric side's port is searched for."""
    if not shutil.which("miniupnpd", path="/usr/sbin:/usr/bin"):
        print("  skipped: no miniupnpd")
        return
    with Mesh([Site("m", "port", upnp=True, hostfw=True), Site("n", "symrand")]) as mesh:
        up(mesh, "m1", "n1")
        wait_until(lambda: mesh.nodes["m1"].ask("status")["underlay"]["portmap"], 3, "m's router maps a port")
        for attempt in range(3):  # one search in thirty finds nothing
            with pinged(mesh, ("m1", "n1")) as (pinger,):
                with contextlib.suppress(AssertionError):
                    mesh.wait_path("m1", "n1", "direct", within=16)
                    break
            for host in ("m1", "n1"):
                mesh.nodes[host].stop()
            mesh.start("m1", "n1")
            wait_until(lambda: mesh.nodes["m1"].ask("status")["underlay"]["portmap"], 3, "m's router maps a port")
        else:
            check(False, f"not direct: {mesh.nodes['m1'].ask('why', peer='n1')}")
        check(mesh.nodes["m1"].ask("why", peer="n1")["cause"] is None, "a direct path is explained")


main(behind_carriers, within_one_nat, two_sites_of_one_prefix, one_lan_without_a_way_out, careless_routers,
     mapped_port_behind_a_hosts_firewall)
