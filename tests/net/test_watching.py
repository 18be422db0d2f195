#!/usr/bin/env python3
# ctest: timeout=90
"""What an administrator watches a node with: commands that repeat themselves, metrics, captured packets, and what the host itself
has in the way; and a reload that only says what it would do.

    coord
      |
    inet ---- a1, b1   public hosts
"""
import contextlib
import fcntl
import json
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import termios
import time

from harness import FACTOR, Mesh, PROGRAMS, Site, check, main, netns, sh, wait_until

PORT = 9586


def mesh_of_two():
    return Mesh([Site("a", "open"), Site("b", "open")])


def start(mesh, extra=""):
    mesh.configure_peer("a1", extra)
    mesh.start("coord", "a1", "b1")
    check(mesh.ping("a1", "b1", 5) is not None, "no ping")
    mesh.wait_path("a1", "b1", "direct", within=5)


def ctl(mesh, host, *argv, **kw):
    """warrenctl, while it runs, in the host."""
    return mesh.lab.popen(host, [PROGRAMS["warrenctl"], "-s", mesh.nodes[host].control, *argv], **kw)


def ended(process, what, within=5):
    try:
        return process.wait(within * FACTOR)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError(f"{what} does not end") from None


# ---------------------------------------------------------------- again and again


def lines_repeat_until_nobody_reads():
    with mesh_of_two() as mesh:
        start(mesh)
        for command, schema in (("status", "warren.status/1"), ("peers", "warren.peers/1"), ("paths", "warren.paths/1")):
            p = ctl(mesh, "a1", command, "--watch=0.1", "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(3):
                check(json.loads(p.stdout.readline())["schema"] == schema, f"{command}: another document")
            p.stdout.close()
            check(ended(p, command) == 0, f"{command}: exit {p.returncode} when nobody read any more")
            check(p.stderr.read() == "", f"{command}: complains when nobody reads any more")
        p = ctl(mesh, "a1", "peers", "--watch=0.1", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        p.stdout.readline()
        p.send_signal(signal.SIGINT)
        check(ended(p, "peers") == 0, f"SIGINT ends peers --watch with {p.returncode}")
        p.communicate()
        r = mesh.ctl("a1", "peers", "--watch=never")
        check(r.returncode == 64, f"--watch=never: exit {r.returncode}")
        mesh.nodes["a1"].stop()
        r = mesh.ctl("a1", "peers", "--watch=0.1")
        check(r.returncode == 69, f"without a daemon: exit {r.returncode}")


def a_terminal_is_drawn_in_place():
    with mesh_of_two() as mesh:
        start(mesh)
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 4, 40, 0, 0))
        p = ctl(mesh, "a1", "top", "-i", "0.1", stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, env={"TERM": "xterm"})
        os.close(theirs)
        drawn, deadline = b"", time.monotonic() + 5 * FACTOR
        while drawn.count(b"\033[H") < 3 and time.monotonic() < deadline:
            drawn += os.read(ours, 65536)
        p.send_signal(signal.SIGINT)
        try:
            while part := os.read(ours, 65536):
                drawn += part
        except OSError:
            pass  # the other end is closed
        check(ended(p, "top") == 0, f"top ends with {p.returncode}")
        os.close(ours)
        p.communicate()
        check(drawn.count(b"\033[H") >= 3, f"not drawn three times: {drawn!r}")
        check(drawn.endswith(b"\033[?25h"), "the cursor stays hidden")
        for page in drawn.split(b"\033[H")[1:-1]:
            lines = re.sub(rb"\033\[[0-9;?]*[A-Za-z]", b"", page).replace(b"\r", b"").strip(b"\n").split(b"\n")
            check(len(lines) <= 3 and all(len(line) <= 40 for line in lines), f"larger than the terminal: {lines}")
            check(lines[0].startswith(b"PEER"), f"the table does not begin at the top: {lines}")


# ---------------------------------------------------------------- metrics


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


# ---------------------------------------------------------------- capture


