#!/usr/bin/env python3
# ctest: timeout=120 beside
"""Strangers, wrong keys, false sources, replayed and changed datagrams: refused or dropped, counted, and nothing else changes.

    coord
      |
    inet ---- [masquerade] ---- a1  member
        |---- [masquerade] ---- b1  member            inet is also where datagrams are copied, changed and sent again
        `---- [masquerade] ---- c1  a stranger, or a member with another psk
"""
import time

from harness import Capture, Mesh, Site, again, check, main, sh, wait_until

SITES = "a", "b", "c"


def settled(mesh, *hosts):
    """The hosts given run; a1 and b1 are a direct pair."""
    mesh.start("coord", *hosts)
    mesh.wait_registered(*[h for h in hosts if mesh.members is None or h in mesh.members])
    check(mesh.ping("a1", "b1", 2) is not None, "a1 does not reach b1")
    mesh.wait_path("a1", "b1", "direct", within=2)


def rises(mesh, host, names, before, within=5):
    """One of the named counters of a host rises."""
    wait_until(lambda: any(mesh.counter(host, n) > before[n] for n in names), within, f"{host}: {' or '.join(names)} rises")


def undisturbed(mesh, path):
    check(mesh.ping("a1", "b1", 1) is not None, "a1 does not reach b1 any more")
    now = mesh.path("a1", "b1")
    check(now == path, f"the path of a1 to b1 went from {path} to {now}")


def unknown_key_is_refused():
    with Mesh([Site(n, "port") for n in SITES], members=["a1", "b1"]) as mesh:
        settled(mesh, "a1", "b1")
        path, before = mesh.path("a1", "b1"), mesh.counters("coord")
        mesh.start("c1")
        rises(mesh, "coord", ["control_unknown_key"], before)
        check(mesh.counter("coord", "registrations") == before["registrations"], "the stranger was registered")
        check(mesh.peer("a1", "c1") is None, "a1 knows of the stranger")
        check(mesh.ping("c1", "a1", 1) is None, "the stranger reaches a1")
        undisturbed(mesh, path)


def wrong_psk_is_refused():
    with Mesh([Site(n, "port") for n in SITES], psk=True) as mesh:
        mesh.write_psk("c1")
        settled(mesh, "a1", "b1", "c1")
        path, before = mesh.path("a1", "b1"), {h: mesh.counters(h) for h in ("a1", "c1")}
        check(mesh.ping("c1", "a1", 3) is None, "c1 reaches a1 with another pre-shared key")
        # IKpsk2 mixes the key into the second message: it is the initiator who cannot read the answer.
        check(sum(mesh.counter(h, "handshake_bad_auth") - before[h]["handshake_bad_auth"] for h in before) > 0,
              "handshake_bad_auth rises neither at a1 nor at c1")
        check(mesh.peer("a1", "c1")["state"] != "up", f"a1 calls c1 up: {mesh.peer('a1', 'c1')}")
        undisturbed(mesh, path)


def another_members_source_is_dropped():
    with Mesh([Site(n, "port") for n in SITES]) as mesh:
        settled(mesh, "a1", "b1", "c1")
        path, before = mesh.path("a1", "b1"), {h: mesh.counters(h) for h in ("a1", "b1")}
        stolen = mesh.overlay("c1")
        sh("ip", "-netns", mesh.lab.ns("a1"), "address", "add", stolen + "/32", "dev", "warren0")
        with Capture(mesh.lab.ns("b1"), "warren0") as inside, mesh.pinger("a1", "b1", source=stolen) as pinger:
            wait_until(lambda: any(mesh.counter(h, "drop_source") > before[h]["drop_source"] for h in before), 2,
                       "drop_source rises")
            time.sleep(0.5)
            check(not pinger.answered, "a ping with a stolen source is answered")
            source = bytes(map(int, stolen.split(".")))
            check(not inside.contains(source + bytes(map(int, mesh.overlay("b1").split(".")))),
                  "a packet with a stolen source came out at b1")
        sh("ip", "-netns", mesh.lab.ns("a1"), "address", "del", stolen + "/32", "dev", "warren0")
        undisturbed(mesh, path)


def replayed_and_changed_datagrams_are_dropped():
    with Mesh([Site("a", "port"), Site("b", "port")]) as mesh:
        settled(mesh, "a1", "b1")
        path = mesh.path("a1", "b1")
        with Capture(mesh.lab.ns("inet"), "b") as wire:  # inet's end of b's up-link
            check(mesh.ping("a1", "b1", 1) is not None, "a1 does not reach b1")
            frames = [f for f, payload in wire.udp(outgoing=True, source=mesh.lab.pub["a"]) if len(payload) >= 64]
            check(frames, "no datagram of a1 was captured")
            before = mesh.counters("b1")
            with Capture(mesh.lab.ns("b1"), "warren0") as inside:
                for frame in frames:
                    wire.inject(again(frame))
                rises(mesh, "b1", ["drop_replay"], before, within=2)
                for frame in frames:
                    wire.inject(again(frame, flip=1))
                rises(mesh, "b1", ["drop_auth"], before, within=2)
                check(not inside.frames, "a replayed or changed packet came out at b1")
            after = mesh.counters("b1")
            for name in ("handshakes_initiated", "handshakes_completed", "tun_tx_packets"):
                check(after[name] == before[name], f"{name} went from {before[name]} to {after[name]}")
        undisturbed(mesh, path)


def datagrams_sent_on_from_elsewhere_move_nothing():
    """Somebody on the way of a1's handshake and first data sends them on from an address of his choice: no traffic goes there."""
    with Mesh([Site("a", "open"), Site("b", "open")]) as mesh:
        with open(mesh.nodes["coord"].conf) as f:
            text = f.read()
        with open(mesh.nodes["coord"].conf, "w") as f:
            f.write(text.replace("relay { enabled = true", "relay { enabled = false"))  # all goes the way that is watched
        elsewhere = "203.0.113.99"
        sh("ip", "netns", "exec", mesh.lab.ns("inet"), "nft", f"""
            table ip elsewhere {{
                chain prerouting {{
                    type filter hook prerouting priority -300; policy accept
                    ip saddr {mesh.lab.pub["a"]} ip daddr {mesh.lab.pub["b"]} meta l4proto tcp drop
                    ip saddr {mesh.lab.pub["a"]} ip daddr {mesh.lab.pub["b"]} @th,64,8 {{ 0x51, 0x53, 0x54 }} ip saddr set {elsewhere}
                }}
            }}""")
        mesh.start("coord", "a1", "b1")
        mesh.wait_registered("a1", "b1")
        check(mesh.ping("a1", "b1", 3) is None, "a1 reaches b1, though all its answers come from elsewhere")
        wait_until(lambda: mesh.counter("b1", "handshakes_completed") > 0, 2, "the handshake got through")
        for line in mesh.nodes["b1"].log().splitlines():
            check(f"path {elsewhere}" not in line, f"b1 sends to who answered no probe: {line}")
        sh("ip", "netns", "exec", mesh.lab.ns("inet"), "nft", "delete table ip elsewhere")
        check(mesh.ping("a1", "b1", 10) is not None, "a1 does not reach b1 when it is left alone")


main(unknown_key_is_refused, wrong_psk_is_refused, another_members_source_is_dropped,
     replayed_and_changed_datagrams_are_dropped, datagrams_sent_on_from_elsewhere_move_nothing)
