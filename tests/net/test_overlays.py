#!/usr/bin/env python3
# ctest: timeout=60 beside
"""Neither the mesh itself nor another overlay carries the mesh: no candidates of theirs, no datagrams into them, and `why` says so.

    coord
      |
    inet ---- a1 ~~~~ another VPN's link, and routes into it or into the mesh
        `---- b1 ~~~~ another VPN's link
"""
from harness import Mesh, Site, check, main, sh, wait_until


def ip(mesh, host, *words):
    return sh("ip", "-netns", mesh.lab.ns(host), *words)


def with_vpn(mesh, host, address):
    ip(mesh, host, "tuntap", "add", "vpn0", "mode", "tun")
    ip(mesh, host, "link", "set", "vpn0", "up")
    ip(mesh, host, "address", "add", address, "dev", "vpn0")


def endpoints_told(mesh, host, other):
    return [str(p["remote"]) for p in mesh.nodes[host].ask("why", peer=other)["tried"]]


def routes_into_overlays_are_not_taken():
    with Mesh([Site("a", "port"), Site("b", "port")]) as mesh:
        with_vpn(mesh, "a1", "10.8.0.2/16")
        with_vpn(mesh, "b1", "10.8.0.3/16")
        mesh.start("coord", "a1", "b1")
        mesh.wait_registered("a1", "b1")
        with mesh.pinger("a1", "b1") as pinger:
            mesh.wait_path("a1", "b1", "direct", within=3)
            for host, other in (("a1", "b1"), ("b1", "a1")):
                told = endpoints_told(mesh, host, other)
                check(not any(t.startswith(("10.8.", "10.77.")) for t in told), f"{host} was told {told} of {other}")
            for link in ("warren0", "vpn0"):
                # All of b1's addresses: what is left is the relay.
                for prefix in (f"{mesh.lab.pub['b']}/32", f"{mesh.lab.lans['b'][0]}0/24"):
                    ip(mesh, "a1", "route", "add", prefix, "dev", link)
                mesh.wait_path("a1", "b1", "relay", within=3)
                wait_until(lambda: mesh.nodes["a1"].ask("why", peer="b1")["cause"] == "endpoint-inside-mesh-route", 5,
                           f"a1 says why, for {link}: {mesh.nodes['a1'].ask('why', peer='b1')}")
                notes = [p["note"] for p in mesh.nodes["a1"].ask("why", peer="b1")["tried"] if p["note"]]
                check(any(link in note for note in notes), f"{link} is not named: {notes}")
                text = mesh.ctl("a1", "why", "b1")
                check("endpoint-inside-mesh-route" in text.stdout and text.returncode == 2, f"{text.returncode}: {text.stdout}")
                for prefix in (f"{mesh.lab.pub['b']}/32", f"{mesh.lab.lans['b'][0]}0/24"):
                    ip(mesh, "a1", "route", "del", prefix, "dev", link)
                mesh.wait_path("a1", "b1", "direct", within=3)
            check(pinger.longest_gap(pinger.begin + 1) < 3, f"{pinger.longest_gap(pinger.begin + 1):.1f} s without an answer")


def vpn_that_carries_everything_is_the_way_out():
    """Whoever sends all traffic through a VPN, or whose IPv6 comes by a tunnel, has no other way."""
    with Mesh([Site("a", "open"), Site("b", "port")]) as mesh:
        # To the kernel, the outer link of a1 is a tunnel: VXLAN over what was its link.
        ns = mesh.lab.ns("a1")
        for mine, name, far in (("2", "a1", "inet"), ("1", "inet", "a1")):
            link = "eth0" if name == "a1" else "a1"
            sh("ip", "-netns", mesh.lab.ns(name), "-batch", "-", input=(
                f"address add 10.99.0.{mine}/24 dev {link}\n"
                f"link add vx0 type vxlan id 7 local 10.99.0.{mine} remote 10.99.0.{'1' if mine == '2' else '2'} dev {link} dstport 4789\n"
                f"link set vx0 mtu 1450 up\naddress add 10.98.0.{mine}/24 dev vx0\n"))
        public = mesh.lab.ip("a1")
        sh("ip", "-netns", mesh.lab.ns("inet"), "route", "replace", f"{public}/32", "via", "10.98.0.2")
        sh("ip", "-netns", ns, "route", "replace", "default", "via", "10.98.0.1", "dev", "vx0", "src", public)
        mesh.start("coord", "a1", "b1")
        mesh.wait_registered("a1", "b1")
        check(mesh.ping("a1", "b1", 2) is not None, "a1 does not reach b1")
        mesh.wait_path("a1", "b1", "direct", within=3)


main(routes_into_overlays_are_not_taken, vpn_that_carries_everything_is_the_way_out)