def captured_packets_are_read_by_tcpdump():
    with mesh_of_two() as mesh:
        start(mesh)
        path = f"{mesh.dir}/capture.pcapng"
        p = ctl(mesh, "a1", "capture", "-o", path, "--peer", "b1", stderr=subprocess.PIPE, text=True)
        wait_until(lambda: os.path.exists(path) and os.path.getsize(path) > 0, 3 * FACTOR, "a file")
        check(mesh.ctl("a1", "capture", "-o", f"{path}.2").returncode == 1, "two capture at once")
        with mesh.pinger("a1", "b1", interval=0.02) as pinger:
            wait_until(lambda: len(pinger.answered) >= 20, 5, "20 answers")
            n = len(pinger.answered)
        time.sleep(0.1)
        p.send_signal(signal.SIGINT)
        said = p.communicate(timeout=5 * FACTOR)[1]
        check(p.returncode == 0 and re.search(r"\d+ packets, 0 left out", said), f"capture ends with {p.returncode}: {said}")
        listing = subprocess.run(["tcpdump", "-nr", path], capture_output=True, text=True).stdout.splitlines()
        requests = [line for line in listing if "ICMP echo request" in line and line.split()[2] == mesh.overlay("a1")]
        replies = [line for line in listing if "ICMP echo reply" in line and line.split()[2] == mesh.overlay("b1")]
        check(len(requests) >= n and len(replies) >= n, f"{len(requests)} requests, {len(replies)} replies of {n}: {listing[:3]}")
        data = open(path, "rb").read()
        comments, directions = 0, set()
        while data:  # blocks: type, length, ..., length
            kind, length = struct.unpack("=II", data[:8])
            check(length == struct.unpack("=I", data[length - 4:length])[0], "a block's two lengths differ")
            if kind == 6:
                captured, = struct.unpack("=I", data[20:24])
                options = data[28 + (captured + 3) // 4 * 4:length - 4]
                while options:
                    code, size = struct.unpack("=HH", options[:4])
                    if code == 1:
                        comments += options[4:4 + size] == b"b1"
                    elif code == 2:
                        directions.add(struct.unpack("=I", options[4:8])[0])
                    options = options[4 + (size + 3) // 4 * 4:] if code else b""
            data = data[length:]
        check(comments >= 2 * n and directions == {1, 2}, f"{comments} comments, directions {directions}")


def a_reader_that_goes_ends_the_capture():
    with mesh_of_two() as mesh:
        start(mesh)
        p = ctl(mesh, "a1", "capture", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        p.stdout.read(4)
        p.stdout.close()
        with mesh.pinger("a1", "b1", interval=0.05):
            check(ended(p, "capture") == 0, f"capture ends with {p.returncode} when nobody reads")
            p.stderr.close()
            few = mesh.ctl("a1", "capture", "-c", "3", "-o", f"{mesh.dir}/few")
        check(few.returncode == 0 and re.match(r"[3-9]|\d\d+ packets", few.stderr), f"three packets: {few}")
        # One that is killed loses its place by itself.
        p = ctl(mesh, "a1", "capture", "-o", f"{mesh.dir}/killed", stderr=subprocess.DEVNULL)
        wait_until(lambda: os.path.exists(f"{mesh.dir}/killed"), 3 * FACTOR, "a file")
        p.kill()
        p.wait()

        def begins():
            q = ctl(mesh, "a1", "capture", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            try:
                return q.stdout.read(4) != b""
            finally:
                q.stdout.close()
                q.terminate()
                q.wait()
        wait_until(begins, 8, "another capture may begin")


# ---------------------------------------------------------------- doctor, reload


def the_doctor_finds_what_is_in_the_way():
    with mesh_of_two() as mesh:
        start(mesh)
        ns = mesh.lab.ns("a1")

        def findings():
            r = mesh.lab.run("a1", [PROGRAMS["warrenctl"], "-s", mesh.nodes["a1"].control, "doctor", "--json"],
                             capture_output=True, text=True)
            return r.returncode, {f["check"]: f for f in json.loads(r.stdout)["findings"]}

        code, found = findings()
        check(code == 0, f"a healthy node is not well: {[f for f in found.values() if f['state'] == 'bad']}")
        for name in "daemon", "tun", "mtu", "routes", "udp", "firewall":
            check(found[name]["state"] == "ok", f"{found[name]}")
        for breaks, name, words in (
                (["ip", "-netns", ns, "link", "set", "warren0", "mtu", "1300"], "mtu", "from 1420 to 1300"),
                (["ip", "-netns", ns, "route", "add", "10.77.0.0/17", "dev", "eth0"], "routes", "10.77.0.0/17"),
                (["ip", "netns", "exec", ns, "nft", "table inet filter { chain input { type filter hook input priority 0; policy drop; "
                  "udp dport 1-65535 accept; ct state established accept; }; }"], "firewall", "chain input")):
            sh(*breaks)
            code, found = findings()
            check(code == 1 and found[name]["state"] == "bad" and words in found[name]["message"], f"{name}: exit {code}, {found[name]}")
            # The command that mends it does.
            sh("ip", "netns", "exec", ns, *found[name]["mend"].split())
            check(findings()[1][name]["state"] == "ok", f"{found[name]['mend']} does not mend it: {findings()[1][name]}")


def a_dry_run_changes_nothing():
    with mesh_of_two() as mesh:
        start(mesh)
        for host, key in (("a1", "log_level"), ("coord", "listen.stun")):
            node = mesh.nodes[host]
            text = open(node.conf).read()
            change = 'log_level = "debug"\nworkers = 3\n' if host == "a1" else "listen { stun = false }\nworkers = 3\n"
            with open(node.conf, "a") as f:
                f.write(change)
            for _ in range(2):
                r = mesh.ctl_json(host, "reload", "--dry-run")
                check(r["ok"] and r["dry_run"] and r["applied"] == [key] and r["restart"] == ["workers"], f"{host}: {r}")
            check("reload" not in node.log(), f"{host}: the log knows of a reload")
            check(mesh.ctl(host, "reload", "--dry-run").stdout.startswith("a reload would apply: " + key), "the words")
            check(mesh.ctl_json(host, "reload")["applied"] == [key], f"{host}: the dry run had changed it")
            with open(node.conf, "w") as f:
                f.write(text + "nonsense = 1\n")
            r = mesh.ctl(host, "reload", "--dry-run")
            check(r.returncode == 78 and f"{node.conf}:" in r.stderr and "nonsense" in r.stderr, f"{host}: a broken file: {r}")
            check(node.ask("status")["config"]["last_error"] is None, f"{host}: a dry run left an error behind")


main(lines_repeat_until_nobody_reads, a_terminal_is_drawn_in_place, what_is_counted_is_served,
     a_socket_takes_no_more_than_its_share, captured_packets_are_read_by_tcpdump, a_reader_that_goes_ends_the_capture,
     the_doctor_finds_what_is_in_the_way, a_dry_run_changes_nothing)
