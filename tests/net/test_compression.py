#!/usr/bin/env python3
# ctest: timeout=180
"""A pair compresses when neither end has it off, and only then; what comes out is what went in, over any path.

    coord
      |
    inet ---- [open] ---- a1   text and random bytes, by TCP and UDP, both ways
        `---- [open] ---- b1   its link: 1500 bytes, then 1000
"""
import os
import socket

from harness import Mesh, Site, check, main, netns, wait_until

EVERY = "reuseport,multiqueue,gso,gro,vnet,ipsec-mb"
TEXT = b"".join(b"%08d a line of a log that says much the same as the line before\n" % n for n in range(250))
RANDOM = os.urandom(len(TEXT))
BOTH = (("a1", "b1"), ("b1", "a1"))


def pair(mode_a, mode_b, mesh, env=""):
    for host, mode in (("a1", mode_a), ("b1", mode_b)):
        mesh.configure_peer(host, f"compression = {mode}")
    mesh.start("coord", "a1", "b1", env={"WARREN_DISABLE": env}.items())
    mesh.wait_registered("a1", "b1")
    check(mesh.ping("a1", "b1", 2) is not None, "a1 does not reach b1")
    mesh.wait_path("a1", "b1", "direct", within=4)


def compression(mesh, host):
    return mesh.peer(host, {"a1": "b1", "b1": "a1"}[host])["compression"]


def states(mesh):
    return [compression(mesh, host)["state"] for host in ("a1", "b1")]


def send(mesh, source, target, block, size=3_000_000):
    """TCP from one to the other; returns the bytes on the sender's wire for each byte that arrived."""
    wire = mesh.link_bytes(source)
    with mesh.transfer(source, target, mbit=0, block=block) as transfer:
        wait_until(lambda: transfer.got > size or transfer.error, 20, f"{size} bytes from {source}")
        got = transfer.finish()
    return (mesh.link_bytes(source) - wire) / got


