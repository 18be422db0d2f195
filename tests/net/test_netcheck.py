#!/usr/bin/env python3
# ctest: timeout=150
"""`warrenctl netcheck` says of every kind of NAT what it is, says so by a stock STUN server too, and guesses nothing.

    coord   warren's, 2 addresses, TCP 27700 and 443
    coord2  coturn, 2 addresses
      |
    inet ---- [each kind of NAT, with and without hairpin] ---- one host behind each

The truth is the laboratory's: natlab has the rules, and its selftest measures them.
"""
import contextlib
import json
import os
import re
import select
import signal
import socket
import subprocess
import threading
import time

from harness import FACTOR, PROGRAMS, Mesh, Site, check, main, netns, nft, wait_until
from verdicts import APD, BLOCKED, TRUTH, netchecks_whole

HAIRPIN = {"fullcone", "addr", "port", "portnp"}
# At how many endpoints the data port is seen: by two addresses with two ports each; of coturn one port only answers from elsewhere.
ENDPOINTS = {"symaddr": 2, "symseq": 4, "symrand": 4}
NO_PORTMAP = "listen { portmap = off }"  # where it is not the question: gateways that do not answer cost 4 s
ENDPOINTS_BY_COTURN = {"symaddr": 2, "symseq": 3, "symrand": 3}
# An idle mapping of that site lives for 3 s, and there a second of the learning takes 55 ms: 25 and 45 of them pass, 60 do not.
SHORT, SHORT_UNIT_MS = 3, 55
SHORT_TRUTH = SHORT * 1000 // SHORT_UNIT_MS


def sites():
    plain = [Site(f"{chr(97 + i)}x", kind) for i, kind in enumerate(TRUTH)]
    looped = [Site(f"{chr(97 + i)}h", kind, hairpin=True) for i, kind in enumerate(TRUTH) if kind in HAIRPIN]
    return [*plain, *looped, Site("short", "port", udp_timeout=SHORT, udp_stream=SHORT)]


def is_true(site, said, wrong, endpoints):
    mapping, filtering, kept, classic = TRUTH[site.kind]
    blocked = site.kind in BLOCKED
    hairpin = None if blocked or mapping == "none" else site.hairpin
    want = {"mapping": mapping, "filtering": filtering, "keeps_port": kept, "classic": classic, "udp_blocked": blocked,
            "hairpin": hairpin}
    found = {k: said[k] for k in want}
    if found != want:
        wrong.append(f"{site.name}, {site.kind}: {found} instead of {want}")
    seen = said["mapping_seen"]
    if (seen is None) != blocked or (seen and seen["endpoints"] != endpoints.get(site.kind, 1)):
        wrong.append(f"{site.name}, {site.kind}: mapping seen as {seen}")
    if not (said["port_step"] in (1, 2) if site.kind == "symseq" else said["port_step"] is None):
        wrong.append(f"{site.name}, {site.kind}: port step {said['port_step']}")
    state = "no-answer" if blocked else "ok"
    if said["udp4"]["state"] != state or (said["udp4"]["endpoint"] is None) != blocked:
        wrong.append(f"{site.name}, {site.kind}: udp4 {said['udp4']}")
    if said["udp6"] != {"state": "no-address", "ok": False, "has_address": False, "endpoint": None}:
        wrong.append(f"{site.name}, {site.kind}: udp6 {said['udp6']}")


def reaches_the_coordinator(name, said, wrong):
    c, = said["coordinators"]
    facts = [c["state"] == "connected", c["preferred"], c["rtt_ms"] and c["rtt_ms"] < 500, c["tcp443"]["state"] == "ok",
             said["tcp443"]["state"] == "ok" and said["tcp443"]["connect_ms"] < 500, said["captive"] is False,
             said["captive_seen"] is None, said["mtu"] is None, abs(said["clock_offset_s"]) < 0.5, c["clock_offset_s"] == said["clock_offset_s"]]
    if not all(facts):
        wrong.append(f"{name}: {facts} of {c}, {said['tcp443']}, {said['captive']}, {said['clock_offset_s']}")


def in_words(mesh, sites_by_kind):
    hard = mesh.ctl(sites_by_kind["symrand"] + "1", "netcheck", "-w").stdout
    for line in (rf"mapping +{APD} \(seen by 4 servers at 4 endpoints\)\n", rf"filtering +{APD}\n", r"classic +symmetric\n",
                 r"ports +not kept\n", r"tcp443 +ok, [0-9.]+ ms\n", r"captive +no\n", r"clock +[+-]0\.[0-9]+ s\n",
                 r"coordinators  c1: connected, .* \(preferred\)\n", r"udp6 +none \(no address\)\n", r"portmap +pcp no"):
        check(re.search(line, hard), f"{line} is not in:\n{hard}")
    check("classic" not in mesh.ctl(sites_by_kind["open"] + "1", "netcheck").stdout, "the classic name without being asked for")
    blocked = mesh.ctl(sites_by_kind["udpblocked"] + "1", "netcheck").stdout
    check("udp4          no answer\n" in blocked and "captive       no; only TCP passes\n" in blocked and
          "mapping       not known\n" in blocked, blocked)


