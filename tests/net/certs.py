"""Certificates, invitations, URLs and revocation lists, encoded here a second time from daemon/wire/cert.h, join.h and revocation.h,
for what warrenctl does not make: those of another time, or another's."""
import base64
import ctypes
import ctypes.util
import hashlib
import ipaddress
import os
import struct
import time

_sodium = ctypes.CDLL(ctypes.util.find_library("sodium") or "libsodium.so.23")
_sodium.sodium_init()


def _sign(secret, purpose, message):
    public, both, signature = ctypes.create_string_buffer(32), ctypes.create_string_buffer(64), ctypes.create_string_buffer(64)
    _sodium.crypto_sign_seed_keypair(public, both, base64.b64decode(secret))
    whole = purpose.encode() + b"\0" + message
    _sodium.crypto_sign_detached(signature, None, whole, ctypes.c_ulonglong(len(whole)), both)
    return signature.raw


def _grant(kind, network_public, serial, name, addresses, routes=()):
    """Up to the routes; of groups there are none."""
    nets = sorted(map(ipaddress.ip_network, routes), key=lambda n: (n.version, n.network_address.packed, n.prefixlen))
    packed = sorted((ipaddress.ip_address(a) for a in addresses), key=lambda a: (a.version, a.packed))
    return (bytes([kind]) + base64.b64decode(network_public)[:16] + serial + bytes([len(name)]) + name.encode() +
            bytes([len(packed)]) + b"".join(bytes([len(a.packed)]) + a.packed for a in packed) + b"\0" +
            bytes([len(nets)]) + b"".join(bytes([n.max_prefixlen // 8]) + n.network_address.packed + bytes([n.prefixlen])
                                          for n in nets))


def public_of(seed):
    public, both = ctypes.create_string_buffer(32), ctypes.create_string_buffer(64)
    _sodium.crypto_sign_seed_keypair(public, both, seed)
    return public.raw


def invitation(secret, public, name, addresses, seed, expires=86400):
    """Signed by `secret` in the name of the network key `public` (both base64), good for so many seconds from now."""
    body = _grant(2, public, os.urandom(16), name, addresses)
    body += public_of(seed) + struct.pack(">QI", int(time.time()) + expires, 0)
    return body + _sign(secret, "warren-invite-1", body)


def url(public, network, coordinators, seed, invitation):
    """`coordinators`: (public key, host, port)."""
    body = b"\1" + base64.b64decode(public) + bytes([len(network)]) + network.encode() + bytes([len(coordinators)])
    for key, host, port in coordinators:
        body += base64.b64decode(key) + bytes([len(host)]) + host.encode() + struct.pack(">H", port)
    body += seed + struct.pack(">H", len(invitation)) + invitation
    body += hashlib.blake2b(body, digest_size=32).digest()[:16]
    return "warren://join/" + base64.urlsafe_b64encode(body).decode().rstrip("=")


def invited(invitation, seed, public_key, begins=0):
    """The certificate that a node with this public key makes of it, from so many seconds from now, for ever; base64."""
    body = invitation + base64.b64decode(public_key) + struct.pack(">QQ", int(time.time()) + begins, 0)
    return base64.b64encode(body + _sign(base64.b64encode(seed), "warren-cert-1", body)).decode()


def certificate(network, name, public_key, addresses, begins=-3600, ends=86400, serial=None, routes=()):
    """Signed by `network` (harness.Key), valid from and to so many seconds from now (ends None: for ever); base64."""
    now = int(time.time())
    body = _grant(1, network.public, serial or os.urandom(16), name, addresses, routes)
    body += base64.b64decode(public_key) + struct.pack(">QQ", now + begins, now + ends if ends is not None else 0)
    return base64.b64encode(body + _sign(network.secret, "warren-cert-1", body)).decode()


def revocations(network, epoch, public_keys, expires=None):
    """The list of that epoch, as bytes: what a node keeps in state_dir/revocations. `expires` so many seconds from now (None: never)."""
    entries = b"".join(sorted(bytes(16) + base64.b64decode(k) for k in public_keys))
    body = b"\1" + base64.b64decode(network.public)[:16]
    now = int(time.time())
    body += struct.pack(">QQQI", epoch, now - 3600, now + expires if expires is not None else 0, len(public_keys)) + hashlib.blake2b(entries, digest_size=32).digest()
    return body + _sign(network.secret, "warren-revoke-1", body) + entries
