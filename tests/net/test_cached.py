#!/usr/bin/env python3
# ctest: timeout=120 beside
"""Two nodes that start while no coordinator is there reach each other by what they kept; what they kept makes nobody a member.

    coord  killed
      |
    inet ---- [port restricted NAT] ---- a1  <--ping-->  b1
        `---- [port restricted NAT] ---- b1
"""
import os
import time

from harness import Mesh, Site, check, main, wait_until


def kept(mesh, host, name="members"):
    try:
        with open(f"{mesh.dir}/{host}.state/{name}", "rb") as f:
            return f.read()
    except FileNotFoundError:
        return b""


def brought_up(mesh):
    mesh.start("coord", "a1", "b1")
    mesh.wait_registered("a1", "b1")
    check(mesh.ping("a1", "b1", 3) is not None, "a1 does not reach b1")
    mesh.wait_path("a1", "b1", "direct", within=3)
    wait_until(lambda: b"b1" in kept(mesh, "a1"), 8, "a1 keeps what it knows of b1")
    check(os.stat(f"{mesh.dir}/a1.state/members").st_mode & 0o777 == 0o600, "others may read it")


def go_down(mesh):
    """Every node, a1 and the coordinator without a word."""
    mesh.nodes["coord"].kill()
    mesh.nodes["a1"].kill()
    mesh.nodes["b1"].stop()


def is_cached(mesh, host, other):
    p = mesh.peer(host, other)
    return p and p["state"] == "cached" and p["online"] is None


def nodes_find_each_other_without_a_coordinator():
    with Mesh([Site("a", "port"), Site("b", "port")], trust=True, psk=True) as mesh:
        brought_up(mesh)
        go_down(mesh)
        mesh.lab.rebind("a")  # the routers were without power too
        mesh.lab.rebind("b")
        mesh.start("a1", "b1")
        check(is_cached(mesh, "a1", "b1") and is_cached(mesh, "b1", "a1"), f"not as cached: {mesh.peer('a1', 'b1')}")
        check(mesh.ping("a1", "b1", 5) is not None, "a1 does not reach b1 within 5 s")
        mesh.wait_path("a1", "b1", "direct", within=2)
        check(mesh.peer("a1", "b1")["certified"], "b1 was let in without its certificate")
        with mesh.pinger("a1", "b1") as pinger:
            mesh.start("coord")
            back = mesh.wait_registered("a1", "b1", within=10)
            wait_until(lambda: mesh.peer("a1", "b1")["online"], 3, "the coordinator says that b1 is there")
            mesh.wait_path("a1", "b1", "direct", within=1)
            wait_until(lambda: pinger.first(after=back + 0.5), 2, "pings are answered on")


def another_address_is_not_found_and_why_says_so():
    with Mesh([Site("a", "port"), Site("b", "port")]) as mesh:
        brought_up(mesh)
        go_down(mesh)
        mesh.lab.rebind("b", addr="203.0.113.99")
        mesh.start("a1", "b1")
        check(mesh.ping("a1", "b1", 1) is None, "a1 reaches b1, and cannot know where it is")

        def reason():
            why = mesh.nodes["a1"].ask("why", peer="b1")
            return why["cause"] == "peer-offline" and "its address is another" in why["text"]
        wait_until(reason, 1, "why says that b1 is off or elsewhere")
        mesh.start("coord")
        mesh.wait_registered("a1", "b1", within=10)
        check(mesh.ping("a1", "b1", 5) is not None, "a1 does not reach b1, though the coordinator is back")


def removed_member_goes_when_a_coordinator_is_there():
    with Mesh([Site("a", "port"), Site("b", "port")]) as mesh:
        brought_up(mesh)
        go_down(mesh)
        mesh.configure_coordinator(["a1"])
        mesh.start("a1", "b1")
        check(mesh.ping("a1", "b1", 5) is not None, "a1 does not reach b1 within 5 s")
        mesh.start("coord")
        mesh.wait_registered("a1", within=10)
        wait_until(lambda: mesh.peer("a1", "b1") is None, 2, "a1 forgets b1")
        check(mesh.ping("b1", "a1", 1) is None, "b1 is no member any more, and still reaches a1")
        mesh.nodes["coord"].kill()
        mesh.nodes["a1"].stop()
        check(b"b1" not in kept(mesh, "a1"), "b1 is kept all the same")
        mesh.start("a1")
        check(mesh.peer("a1", "b1") is None, "b1 came back")
        check(mesh.ping("b1", "a1", 1) is None, "b1 reaches a1 again")


def files_of_others_are_set_aside():
    with Mesh([Site("a", "port"), Site("b", "port")]) as mesh:
        brought_up(mesh)
        go_down(mesh)
        good = kept(mesh, "a1")
        for bad, word in ((good[:-1], "damaged"), (b"SQLite format 3\0" + good, "not a file of this version"),
                          (bytes(2 << 20), "not a file of this version"), (good[:100] + b"\xff" + good[101:], "damaged")):
            with open(f"{mesh.dir}/a1.state/members", "wb") as f:
                f.write(bad)
            mesh.start("a1")
            check(mesh.peer("a1", "b1") is None, "a damaged file was used")
            check(f"members: {word}" in mesh.nodes["a1"].log(), mesh.nodes["a1"].log())
            check(kept(mesh, "a1", "members.bad") == bad, "it was not set aside")
            mesh.nodes["a1"].stop()
        with open(f"{mesh.dir}/b1.state/members", "wb") as f:
            f.write(good)  # whole, and another node's
        mesh.start("b1")
        check(not mesh.nodes["b1"].ask("peers")["peers"], "another node's file was used")


main(nodes_find_each_other_without_a_coordinator, another_address_is_not_found_and_why_says_so,
     removed_member_goes_when_a_coordinator_is_there, files_of_others_are_set_aside)
