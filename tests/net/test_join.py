#!/usr/bin/env python3
# ctest: timeout=120 beside
"""From nothing to a mesh in six actions; and one invitation makes one member, whoever tries and whatever is killed meanwhile.

    coord
      |
    inet ---- [masquerade] ---- a1  <==ping==>  b1
        |---- [masquerade] ---- b1
        `---- [masquerade] ---- c1

WARREN_ROUNDS and WARREN_CLIENTS make more of the last case: 2 rounds of 6 clients."""
import base64
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import time

import certs
from harness import FACTOR, PROGRAMS, SANITIZERS, Daemon, Mesh, Site, check, first_answer, main, tool, wait_until

SITES = [Site("a", "port"), Site("b", "port"), Site("c", "port")]
ROUNDS, CLIENTS = int(os.environ.get("WARREN_ROUNDS", "2")), int(os.environ.get("WARREN_CLIENTS", "6"))

# What the commands need of systemd: it starts warrend with the file of the instance, and waits until it is ready.
SYSTEMCTL = """#!/bin/sh
net=${3#warren@}
case $1 in
enable)
	"$WARREND" -c "/etc/warren/$net.conf" >>"$LOG" 2>&1 &
	echo $! >"/run/$net.pid"
	until [ -S "/run/warren/$net.sock" ]; do kill -0 $! || exit 1; sleep 0.02; done ;;
disable)
	pid=$(cat "/run/$net.pid") && kill "$pid" && rm "/run/$net.pid"
	while grep -qs '^State:.[^Z]' "/proc/$pid/status"; do sleep 0.02; done ;;
esac
"""


class Machine:
    """A host of the laboratory with an /etc, a /run and a /var/lib of its own, where nothing of warren is."""

    def __init__(self, mesh, host):
        self.mesh, self.host, self.log = mesh, host, f"{mesh.dir}/{host}.machine.log"
        os.makedirs(f"{mesh.dir}/bin", exist_ok=True)
        with open(os.open(f"{mesh.dir}/bin/systemctl", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o755), "w") as f:
            f.write(SYSTEMCTL)
        self.init = mesh.lab.popen(host, ["unshare", "-m", "sh", "-c", """set -e
            cp -L /etc/passwd /etc/group /etc/hosts "$1"
            for d in etc run var/lib; do mount -t tmpfs tmpfs "/$d"; done
            cp "$1/passwd" "$1/group" "$1/hosts" /etc
            mkdir -p /run/systemd/system
            echo ready; exec sleep infinity""", "sh", mesh.dir], stdout=subprocess.PIPE, text=True)
        check(self.init.stdout.readline() == "ready\n", f"{host}: a machine of its own")

    def run(self, *argv, text=None):
        env = {**os.environ, **SANITIZERS, "PATH": f"{self.mesh.dir}/bin:{os.environ['PATH']}", "WARREND": PROGRAMS["warrend"],
               "LOG": self.log}
        return subprocess.run(["nsenter", "-t", str(self.init.pid), "-m", "-n", "--", *argv], input=text or "", text=True,
                              capture_output=True, env=env, timeout=60)

    def ctl(self, *argv, text=None):
        return self.run(PROGRAMS["warrenctl"], *argv, text=text)

    def must(self, *argv, text=None):
        r = self.run(*argv, text=text)
        check(r.returncode == 0, f"{self.host}: {' '.join(argv)}: exit {r.returncode}: {r.stdout}{r.stderr}")
        return r.stdout

    def files(self):
        return sorted(self.run("find", "/etc/warren", "-type", "f").stdout.split())

    def end(self):
        self.run("sh", "-c", 'for p in /run/*.pid; do [ ! -e "$p" ] || systemctl disable --now "warren@$(basename "$p" .pid)"; done')
        self.init.kill()
        self.init.wait()
        self.init.stdout.close()
        log = open(self.log).read() if os.path.exists(self.log) else ""
        check("Sanitizer" not in log and "runtime error" not in log, f"{self.host}: {log[-3000:]}")


class Machines:
    def __init__(self, mesh, *hosts):
        self.all = [Machine(mesh, host) for host in hosts]

    def __enter__(self):
        return self.all

    def __exit__(self, kind, *_):
        for m in self.all:
            if kind and os.path.exists(m.log):
                print(f"--- {m.host}", *open(m.log).read().splitlines()[-25:], sep="\n    ")
            m.end()


