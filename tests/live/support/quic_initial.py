"""QUIC Initial packets made by hand (RFC 9001 §5, RFC 9369), for versions and layouts that ngtcp2's client of Debian 12
does not send. Keys come from Python's hmac, the ciphers from the system's libcrypto."""

from __future__ import annotations

import ctypes
import ctypes.util
import hashlib
import hmac
import os
import struct

V1, V2 = 0x00000001, 0x6B3343CF
SALT = {V1: "38762cf7f55934b34d179ae6a4c80cadccbb7f0a",  # RFC 9001 §5.2
        V2: "0dede3def700a6db819381be6e269dcbf9bd2ed9"}  # RFC 9369 §3.3.1
LABEL = {V1: "quic", V2: "quicv2"}
INITIAL_TYPE = {V1: 0b00, V2: 0b01}

_crypto = ctypes.CDLL(ctypes.util.find_library("crypto") or "libcrypto.so.3")
for _name in ("EVP_CIPHER_CTX_new", "EVP_aes_128_gcm", "EVP_aes_128_ecb"):
    getattr(_crypto, _name).restype = ctypes.c_void_p
EVP_CTRL_AEAD_GET_TAG, EVP_CTRL_AEAD_SET_TAG = 0x10, 0x11


def _expand(secret: bytes, label: str, length: int) -> bytes:
    """HKDF-Expand-Label with an empty context (RFC 8446 §7.1), for at most one block of SHA-256."""
    name = b"tls13 " + label.encode()
    info = struct.pack("!HB", length, len(name)) + name + b"\0"
    return hmac.new(secret, info + b"\x01", hashlib.sha256).digest()[:length]


def _encrypt(cipher: str, key: bytes, iv: bytes | None, aad: bytes, data: bytes) -> bytes:
    context = ctypes.c_void_p(_crypto.EVP_CIPHER_CTX_new())
    out, length = ctypes.create_string_buffer(len(data) + 32), ctypes.c_int()
    kind = ctypes.c_void_p(getattr(_crypto, cipher)())
    assert _crypto.EVP_EncryptInit_ex(context, kind, None, key, iv) == 1
    if aad:
        assert _crypto.EVP_EncryptUpdate(context, None, ctypes.byref(length), aad, len(aad)) == 1
    assert _crypto.EVP_EncryptUpdate(context, out, ctypes.byref(length), data, len(data)) == 1
    sealed = out.raw[:length.value]
    if iv is not None:
        tag = ctypes.create_string_buffer(16)
        assert _crypto.EVP_EncryptFinal_ex(context, ctypes.create_string_buffer(16), ctypes.byref(length)) == 1
        assert _crypto.EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, tag) == 1
        sealed += tag.raw
    _crypto.EVP_CIPHER_CTX_free(context)
    return sealed


def variable(value: int) -> bytes:
    """A variable-length integer (RFC 9000 §16), in two or four bytes."""
    return struct.pack("!H", 0x4000 | value) if value < 0x4000 else struct.pack("!I", 0x80000000 | value)


def crypto_frame(offset: int, data: bytes) -> bytes:
    return b"\x06" + variable(offset) + variable(len(data)) + data


def initial(version: int, dcid: bytes, scid: bytes, number: int, frames: bytes, size: int = 1200, fixed_bit: bool = True) -> bytes:
    """initial returns a client's Initial of `size` bytes, padded with PADDING frames; it is the whole datagram. Without its
    fixed bit it is one of RFC 9287."""
    secret = hmac.new(bytes.fromhex(SALT[version]), dcid, hashlib.sha256).digest()
    client = _expand(secret, "client in", 32)
    key, iv, mask_key = (_expand(client, f"{LABEL[version]} {what}", length) for what, length in (("key", 16), ("iv", 12), ("hp", 16)))
    start = struct.pack("!BI", (0xC0 if fixed_bit else 0x80) | INITIAL_TYPE[version] << 4 | 3, version)
    start += bytes([len(dcid)]) + dcid + bytes([len(scid)]) + scid + b"\0"  # No token.
    frames += bytes(max(0, size - len(start) - 2 - 4 - 16 - len(frames)))
    header = start + struct.pack("!H", 0x4000 | 4 + len(frames) + 16) + struct.pack("!I", number)
    nonce = bytes(a ^ b for a, b in zip(iv, number.to_bytes(12, "big")))
    sealed = _encrypt("EVP_aes_128_gcm", key, nonce, header, frames)
    mask = _encrypt("EVP_aes_128_ecb", mask_key, None, b"", sealed[:16])  # The sample begins 4 bytes after the number.
    protected = bytes([header[0] ^ (mask[0] & 0x0F)]) + header[1:-4]
    return protected + bytes(a ^ b for a, b in zip(header[-4:], mask[1:5])) + sealed


