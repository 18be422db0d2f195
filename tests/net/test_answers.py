#!/usr/bin/env python3
# ctest: timeout=120 beside
"""Answers to probes and to the question where a node is seen, that come again, changed, invented, to somebody else or too late: each
is counted as what it is, and nothing else changes.

    coord                              also the STUN server that a1 and c1 ask
      |
    inet ---- [masquerade] ---- a1     inet is where datagrams are copied, changed and sent again
        |---- [masquerade] ---- b1
        `---- [masquerade] ---- c1
"""
import os
import socket
import struct
import time

from harness import Capture, Mesh, Site, again, check, main, nft, wait_until
from traffic import checksum

SESSION, BIND = b"\x54", b"\x55"  # daemon/wire/wire.h


def rises(mesh, host, counter, before, within=2):
    wait_until(lambda: mesh.counter(host, counter) > before[counter], within, f"{host}: {counter} rises")


def to_another(frame, example):
    """The frame, to whom and by whom the example went on: its Ethernet header, and its IPv4 and UDP destinations."""
    head = bytearray(frame[:42])
    head[:14], head[30:34], head[36:38], head[40:42] = example[:14], example[30:34], example[36:38], b"\0\0"
    head[24:26] = b"\0\0"
    head[24:26] = struct.pack("!H", checksum(bytes(head[14:34])))
    return bytes(head) + frame[42:]


def stun_answer(frame, endpoint):
    """A frame of the coordinator's, as an answer to nobody's STUN question, that tells an endpoint."""
    address, port = endpoint
    value = struct.pack("!HHI", 1, port ^ 0x2112, struct.unpack("!I", socket.inet_aton(address))[0] ^ 0x2112A442)
    body = struct.pack("!HHI12sHH", 0x0101, 12, 0x2112A442, os.urandom(12), 0x0020, 8) + value
    head = bytearray(frame[:42])
    head[16:18], head[38:40], head[40:42], head[24:26] = \
        struct.pack("!H", 28 + len(body)), struct.pack("!H", 8 + len(body)), b"\0\0", b"\0\0"
    head[24:26] = struct.pack("!H", checksum(bytes(head[14:34])))
    return bytes(head) + body


def believed(mesh, host):
    """What a host takes its surroundings for."""
    seen = mesh.nodes[host].ask("netcheck", wait=False)
    return {k: seen[k] for k in ("udp4", "mapping", "filtering", "keeps_port", "hairpin", "udp_blocked")}


