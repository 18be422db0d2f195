#!/usr/bin/env python3
# ctest: timeout=60 beside
"""What a node counts, as Prometheus reads it: on the loopback, on a Unix socket, and in a file. Both of its formats are read by the
parsers of Prometheus' own client library, which know their grammars, and by promtool where that is installed.

    coord       has metrics too
      |
    inet ---- a1, b1   public hosts
"""
import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time

from harness import FACTOR, Mesh, Site, check, main, netns, sh, wait_until
from two import mesh_of_two, start

try:
    from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open_metrics
    from prometheus_client.parser import text_string_to_metric_families as parse_text
except ImportError:
    print("skipped: no python3-prometheus-client")
    sys.exit(77)

PORT = 9586
PATHS = {"lan", "direct4", "direct6", "relay", "tcp", "none"}
# What dashboards and alerts rely on: samples, by their labels. Of both roles, of a peer, of a peer that names its peers.
OF_BOTH = {
    "warren_build_info": {"version", "role"}, "warren_config_last_reload_success": set(),
    "warren_dropped_packets_total": {"direction", "reason"}, "warren_handshakes_total": {"result"},
    "warren_relay_forwarded_bytes_total": set(),
    "process_cpu_seconds_total": set(), "process_resident_memory_bytes": set(), "process_virtual_memory_bytes": set(),
    "process_open_fds": set(), "process_start_time_seconds": set()}
OF_PEER = {
    "warren_peers": {"path"}, "warren_rx_bytes_total": {"path"}, "warren_tx_bytes_total": {"path"},
    "warren_rx_packets_total": {"path"}, "warren_tx_packets_total": {"path"}, "warren_path_changes_total": {"from", "to"},
    "warren_holepunch_attempts_total": {"result", "cause"}, "warren_coordinator_connected": {"coordinator"},
    "warren_loop_lag_seconds_bucket": {"le"}, "warren_loop_lag_seconds_sum": set(), "warren_loop_lag_seconds_count": set()}
OF_LABELS = {"warren_peer_info": {"peer", "ip", "key"}, "warren_peer_rtt_seconds": {"peer"}}
OPEN = "Accept: application/openmetrics-text; version=1.0.0\r\n"


