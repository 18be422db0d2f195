#!/usr/bin/env python3
# ctest: timeout=90 beside
"""A state directory that is full, read-only or gone costs no packet: the file before stays whole, the log and status say so,
and what could not be written is written when it can be again.

    coord  its state_dir, and that of a1, is a tmpfs of 256 KiB
      |
    inet ---- [public] ---- a1  <==ping==>  b1
        |---- [public] ---- b1
        `---- [public] ---- c1   comes while the coordinator's is full
"""
import contextlib
import os

from harness import Mesh, Site, check, main, sh, wait_until

BYTES = 256 << 10


@contextlib.contextmanager
def small_state(mesh, *hosts):
    """In place before the daemons are started; what is mounted is gone afterwards whatever happens."""
    places = [f"{mesh.dir}/{host}.state" for host in hosts]
    mounted = []
    try:
        for place in places:
            sh("mount", "-t", "tmpfs", "-o", f"size={BYTES},mode=700", "warren-test", place)
            mounted.append(place)
        yield places
    finally:
        for place in mounted:
            sh("umount", "-l", place)


def fill(place):
    with contextlib.suppress(OSError), open(place + "/filler", "wb", buffering=0) as f:
        while True:
            f.write(bytes(4096))


def drain(place):
    os.unlink(place + "/filler")


def read(path):
    with open(path, "rb") as f:
        return f.read()


def notices(mesh, host):
    return " ".join(mesh.nodes[host].ask("status")["notices"])


def peer_lives_without_its_directory():
    sites = [Site(name, "public") for name in "abcd"]
    with Mesh(sites, trust=True) as mesh, small_state(mesh, "a1") as (place,):
        everyone = mesh.lab.hosts()
        mesh.start("coord", *everyone)
        mesh.wait_registered(*everyone)
        check(mesh.ping("a1", "b1", 3) is not None, "a1 does not reach b1")
        wait_until(lambda: os.path.exists(place + "/members"), 5, "a1 keeps its peers")
        faults = (("No space left", "c1", lambda: fill(place), lambda: drain(place)),
                  ("Read-only", "d1", lambda: sh("mount", "-o", "remount,ro", place), lambda: sh("mount", "-o", "remount,rw", place)))
        with mesh.pinger("a1", "b1") as pinger:
            for word, member, fault, mend in faults:
                before = {name: read(f"{place}/{name}") for name in os.listdir(place)}
                fault()
                r = mesh.ctl("coord", "node", "revoke", member, "--signing-key", mesh.network.path)
                check(r.returncode == 0, f"revoke: {r.stderr}")
                wait_until(lambda w=word: w in notices(mesh, "a1"), 8, f"status says: {word}")
                check(f"revocations: cannot be written: {word}" in mesh.nodes["a1"].log(), "the log does not say it")
                wait_until(lambda m=member: not mesh.peer("a1", m), 3,
                           "the revocation counts all the same")
                for name, text in before.items():
                    check(read(f"{place}/{name}") == text, f"{name} is not as it was before")
                check(not any(name.endswith(".tmp") for name in os.listdir(place)), "something half written is left")
                mend()
                wait_until(lambda: "cannot be written" not in notices(mesh, "a1"), 8, "status is content again")
                check(read(f"{place}/revocations") != before.get("revocations"), "the list was not written afterwards")
            check(len(pinger.answered) >= len(pinger.sent) - 2, f"pings were lost: {len(pinger.answered)} of {len(pinger.sent)}")
        check(mesh.nodes["a1"].log().count("can be written again") == 2, "the log does not say that it can be written again")


def peer_starts_without_its_directory():
    with Mesh([Site("a", "public"), Site("b", "public")]) as mesh, small_state(mesh, "a1") as (place,):
        fill(place)
        mesh.start("coord", "a1", "b1")
        check(mesh.ping("a1", "b1", 3) is not None, "a1 does not reach b1 with a full directory")
        check("No space left" in notices(mesh, "a1"), "status does not say why")
        port = mesh.nodes["a1"].ask("status")["underlay"]["port"]
        drain(place)
        wait_until(lambda: os.path.exists(place + "/members"), 8, "what is kept is there, once there is room")
        mesh.nodes["a1"].kill()
        mesh.start("a1")
        check(mesh.nodes["a1"].ask("status")["underlay"]["port"] == port, "the port was not kept")
        # Gone altogether: it is made again.
        os.rename(f"{mesh.dir}/b1.state", f"{mesh.dir}/b1.gone")
        mesh.nodes["b1"].stop()
        check(os.path.exists(f"{mesh.dir}/b1.state/members"), "b1 did not make its directory again")


def coordinator_lives_with_a_full_directory():
    with Mesh([Site("a", "public"), Site("b", "public"), Site("c", "public")], trust=True) as mesh, \
            small_state(mesh, "coord") as (place,):
        mesh.start("coord", "a1", "b1")
        mesh.wait_registered("a1", "b1")
        check(mesh.ping("a1", "b1", 3) is not None, "a1 does not reach b1")
        with mesh.pinger("a1", "b1") as pinger:
            fill(place)
            mesh.start("c1")
            wait_until(lambda: "cannot be kept" in mesh.nodes["coord"].log() or "No space" in mesh.nodes["coord"].log(), 5,
                       "the coordinator says that it cannot keep c1's certificate")
            drain(place)
            wait_until(lambda: mesh.counter("coord", "registrations") >= 3, 20, "c1 is registered")
            check(mesh.ping("a1", "c1", 10) is not None, "a1 does not reach c1 afterwards")
            check(len(pinger.answered) >= len(pinger.sent) - 2, f"pings were lost: {len(pinger.answered)} of {len(pinger.sent)}")
        mesh.nodes["coord"].kill()
        mesh.start("coord")
        wait_until(lambda: mesh.counter("coord", "registrations") >= 3, 10, "everybody is registered again")


main(peer_lives_without_its_directory, peer_starts_without_its_directory, coordinator_lives_with_a_full_directory)
