#!/usr/bin/env python3
# ctest: timeout=60 beside
"""Every document that warrenctl prints with --json, and the control socket answers with, is as its schema in conf/schema says; has
no field that the schema does not know; and has lost none of those that tests/golden has kept.

    coord
      |
    inet ---- a1        public host
      +------ b (port-restricted NAT) ---- b1
"""
import json
import os
import subprocess
import sys

from harness import Mesh, PROGRAMS, Site, check, main

try:
    import jsonschema
except ImportError:
    print("skipped: no python3-jsonschema")
    sys.exit(77)

HERE = os.path.dirname(os.path.abspath(__file__))
SCHEMAS, GOLDEN = f"{HERE}/../../conf/schema", f"{HERE}/../golden"


def schema_of(name):
    with open(f"{SCHEMAS}/{name}.json") as f:
        schema = json.load(f)
    jsonschema.Draft7Validator.check_schema(schema)
    return schema


def unknown_fields(schema, node, value, at=""):
    """The fields that no part of the schema names. An object without "properties" may hold any."""
    if "$ref" in node:
        node = schema["definitions"][node["$ref"].rsplit("/", 1)[1]]
    for choice in node.get("anyOf", ()):
        if value is not None and ("$ref" in choice or choice.get("type") != "null"):
            yield from unknown_fields(schema, choice, value, at)
            return
    if isinstance(value, list):
        for item in value:
            yield from unknown_fields(schema, node.get("items", {}), item, f"{at}[]")
    elif isinstance(value, dict) and "properties" in node:
        for key, inner in value.items():
            if key in node["properties"]:
                yield from unknown_fields(schema, node["properties"][key], inner, f"{at}.{key}")
            else:
                yield f"{at}.{key}"


def judge(document):
    if "error" in document and "schema" not in document:
        name = "error"
    else:
        name, major = document["schema"].removeprefix("warren.").split("/")
        check(major == "1", f"{document['schema']}: another major version")
    schema = schema_of(name)
    for error in jsonschema.Draft7Validator(schema).iter_errors(document):
        raise AssertionError(f"{name}: {'.'.join(map(str, error.absolute_path))}: {error.message[:300]}")
    unknown = sorted(set(unknown_fields(schema, schema, document)))
    check(not unknown, f"conf/schema/{name}.json does not know {unknown}")
    return name