def families(text):
    """{name: {labels: value}} of the text format, and the types."""
    found, types = {}, {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            check(name not in types, f"{name} comes twice")
            types[name] = kind
        elif not line.startswith("#"):
            name, labels, value = re.fullmatch(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(\{.*\})? (\S+)', line).groups()
            found.setdefault(name, {})[labels or ""] = float(value)
    return found, types


def talk(address, request, host=None, mesh=None):
    """One HTTP exchange: the status, the head, the body."""
    with netns(mesh.lab.ns(host)) if host else open(os.devnull):
        s = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
    with s:
        s.settimeout(8 * FACTOR)
        s.connect(address)
        s.sendall(request.encode())
        data = b""
        with contextlib.suppress(ConnectionResetError):  # it was refused before all of it was read
            while part := s.recv(65536):
                data += part
    head, _, body = data.decode().partition("\r\n\r\n")
    return int(head.split(" ")[1]) if head else 0, head, body


def judge(text, is_open):
    """{sample's name: [its labels]}, after the judges had nothing to say against the text."""
    samples = {}
    for family in (parse_open_metrics if is_open else parse_text)(text):
        for sample in family.samples:
            samples.setdefault(sample.name, []).append(sample.labels)
    if shutil.which("promtool") and not is_open:
        r = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
        check(r.returncode == 0, f"promtool: {r.stdout}{r.stderr}")
    return samples


def both_formats_say_what_is_promised():
    with Mesh([Site("a", "open"), Site("b", "open")], settings=f'metrics {{ listen = "127.0.0.1:{PORT}" }}') as mesh:
        start(mesh, f'metrics {{ listen = "127.0.0.1:{PORT}"  peer_labels = true }}')
        for host, promised in (("a1", {**OF_BOTH, **OF_PEER, **OF_LABELS}), ("coord", OF_BOTH)):
            sh("ip", "-netns", mesh.lab.ns(host), "link", "set", "lo", "up")
            found = []
            for accept in ("", OPEN):
                status, head, body = talk(("127.0.0.1", PORT), f"GET /metrics HTTP/1.1\r\nHost: localhost\r\n{accept}\r\n", host, mesh)
                kind = "application/openmetrics-text; version=1.0.0" if accept else "text/plain; version=0.0.4"
                check(status == 200 and f"Content-Type: {kind}" in head, f"{host}: {head}")
                found.append(judge(body, bool(accept)))
                for name, labels in promised.items():
                    check(name in found[-1], f"{host}: there is no {name}")
                    for sample in found[-1][name]:
                        check(set(sample) == labels, f"{host}: {name} has labels {sample}")
                if host == "a1":
                    for name in ("warren_peers", "warren_rx_bytes_total"):
                        check({s["path"] for s in found[-1][name]} == PATHS, f"{name}: {found[-1][name]}")
                check(judge(mesh.ctl(host, "metrics").stdout, False).keys() >= promised.keys(), "warrenctl metrics")
            check(found[0] == found[1], f"{host}: the formats differ")
        for bad in ("warren_x 1\nwarren_x 2", "# TYPE warren_x counter\nwarren_x 1\n# EOF\n"):
            try:
                judge(bad, True)
            except ValueError:
                continue
            raise AssertionError(f"{bad!r} was not found")


def what_is_counted_is_served():
    with mesh_of_two() as mesh:
        start(mesh, f'metrics {{ listen = "127.0.0.1:{PORT}"  peer_labels = true }}')
        sh("ip", "-netns", mesh.lab.ns("a1"), "link", "set", "lo", "up")
        at = ("127.0.0.1", PORT)

        def scrape(request="GET /metrics HTTP/1.1\r\nHost: localhost:9586\r\n\r\n"):
            return talk(at, request, "a1", mesh)

        status, head, body = scrape()
        check(status == 200 and "text/plain; version=0.0.4" in head, f"scrape: {head}")
        found, types = families(body)
        check(found["warren_peers"]['{path="lan"}'] + found["warren_peers"]['{path="direct4"}'] == 1, found["warren_peers"])
        check(found["warren_coordinator_connected"]['{coordinator="c1"}'] == 1, "the coordinator is not connected")
        check(found["warren_peer_rtt_seconds"]['{peer="b1"}'] < 1, "no round trip of b1")
        check(sum(found["warren_path_changes_total"].values()) >= 1, "no change of path was counted")
        check(types["warren_handshakes_total"] == "counter" and types["warren_build_info"] == "gauge", types)
        check(any('version="' in labels for labels in found["warren_build_info"]), "no version")
        check(found["process_open_fds"][""] > 3 and found["process_resident_memory_bytes"][""] > 1 << 20, "no process")
        before = sum(found["warren_tx_packets_total"].values())
        mesh.ping("a1", "b1", 2)
        after = sum(families(scrape()[2])[0]["warren_tx_packets_total"].values())
        check(after > before, f"packets: {before}, then {after}")

        status, head, body = scrape("GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/openmetrics-text\r\n\r\n")
        check("openmetrics-text; version=1.0.0" in head and body.endswith("# EOF\n"), f"OpenMetrics: {head}")
        check("# TYPE warren_handshakes counter\n" in body and "warren_handshakes_total{" in body, "OpenMetrics' names")
        status, head, body = scrape("HEAD /metrics HTTP/1.1\r\nHost: [::1]:9586\r\n\r\n")
        check(status == 200 and not body and int(re.search(r"Content-Length: (\d+)", head)[1]) > 1000, f"HEAD: {head} {body!r}")
        for request, code in (("GET /metrics HTTP/1.1\r\nHost: rebound.example\r\n\r\n", 403), ("GET /metrics HTTP/1.1\r\n\r\n", 403),
                              ("POST /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", 405), ("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
                              ("GET /metrics HTTP/2.0\r\nHost: localhost\r\n\r\n", 505), ("nonsense\r\n\r\n", 400),
                              ("GET /metrics HTTP/1.1\r\nX: " + "x" * 5000, 431)):
            status, head, body = scrape(request)
            check(status == code, f"{request[:40]!r}: {status}, not {code}")
        begin = time.monotonic()
        check(scrape("GET /metrics HTTP/1.1\r\n")[0] == 0, "half a request is answered")
        check(4 < time.monotonic() - begin < 7 * FACTOR, f"half a request is waited for {time.monotonic() - begin:.1f} s")
        r = mesh.ctl("a1", "metrics")
        check(families(r.stdout)[1].keys() == types.keys(), "warrenctl metrics has other families")
        path = f"{mesh.dir}/warren.prom"
        check(mesh.ctl("a1", "metrics", "write", path).returncode == 0, "metrics write failed")
        check(families(open(path).read())[1].keys() == types.keys() and os.stat(path).st_mode & 0o777 == 0o644, "the file differs")
        check(mesh.ctl("a1", "metrics", "write", f"{mesh.dir}/nowhere/f").returncode == 1, "a file that cannot be written")
        check(not [f for f in os.listdir(mesh.dir) if f.startswith("warren.prom.")], "a part of the file is left")
        check(families(mesh.ctl("coord", "metrics").stdout)[0]["warren_members"]['{state="online"}'] == 2, "the coordinator's")


def a_socket_takes_no_more_than_its_share():
    with mesh_of_two() as mesh:
        path = f"{mesh.dir}/metrics.sock"
        start(mesh, f'metrics {{ listen = "{path}" }}')
        check(os.stat(path).st_mode & 0o777 == 0o660, "the socket is open to others")
        idle = []
        for _ in range(32):
            idle.append(socket.socket(socket.AF_UNIX))
            idle[-1].connect(path)
        try:
            check(talk(path, "GET /metrics HTTP/1.0\r\n\r\n")[0] == 0, "the 33rd is answered")
        except (ConnectionError, BrokenPipeError):
            pass
        idle.pop().close()
        wait_until(lambda: talk(path, "GET /metrics HTTP/1.0\r\n\r\n")[0] == 200, 2, "there is room again")
        for s in idle:
            s.close()
        body = talk(path, "GET /metrics HTTP/1.0\r\n\r\n")[2]
        check("warren_peer_info" not in body, "peers have series that nobody asked for")
        mesh.nodes["a1"].stop()
        check(not os.path.exists(path), "the socket is left behind")


main(both_formats_say_what_is_promised, what_is_counted_is_served, a_socket_takes_no_more_than_its_share)
