#!/usr/bin/env python3
# ctest: timeout=120 beside
"""Of two coordinators whichever is there registers, introduces and relays; the loss of the one in use costs 3 s at most.

    coord   coord2     "c1" and "c2" of every peer's file
        \\  /
        inet ---- [masquerade] ---- a1  <--ping--  b1     direct
         | |----- [masquerade] ---- b1
         | `----- [symmetric] ----- c1  <--ping--  d1     relayed
         `------- [symmetric] ----- d1
"""
import contextlib
import time

from harness import Mesh, Site, check, main, nft, wait_until

WITHIN = 3
BACK_WITHIN = 3  # from the return of a coordinator until everybody is registered there
COORDINATORS = ("coord", "coord2")
NAMES = ("c1", "c2")
SITES = {"a": "port", "b": "port", "c": "symrand", "d": "symrand"}


def mesh_of(sites="abcd"):
    return Mesh([Site(name, SITES[name]) for name in sites], coordinators=COORDINATORS)


def states(mesh, host):
    """What `status` says of each coordinator: its state and, where it is not connected, why."""
    return {c["name"]: (c["state"], c["error"]) for c in mesh.nodes[host].ask("status")["coordinators"]}


def is_connected(mesh, host, name):
    return states(mesh, host)[name][0] == "connected"


def relayed_by(mesh, name, *pairs):
    """Both ends say so: the path in use, and no other of `paths`, is the relay of that coordinator."""
    def is_said(host, other):
        rows, = (p["paths"] for p in mesh.nodes[host].ask("paths")["peers"] if p["peer"] == other)
        used = [row for row in rows if row["state"] == "in use"]
        return mesh.path(host, other).get("via") == name and [row["via"] for row in used] == [name]
    return all(is_said(*ends) for pair in pairs for ends in (pair, pair[::-1]))


def cause(mesh, host, other):
    return mesh.nodes[host].ask("why", peer=other)["cause"]


def hide(mesh, site, coordinator):
    """From now on nothing passes between the two, and nobody says so."""
    addresses = "{" + ", ".join(mesh.lab.links[coordinator].v4) + "}"
    nft(mesh.lab.ns("inet"), f"table inet hide_{site}_{coordinator} {{ chain through {{\n"
        f"type filter hook forward priority -30; policy accept;\n"
        f'iifname "{site}" ip daddr {addresses} drop\noifname "{site}" ip saddr {addresses} drop\n}}\n}}\n')


def goes_over(mesh, pinger, to, since, what):
    # Not asked before: `peers` would make the nodes ask for the directory, and learn from it.
    wait_until(lambda: pinger.first(after=since + 0.1), WITHIN, f"{what}: d1 reaches c1", since)
    wait_until(lambda: relayed_by(mesh, to, ("c1", "d1")), WITHIN, f"{what}: both say they are relayed by {to}", since)
    check(pinger.longest_gap(since) <= WITHIN, f"{what}: {pinger.longest_gap(since):.1f} s without an answer")
    print(f"  {what}: {pinger.longest_gap(since):.2f} s without an answer", flush=True)