def fields(value, at=""):
    """Where fields are, lists as one."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield f"{at}.{key}"
            yield from fields(inner, f"{at}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from fields(inner, f"{at}[]")


def documents(mesh):
    """(name of the golden file or None, document) of all there are, before the first packet and after."""
    def ctl(host, *argv):
        r = mesh.lab.run(host, [PROGRAMS["warrenctl"], "-s", mesh.nodes[host].control, *argv, "--json"], capture_output=True,
                         text=True)
        check(r.stdout.strip(), f"{argv}: nothing on standard output (exit {r.returncode}): {r.stderr}")
        return [json.loads(line) for line in r.stdout.splitlines()]

    for host, command in (("a1", "status"), ("a1", "peers"), ("a1", "paths"), ("a1", "netcheck"), ("coord", "peers")):
        yield from ((None, d) for d in ctl(host, command))
    yield from ((None, d) for d in ctl("a1", "why", "b1"))
    check(mesh.ping("a1", "b1", 5) is not None, "no ping")
    mesh.wait_path("a1", "b1", "direct", within=5)
    with open(mesh.nodes["a1"].conf, "a") as f:
        f.write('log_level = "debug"\n')  # for reload to tell of
    for golden, host, *argv in (("status", "a1", "status"), ("status-coordinator", "coord", "status"), ("peers", "a1", "peers"),
                                ("peers-coordinator", "coord", "peers"), ("paths", "a1", "paths"), ("routes", "a1", "routes"),
                                ("netcheck", "b1", "netcheck"),
                                ("why", "a1", "why", "b1"), ("ping", "a1", "ping", "-c1", "b1"),
                                ("expose", "a1", "expose", "udp", "5000"), (None, "a1", "expose", "list"),
                                ("reload", "a1", "reload", "--dry-run"), (None, "coord", "reload"), ("log", "a1", "log"),
                                ("log", "coord", "log"), ("log_level", "a1", "log-level"), ("log_level", "coord", "log-level"),
                                ("config", "a1", "config", "show"), ("config", "coord", "config", "show"),
                                ("config_check", "a1", "config", "check"), ("whois", "a1", "whois", mesh.overlay("b1")),
                                (None, "a1", "whois", mesh.overlay("a1")), (None, "coord", "whois", mesh.overlay("b1")),
                                ("rebind", "a1", "rebind"), ("interface", "a1", "down"), ("interface", "a1", "up"),
                                ("metrics", "a1", "metrics"), ("metrics", "coord", "metrics"),
                                ("doctor", "a1", "doctor"), ("version", "a1", "version"), ("map", "coord", "map"),
                                ("wait", "a1", "wait", "--for", "peer=b1")):
        yield from ((golden, d) for d in ctl(host, *argv))
    begun = mesh.nodes["a1"].ask("capture")
    yield "capture", begun
    yield "capture", mesh.nodes["a1"].ask("capture", id=begun["id"], stop=True)
    for request in b'{"cmd":"nonsense"}', b"no JSON", b'{"cmd":"paths","peer":"nobody"}':
        yield None, error_of(mesh.nodes["a1"].control, request)


def joining_documents(mesh):
    def ctl(*argv):
        r = subprocess.run([PROGRAMS["warrenctl"], *argv, "--dir", mesh.dir, "--json"], capture_output=True, text=True)
        check(r.returncode == 0, f"{argv}: exit {r.returncode}: {r.stderr}")
        return json.loads(r.stdout)

    yield "network", ctl("init", "work", "--coordinator", "c1.example.net")
    yield "invitation", ctl("invite", "alice")
    yield "invitations", ctl("invite", "--list")
    with open(f"{mesh.dir}/work.network") as f:
        yield None, json.load(f)


def certified_documents():
    """What a network key adds."""
    with Mesh([Site("a", "open"), Site("b", "open")], trust=True) as mesh:
        mesh.start("coord", "a1", "b1")
        mesh.wait_registered("a1", "b1")
        check(mesh.ping("a1", "b1", 5) is not None, "no ping under a network key")
        for host, command in (("a1", "status"), ("coord", "status"), ("a1", "peers"), ("coord", "peers")):
            yield mesh.ctl_json(host, command)
        yield mesh.ctl_json("coord", "node", "list")
        yield mesh.nodes["coord"].ask("revocations")
        yield json.loads(subprocess.run([PROGRAMS["warrenctl"], "cert", "show", f"{mesh.dir}/a1.cert", "--json"],
                                        capture_output=True, text=True).stdout)


def error_of(control, request):
    import socket
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(control)
        s.sendall(request + b"\n")
        return json.loads(s.makefile().readline())


def documents_are_as_their_schemas_say():
    with Mesh([Site("a", "open"), Site("b", "port")]) as mesh:
        hook, heard = f"{mesh.dir}/hook", f"{mesh.dir}/heard"
        with open(os.open(hook, os.O_WRONLY | os.O_CREAT, 0o755), "w") as f:
            f.write(f"#!/bin/sh\ncat >{heard}\n")
        mesh.configure_peer("a1", f'on_mapping_change = "{hook}"\nroutes = {{"192.168.9.0/24"}}\n'
                                  'peer "b1" { routes = {"192.168.7.0/24", "10.77.0.0/24"} }')
        mesh.start("coord", "a1", "b1")
        mesh.wait_registered("a1", "b1")
        judged = set()
        for golden, document in (*documents(mesh), *joining_documents(mesh)):
            judged.add(judge(document))
            if golden:
                with open(f"{GOLDEN}/{golden}.json") as f:
                    lost = set(fields(json.load(f))) - set(fields(document))
                check(not lost, f"{golden}: lost {sorted(lost)}; fields may only be added within a major version")
        with open(heard) as f:
            judged.add(judge(json.load(f)))
        judged |= {judge(d) for d in certified_documents()}
        shipped = {name.removesuffix(".json") for name in os.listdir(SCHEMAS)}
        check(judged == shipped, f"schemas without a document: {sorted(shipped - judged)}")


def golden_documents_are_still_valid():
    names = {judge(json.load(open(f"{GOLDEN}/{name}"))) for name in os.listdir(GOLDEN)}
    check(len(names) >= 12, f"only {sorted(names)}")


def a_wrong_document_is_found():
    """The judge can say no."""
    with open(f"{GOLDEN}/peers.json") as f:
        good = json.load(f)
    for change in ({"self": None}, {"time": "yesterday"}, {"schema": "warren.peers/2"}, {"peers": [{}]}, {"new": 1}):
        try:
            judge({**good, **change})
        except AssertionError:
            continue
        raise AssertionError(f"{change} was not found")
    check(subprocess.run([PROGRAMS["warrenctl"], "--json=2", "version"], capture_output=True).returncode == 64, "--json=2")


main(documents_are_as_their_schemas_say, golden_documents_are_still_valid, a_wrong_document_is_found)
