#!/usr/bin/env python3
# ctest: timeout=120 beside
"""With each offload turned off, and with all of them, on one side or on both, what goes in comes out the same.

    coord
      |
    inet ---- [masquerade] ---- a1  ==TCP==>  b1
        `---- [masquerade] ---- b1
"""
from harness import Mesh, Site, check, main, wait_until
from links import RELAY

EVERY = "reuseport,multiqueue,gso,gro,vnet,ipsec-mb,aes"


def carries(env_a, env_b, env_coord=None, kinds=("port", "port"), path=None):
    """`env_coord`, `path`: where everything goes through the coordinator, and how."""
    with Mesh([Site("a", kinds[0]), Site("b", kinds[1])], relay=RELAY) as mesh:
        if env_coord is not None:
            mesh.relay_only()
        for host, env in (("coord", env_coord or ""), ("a1", env_a), ("b1", env_b)):
            mesh.start(host, env={"WARREN_DISABLE": env}.items())
        mesh.wait_registered("a1", "b1")
        for six in (False, True):
            check(mesh.ping("a1", "b1", 2, six=six) is not None, f"a1 does not reach b1, IPv6: {six}")
            for source, target in (("a1", "b1"), ("b1", "a1")):
                with mesh.transfer(source, target, six=six, mbit=0) as transfer:
                    wait_until(lambda: transfer.got > 5_000_000 or transfer.error, 10, "5 MB arrive")
                    transfer.finish()
        used = mesh.path("b1", "a1")
        check(not path or (used["kind"], used["transport"]) == path, f"the path is {used}")
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


def all_of_them_at_the_relay_too():
    carries(EVERY, EVERY, EVERY, path=("relay", "udp"))


def all_of_them_at_the_relay_by_tcp():
    carries(EVERY, EVERY, EVERY, kinds=("port", "udpblocked"), path=("relay", "tcp"))


main(one_at_a_time, all_of_them, all_on_one_side, all_of_them_at_the_relay_too, all_of_them_at_the_relay_by_tcp)
