#!/usr/bin/env python3
# ctest: timeout=60 beside
"""What an operator asks a running daemon and tells it: the configuration in force and where it was said, whose an address is, what the
daemon logs and how much of it; and who may only ask.

    coord
      |
    inet ---- a1, b1   public hosts
"""
import json
import os
import re
import subprocess

from harness import FACTOR, PROGRAMS, check, main, sh, wait_until
from two import ctl, ended, mesh_of_two, start


HERE = os.path.dirname(os.path.abspath(__file__))


def append(node, text, name=None):
    with open(name or node.conf, "a") as f:
        f.write(text)


def lines_of(node):
    with open(node.conf) as f:
        return f.read().splitlines()


# ---------------------------------------------------------------- the configuration


def what_is_in_force_is_shown_with_its_place():
    with mesh_of_two() as mesh:
        start(mesh, 'psk_file = ""\nworkers = 1')
        for host in ("a1", "coord"):
            node = mesh.nodes[host]
            shown = {(s["section"], s["title"], s["key"]): s for s in mesh.ctl_json(host, "config", "show")["settings"]}
            lines, said = lines_of(node), 0
            for (section, title, key), s in shown.items():
                if not s["file"]:
                    continue
                said += 1
                check(s["file"] == node.conf and key in lines[s["line"] - 1], f"{s} is not at line {s['line']}")
            check(said >= 8 and shown["", None, "log_level"]["value"] == "info" and not shown["", None, "log_level"]["file"], shown)
            # It is a file that can be used, and says the same.
            path = f"{mesh.dir}/{host}.shown"
            with open(path, "w") as f:
                f.write(mesh.ctl(host, "config", "show", "--origin").stdout)
            r = mesh.ctl(host, "config", "check", path)
            check(r.returncode == 0 and r.stdout == f"{path}: ok\n", f"what is shown is no file: {r}")
            sound = "\n".join(lines) + "\n"
            with open(node.conf, "w") as f, open(path) as made:
                f.write(made.read())
            r = mesh.ctl_json(host, "reload", "--dry-run")
            check(r["ok"] and not r["changes"], f"{host}: what is shown says something else: {r['changes']}")
            with open(node.conf, "w") as f:
                f.write(sound)
        # A change that waits for a restart is not in force, and one in a drop-in is, from there.
        node = mesh.nodes["a1"]
        os.mkdir(f"{node.conf}.d")
        append(node, "# later\nlog_level = warn\nworkers = 2\n", f"{node.conf}.d/10-more.conf")
        changes = {c["key"]: c for c in mesh.ctl_json("a1", "reload", "--dry-run")["changes"]}
        check(changes == {
            "log_level": {"section": "", "title": None, "key": "log_level", "from": "info", "to": "warn",
                          "file": f"{node.conf}.d/10-more.conf", "line": 2, "apply": "reload"},
            "workers": {"section": "", "title": None, "key": "workers", "from": "1", "to": "2",
                        "file": f"{node.conf}.d/10-more.conf", "line": 3, "apply": "restart"}}, f"{changes}")
        said = mesh.ctl("a1", "reload", "--dry-run", "--plain").stdout
        check(f"workers\t1\t2\trestart\t{node.conf}.d/10-more.conf:3\n" in said, said)
        check(mesh.ctl("a1", "reload").returncode == 0, "reload")
        shown = {s["key"]: s for s in mesh.ctl_json("a1", "config", "show")["settings"]}
        check(shown["workers"]["value"] == "1" and shown["log_level"]["value"] == "warn", "what is in force after a reload")
        check(shown["log_level"]["file"].endswith(".d/10-more.conf") and shown["log_level"]["line"] == 2, f"{shown['log_level']}")


def a_dry_run_finds_what_a_reload_would():
    """A file that reads well, and names a file that does not."""
    with mesh_of_two() as mesh:
        start(mesh)
        node = mesh.nodes["a1"]
        append(node, f'proxy_auth_file = "{mesh.dir}/none"\n')
        for options in (["--dry-run"], []):
            r = mesh.ctl("a1", "reload", *options)
            check(r.returncode == 78 and "login of the proxy" in r.stderr and "no such file" in r.stderr.lower(), f"{options}: {r}")
        check("login of the proxy" in mesh.ctl("a1", "config", "check").stderr, "config check does not find it")


