#!/usr/bin/env python3
# ctest: timeout=60 beside
"""Each key that a reload applies is changed, and changed back, under a running transfer: no connection is lost, none stalls.

    coord  reloaded: relay, member
      |
    inet ---- [public] ---- a1  ==TCP==>  b1      reloaded: a1
        `---- [public] ---- b1

The keys are those that warren.conf(5) marks with "reload", which tests/check_manuals.sh compares with the daemon's own table: one
that is new there fails this until it is tried here."""
import os

import manual
from harness import Mesh, Site, check, main, wait_until

STALL_SECONDS = 1.0


def changes(mesh):
    """{key: (host, what to do with the text of its file)}"""
    d, coord = mesh.dir, mesh.lab.links["coord"].v4

    def more(host, line):
        return host, lambda text: text + line + "\n"

    def other(host, old, new):
        def swap(text):
            check(text.count(old) == 1, f"{old!r} is not once in {host}'s file")
            return text.replace(old, new)
        return host, swap

    spare = f'public_key = "{mesh.keys["c1"].public}"'
    return {
        ("", "certificate_file"): other("a1", f"{d}/a1.cert", f"{d}/a1.new"),
        ("", "compression"): more("a1", "compression = on"),
        ("", "stun"): more("a1", f'stun = {{"{coord[0]}:27700"}}'),
        ("", "proxy"): more("a1", f'proxy = "http://{coord[0]}:9"'),
        ("", "proxy_auth_file"): more("a1", f'proxy_auth_file = "{d}/login"'),
        ("", "log_level"): more("a1", "log_level = debug"),
        ("", "on_mapping_change"): more("a1", 'on_mapping_change = "/bin/true"'),
        ("listen", "portmap"): more("a1", "listen { portmap = off }"),
        ("listen", "public_endpoint"): more("a1", f'listen {{ public_endpoint = {{"{mesh.lab.ip("a1")}:7"}} }}'),
        ("coordinator", "endpoint"): other("a1", f'endpoint = "{coord[0]}:', f'endpoint = "{coord[1]}:'),
        ("coordinator", "public_key"): other("a1", f'public_key = "{mesh.keys["coord"].public}"', spare),
        ("", "routes"): more("a1", 'routes = {"192.168.7.0/24"}'),
        ("peer", "routes"): more("a1", 'peer "b1" { routes = {"192.168.9.0/24"} }'),
        ("peer", "path"): more("a1", 'peer "b1" { path = direct }'),
        ("metrics", "peer_labels"): more("a1", "metrics { peer_labels = true }"),
        ("listen", "stun"): more("coord", "listen { stun = false }"),
        ("relay", "enabled"): other("coord", "enabled = true", "enabled = false"),
        ("relay", "rate_per_peer"): more("coord", 'relay { rate_per_peer = "1Mbit" }'),
        ("relay", "rate_total"): more("coord", 'relay { rate_total = "1Gbit" }'),
        ("relay", "packets_per_peer"): more("coord", "relay { packets_per_peer = 10 }"),
        ("member", "public_key"): other("coord", spare, f'public_key = "{mesh.network.public}"'),
        ("member", "address"): other("coord", f'address = "{mesh.overlay("c1")}"', 'address = "10.77.9.9"'),
        ("member", "address6"): other("coord", f'address6 = "{mesh.overlay("c1", six=True)}"', 'address6 = "fd77::99"'),
    }


def no_reload_loses_a_connection():
    sites = [Site(name, "public") for name in "abc"]
    with Mesh(sites, trust=True, members=["a1", "b1", "c1"]) as mesh:
        with open(f"{mesh.dir}/a1.new", "w") as f:
            f.write(mesh.certificate("a1", "--route", "192.168.0.0/16") + "\n")
        mesh.certify("a1", "--route", "192.168.0.0/16")
        with open(os.open(f"{mesh.dir}/login", os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
            f.write("user:word\n")
        known, ways = manual.keys(("reload",), 21), changes(mesh)
        check(set(ways) == known, f"not tried: {known - set(ways)}, not in the manual: {set(ways) - known}")
        sound = {}
        for host in ("a1", "coord"):
            with open(mesh.nodes[host].conf) as f:
                sound[host] = f.read()
        mesh.start("coord", "a1", "b1")
        mesh.wait_registered("a1", "b1")
        check(mesh.ping("a1", "b1", 3) is not None, "a1 does not reach b1")
        mesh.wait_path("a1", "b1", "direct", within=3)

        def reload(host, text, key):
            with open(mesh.nodes[host].conf, "w") as f:
                f.write(text)
            answer = mesh.ctl_json(host, "reload")
            name = key[0] if key[0] in ("coordinator", "peer", "member") else ".".join(filter(None, key))
            check(answer["ok"] and answer["applied"] == [name] and answer["restart"] == [], f"{key}: {answer}")
            got = transfer.got
            wait_until(lambda: transfer.got > got + 200_000 or transfer.error, STALL_SECONDS, f"{key}: the transfer goes on")

        with mesh.transfer("a1", "b1", mbit=20) as transfer:
            for key, (host, change) in ways.items():
                reload(host, change(sound[host]), key)
                reload(host, sound[host], key)
            stall = transfer.longest_stall()
            check(stall < STALL_SECONDS, f"the transfer stalled for {stall:.2f} s")
            transfer.finish()
        check(mesh.kind("a1", "b1") == "direct", f"a1 to b1: {mesh.path('a1', 'b1')}")
        wait_until(lambda: mesh.nodes["a1"].ask("status")["coordinators"][0]["state"] == "connected", 10, "a1 is registered after all")


main(no_reload_loses_a_connection)
