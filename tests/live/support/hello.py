"""ClientHellos made by hand, for clients that must control how every byte leaves."""

from __future__ import annotations

import os
import struct

from .quic_initial import transport_parameters

X25519, SECP256R1, X25519_MLKEM768 = 0x001D, 0x0017, 0x11EC
MLKEM768_SHARE = 1184 + 32  # draft-ietf-tls-ecdhe-mlkem: the encapsulation key and an X25519 share.


def vector(width: int, data: bytes) -> bytes:
    return len(data).to_bytes(width, "big") + data


def extension(kind: int, data: bytes) -> bytes:
    return struct.pack("!H", kind) + vector(2, data)


def handshake_message(name: str | None, post_quantum: bool = False, random: bytes | None = None, alpn: bytes = b"http/1.1",
                      more: bytes = b"", session_id: bytes | None = None) -> bytes:
    """handshake_message returns a ClientHello (RFC 8446 §4.1.2) that a real server answers; `more` is extensions."""
    groups = ([X25519_MLKEM768] if post_quantum else []) + [X25519, SECP256R1]
    shares = struct.pack("!H", X25519) + vector(2, os.urandom(32))
    if post_quantum:
        shares = struct.pack("!H", X25519_MLKEM768) + vector(2, os.urandom(MLKEM768_SHARE)) + shares
    extensions = b""
    if name is not None:
        extensions += extension(0, vector(2, b"\0" + vector(2, name.encode())))
    extensions += extension(10, vector(2, b"".join(struct.pack("!H", group) for group in groups)))
    extensions += extension(13, vector(2, bytes.fromhex("0403080408050806040105010601")))
    extensions += extension(16, vector(2, vector(1, alpn)))
    extensions += extension(43, vector(1, bytes.fromhex("03040303")))
    extensions += extension(51, vector(2, shares)) + more
    body = (b"\x03\x03" + (random or os.urandom(32)) + vector(1, os.urandom(32) if session_id is None else session_id) +
            vector(2, bytes.fromhex("130113021303c02bc02f")) + vector(1, b"\0") + vector(2, extensions))
    return b"\x01" + vector(3, body)


def client_hello(name: str | None, post_quantum: bool = False, random: bytes | None = None) -> bytes:
    """client_hello returns the message in one TLS record."""
    return b"\x16\x03\x01" + vector(2, handshake_message(name, post_quantum, random))


def quic_hello(name: str, post_quantum: bool = False, scid: bytes = b"") -> bytes:
    """quic_hello returns the message as it goes into CRYPTO frames (RFC 9001 §8)."""
    parameters = extension(0x39, transport_parameters(scid))
    return handshake_message(name, post_quantum, alpn=b"h3", more=parameters, session_id=b"")