def six_actions_end_in_a_ping():
    warrenctl = PROGRAMS["warrenctl"]
    with Mesh(SITES, members=[]) as mesh, Machines(mesh, "coord", "a1", "b1", "c1") as (coord, a, b, c):
        begin = time.monotonic()
        coord.must(warrenctl, "init", "home", "--coordinator", mesh.lab.ip("coord"))       # 1
        coord.must("systemctl", "enable", "--now", "warren@home")                          # 2
        alice = coord.must(warrenctl, "invite", "alice")                                   # 3
        status = a.must(warrenctl, "join", "-", text=alice)                                # 4
        bob = coord.must(warrenctl, "invite", "bob")                                       # 5
        b.must(warrenctl, "join", bob.strip())                                             # 6
        listed = json.loads(coord.must(warrenctl, "node", "list", "--json"))["peers"]
        address = {m["name"]: m["ips"][0] for m in listed}
        check(first_answer(mesh.lab, "a1", address["bob"], 5) is not None, f"a1 reaches bob at {address['bob']}")
        took = time.monotonic() - begin
        print(f"  from nothing to a ping: {took:.1f} s")
        check(took < 10 * FACTOR, f"it took {took:.1f} s")
        check(status.startswith("alice: peer, up ") and re.search(r"coordinator +c1 .*connected", status), f"join printed: {status}")
        check(alice.startswith("warren://join/") and alice.count("\n") == 1, "a URL and nothing else goes into a pipe")
        modes = a.must("stat", "-c", "%a %n", *a.files())
        check(modes == "640 /etc/warren/home.cert\n640 /etc/warren/home.conf\n600 /etc/warren/home.key\n", f"files: {modes}")
        # The URL is spent, and who comes too late has nothing, and nothing running.
        late = c.ctl("join", "-", text=alice)
        check(late.returncode == 1 and "this URL cannot be used" in late.stderr and "was used before" in late.stderr,
              f"the second to use it: {late.stderr}")
        left = c.files() + c.run("find", "/run", "-name", "*.pid", "-o", "-name", "*.sock").stdout.split()
        check(left == [], f"left behind: {left}")
        states = {i["name"]: i["state"] for i in json.loads(coord.must(warrenctl, "invite", "--list", "--json"))["invitations"]}
        check(states == {"alice": "used", "bob": "used"}, f"invitations: {states}")
        # Another is made, and ended before anybody used it.
        carol = coord.must(warrenctl, "invite", "carol")
        coord.must(warrenctl, "invite", "--revoke", "carol")
        late = c.ctl("join", "-", text=carol)
        check(late.returncode == 1 and "revoked" in late.stderr and c.files() == [], f"a revoked invitation: {late.stderr}")
        # Who joins anew, with the files of a try that was cut short, is the same.
        dave = coord.must(warrenctl, "invite", "dave")
        for n in range(2):
            c.must(warrenctl, "join", "-", text=dave)
            if n == 0:
                c.must("systemctl", "disable", "--now", "warren@home")
                c.must("rm", "/etc/warren/home.conf", "/etc/warren/home.cert")
        # So is who was killed when its files were there, and its service was not.
        c.must("systemctl", "disable", "--now", "warren@home")
        status = c.must(warrenctl, "join", "-", text=dave)
        check(status.startswith("dave: peer, up "), f"join printed: {status}")


def member_joins_though_no_coordinator_is_there_yet():
    warrenctl = PROGRAMS["warrenctl"]
    with Mesh(SITES[:1], members=[]) as mesh, Machines(mesh, "coord", "a1") as (coord, a):
        coord.must(warrenctl, "init", "home", "--coordinator", mesh.lab.ip("coord"))
        r = a.ctl("join", "-", "--as", "work", "--timeout", "500ms", text=coord.must(warrenctl, "invite", "alice"))
        check(r.returncode == 1 and "not connected yet" in r.stderr and "goes on trying" in r.stderr, f"join: {r.stderr}")
        coord.must("systemctl", "enable", "--now", "warren@home")
        a.must(warrenctl, "-n", "work", "wait", "--timeout", "10")
        # Without systemd it says how to start, and starts nothing.
        a.must("systemctl", "disable", "--now", "warren@work")
        a.must("rmdir", "/run/systemd/system")
        r = a.ctl("join", "-", text=coord.must(warrenctl, "invite", "bob"))
        check(r.returncode == 0 and "start it with: warrend -c /etc/warren/home.conf" in r.stderr, f"join: {r.stderr}")
        check(a.run("find", "/run", "-name", "*.sock").stdout == "", "nothing runs")
        # What does not start leaves nothing.
        a.must("mkdir", "/run/systemd/system")
        a.must("rm", "-r", "/etc/warren")
        a.must("sh", "-c", "echo >/var/lib/warren/home")  # a file where the state's directory would be
        r = a.ctl("join", "-", text=coord.must(warrenctl, "invite", "carol"))
        check(r.returncode == 1 and "the service does not start" in r.stderr and a.files() == [], f"join: {r.stderr}{a.files()}")


