#!/usr/bin/env python3
# ctest: timeout=60 beside
"""Commands that repeat themselves; what the host itself has in the way; and a reload that only says what it would do.

    coord
      |
    inet ---- a1, b1   public hosts
"""
import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import tarfile
import termios
import time

from harness import FACTOR, PROGRAMS, check, main, sh
from two import ctl, ended, mesh_of_two, start


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


def a_report_has_everything_and_need_not_name_anybody():
    with mesh_of_two() as mesh:
        start(mesh, 'stun = { "stun.acme.example", "192.0.2.99:1" }\nlisten { public_endpoint = "gate.acme.example:5" }\n'
                    'on_mapping_change = "/opt/acme/tell-erwin"\npeer "fridolin" { path = relay }\n# call Erwin, 555-0123')
        node, secrets = mesh.nodes["a1"], []
        for host in "a1", "b1", "coord":
            secrets += [mesh.keys[host].public, mesh.keys[host].public[:8], mesh.lab.ip(host)]
        for link in json.loads(sh("ip", "-netns", mesh.lab.ns("a1"), "-j", "address")):
            if link["ifname"] != "lo":
                secrets += [link["address"]] if "address" in link and link["link_type"] == "ether" else []
                secrets += [a["local"] for a in link["addr_info"]]
        for host in "a1", "b1":
            secrets += [mesh.overlay(host), mesh.overlay(host, six=True)]
        secrets += ["a1", "b1", "c1", "stun.acme.example", "gate.acme.example", "192.0.2.99", "acme", "tell-erwin", "Erwin", "555-0123",
                    "fridolin", os.path.basename(mesh.dir)]
        for options in ((), ("--anonymize",)):
            path = f"{mesh.dir}/report{len(options)}.tar.gz"
            r = mesh.lab.run("a1", [PROGRAMS["warrenctl"], "-s", node.control, "bugreport", "-o", path, *options],
                             capture_output=True, text=True)
            check(r.returncode == 0 and r.stdout.strip() == path, f"bugreport: {r}")
            check(os.stat(path).st_mode & 0o777 == 0o600, "the report is for everybody to read")
            with tarfile.open(path) as tar:
                parts = {m.name.split("/", 1)[1]: tar.extractfile(m).read().decode() for m in tar}
            for name in ("status.json", "peers.json", "paths.json", "routes.json", "netcheck.json", "doctor.json", "log.txt",
                         "metrics.txt", "config.json", "ip-address.json", "ip-route.json", "ip-route6.json", "ip-rule.json", "ip-rule6.json",
                         "system.txt", *([] if options else ["config-0.conf"])):
                check(parts.get(name), f"the report lacks {name}")
            check("registered" in parts["log.txt"] and parts["log.txt"].count("\n") >= 4, parts["log.txt"])
            check(len(json.loads(parts["config.json"])["settings"]) > 20, "the settings in force")
            for name, text in parts.items():
                check(not name.endswith(".json") or json.loads(text) is not None, f"{name} is no JSON")
                check(mesh.keys["a1"].secret not in text, f"{name} holds the private key")
                shown = [s for s in (*secrets, os.uname().nodename) if re.search(rf"(?<![A-Za-z0-9._-]){re.escape(s)}(?![A-Za-z0-9_-])", text)]
                check(not options or not shown, f"{name} shows {shown}")
            whole = "".join(parts.values())
            check(options or all(s in whole for s in secrets), f"the plain report lacks {[s for s in secrets if s not in whole]}")
        r = mesh.ctl("a1", "bugreport", "-o", path)
        check(r.returncode == 1, "a report is written over another file")


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
            said = mesh.ctl(host, "reload", "--dry-run").stdout
            check(said.startswith("a reload would apply: " + key) and re.search(rf"\n{re.escape(key)} +.* reload +{node.conf}:\d+\n", said)
                  and re.search(rf"\nworkers +0 +3 +restart +{node.conf}:\d+\n", said), said)
            check(mesh.ctl_json(host, "reload")["applied"] == [key], f"{host}: the dry run had changed it")
            with open(node.conf, "w") as f:
                f.write(text + "nonsense = 1\n")
            r = mesh.ctl(host, "reload", "--dry-run")
            check(r.returncode == 78 and f"{node.conf}:" in r.stderr and "nonsense" in r.stderr, f"{host}: a broken file: {r}")
            check(node.ask("status")["config"]["last_error"] is None, f"{host}: a dry run left an error behind")


main(lines_repeat_until_nobody_reads, a_terminal_is_drawn_in_place, the_doctor_finds_what_is_in_the_way,
     a_report_has_everything_and_need_not_name_anybody, a_dry_run_changes_nothing)