def _decrypt(key: bytes, iv: bytes, aad: bytes, sealed: bytes) -> bytes | None:
    """_decrypt opens what AES-128-GCM sealed; None where the tag is wrong."""
    context = ctypes.c_void_p(_crypto.EVP_CIPHER_CTX_new())
    out, length = ctypes.create_string_buffer(len(sealed)), ctypes.c_int()
    assert _crypto.EVP_DecryptInit_ex(context, ctypes.c_void_p(_crypto.EVP_aes_128_gcm()), None, key, iv) == 1
    assert _crypto.EVP_DecryptUpdate(context, None, ctypes.byref(length), aad, len(aad)) == 1
    assert _crypto.EVP_DecryptUpdate(context, out, ctypes.byref(length), sealed[:-16], len(sealed) - 16) == 1
    opened = out.raw[:length.value]
    assert _crypto.EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, 16, sealed[-16:]) == 1
    good = _crypto.EVP_DecryptFinal_ex(context, ctypes.create_string_buffer(16), ctypes.byref(length)) == 1
    _crypto.EVP_CIPHER_CTX_free(context)
    return opened if good else None


def open_server_initial(version: int, dcid: bytes, packet: bytes) -> bytes | None:
    """open_server_initial returns the frames of a server's Initial, which answers a client's with that first connection id."""
    if len(packet) < 7 or packet[0] & 0x80 == 0 or int.from_bytes(packet[1:5], "big") != version or packet[0] >> 4 & 3 != INITIAL_TYPE[version]:
        return None
    secret = hmac.new(bytes.fromhex(SALT[version]), dcid, hashlib.sha256).digest()
    server = _expand(secret, "server in", 32)
    key, iv, mask_key = (_expand(server, f"{LABEL[version]} {what}", length) for what, length in (("key", 16), ("iv", 12), ("hp", 16)))
    at = 6 + packet[5]
    at += 1 + packet[at]
    for _ in range(2):  # The token, which a server's has none of, and the length.
        width = 1 << (packet[at] >> 6)
        value = int.from_bytes(packet[at:at + width], "big") & ((1 << (8 * width - 2)) - 1)
        at += width
    mask = _encrypt("EVP_aes_128_ecb", mask_key, None, b"", packet[at + 4:at + 20])
    first = packet[0] ^ (mask[0] & 0x0F)
    width = 1 + (first & 3)
    number = bytes(a ^ b for a, b in zip(packet[at:at + width], mask[1:]))
    nonce = bytes(a ^ b for a, b in zip(iv, number.rjust(12, b"\0")))
    return _decrypt(key, nonce, bytes([first]) + packet[1:at] + number, packet[at + width:at + value])


def transport_parameters(scid: bytes) -> bytes:
    """What every client must send: its connection id (RFC 9000 §7.3), and some room for answers."""
    parameters = [(0x0F, scid), (0x04, variable(1 << 20)), (0x05, variable(1 << 18)), (0x06, variable(1 << 18)),
                  (0x07, variable(1 << 18)), (0x08, variable(16)), (0x09, variable(16))]
    return b"".join(bytes([kind]) + bytes([len(value)]) + value for kind, value in parameters)


def hello_datagrams(version: int, hello: bytes, scid: bytes, cuts: list[int], order: list[int] | None = None,
                    fixed_bit: bool = True) -> list[bytes]:
    """hello_datagrams cuts a handshake message at the offsets and puts each piece in a datagram, in the given order."""
    dcid = os.urandom(8)
    edges = [0, *cuts, len(hello)]
    pieces = [(a, hello[a:b]) for a, b in zip(edges, edges[1:])]
    order = order or list(range(len(pieces)))
    return [initial(version, dcid, scid, number, crypto_frame(*pieces[i]), fixed_bit=fixed_bit) for number, i in enumerate(order)]