def stock_clients(mesh, site):
    """They ask our coordinator where they are."""
    lab, host = mesh.lab, site + "1"
    said = lab.run(host, ["turnutils_stunclient", "-p", "27700", lab.ip("coord")], capture_output=True, text=True, timeout=10).stdout
    check(re.search(rf"reflexive addr: {re.escape(lab.pub[site])}:\d+", said), f"turnutils_stunclient says: {said}")
    # Of RFC 3489: test 1 asks where it is.
    said = lab.run(host, ["stun", f"{lab.ip('coord')}:27700", "1", "-v"], capture_output=True, text=True, timeout=10)
    said = said.stdout + said.stderr
    check(re.search(rf"MappedAddress = {re.escape(lab.pub[site])}:\d+|mappedAddr={re.escape(lab.pub[site])}:\d+", said),
          f"stun says: {said}")


@contextlib.contextmanager
def coturn(mesh):
    lab, log = mesh.lab, f"{mesh.dir}/coturn.log"
    addresses = lab.links["coord2"].v4
    argv = ["turnserver", "-n", "--stun-only", "--no-cli", "--no-tls", "--no-dtls", "--pidfile", f"{mesh.dir}/coturn.pid",
            "--userdb", f"{mesh.dir}/coturn.db", "--log-file", "stdout", "--simple-log",
            *[word for a in addresses for word in ("--listening-ip", a)]]
    with open(log, "w") as out:
        process = lab.popen("coord2", argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=mesh.dir)
    try:
        with lab.udp("coord2") as probe:
            def answers():
                probe.sendto(bytes.fromhex("000100002112a442") + os.urandom(12), (addresses[0], 3478))
                return select.select([probe], [], [], 0.1)[0]
            wait_until(answers, 5 * FACTOR, f"coturn answers: {open(log).read()[-500:]}")
        yield addresses[0]
    finally:
        process.terminate()
        process.wait(5)


def by_coturn_alone(mesh, of):
    """The coordinator's UDP ports answer nobody any more: what is known then is known of coturn."""
    hosts = [s.name + "1" for s in of]
    for h in hosts:
        mesh.nodes[h].terminate()
    for h in hosts:
        mesh.nodes[h].ended()
    nft(mesh.lab.ns("coord"), "table inet mute {\nchain in {\ntype filter hook input priority 0; policy accept;\n"
        "meta l4proto udp drop\n}\n}\n")
    with coturn(mesh) as server:
        for h in hosts:
            mesh.configure_peer(h, extra=f'stun = {{"{server}:3478"}}')
        mesh.start(*hosts)
        said, wrong = netchecks_whole(mesh, hosts), []
        for s in of:
            is_true(s, said[s.name + "1"], wrong, ENDPOINTS_BY_COTURN)
        check(not wrong, "by coturn:\n    " + "\n    ".join(wrong))


def every_kind():
    with Mesh(sites()) as mesh:
        every = list(mesh.lab.sites.values())
        plain = {s.kind: s.name for s in every if not s.hairpin and s.name != "short"}
        hosts = [s.name + "1" for s in every]
        mesh.start("coord")
        mesh.start(*hosts, wait=False, env={"WARREN_TEST_LIFETIME_UNIT_MS": str(SHORT_UNIT_MS)})
        for h in hosts:
            wait_until(mesh.nodes[h].ready, 5 * FACTOR, f"{h}: answers")
        begin = time.monotonic()
        said, wrong = netchecks_whole(mesh, hosts), []
        print(f"  all measured after {time.monotonic() - begin:.1f} s", flush=True)
        for s in every:
            is_true(s, said[s.name + "1"], wrong, ENDPOINTS)
            reaches_the_coordinator(s.name, said[s.name + "1"], wrong)
        check(not wrong, "\n    " + "\n    ".join(wrong))
        in_words(mesh, plain)
        stock_clients(mesh, plain["port"])

        def learned():
            lifetime = mesh.nodes["short1"].ask("netcheck", wait=False)["lifetime"]
            check((lifetime["held_s"] or 0) <= SHORT_TRUTH, f"mappings live {SHORT_TRUTH} units, and {lifetime} is told")
            return lifetime["held_s"] and lifetime
        wait_until(learned, 20, "how long mappings live is learned")
        check(re.search(r"lifetime +UDP mapping held >= \d+ s", mesh.ctl("short1", "netcheck").stdout), "the lifetime in words")
        by_coturn_alone(mesh, [s for s in every if s.kind not in BLOCKED and s.name != "short"])