def host_joins_a_second_network_beside_the_first():
    """The default interface is the first one's, whether or not it runs."""
    warrenctl = PROGRAMS["warrenctl"]
    with Mesh(SITES[:2], members=[]) as mesh, Machines(mesh, "coord", "a1", "b1") as (coord, a, b):
        coord.must(warrenctl, "init", "home", "--coordinator", mesh.lab.ip("coord"))
        coord.must("systemctl", "enable", "--now", "warren@home")
        coord.must(warrenctl, "init", "work", "--coordinator", f"{mesh.lab.ip('coord')}:4000")
        coord.must("systemctl", "enable", "--now", "warren@work")
        a.must(warrenctl, "join", "-", text=coord.must(warrenctl, "-n", "home", "invite", "alice"))
        a.must(warrenctl, "join", "-", text=coord.must(warrenctl, "-n", "work", "invite", "alice"))
        b.must(warrenctl, "join", "-", text=coord.must(warrenctl, "-n", "work", "invite", "bob"))
        names = {n: json.loads(a.must(warrenctl, "-n", n, "status", "--json"))["tun"]["name"] for n in ("home", "work")}
        check(names == {"home": "warren0", "work": "warren1"}, f"interfaces: {names}")
        check("tun" not in a.must("cat", "/etc/warren/home.conf"), "the first one's file has nothing to say of it")
        listed = json.loads(coord.must(warrenctl, "-n", "work", "node", "list", "--json"))["peers"]
        bob, = [m["ips"][0] for m in listed if m["name"] == "bob"]
        check(first_answer(mesh.lab, "a1", bob, 5) is not None, "a1 reaches bob through the second")
        # Nor is a name given twice when nothing runs: the files say whose it is.
        for n in ("home", "work"):
            a.must("systemctl", "disable", "--now", f"warren@{n}")
        a.must("rmdir", "/run/systemd/system")
        a.must(warrenctl, "join", "-", "--as", "third", text=coord.must(warrenctl, "-n", "home", "invite", "carol"))
        check('tun { name = "warren2" }' in a.must("cat", "/etc/warren/third.conf"), "the third has the third name")
        a.must("rm", "/etc/warren/home.conf")
        a.must(warrenctl, "join", "-", "--as", "fourth", text=coord.must(warrenctl, "-n", "home", "invite", "dave"))
        check("tun" not in a.must("cat", "/etc/warren/fourth.conf"), "the default is free again")


def what_is_no_good_invitation_is_refused_and_leaves_nothing():
    with Mesh(SITES[:1], trust=True) as mesh:
        mesh.start("coord")
        where = [(mesh.keys["coord"].public, mesh.lab.ip("coord"), 27700)]
        own, other, seed = mesh.network, base64.b64encode(os.urandom(32)), os.urandom(32)

        def url(secret=own.secret, **kw):
            return certs.url(own.public, "home", where, seed, certs.invitation(secret, own.public, "alice", ["10.77.0.9"], seed, **kw))
        bad = {"expired": url(expires=-100), "another network's": url(secret=other), "cut": url()[:-1], "empty": "warren://join/",
               "altered": url()[:-40] + "AAAA" + url()[-36:],
               "guessed": certs.url(own.public, "home", where, os.urandom(32),
                                    certs.invitation(own.secret, own.public, "alice", ["10.77.0.9"], seed))}
        os.mkdir(f"{mesh.dir}/join")
        for what, text in bad.items():
            r = subprocess.run([PROGRAMS["warrenctl"], "join", "-", "--dir", f"{mesh.dir}/join"], input=text, text=True,
                               capture_output=True, timeout=10)
            check(r.returncode == 1 and r.stderr.startswith("warrenctl: this URL cannot be used: ") and r.stderr.count("\n") == 1,
                  f"{what}: exit {r.returncode}: {r.stderr}")
            check(os.listdir(f"{mesh.dir}/join") == [], f"{what}: left behind {os.listdir(f'{mesh.dir}/join')}")
        # A node that makes its certificate by itself does not get further: one that is past its time lets it begin before.
        mesh.write_certificate("a1", certs.invited(certs.invitation(own.secret, own.public, "a1", ["10.77.0.2"], seed, expires=-100),
                                                   seed, mesh.keys["a1"].public, begins=-200))
        mesh.start("a1")
        wait_until(lambda: any("used before, or has expired" in (c["error"] or "") and c["state"] == "refused"
                               for c in mesh.nodes["a1"].ask("status")["coordinators"]), 5, "an expired one is refused")
        check(mesh.nodes["coord"].ask("peers")["peers"] == [], "the coordinator lists nobody")


