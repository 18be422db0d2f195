#!/usr/bin/env python3
# ctest: timeout=240 labels=release,package
"""The Debian package as a stranger uses it, in machines that systemd has booted: six commands from nothing to a ping, and what the
service does through a life, to its end without a trace.

    coord
      |
    inet ---- [masquerade] ---- a1  <==ping==>  b1
        `---- [masquerade] ---- b1
"""
import json
import re
import socket
import sys
import time

from booted import booted, cannot_boot
from harness import FACTOR, check, first_answer, main, netns, wait_until
from natlab import Lab, Site
from package import Package, files_of
from traffic import Pinger

SITES = [Site("a", "port"), Site("b", "port")]
CAP_NET_BIND_SERVICE, CAP_NET_ADMIN = 10, 12


def six_actions(lab, coord, a, b):
    """Returns bob's address, and how long it all took."""
    begin = time.monotonic()
    coord.must("warrenctl", "init", "home", "--coordinator", lab.ip("coord"))   # 1
    coord.must("systemctl", "enable", "--now", "warren@home")                   # 2
    alice = coord.must("warrenctl", "invite", "alice")                          # 3
    status = a.must("warrenctl", "join", "-", text=alice)                       # 4
    bob = coord.must("warrenctl", "invite", "bob")                              # 5
    b.must("warrenctl", "join", "-", text=bob)                                  # 6
    listed = json.loads(coord.must("warrenctl", "node", "list", "--json"))["peers"]
    address, = [m["ips"][0] for m in listed if m["name"] == "bob"]
    check(first_answer(lab, "a1", address, 5) is not None, f"a1 does not reach bob at {address}")
    took = time.monotonic() - begin
    check(status.startswith("alice: peer, up ") and re.search(r"coordinator +c1 .*connected", status), f"join printed: {status}")
    return address, took


def rights_of_the_daemon(machine):
    pid, = machine.unit("warren@home", "MainPID")
    return dict(line.split(":\t", 1) for line in machine.must("cat", f"/proc/{pid}/status").splitlines() if ":\t" in line)


def is_held_to_what_the_unit_says(machine):
    uid = machine.must("id", "-u", "warren").strip()
    s = rights_of_the_daemon(machine)
    check(set(s["Uid"].split()) == {uid} and s["NoNewPrivs"].strip() == "1" and s["Seccomp"].strip() == "2", f"{machine.host}: {s}")
    for name in "CapEff", "CapBnd":
        check(int(s[name], 16) == 1 << CAP_NET_ADMIN | 1 << CAP_NET_BIND_SERVICE, f"{machine.host}: {name} is {s[name]}")
    pid, = machine.unit("warren@home", "MainPID")
    seen = machine.must("nsenter", "-t", pid, "-m", "sh", "-c", "touch /etc/x /usr/x /home/x 2>&1; ls /dev/net /proc/sys 2>&1; "
                        "ls /home | wc -l")
    check(seen.count("Read-only file system") + seen.count("Permission denied") >= 3 and seen.endswith("\n0\n"), f"{machine.host}: {seen}")


def says_how_it_is(machine, peers):
    wait_until(lambda: machine.unit("warren@home", "StatusText") == [peers], 3, f"{machine.host}: the status is {peers!r}")
    check(f'Status: "{peers}"' in machine.must("systemctl", "status", "warren@home"), "systemctl status shows it")
    state = machine.unit("warren@home", "Type", "ActiveState", "SubState", "NRestarts")
    check(state == ["notify", "active", "running", "0"], f"{machine.host}: {state}")


def reload(machine):
    with open(f"{machine.root}/etc/warren/home.conf", "a+") as f:
        end = f.tell()
        f.write("log_level = debug\n")
        f.flush()
        machine.must("systemctl", "reload", "warren@home")
        f.write("nonsense = 1\n")
        f.flush()
        r = machine.run("systemctl", "reload", "warren@home")
        check(r.returncode != 0, "a broken file was taken")
        wait_until(lambda: "the last reload failed" in machine.unit("warren@home", "StatusText")[0], 3, "the status tells of it")
        f.truncate(end)
    machine.must("systemctl", "reload", "warren@home")
    check(machine.unit("warren@home", "ActiveState", "NRestarts") == ["active", "0"], "a reload is no restart")


def the_tunnel_survives(lab, machine, address, what, action, within):
    """The longest time without a ping while `action` is done."""
    with Pinger(lab, "a1", address, interval=0.02) as pinger:
        wait_until(lambda: pinger.answered, 5, "a ping")
        begin = time.monotonic()
        action()
        done = time.monotonic()
        wait_until(lambda: pinger.first(after=done), 15 * FACTOR, f"a ping after {what}")
        time.sleep(0.3)
        gap = pinger.longest_gap(begin)
    print(f"  {what}: longest gap {gap:.2f} s")
    check(gap < within * FACTOR, f"{what}: {gap:.2f} s without an answer")


