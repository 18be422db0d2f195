#!/usr/bin/env python3
# ctest: timeout=60 beside
"""`why` names the cause that the laboratory made: one each, with the remedy that fits, all at the same time.

    coord  IPv4 and IPv6
      |
    inet ---- a1  public, IPv4 only; asks of all others
       |----- b1  public; inet drops what goes between it and a1                    firewall-drop
       |----- c1  public, IPv6 only                                                 no-common-family
       |----- d1  public, with another pre-shared key                               key-refused
       |----- e1  is not running                                                    peer-offline
       `----- [masquerade, large packets vanish from some time on] ---- f1          mtu-blackhole
Those that hang on NATs, on overlays and on configuration are asked for in test_matrix, test_overlays and test_policy.
"""
import contextlib

from harness import Mesh, Site, check, main, nft, wait_until

CAUSES = {"b1": ("firewall-drop", "allow UDP"), "c1": ("no-common-family", "enable IPv6"), "d1": ("key-refused", "psk_file"),
          "e1": ("peer-offline", "check that warrend runs there"), "f1": ("mtu-blackhole", "let ICMP through")}
EXITS = {"b1": 2, "c1": 2, "d1": 1, "e1": 1, "f1": 0}


def each_cause_that_is_made():
    sites = [Site("a", "open"), Site("b", "open"), Site("c", "open", v6only=True), Site("d", "open"), Site("e", "open"),
             Site("f", "port")]
    with Mesh(sites, psk=True) as mesh:
        mesh.write_psk("d1")
        mesh.underlay = "6"
        mesh.configure_peer("c1")
        pair = "{" + f"{mesh.lab.ip('a1')}, {mesh.lab.ip('b1')}" + "}"
        nft(mesh.lab.ns("inet"), "table inet apart {\nchain through {\ntype filter hook forward priority 0; policy accept;\n"
            f"ip saddr {pair} ip daddr {pair} drop\n}}\n}}\n")
        running = [h for h in mesh.lab.hosts() if h != "e1"]
        mesh.start("coord", *running)
        mesh.wait_registered(*running)

        def said(other):
            return mesh.nodes["a1"].ask("why", peer=other)

        def is_named(other):
            wait_until(lambda: said(other)["cause"] == CAUSES[other][0], 12, f"{other}: {CAUSES[other][0]}; it is {said(other)}")
            document, text = said(other), mesh.ctl("a1", "why", other)
            check(CAUSES[other][1] in document["fix"] and document["fix"] in text.stdout, f"{other}: {text.stdout}")
            check(text.returncode == EXITS[other], f"{other}: exit {text.returncode}: {text.stdout}")
            check(mesh.peer("a1", other)["why"] == CAUSES[other][0], f"{mesh.peer('a1', other)}")
        with contextlib.ExitStack() as stack:
            for other in CAUSES:
                stack.enter_context(mesh.pinger("a1", other, interval=0.2))
            mesh.wait_path("a1", "f1", "direct", within=4)
            check(said("f1")["cause"] is None, f"nothing is wrong, and yet {said('f1')}")
            with mesh.transfer("a1", "f1", mbit=5) as transfer:
                wait_until(lambda: any((p["mtu"] or 0) > 1300 for p in said("f1")["tried"]), 6, "more than 1300 bytes go to f1")
                mesh.lab.set("f", mtu=1280, blackhole=True)
                is_named("f1")
                check(not transfer.error, transfer.error)
            for other in "b1", "c1", "d1", "e1":
                is_named(other)


main(each_cause_that_is_made)
