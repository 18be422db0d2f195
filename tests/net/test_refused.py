#!/usr/bin/env python3
# ctest: timeout=120
"""An offload that the kernel takes away in the middle of a transfer costs the offload, not the session.

    coord
      |
    inet ---- [open] ---- a1  ==TCP==>  b1
        `---- [open] ---- b1

UDP_SEGMENT: a1's sockets, or the relay's, are forbidden to checksum (SO_NO_CHECK, set from outside), which every kernel refuses trains for, as
with EIO where a driver cannot checksum (before Linux 6.11) or IPsec lies on the way. And what an administrator switches off with
ethtool, on the TUN and on the link, where the kernel cuts and joins by itself from then on.
"""
import ctypes
import errno
import fcntl
import os
import socket
import struct

from harness import Mesh, Site, check, main, netns, wait_until
from links import RELAY

PIDFD_GETFD = 438  # the same number on every architecture
SIOCETHTOOL = 0x8946
# ETHTOOL_SRXCSUM, STXCSUM, SSG, STSO, SGSO, SGRO
SWITCHES = {"rx": 0x15, "tx": 0x17, "sg": 0x19, "tso": 0x1F, "gso": 0x24, "gro": 0x2C}


def forbid_checksums(process, forbidden):
    """Sets SO_NO_CHECK on every UDP socket of a process; returns how many there are."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd, n = os.pidfd_open(process.pid), 0
    for fd in os.listdir(f"/proc/{process.pid}/fd"):
        try:
            if not os.readlink(f"/proc/{process.pid}/fd/{fd}").startswith("socket:"):
                continue
        except FileNotFoundError:
            continue  # closed meanwhile
        own = libc.syscall(PIDFD_GETFD, pidfd, int(fd), 0)
        if own < 0 and ctypes.get_errno() == errno.EBADF:
            continue
        check(own >= 0, f"pidfd_getfd: {os.strerror(ctypes.get_errno())}")
        with socket.socket(fileno=own) as s:
            if s.family in (socket.AF_INET, socket.AF_INET6) and s.type == socket.SOCK_DGRAM:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_NO_CHECK if hasattr(socket, "SO_NO_CHECK") else 11, int(forbidden))
                n += 1
    os.close(pidfd)
    return n


def switch(namespace, interface, what, on):
    """ethtool -K; a device that has it fixed stays as it is."""
    value = bytearray(struct.pack("II", SWITCHES[what], int(on)))
    keep = (ctypes.c_char * len(value)).from_buffer(value)
    with netns(namespace):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with s:
        try:
            fcntl.ioctl(s, SIOCETHTOOL, struct.pack("16sP16x", interface.encode(), ctypes.addressof(keep)))
            return True
        except OSError:
            return False


def moves(transfer, what):
    """Three more megabytes of the same connection."""
    arrived = transfer.got
    wait_until(lambda: transfer.got > arrived + 3_000_000 or transfer.error, 10, f"data flows on: {what}")
    check(not transfer.error, f"{what}: {transfer.error}")


def session_of(mesh):
    """What a session that was lost would have counted, and how many datagrams could not be sent."""
    names = ["handshakes_initiated", "handshakes_completed", "handshakes_answered", "drop_tun_error", "drop_auth"]
    counters = {h: mesh.counters(h) for h in ("coord", "a1", "b1")}
    return [counters[h][c] for h in ("a1", "b1") for c in names], [c["drop_send_error"] for c in counters.values()]


def unharmed(mesh, before):
    """Trains that were refused and lost would be hundreds of datagrams; single ones are probes of ways that are not there, sent where
    there is no direct path, or where a busy machine made it look silent."""
    (session, unsent), now = before, session_of(mesh)
    check(now[0] == session, f"{now[0]} instead of {session}")
    check(all(b - a < 50 for a, b in zip(unsent, now[1])), f"could not be sent: {now[1]} instead of {unsent}")


def gso(mesh, host="a1"):
    """None while it is on, else why not."""
    status = mesh.nodes[host].ask("status")
    check(status["offload"]["gso"] == ("gso" not in status["offload_off"]), f"{status['offload']}, {status['offload_off']}")
    return status["offload_off"].get("gso")


def refused_at(host, kind):
    """While a1 sends to b1 over a path of that kind, the host's kernel refuses trains, and takes them again."""
    with Mesh([Site("a", "open"), Site("b", "open")], relay=RELAY) as mesh:
        if kind == "relay":
            mesh.relay_only()
        mesh.start("coord", "a1", "b1")
        mesh.wait_registered("a1", "b1")
        check(mesh.ping("a1", "b1", 2) is not None, "a1 does not reach b1")
        mesh.wait_path("a1", "b1", kind, within=4)
        at_start = gso(mesh, host)
        # A relay sends in trains what came to it in trains.
        tries = at_start is None and (kind != "relay" or mesh.nodes[host].ask("status")["offload"]["gro"])
        with mesh.transfer("a1", "b1", mbit=150) as transfer:
            moves(transfer, "at the start")
            before = session_of(mesh)
            check(forbid_checksums(mesh.nodes[host].process, True) >= 1, f"{host} has no UDP socket")
            moves(transfer, "refused")
            if tries:
                why = wait_until(lambda: gso(mesh, host), 5, "status says that UDP_SEGMENT is off")
                check(why == "refused by the kernel: Invalid argument", why)
                check(f"gso off ({why})" in mesh.ctl(host, "status").stdout, mesh.ctl(host, "status").stdout)
            moves(transfer, "datagram by datagram")
            # Tried again when the network changes, refused again, and that is no news.
            mesh.lab.run(host, ["ip", "route", "add", "192.0.2.0/24", "dev", "eth0"], check=True)
            moves(transfer, "tried again")
            check(gso(mesh, host) if tries else gso(mesh, host) == at_start, "UDP_SEGMENT is on although it is refused, or off although nobody tried")
            check(mesh.nodes[host].log().count("refuses trains") == tries, "not one line in the log")
            forbid_checksums(mesh.nodes[host].process, False)
            mesh.lab.run(host, ["ip", "route", "del", "192.0.2.0/24", "dev", "eth0"], check=True)
            wait_until(lambda: gso(mesh, host) == at_start, 5, "UDP_SEGMENT is as at the start")
            moves(transfer, "as at the start")
            check(gso(mesh, host) == at_start, f"UDP_SEGMENT is off again: {gso(mesh, host)}")
            unharmed(mesh, before)
            transfer.finish()