def dies_and_comes_back(lab, machine, address):
    """Killed, and standing still: the watchdog of the unit notices, here after 1 s instead of 30."""
    def restarts():
        return int(machine.unit("warren@home", "NRestarts")[0])

    def kill(sign):
        before = restarts()
        machine.must("systemctl", "kill", "--kill-whom=main", f"--signal={sign}", "warren@home")
        wait_until(lambda: restarts() == before + 1 and machine.unit("warren@home", "SubState") == ["running"], 10 * FACTOR,
                   f"it is started again after {sign}")
    the_tunnel_survives(lab, machine, address, "SIGKILL", lambda: kill("KILL"), 4)
    directory = "/run/systemd/system/warren@home.service.d"
    machine.must("sh", "-c", f"mkdir -p {directory}; printf '[Service]\\nWatchdogSec=1s\\nTimeoutAbortSec=500ms\\n' >{directory}/soon.conf; "
                 "systemctl daemon-reload; systemctl restart warren@home")
    time.sleep(1.5)
    check(restarts() == 0, "a daemon that is well was killed by the watchdog")
    the_tunnel_survives(lab, machine, address, "SIGSTOP", lambda: kill("STOP"), 8)
    check("watchdog" in machine.must("journalctl", "-u", "warren@home", "--no-pager").lower(), "the journal says why")
    machine.must("sh", "-c", f"rm -r {directory}; systemctl daemon-reload; systemctl restart warren@home; systemctl reset-failed")


def takes_443_without_a_capability(lab, coord):
    def connects():
        with netns(lab.ns("a1")), socket.socket() as s:
            s.settimeout(1)
            return s.connect_ex((lab.ip("coord"), 443)) == 0
    check(not connects(), "something listens on 443 already")
    coord.must("sh", "-c", """d=/etc/systemd/system/warren@home.service.d; mkdir -p $d; ln -s /usr/share/warren/coordinator.conf $d/
               systemctl stop warren@home && systemctl enable --now warren@home.socket && systemctl start warren@home""")
    check(connects(), "nothing listens on 443")
    s = rights_of_the_daemon(coord)
    check(int(s["CapPrm"], 16) == int(s["CapBnd"], 16) == 0, f"it has {s['CapPrm']}, {s['CapBnd']}")
    status = json.loads(coord.must("warrenctl", "status", "--json"))
    check(status["listen"]["tcp"] == [443, 27700], f"it listens on {status['listen']}")


def networkd_leaves_its_interface_alone(machine):
    """Whatever a file with wildcards says, which another interface is subject to."""
    def state(link):
        index = machine.must("cat", f"/sys/class/net/{link}/ifindex").strip()
        r = machine.run("sed", "-n", "s/^ADMIN_STATE=//p", f"/run/systemd/netif/links/{index}")
        return r.stdout.strip()
    addresses = machine.must("ip", "-br", "addr", "show", "warren0")
    machine.must("sh", "-c", "ip tuntap add wother0 mode tun; printf '[Match]\\nName=w*\\n[Network]\\nDHCP=no\\n' "
                 ">/etc/systemd/network/50-all.network; systemctl start systemd-networkd")
    wait_until(lambda: state("wother0") in ("configuring", "configured"), 5, "networkd takes what a wildcard matches")
    check(state("warren0") == "unmanaged", f"networkd has warren0 as {state('warren0')!r}")
    check(machine.must("ip", "-br", "addr", "show", "warren0") == addresses, "its addresses changed")
    machine.must("sh", "-c", "systemctl stop systemd-networkd.socket systemd-networkd.service; ip link del wother0; "
                 "rm /etc/systemd/network/50-all.network")


def goes_without_a_trace(machine):
    machine.must("dpkg", "-r", "warren")
    check(machine.run("systemctl", "is-active", "warren@home").stdout.strip() == "inactive", "a removal leaves it running")
    check("warren" not in machine.must("ip", "-o", "link"), "a removal leaves the interface")
    machine.must("dpkg", "-P", "warren")
    units = machine.must("systemctl", "list-units", "--all", "--plain", "--no-legend", "warren*")
    left = sorted(name for name in files_of(machine.layer) if "warren" in name)
    check(units == "" and not left, f"{machine.host}: left behind: {units}{left}")
    check(machine.run("id", "warren").returncode != 0, f"{machine.host}: left behind: the user")


def a_stranger_installs_it_and_six_actions_end_in_a_ping():
    Package.build("DEB")
    begin = time.monotonic()
    with Lab(SITES) as lab, booted(lab, "coord", "a1", "b1") as (coord, a, b):
        print(f"  booted after {time.monotonic() - begin:.1f} s")
        for machine in coord, a, b:
            machine.install(Package.path)
        address, took = six_actions(lab, coord, a, b)
        print(f"  from nothing to a ping, by the package under systemd: {took:.1f} s")
        check(took < 10 * FACTOR, f"it took {took:.1f} s")
        for machine in a, b, coord:
            is_held_to_what_the_unit_says(machine)
        reload(a)
        reload(coord)
        says_how_it_is(a, "1 of 1 peers")
        says_how_it_is(coord, "2 of 2 members online")
        the_tunnel_survives(lab, a, address, "systemctl restart", lambda: a.must("systemctl", "restart", "warren@home"), 1)
        the_tunnel_survives(lab, a, address, "an upgrade of the package", lambda: a.install(Package.newer), 1)
        networkd_leaves_its_interface_alone(b)
        dies_and_comes_back(lab, a, address)
        takes_443_without_a_capability(lab, coord)
        # What is enabled starts with the machine.
        a.halt()
        a.boot()
        a.up()
        check(first_answer(lab, "a1", address, 10) is not None, "no ping after a boot")
        for machine in a, b, coord:
            goes_without_a_trace(machine)


why = cannot_boot()
if why:
    print("skipped:", why)
    sys.exit(77)
try:
    main(a_stranger_installs_it_and_six_actions_end_in_a_ping)
finally:
    Package.remove()