def whichever_is_there():
    with mesh_of() as mesh, contextlib.ExitStack() as running:
        hosts = mesh.lab.hosts()
        mesh.start("coord2", *hosts)
        mesh.wait_registered(*hosts, at="coord2")
        for source, target in (("b1", "a1"), ("d1", "c1")):
            check(mesh.ping(source, target, 1.5) is not None, f"{source} does not reach {target}, one coordinator being away")
        mesh.wait_path("a1", "b1", "direct", within=3)
        direct, relayed = (running.enter_context(mesh.pinger(*pair)) for pair in (("b1", "a1"), ("d1", "c1")))
        wait_until(lambda: relayed_by(mesh, "c2", ("c1", "d1")), 2, "c1 and d1 are relayed by c2")
        for host in hosts:
            check(is_connected(mesh, host, "c2"), f"{host}: {states(mesh, host)}")
            state, error = states(mesh, host)["c1"]
            check(state in ("waiting", "connecting") and (error or state == "connecting"), f"{host}: c1 is {state}: {error}")

        begin = time.monotonic()
        mesh.start("coord")
        back = time.monotonic()
        wait_until(lambda: all(is_connected(mesh, h, "c1") for h in hosts), BACK_WITHIN, "all are registered where they can be", back)
        time.sleep(1)
        gap = max(direct.longest_gap(begin), relayed.longest_gap(begin))
        check(gap <= 1, f"{gap:.1f} s without an answer because a coordinator came")

        mesh.nodes["coord2"].kill()
        lost = time.monotonic()
        goes_over(mesh, relayed, "c1", lost, "the coordinator in use is killed")
        wait_until(lambda: cause(mesh, "c1", "d1") == "hard-hard-nat", 5, "c1 says why d1 is relayed")
        for host in hosts:
            state, error = states(mesh, host)["c2"]
            check(state != "connected" and (error or state == "connecting"), f"{host}: c2 is {state}: {error}")
            check(is_connected(mesh, host, "c1"), f"{host}: {states(mesh, host)}")
        check(mesh.ping("a1", "c1", 1.5) is not None, "a1 does not reach c1, whom it never talked to")

        mesh.start("coord2")
        back = time.monotonic()
        wait_until(lambda: all(is_connected(mesh, h, "c2") for h in hosts), BACK_WITHIN, "all are registered at both again", back)
        time.sleep(1)
        via = mesh.path("c1", "d1")["via"]
        lost = time.monotonic()
        mesh.lab.cut(COORDINATORS[NAMES.index(via)])
        goes_over(mesh, relayed, NAMES[1 - NAMES.index(via)], lost, "the coordinator in use cannot be reached any more")
        check(mesh.ping("b1", "d1", 1.5) is not None, "b1 does not reach d1, whom it never talked to")
        mesh.lab.uncut(COORDINATORS[NAMES.index(via)])
        check(direct.longest_gap(lost) <= 1, f"the direct pair stood for {direct.longest_gap(lost):.1f} s")


def one_in_common():
    """a1 and c1 are registered at both, b1 and d1 at c2 only."""
    with mesh_of() as mesh:
        for site in "bd":
            hide(mesh, site, "coord")
        hosts = mesh.lab.hosts()
        mesh.start(*COORDINATORS, *hosts)
        mesh.wait_registered("a1", "c1", at="coord")
        mesh.wait_registered(*hosts, at="coord2")
        for source, target in (("a1", "b1"), ("c1", "d1")):
            took = mesh.ping(source, target, WITHIN)
            check(took is not None, f"{source} does not reach {target}")
            check(took < 0.5, f"{source} reaches {target} after {took:.2f} s")
        mesh.wait_path("a1", "b1", "direct", within=3)
        check(relayed_by(mesh, "c2", ("c1", "d1")), f"c1 has {mesh.path('c1', 'd1')}, d1 {mesh.path('d1', 'c1')}")
        peer = mesh.peer("c1", "d1")
        check(peer["online"] is True and peer["state"] == "up", f"c1 says of d1: {peer}")


def none_in_common():
    with mesh_of("ab") as mesh:
        hide(mesh, "a", "coord2")
        hide(mesh, "b", "coord")
        mesh.start(*COORDINATORS, "a1", "b1")
        mesh.wait_registered("a1", at="coord")
        mesh.wait_registered("b1", at="coord2")
        check(mesh.ping("a1", "b1", 1.5) is None, "a1 reaches b1, whom nobody can introduce")
        check(cause(mesh, "a1", "b1") == "peer-offline", f"why: {cause(mesh, 'a1', 'b1')}")
        check(mesh.peer("a1", "b1")["online"] is False, f"peers: {mesh.peer('a1', 'b1')}")


main(whichever_is_there, one_in_common, none_in_common)