def answers_that_nobody_asked_for_change_nothing():
    """What coordinator, STUN server and peers answered a1: again, changed, invented, and to c1 instead."""
    with Mesh([Site(n, "port") for n in "abc"]) as mesh:
        lab = mesh.lab
        coord = lab.ip("coord")
        for host in ("a1", "c1"):
            mesh.configure_peer(host, f'stun = {{ "{coord}:27700" }}')
        mesh.start("coord")
        with Capture(lab.ns("inet"), "a") as to_a, Capture(lab.ns("inet"), "c") as to_c:
            mesh.start("a1", "b1", "c1")
            mesh.wait_registered("a1", "b1", "c1")
            pairs = ("a1", "b1"), ("c1", "b1")
            for a, b in pairs:
                check(mesh.ping(a, b, 2) is not None, f"{a} does not reach {b}")
                mesh.wait_path(a, b, "direct", within=3)
            wait_until(lambda: all(believed(mesh, h)["hairpin"] is not None for h in ("a1", "c1")), 10, "the NATs are judged")
            told = {kind: [f for f, p in to_a.udp(outgoing=True) if of(f, p)] for kind, of in {
                "stun": lambda f, p: p[:2] == b"\x01\x01", "bind": lambda f, p: p[:1] == BIND,
                "session": lambda f, p: p[:1] == SESSION and socket.inet_ntoa(f[26:30]) == lab.pub["b"]}.items()}
            check(all(told.values()), f"captured: { {k: len(v) for k, v in told.items()} }")
            to_c1 = {"bind": next(f for f, p in to_c.udp(outgoing=True) if p[:1] == BIND and socket.inet_ntoa(f[26:30]) == coord),
                     "session": next(f for f, p in to_c.udp(outgoing=True)
                                     if p[:1] == SESSION and socket.inet_ntoa(f[26:30]) == lab.pub["b"])}
            data_port = next(f for f in told["bind"] if f[34:36] == struct.pack("!H", 27700))

            before = {h: mesh.counters(h) for h in ("a1", "c1")}
            paths, facts = [mesh.path(*p) for p in pairs], [believed(mesh, h) for h in ("a1", "c1")]
            for frames, flip, counter in ((told["session"], 0, "drop_replay"), (told["session"], 1, "drop_auth"),
                                          (told["bind"], 0, "bind_bad"), (told["bind"], 1, "bind_bad")):
                mark = mesh.counters("a1")
                for frame in frames:
                    to_a.inject(again(frame, flip))
                rises(mesh, "a1", counter, mark)
            for frame in told["stun"]:
                to_a.inject(again(frame))  # an answer that was answered: what waited for it does no more
            mark = mesh.counters("a1")
            for _ in range(50):
                to_a.inject(stun_answer(data_port, ("192.0.2.66", 6666)))
            rises(mesh, "a1", "drop_type", mark)
            for kind, counter in (("bind", "bind_bad"), ("session", "drop_unknown_index")):
                for frame in told[kind]:
                    to_c.inject(to_another(frame, to_c1[kind]))
                rises(mesh, "c1", counter, before["c1"])
            time.sleep(1)
            check([mesh.path(*p) for p in pairs] == paths, f"paths went from {paths} to {[mesh.path(*p) for p in pairs]}")
            check([believed(mesh, h) for h in ("a1", "c1")] == facts, f"{facts} became {[believed(mesh, h) for h in ('a1', 'c1')]}")
            for host in ("a1", "c1"):
                for name in ("handshakes_initiated", "handshakes_completed", "network_changes"):
                    check(mesh.counter(host, name) == before[host][name], f"{host}: {name} rose")
                check("192.0.2.66" not in mesh.nodes[host].log(), f"{host} speaks of an invented endpoint")
            for a, b in pairs:
                check(mesh.ping(a, b, 1) is not None, f"{a} does not reach {b} any more")


def late_answers_prove_nothing():
    """What b1 sends a1 directly is held back, and let through when it is too late: true, and never seen before, and of no use."""
    with Mesh([Site("a", "port"), Site("b", "port")]) as mesh:
        lab = mesh.lab
        nft(lab.gw("a"), f"""table ip held {{ chain c {{ type filter hook prerouting priority -300; policy accept;
            ip saddr {lab.pub["b"]} meta l4proto tcp drop
            ip saddr {lab.pub["b"]} udp checksum != 0 drop
        }}\n}}\n""")
        mesh.start("coord", "a1", "b1")
        mesh.wait_registered("a1", "b1")
        with Capture(lab.ns("inet"), "a") as wire, mesh.pinger("a1", "b1", interval=0.2) as pinger:
            wait_until(lambda: pinger.answered, 2, "a1 reaches b1 through the relay")
            wait_until(lambda: not mesh.nodes["a1"].ask("why", peer="b1")["cause"] == "probing", 5, "probing is over")
            held = [f for f, p in wire.udp(outgoing=True, source=lab.pub["b"]) if p[:1] == SESSION]
            check(len(held) >= 5, f"{len(held)} datagrams were held back")
            time.sleep(5.2)  # PATH_PROBE_LIFE_MS
            before, path = mesh.counters("a1"), mesh.path("a1", "b1")
            check(path["kind"] == "relay", f"a1 has {path}")
            for frame in held:
                wire.inject(again(frame))  # without a checksum, which lets it pass
            rises(mesh, "a1", "drop_answer", before)
            time.sleep(0.5)
            check(mesh.path("a1", "b1") == path, f"the path went from {path} to {mesh.path('a1', 'b1')}")
            tried = [t for t in mesh.nodes["a1"].ask("why", peer="b1")["tried"] if t["transport"] == "udp" and t["kind"] != "relay"]
            check(tried and not any(t["answered"] for t in tried), f"late answers count: {tried}")
            check(mesh.counter("a1", "drop_auth") == before["drop_auth"], "what was held back was not even read")


main(answers_that_nobody_asked_for_change_nothing, late_answers_prove_nothing)