def a_file_is_checked_as_the_daemon_would():
    with mesh_of_two() as mesh:
        mesh.start("coord", "a1")
        node = mesh.nodes["a1"]
        r = mesh.ctl("a1", "config", "check")
        check(r.returncode == 0 and r.stdout == f"{node.conf}: ok\n" and not r.stderr, f"{r}")
        append(node, "nonsense = 1\n")
        line = len(lines_of(node))
        r = mesh.ctl("a1", "config", "check")
        check(r.returncode == 78 and not r.stdout and f"{node.conf}:{line}: unknown key" in r.stderr, f"{r}")
        r = mesh.ctl("a1", "config", "check", "--json")
        check(r.returncode == 78 and json.loads(r.stdout)["error"].startswith(f"{node.conf}:{line}:"), f"{r}")
        check(node.ask("status")["config"]["last_error"] is None, "a check left an error behind")
        node.stop()
        check(mesh.ctl("a1", "config", "check").returncode == 69, "without a daemon, and without a name")
        r = subprocess.run([PROGRAMS["warrenctl"], "config", "check", mesh.nodes["coord"].conf], capture_output=True, text=True)
        check(r.returncode == 0, f"a file that is named needs no daemon: {r}")
        r = subprocess.run([PROGRAMS["warrenctl"], "config", "check", "/nonexistent.conf"], capture_output=True, text=True)
        check(r.returncode == 78 and "No such file" in r.stderr, f"{r}")


# ---------------------------------------------------------------- whose, and what happens


def addresses_have_owners():
    with mesh_of_two() as mesh:
        start(mesh)
        for host, ip, name in (("a1", mesh.overlay("b1"), "b1"), ("a1", mesh.overlay("b1", six=True), "b1"),
                               ("coord", mesh.overlay("a1"), "a1"), ("a1", mesh.overlay("a1"), "a1")):
            who = mesh.ctl_json(host, "whois", ip)
            check(who["name"] == name and who["key"] == mesh.keys[name].public and who["self"] == (host == name), f"{ip}: {who}")
        said = mesh.ctl("a1", "whois", mesh.overlay("b1")).stdout
        check(said.startswith("b1\n") and ("direct " in said or "lan " in said), said)
        r = mesh.ctl("a1", "whois", "10.77.200.200")
        check(r.returncode == 1 and not r.stdout, f"nobody's address: {r}")