class Client(Daemon):
    """A node that `join` set up, beside others in one host."""

    def __init__(self, mesh, n, url):
        super().__init__(mesh, "a1")
        name = f"c{n}"
        self.dir, self.conf, self.control = f"{mesh.dir}/clients", f"{mesh.dir}/clients/{name}.conf", f"{mesh.dir}/{name}.sock"
        self.log_path = f"{mesh.dir}/{name}.log"
        subprocess.run([PROGRAMS["warrenctl"], "join", "-", "--dir", self.dir, "--as", name], input=url, text=True, check=True,
                       capture_output=True)
        os.makedirs(f"{self.conf}.d", exist_ok=True)
        with open(f"{self.conf}.d/test.conf", "w") as f:
            f.write(f'control_socket = "{self.control}"\nstate_dir = "{self.dir}/{name}.state"\ntun {{ name = "warren{n}" }}\n')
        with open(f"{self.dir}/{name}.key") as f:
            self.public = tool(PROGRAMS["warrenctl"], "key", "pub", text=f.read())

    def state(self):
        status = self.ask("status", missing_ok=True)
        return status["coordinators"][0]["state"] if status else None

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(10 * FACTOR)
        check(code == 0, f"a client ended with {code}: {self.log()[-2000:]}")


def spent_by(mesh, serial):
    with sqlite3.connect(f"file:{mesh.dir}/coord.state/coordinator.db?mode=ro", uri=True) as db:
        return [base64.b64encode(k).decode() for k, in db.execute("SELECT key FROM invitation WHERE serial = ?", (serial,))]


def one_round(mesh, n):
    r = subprocess.run([PROGRAMS["warrenctl"], "invite", f"m{n}", "--dir", f"{mesh.dir}/net", "--json"], capture_output=True, text=True,
                       check=True)
    made = json.loads(r.stdout)
    os.makedirs(f"{mesh.dir}/clients")
    clients = [Client(mesh, i, made["url"]) for i in range(CLIENTS)]
    try:
        for c in clients:
            c.start()
        time.sleep(random.uniform(0, 0.4) * FACTOR)  # anywhere in what they do
        mesh.nodes["coord"].kill()
        mesh.start("coord")
        wait_until(lambda: sorted(c.state() or "" for c in clients) == ["connected"] + ["refused"] * (CLIENTS - 1), 20,
                   "one is connected, and all others are refused")
        winner, = [c for c in clients if c.state() == "connected"]
        used_by = spent_by(mesh, bytes.fromhex(made["id"]))
        check(used_by == [winner.public], f"used by {used_by}, and {winner.public} is connected")
        members = [p["key"] for p in mesh.nodes["coord"].ask("peers")["peers"] if p["name"] == f"m{n}"]
        check(members == [winner.public], f"members: {members}")
    except BaseException:
        for c in clients:
            if c.process:
                c.kill()
        raise
    for c in clients:
        c.end()
    shutil.rmtree(f"{mesh.dir}/clients")


def one_invitation_makes_one_member_of_many_though_the_coordinator_is_killed():
    with Mesh(SITES[:1], members=[]) as mesh:
        os.mkdir(f"{mesh.dir}/net")
        tool(PROGRAMS["warrenctl"], "init", "home", "--coordinator", mesh.lab.ip("coord"), "--dir", f"{mesh.dir}/net")
        coord = mesh.nodes["coord"]
        coord.conf = f"{mesh.dir}/net/home.conf"
        os.mkdir(f"{coord.conf}.d")
        with open(f"{coord.conf}.d/test.conf", "w") as f:
            f.write(f'control_socket = "{coord.control}"\nstate_dir = "{mesh.dir}/coord.state"\n')
        mesh.start("coord")
        for n in range(ROUNDS):
            one_round(mesh, n)


main(six_actions_end_in_a_ping, host_joins_a_second_network_beside_the_first, member_joins_though_no_coordinator_is_there_yet,
     what_is_no_good_invitation_is_refused_and_leaves_nothing, one_invitation_makes_one_member_of_many_though_the_coordinator_is_killed)