def something_else_answers():
    """A portal, which lets no UDP through and answers every TCP connection itself."""
    with Mesh([Site("a", "udpblocked")]) as mesh:
        gateway = mesh.lab.gw("a")
        nft(gateway, "table ip portal {\nchain pre {\ntype nat hook prerouting priority -110; policy accept;\n"
            "iifname \"lan\" tcp dport { 27700, 443 } redirect to :8080\n}\n}\n")
        with netns(gateway):
            listener = socket.create_server(("0.0.0.0", 8080))

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    client = listener.accept()[0]
                    with client, contextlib.suppress(OSError):
                        client.settimeout(1)
                        client.recv(1000)
                        client.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://portal.example/\r\n\r\n")
        threading.Thread(target=serve, daemon=True).start()
        mesh.configure_peer("a1", extra=NO_PORTMAP)
        mesh.start("coord", "a1")
        said = mesh.ctl_json("a1", "netcheck")
        c, = said["coordinators"]
        check(said["captive"] is True and "c1 is answered by something that is not it" in said["captive_seen"], f"{said}")
        check(said["tcp443"]["state"] == "foreign-answer" and c["state"] != "connected" and not c["preferred"], f"{said}")
        for key in "mapping", "filtering", "udp_blocked", "hairpin", "clock_offset_s", "mtu", "mapping_seen", "classic":
            check(said[key] is None, f"nobody can know {key}, and it is said to be {said[key]}")
        check(said["udp4"]["state"] is None and said["pending"] == [], f"{said}")
        text = mesh.ctl("a1", "netcheck").stdout
        check(re.search(r"captive +yes: TCP port \d+ of c1 is answered by something that is not it\n", text), text)
        nft(gateway, "delete table ip portal\n")
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        wait_until(lambda: mesh.ctl_json("a1", "netcheck")["captive"] is False, 10, "the portal is gone")


def again_and_again(mesh, host):
    """--every: a document a line, until somebody says stop or nobody reads on."""
    argv = [PROGRAMS["warrenctl"], "-s", mesh.nodes[host].control, "netcheck", "--every", "500ms", "--json"]

    def ended(p, how):
        code = p.wait(3 * FACTOR)
        check(code == 0, f"{how}: exit {code}")
        check(p.stderr.read() == "", f"{how}: something on stderr")
    running = [subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for p in running:
        documents = [json.loads(p.stdout.readline()) for _ in range(2)]
        check(all(d["schema"] == "warren.netcheck/1" for d in documents), f"{documents}")
    running[0].send_signal(signal.SIGINT)
    running[1].send_signal(signal.SIGTERM)
    running[2].stdout.close()
    for p, how in zip(running, ("SIGINT", "SIGTERM", "closed pipe")):
        ended(p, how)
    for p in running[:2]:
        for line in p.stdout.read().splitlines():
            json.loads(line)  # none is cut off


def the_largest_packet_and_again_and_again():
    """Nobody knows it before there is traffic; then it is what the tunnel needs, or less where a link is smaller."""
    with Mesh([Site("a", "port"), Site("b", "port")]) as mesh:
        for host in "a1", "b1":
            mesh.configure_peer(host, extra=NO_PORTMAP)
        mesh.start("coord", "a1", "b1")
        mesh.wait_registered("a1", "b1")

        def mtu():
            said = mesh.nodes["a1"].ask("netcheck", wait=False)
            return said["mtu"], said["mtu_is_least"]
        check(mtu() == (None, None), f"nothing was sent, and {mtu()} is said")
        check(mesh.ping("a1", "b1", 1) is not None, "no ping answered within 1 s")
        mesh.wait_path("a1", "b1", "direct", within=3)
        with mesh.transfer("a1", "b1", mbit=5):
            again_and_again(mesh, "b1")  # while the search goes on
            wait_until(lambda: mtu() == (1420 + 32 + 28, True), 6, "what the tunnel needs goes through")
            check("mtu           1480 and more (probed)\n" in mesh.ctl("a1", "netcheck").stdout, "the words")
            mesh.lab.set("b", mtu=1400)
            wait_until(lambda: mtu() == (1400, False), 10, "the smaller link is known")


main(every_kind, something_else_answers, the_largest_packet_and_again_and_again)