def lines_are_followed_over_a_restart():
    with mesh_of_two() as mesh:
        start(mesh)
        node = mesh.nodes["a1"]
        p = ctl(mesh, "a1", "log", "-f", "info", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        os.set_blocking(p.stdout.fileno(), False)
        seen = ""

        def sees(words, since=0):
            nonlocal seen
            seen += (p.stdout.read() or b"").decode()
            return words in seen[since:]

        wait_until(lambda: sees("registered"), 2 * FACTOR, "what there was is shown")
        check(mesh.ctl("a1", "rebind").returncode == 0, "rebind")
        wait_until(lambda: sees("as was asked for"), 2 * FACTOR, "what comes is shown")
        check(seen.count("interface warren0 mtu") == 1, f"lines are shown twice: {seen}")
        begin = len(seen)
        node.stop()
        mesh.start("a1")
        wait_until(lambda: sees("interface warren0 mtu", begin) and sees("registered", begin), 3 * FACTOR, "a new daemon is followed")
        p.terminate()
        check(ended(p, "log -f") == 0, f"log -f ends with {p.returncode}")
        said = p.stderr.read().decode()
        check(said.count("\n") <= 1, f"it complains again and again: {said}")
        mesh.nodes["a1"].stop()
        check(mesh.ctl("a1", "log", "-f").returncode == 69, "no daemon from the start")


def the_level_is_changed_until_a_reload():
    with mesh_of_two() as mesh:
        start(mesh)
        for host in ("a1", "coord"):
            check(mesh.ctl(host, "log-level").stdout == "info\n", "the level at the start")
            check(mesh.ctl(host, "log-level", "debug").stdout == "debug\n", "another level")
            check(mesh.ctl_json(host, "log-level")["level"] == "debug", "it is not kept")
            check("level debug" in mesh.ctl(host, "log").stdout, "the change is not logged")
            check(mesh.ctl(host, "reload").returncode == 0 and mesh.ctl(host, "log-level").stdout == "info\n", "after a reload")
        check(mesh.ctl("a1", "log", "error").stdout == "", "lines of other levels are shown")


def everything_is_checked_anew():
    """Without a loss: the pair stays direct, and a ping goes on."""
    with mesh_of_two() as mesh:
        start(mesh)
        before = mesh.counters("a1")
        with mesh.pinger("a1", "b1", interval=0.05) as pinger:
            wait_until(lambda: pinger.answered, 2, "a ping is answered")
            check(mesh.ctl_json("a1", "rebind") == {"schema": "warren.rebind/1", "ok": True}, "rebind")
            wait_until(lambda: mesh.counter("a1", "network_changes") > before["network_changes"], 2, "a1 looks anew")
            answered = len(pinger.answered)
            wait_until(lambda: len(pinger.answered) >= answered + 10, 3, "pings go on")
        check(mesh.kind("a1", "b1") in ("direct", "lan"), f"a1 to b1: {mesh.path('a1', 'b1')}")
        r = mesh.ctl("coord", "rebind")
        check(r.returncode == 1 and "coordinator" in r.stderr, f"a coordinator has no paths: {r}")


def the_interface_goes_down_and_comes_back():
    """By the command, and by somebody else's: the session stays, and the addresses are there again."""
    with mesh_of_two() as mesh:
        start(mesh)
        ns = mesh.lab.ns("a1")

        def addresses():
            link, = json.loads(sh("ip", "-netns", ns, "-j", "address", "show", "dev", "warren0"))
            return {a["local"] for a in link["addr_info"] if a["scope"] == "global"}

        before, sessions = addresses(), mesh.counter("a1", "handshakes_completed")
        check(len(before) == 2, f"a1 has {before}")
        for down, up in ((lambda: mesh.ctl("a1", "down"), lambda: mesh.ctl("a1", "up")),
                         (lambda: sh("ip", "-netns", ns, "link", "set", "warren0", "down"),
                          lambda: sh("ip", "-netns", ns, "link", "set", "warren0", "up"))):
            down()
            wait_until(lambda: not mesh.nodes["a1"].ask("status")["tun"]["up"], 2, "status knows that it is down")
            r = mesh.ctl("a1", "status", "--check")
            check(r.returncode == 1 and "interface is down" in r.stderr, f"status --check: {r}")
            check("warren0 down, mtu" in mesh.ctl("a1", "status").stdout, "status does not say that it is down")
            lost = mesh.counter("a1", "drop_tun_error")
            check(mesh.ping("b1", "a1", 0.5) is None, "a packet passes")
            check(mesh.counter("a1", "drop_tun_error") > lost, "what does not pass is not counted")
            check(mesh.ctl("a1", "ping", "b1", "-c1").returncode == 0, "the session is gone")
            up()
            for six in (False, True):
                check(mesh.ping("a1", "b1", 3, six=six) is not None, f"a1 does not reach b1 again (IPv6: {six})")
            check(addresses() == before and mesh.nodes["a1"].ask("status")["tun"]["up"], f"a1 has {addresses()}, before: {before}")
        check(mesh.ctl_json("a1", "up") == {"schema": "warren.interface/1", "name": "warren0", "up": True}, "up once more")
        check(mesh.counter("a1", "handshakes_completed") == sessions, "there was another handshake")
        check(mesh.ctl("coord", "down").returncode == 1, "a coordinator has an interface")
        sh("ip", "-netns", ns, "link", "delete", "warren0")
        r = mesh.ctl("a1", "up")
        check(r.returncode == 1 and "deleted" in r.stderr, f"a deleted interface: {r}")


def who_may_ask_may_not_tell():
    """A user of the socket's group reads, and changes nothing (tests run as root, so the daemon's own user is root)."""
    with mesh_of_two() as mesh:
        start(mesh)
        node = mesh.nodes["a1"]
        for path, mode in ((mesh.dir, 0o755), (node.control, 0o666)):
            os.chmod(path, mode)

        def as_nobody(*argv):
            return subprocess.run([PROGRAMS["warrenctl"], "-s", node.control, *argv], capture_output=True, text=True, user=65534,
                                  group=65534, extra_groups=[])

        for argv in (["config", "show"], ["log"], ["log-level"], ["whois", mesh.overlay("b1")]):
            r = as_nobody(*argv)
            check(r.returncode == 0 and r.stdout, f"{argv} is refused: {r}")
        for argv in (["log-level", "debug"], ["rebind"], ["down"], ["up"], ["reload", "--dry-run"]):
            r = as_nobody(*argv)
            check(r.returncode == 77 and not r.stdout and "for root and the daemon's own user" in r.stderr, f"{argv}: {r}")
        check(mesh.ctl("a1", "log-level").stdout == "info\n", "the level was changed")


def tracepoints_are_in_the_binary():
    """Those of warrend(8), where the build had sys/sdt.h."""
    with open(f"{os.path.dirname(PROGRAMS['warrend'])}/CMakeCache.txt") as f:
        was_there = not re.search(r"^(SDT_INCLUDE_DIR:\w+=.*-NOTFOUND|WARREN_USDT:\w+=OFF)$", f.read(), re.M)
    with open(f"{HERE}/../../daemon/warrend.8") as f:
        promised = set(re.findall(r"^\.It Cm (\w+) Ar ", f.read().partition(".Sh TRACEPOINTS")[2].partition(".Sh ")[0], re.M))
    notes = subprocess.run(["readelf", "-n", PROGRAMS["warrend"]], capture_output=True, text=True).stdout
    found = set(re.findall(r"Provider: warren\n\s+Name: (\w+)", notes))
    check(len(promised) == 5, f"warrend(8) was not understood: {promised}")
    check(found == (promised if was_there else set()), f"tracepoints: {found}, sys/sdt.h {'' if was_there else 'not '}there")


main(what_is_in_force_is_shown_with_its_place, a_dry_run_finds_what_a_reload_would, a_file_is_checked_as_the_daemon_would,
     the_interface_goes_down_and_comes_back, addresses_have_owners, lines_are_followed_over_a_restart, the_level_is_changed_until_a_reload, everything_is_checked_anew,
     who_may_ask_may_not_tell, tracepoints_are_in_the_binary)
