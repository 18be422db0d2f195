#!/usr/bin/env python3
# ctest: timeout=120 beside
"""A pair uses the best cipher that both ends allow and compute fast, and where there is none both say so at once.

    coord
      |
    inet ---- [open] ---- a1
        `---- [open] ---- b1
"""
import time

from harness import PROGRAMS, Mesh, Site, check, main, wait_until

AES, CHACHA = "aes-256-gcm", "chacha20-poly1305"
OTHER = {"a1": "b1", "b1": "a1"}


def started(mesh, allow_a=None, allow_b=None, env_a="", env_b=""):
    for host, allow in (("a1", allow_a), ("b1", allow_b)):
        mesh.configure_peer(host, f'ciphers = {{"{allow}"}}' if allow else "")
    mesh.start("coord")
    mesh.start("a1", env={"WARREN_DISABLE": env_a}.items())
    mesh.start("b1", env={"WARREN_DISABLE": env_b}.items())
    mesh.wait_registered("a1", "b1")


def ciphers(mesh, host):
    """Who computes each suite that the host offers."""
    return {c["suite"]: c["implementation"] for c in mesh.nodes[host].ask("status")["ciphers"]}


def agreed(mesh, source, wanted):
    """Both ends use the suite, each by what it says it computes it with, and data gets through."""
    check(mesh.ping(source, OTHER[source], 2) is not None, f"{source} does not reach {OTHER[source]}")
    for host, other in OTHER.items():
        p = mesh.peer(host, other)
        check(p["suite"] == wanted, f"{host} uses {p['suite']}, not {wanted}")
        check(p["implementation"] == ciphers(mesh, host)[wanted], f"{host}: {p['implementation']}, {ciphers(mesh, host)}")
        said = f"{wanted} by {p['implementation']}"
        for command in (["status"], ["peers", "-w"]):
            check(said in mesh.ctl(host, *command).stdout, f"{host}: {command} does not say: {said}")


def what_both_are_fast_at_decides():
    for env_a, env_b in (("", ""), ("", "aes"), ("aes", "ipsec-mb")):
        with Mesh([Site("a", "open"), Site("b", "open")]) as mesh:
            started(mesh, env_a=env_a, env_b=env_b)
            offers = [ciphers(mesh, host) for host in OTHER]
            for env, offer in zip((env_a, env_b), offers):
                check(CHACHA in offer and not (env == "aes" and AES in offer), f"with {env} disabled: {offer}")
                check(env != "ipsec-mb" or set(offer.values()) == {"libsodium"}, f"with {env} disabled: {offer}")
            agreed(mesh, "a1", AES if all(AES in offer for offer in offers) else CHACHA)


def the_file_restricts():
    for allow_a, allow_b, source in ((CHACHA, None, "a1"), (CHACHA, None, "b1"), (None, CHACHA, "a1")):
        with Mesh([Site("a", "open"), Site("b", "open")]) as mesh:
            started(mesh, allow_a, allow_b)
            for host, allow in (("a1", allow_a), ("b1", allow_b)):
                check(not allow or list(ciphers(mesh, host)) == [allow], f"{host} offers {ciphers(mesh, host)}")
            agreed(mesh, source, CHACHA)


def has_aes(mesh):
    """Else a node that allows only that does not start."""
    mesh.configure_peer("a1", f'ciphers = {{"{AES}"}}')
    return mesh.lab.run("a1", [PROGRAMS["warrend"], "--check", "-c", mesh.nodes["a1"].conf], capture_output=True).returncode == 0


def with_none_in_common_both_say_so():
    with Mesh([Site("a", "open"), Site("b", "open")]) as mesh:
        if not has_aes(mesh):
            print("  not here: this CPU has no AES")
            return
        started(mesh, AES, CHACHA)
        none_in_common(mesh)


def none_in_common(mesh):
    begin = time.monotonic()
    with mesh.pinger("a1", "b1") as ping:
        for host, other in OTHER.items():
            wait_until(lambda host=host, other=other: mesh.peer(host, other)["why"] == "no-common-cipher", 2,
                       f"{host} knows why")
        wait_until(lambda: ping.unreachable > 10, 2, "packets are answered at once")
        wait_until(lambda: time.monotonic() > begin + 6, 7, "6 s of packets")
        check(not ping.answered, "an answer without a cipher")
    # It may have asked just now.
    wait_until(lambda: all(mesh.counter(host, "handshake_no_cipher") == mesh.counter("a1", "handshakes_initiated") for host in OTHER), 2,
               "every question is refused")
    asked = mesh.counter("a1", "handshakes_initiated")
    check(2 <= asked <= 4, f"a1 asked {asked} times in 6 s")
    for host, other, here, there in (("a1", "b1", AES, CHACHA), ("b1", "a1", CHACHA, AES)):
        check(mesh.peer(host, other)["state"] == "down", f"{host}: {mesh.peer(host, other)}")
        notice = f"{other} and this node have no cipher in common: here {here}, there {there}"
        check(notice in mesh.nodes[host].ask("status")["notices"], f"{host}: {mesh.nodes[host].ask('status')['notices']}")
        check(notice in mesh.ctl(host, "status").stdout, f"{host}: status does not say so")
        said = mesh.ctl(host, "why", other).stdout
        check("no-common-cipher" in said and "ciphers" in said, f"{host}: why says {said}")
        log = f"peer {other}: no cipher in common"
        check(mesh.nodes[host].log().count(log) == 1, f"{host}: its log says so {mesh.nodes[host].log().count(log)} times")
    mesh.nodes["b1"].stop()
    mesh.configure_peer("b1", f'ciphers = {{"{CHACHA}", "{AES}"}}')
    mesh.start("b1")
    mesh.wait_registered("a1", "b1", "b1")
    agreed(mesh, "a1", AES)
    check(mesh.peer("a1", "b1")["why"] != "no-common-cipher", "a1 still says that there is none")


main(what_both_are_fast_at_decides, the_file_restricts, with_none_in_common_both_say_so)