def refused_in_mid_transfer():
    refused_at("a1", "direct")


def refused_at_the_relay():
    refused_at("coord", "relay")


def switched_off_in_mid_transfer():
    with Mesh([Site("a", "open"), Site("b", "open")]) as mesh:
        mesh.start("coord", "a1", "b1")
        mesh.wait_registered("a1", "b1")
        check(mesh.ping("a1", "b1", 2) is not None, "a1 does not reach b1")
        mesh.wait_path("a1", "b1", "direct", within=4)
        done = set()
        with mesh.transfer("a1", "b1", mbit=150) as transfer:
            moves(transfer, "at the start")
            before = session_of(mesh)
            for on in (False, True):
                for what in SWITCHES:
                    for host in ("a1", "b1"):
                        for interface in ("eth0", "warren0"):
                            if switch(mesh.lab.ns(host), interface, what, on):
                                done.add((interface, what))
                    moves(transfer, f"{what} {'on' if on else 'off'}")
                    why = gso(mesh)
                    check(why in (None, "turned off") or why.startswith("refused by the kernel"), why)
            check({("warren0", "tso"), ("eth0", "tx"), ("eth0", "gro")} <= done, f"only {done} could be switched")
            unharmed(mesh, before)
            transfer.finish()


main(refused_in_mid_transfer, refused_at_the_relay, switched_off_in_mid_transfer)
