#!/usr/bin/env python3
# ctest: timeout=120 beside
"""With each offload turned off, and with all of them, on one side or on both, what goes in comes out the same.

    coord
      |
    inet ---- [masquerade] ---- a1  ==TCP==>  b1
        `---- [masquerade] ---- b1
"""
from harness import Mesh, Site, check, main, wait_until

EVERY = "reuseport,multiqueue,gso,gro,vnet,ipsec-mb,aes"


def carries(env_a, env_b):
    with Mesh([Site("a", "port"), Site("b", "port")]) as mesh:
        mesh.start("coord")
        mesh.start("a1", env={"WARREN_DISABLE": env_a}.items())
        mesh.start("b1", env={"WARREN_DISABLE": env_b}.items())
        mesh.wait_registered("a1", "b1")
        for six in (False, True):
            check(mesh.ping("a1", "b1", 2, six=six) is not None, f"a1 does not reach b1, IPv6: {six}")
            for source, target in (("a1", "b1"), ("b1", "a1")):
                with mesh.transfer(source, target, six=six, mbit=0) as transfer:
                    wait_until(lambda: transfer.got > 5_000_000 or transfer.error, 10, "5 MB arrive")
                    transfer.finish()
        on = {h: mesh.nodes[h].ask("status") for h in ("a1", "b1")}
        for host, env in (("a1", env_a), ("b1", env_b)):
            for name in env.split(","):
                if name in on[host]["offload"]:
                    check(not on[host]["offload"][name], f"{host}: {name} is on")
            if "reuseport" in env or "multiqueue" in env:
                check(on[host]["workers"] == 1, f"{host} has {on[host]['workers']} workers")


def one_at_a_time():
    for name in EVERY.split(","):
        carries(name, "")


def all_of_them():
    carries(EVERY, EVERY)


def all_on_one_side():
    carries(EVERY, "")


main(one_at_a_time, all_of_them, all_on_one_side)
