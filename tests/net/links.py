"""A direct and a relayed pair over links that change, for the scenarios of the MTU

    coord
      |
    inet ---- [masquerade] ---- a1
       |`---- [masquerade] ---- b1     direct from a1
        `---- [masquerade] ---- c1     through the relay from a1: inet passes nothing between a and c

The links of a, b, c and coord change beyond what any host but the coordinator sees of its own. Outside the tunnels every ICMP
and every fragment is dropped, wherever it arrives."""
import contextlib
import re
import time

from harness import Mesh, Site, check, nft, sh, wait_until

PAIRS = ("b1", "direct"), ("c1", "relay")  # from a1
WITHIN = 10  # seconds from a change until data flows again
SETTLED = 30  # until the size that fits is known: nothing is told before, what is too long goes in pieces meanwhile
TUN_MTU = 1420
APART = """
table inet apart {
  chain through {
    type filter hook forward priority -20; policy accept;
    iifname "a" oifname "c" drop
    iifname "c" oifname "a" drop
  }
}
"""
RELAY = 'rate_per_peer = "10Gbit"  rate_total = "40Gbit"  packets_per_peer = 5000000'


@contextlib.contextmanager
def network(underlay="4", **kw):
    """The mesh, both pairs on their paths. In the end nothing may have been fragmented."""
    sites = [Site(name, "port", v6only=underlay == "6") for name in "abc"]
    with Mesh(sites, underlay=underlay, relay=RELAY, **kw) as mesh:
        nft(mesh.lab.ns("inet"), APART)
        mesh.lab.mute("warren0")
        with mesh.lab.udp("a1", v6=underlay == "6") as s:
            s.sendto(bytes(3000), (mesh.lab.ip6("coord") if underlay == "6" else mesh.lab.ip("coord"), 9))
        wait_until(mesh.lab.fragments, 1, "fragments are counted")
        before = mesh.lab.fragments()
        mesh.start("coord", "a1", "b1", "c1")
        mesh.wait_registered("a1", "b1", "c1")
        for target, kind in PAIRS:
            check(mesh.ping("a1", target, 2) is not None, f"a1 does not reach {target}")
            mesh.wait_path("a1", target, kind, within=4)
        yield mesh
        check(mesh.lab.fragments() == before, f"{mesh.lab.fragments() - before} fragments outside the tunnels")


def set_links(mesh, mtu, links=("b", "c")):
    for link in links:
        mesh.lab.set(link, mtu=mtu)


def path_mtu(mesh, target, source="a1"):
    """Of the path to the target, as `paths` has it; None before it is known."""
    paths, = (p["paths"] for p in mesh.nodes[source].ask("paths")["peers"] if p["peer"] == target)
    return next(p["mtu"] for p in paths if p["state"] == "in use")


def flow_again(running, what, more=1_000_000):
    """Until so many bytes more of each transfer have arrived."""
    begin = time.monotonic()
    before = {t: t.got for t in running}

    def all_flow():
        for t in running:
            check(not t.error, f"{what}: {t.error}")
        return all(t.got >= before[t] + more for t in running)
    wait_until(all_flow, WITHIN, f"{what}: data flows again")
    print(f"  {what}: {time.monotonic() - begin:.1f} s", flush=True)


# -- what pings are told

def ping(mesh, target, size, fragment, six=False):
    """The MTU that the answer tells; 0: it was too big and nobody said what fits; None: there was an echo."""
    argv = ["ping", "-6" if six else "-4", "-c1", "-W1", "-M", fragment, "-s", str(size), mesh.overlay(target, six)]
    r = mesh.lab.run("a1", argv, capture_output=True, text=True)
    if r.returncode == 0:
        return None
    told = re.search(r"mtu ?[:=] ?(\d+)", r.stdout + r.stderr)
    return int(told[1]) if told else 0


def answered(mesh, target, size, fragment, six=False):
    """It may take a while: the way back has an MTU of its own, and the far side sends little that would show it."""
    wait_until(lambda: ping(mesh, target, size, fragment, six) is None, WITHIN,
               f"{target}: ping -s {size} -M {fragment} is answered, IPv6: {six}")


def whole_packets(mesh, target, six=False):
    """The longest packet that is not too big: what is too big is told so, and what is told is true."""
    headers = 48 if six else 28
    # What the kernel was told of an earlier link it would remember for minutes.
    sh("ip", "-netns", mesh.lab.ns("a1"), "-6" if six else "-4", "route", "flush", "cache")

    def told():
        got = ping(mesh, target, TUN_MTU - headers, "do", six)
        return (got or got is None and (path_mtu(mesh, target) or 0) >= TUN_MTU) and (got,)
    got, = wait_until(told, SETTLED, f"{target}: what is too big is told so, or fits")
    if got is None:
        return TUN_MTU
    check(1280 <= got < TUN_MTU, f"{target}: told {got}")
    answered(mesh, target, got - headers, "do", six)
    check(ping(mesh, target, got + 1 - headers, "do", six) == got, f"{target}: {got + 1} bytes should not fit")
    return got


def pings(mesh):
    """Over each pair, with both families inside."""
    for target, kind in PAIRS:
        told = [whole_packets(mesh, target, six) for six in (False, True)]
        for six in False, True:
            for size in 1000, 1240, 1400, 4000:
                answered(mesh, target, size, "dont", six)
        mine = path_mtu(mesh, target)
        check(told == [max(1280, mine)] * 2, f"{target}: told {told}, where paths says {mine}")
        print(f"    {kind}: paths says {mine}, pings are told {told[0]}", flush=True)