def datagrams(mesh, source, target, lengths):
    """UDP of these lengths, of text and of random bytes, from one to the other: each arrives as it was."""
    with netns(mesh.lab.ns(source)):
        out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with netns(mesh.lab.ns(target)):
        to = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with out, to:
        to.bind((mesh.overlay(target), 0))
        to.settimeout(2)
        out.setsockopt(socket.IPPROTO_IP, 10, 0)  # IP_MTU_DISCOVER, IP_PMTUDISC_DONT: the kernel may fragment
        for n in lengths:
            for data in (TEXT[:n], RANDOM[:n], TEXT[:n // 2] + RANDOM[:n - n // 2]):
                out.sendto(data, to.getsockname())
                try:
                    got = to.recv(65536)
                except TimeoutError:
                    raise AssertionError(f"{source} to {target}: {n} bytes by UDP did not arrive") from None
                check(got == data, f"{source} to {target}: {n} bytes by UDP changed on the way")


def no_drops(mesh):
    for host in ("a1", "b1"):
        for name in ("drop_lz4", "drop_inner", "drop_auth", "drop_too_big"):
            check(mesh.counter(host, name) == 0, f"{host}: {name} is {mesh.counter(host, name)}")


def packs_and_unpacks(mesh):
    for source, target in BOTH:
        before = compression(mesh, source), compression(mesh, target)
        ratio = send(mesh, source, target, TEXT)
        check(ratio < 0.6, f"{source}: {ratio:.2f} bytes on the wire for each byte of text")
        here, there = compression(mesh, source), compression(mesh, target)
        plain, packed = (here[f"tx_{k}_bytes"] - before[0][f"tx_{k}_bytes"] for k in ("plain", "packed"))
        check(plain > 3_000_000 and packed < plain * 0.6, f"{source}: {plain} bytes were packed to {packed}")
        unpacked = there["rx_plain_bytes"] - before[1]["rx_plain_bytes"]
        check(unpacked > 3_000_000, f"{target}: {unpacked} bytes were unpacked")
        print(f"  {source} to {target}: text, {ratio:.2f} bytes on the wire for each", flush=True)
        before = compression(mesh, target)["rx_packed_bytes"]
        ratio = send(mesh, source, target, RANDOM)
        check(1 < ratio < 1.2, f"{source}: {ratio:.2f} bytes on the wire for each random byte")
        packed = compression(mesh, target)["rx_packed_bytes"] - before
        check(packed < 300_000, f"{target}: {packed} bytes of packed packets came where nothing shrinks")


def on_at_both_ends():
    with Mesh([Site("a", "open"), Site("b", "open")]) as mesh:
        pair("on", "on", mesh)
        check(states(mesh) == ["on", "on"], f"states are {states(mesh)}")
        packs_and_unpacks(mesh)
        for source, target in BOTH:
            datagrams(mesh, source, target, range(1, 1393, 61))
        check(mesh.nodes["a1"].ask("status")["compression"] == "on", "status says otherwise")
        check(0.2 < compression(mesh, "a1")["gain_ratio"] < 0.9, f"gain is {compression(mesh, 'a1')}")
        said = mesh.ctl("a1", "peers", "-w").stdout
        check(f"on {compression(mesh, 'a1')['gain_ratio'] * 100:.0f}%" in said, f"peers -w: {said}")
        no_drops(mesh)


def off_at_one_end_is_off():
    with Mesh([Site("a", "open"), Site("b", "open")]) as mesh:
        pair("on", "off", mesh)
        check(states(mesh) == ["peer-off", "off"], f"states are {states(mesh)}")
        for source, target in BOTH:
            ratio = send(mesh, source, target, TEXT)
            check(ratio > 1, f"{source}: {ratio:.2f} bytes on the wire for each byte of text")
        for host in ("a1", "b1"):
            c = compression(mesh, host)
            check(c["gain_ratio"] is None and not any(c[f"{way}_{k}_bytes"] for way in ("tx", "rx") for k in ("plain", "packed")),
                  f"{host}: {c}")
        no_drops(mesh)


def auto_stops_where_nothing_is_gained():
    with Mesh([Site("a", "open"), Site("b", "open")]) as mesh:
        pair("auto", "auto", mesh)
        check(states(mesh) == ["trial", "trial"], f"states are {states(mesh)}")
        send(mesh, "a1", "b1", TEXT)
        check(states(mesh)[0] == "on", f"a1 is {states(mesh)[0]}, after text")
        send(mesh, "a1", "b1", RANDOM)
        check(states(mesh)[0] == "paused", f"a1 is {states(mesh)[0]}, after random bytes")
        before = compression(mesh, "a1")["tx_plain_bytes"]
        send(mesh, "a1", "b1", TEXT, size=500_000)
        if states(mesh)[0] == "paused":  # else this took 5 s
            check(compression(mesh, "a1")["tx_plain_bytes"] == before, "a1 tries in its pause")
        wait_until(lambda: states(mesh)[0] != "paused", 15, "a1 tries again")
        send(mesh, "a1", "b1", TEXT)
        check(states(mesh)[0] == "on", f"a1 is {states(mesh)[0]}, after text again")
        no_drops(mesh)


def small_path(mesh):
    """Below 1280 bytes packets go in pieces, or packed, or both."""
    mesh.lab.set("b1", mtu=1000, blackhole=True, nofrag=True)
    mesh.lab.set("a1", mtu=1000, blackhole=True, nofrag=True)
    with mesh.transfer("a1", "b1", mbit=5) as transfer:  # the search runs while there is data
        for host, other in BOTH:
            wait_until(lambda host=host, other=other: fits(mesh, host, other) or transfer.error, 20, f"{host} finds what fits")
        transfer.finish()
    for source, target in BOTH:
        datagrams(mesh, source, target, [*range(900, 1253, 23), 3000, 8000])
        ratio = send(mesh, source, target, TEXT, size=1_000_000)
        check(ratio < 0.7, f"{source}: {ratio:.2f} bytes on the wire for each byte of text")


def fits(mesh, host, other):
    document, = mesh.nodes[host].ask("paths", peer=other)["peers"]
    return any(p["state"] == "in use" and p["mtu"] and p["mtu"] < 1000 for p in document["paths"])


def packed_in_pieces():
    with Mesh([Site("a", "open"), Site("b", "open")]) as mesh:
        pair("on", "auto", mesh)
        small_path(mesh)
        no_drops(mesh)


def without_offloads():
    with Mesh([Site("a", "open"), Site("b", "open")]) as mesh:
        pair("on", "on", mesh, env=EVERY)
        packs_and_unpacks(mesh)
        small_path(mesh)
        no_drops(mesh)


def packed_while_data_flows(mesh, there, back):
    """At which end did packed packets arrive, while 200 kB did at each?"""
    before = [compression(mesh, host)["rx_packed_bytes"] for host in ("a1", "b1")]
    got = there.got, back.got
    wait_until(lambda: there.got > got[0] + 200_000 and back.got > got[1] + 200_000, 5, "data flows")
    return [compression(mesh, host)["rx_packed_bytes"] > b for host, b in zip(("a1", "b1"), before)]


def a_reload_turns_it_on_and_off():
    with Mesh([Site("a", "open"), Site("b", "open")]) as mesh:
        pair("off", "on", mesh)
        check(states(mesh) == ["off", "peer-off"], f"states are {states(mesh)}")
        with mesh.transfer("a1", "b1", mbit=20, block=TEXT) as there, mesh.transfer("b1", "a1", mbit=20, block=TEXT, port=5202) as back:
            for mode, want in (("on", ["on", "on"]), ("off", ["off", "peer-off"]), ("auto", ["on", "on"])):
                mesh.configure_peer("a1", f"compression = {mode}")
                answer = mesh.ctl_json("a1", "reload")
                check(answer["applied"] == ["compression"] and answer["restart"] == [], f"reload: {answer}")
                wait_until(lambda want=want: states(mesh) == want, 3, f"with {mode}, states are {want}")
                wait_until(lambda want=[mode != "off"] * 2: packed_while_data_flows(mesh, there, back) == want, 3,
                           f"with {mode}, packed packets arrive or do not")
            there.finish()
            back.finish()
        no_drops(mesh)


main(on_at_both_ends, off_at_one_end_is_off, auto_stops_where_nothing_is_gained, packed_in_pieces, without_offloads,
     a_reload_turns_it_on_and_off)
