#!/usr/bin/env python3
"""Writes sealed.json: test vectors of the sealed format and of wraps, version 1.

A second implementation of both, written from their descriptions in
src/pipeline/seal/mod.rs and src/pipeline/seal/keys.rs on top of the Python package `cryptography`. Run it
from this directory; the result is the same each time. Vectors are kept for
ever: new ones may be added, none may change.
"""

import hashlib
import json
import struct

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SEGMENT, TAG, HEADER = 16384, 16, 40
SLOT = SEGMENT + TAG
CIPHERS = {"aes-256-gcm": (1, AESGCM), "chacha20-poly1305": (2, ChaCha20Poly1305)}


def draw(label, length):
    return hashlib.sha256(label.encode()).digest()[:length]


def plaintext(size):
    return bytes((i * 167 + (i >> 8)) & 255 for i in range(size))


class Blob:
    def __init__(self, cipher, label, size, content_key=None):
        code, self.aead = CIPHERS[cipher]
        self.cipher, self.size = cipher, size
        self.content_key = content_key or draw(label + " content key", 32)
        self.prefix = draw(label + " nonce prefix", 7)
        self.salt = draw(label + " salt", 16)
        self.header = b"MAYFLY" + bytes([1, code, 14]) + bytes(8) + self.prefix + self.salt
        assert len(self.header) == HEADER
        parts = [plaintext(size)[i : i + SEGMENT] for i in range(0, size, SEGMENT)] or [b""]
        self.parts = parts
        self.bytes = self.header + b"".join(
            self.seal(n, n + 1 == len(parts), part) for n, part in enumerate(parts)
        )

    def seal(self, number, last, part, aad=None, info=b"mayfly/1/segments", nonce=None):
        key = HKDF(algorithm=hashes.SHA256(), length=32, salt=self.salt, info=info)
        key = key.derive(self.content_key)
        if nonce is None:
            nonce = self.prefix + struct.pack(">IB", number, last)
        return self.aead(key).encrypt(nonce, part, self.header if aad is None else aad)


def start(segment):
    return HEADER + segment * SLOT


valid, invalid, blobs = [], [], {}


def add_valid(name, blob, small=False):
    blobs[name] = blob
    vector = {
        "name": name,
        "cipher": blob.cipher,
        "content_key": blob.content_key.hex(),
        "nonce_prefix": blob.prefix.hex(),
        "salt": blob.salt.hex(),
        "size": blob.size,
        "sealed_sha256": hashlib.sha256(blob.bytes).hexdigest(),
    }
    if small:
        vector["sealed"] = blob.bytes.hex()
    valid.append(vector)


def add_invalid(name, base, pieces, key=None):
    """pieces: bytes, or (name of a valid vector, from, to)."""
    result, words = b"", []
    for piece in pieces:
        if isinstance(piece, bytes):
            words.append({"hex": piece.hex()})
            result += piece
        else:
            of, begin, end = piece
            end = len(blobs[of].bytes) if end is None else end
            words.append({"of": of, "from": begin, "to": end})
            result += blobs[of].bytes[begin:end]
    assert result != blobs[base].bytes or key
    invalid.append(
        {
            "name": name,
            "of": base,
            "content_key": (key or blobs[base].content_key).hex(),
            "pieces": words,
            "sha256": hashlib.sha256(result).hexdigest(),
        }
    )


for cipher in CIPHERS:
    for size in [0, 1, 15, 16, 17, 1000]:
        add_valid(f"{cipher}, {size} bytes", Blob(cipher, f"{cipher} {size}", size), True)
    for size in [SEGMENT - 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT, 40000, 3 * SEGMENT, 200000]:
        add_valid(f"{cipher}, {size} bytes", Blob(cipher, f"{cipher} {size}", size))

    three = f"{cipher}, 40000 bytes"
    blob = blobs[three]
    other = f"{cipher}, 40000 bytes, other header"
    add_valid(other, Blob(cipher, f"{cipher} other header", 40000, blob.content_key))
    two = f"{cipher}, {SEGMENT + 1} bytes"
    one = f"{cipher}, 1000 bytes"
    empty = f"{cipher}, 0 bytes"
    end = len(blob.bytes)

    def bad(name, pieces, base=three, key=None):
        add_invalid(f"{cipher}, {name}", base, pieces, key)

    cuts = {
        "nothing at all": 0,
        "cut in the header": HEADER - 1,
        "cut behind the header": HEADER,
        "cut in the first tag, no ciphertext": HEADER + TAG - 1,
        "cut to the length of an empty file": HEADER + TAG,
        "cut in segment 0": start(0) + 5000,
        "cut behind segment 0": start(1),
        "cut in a tag behind segment 0": start(1) + TAG,
        "cut in segment 1": start(1) + 5000,
        "cut behind segment 1": start(2),
        "cut behind segment 1 and one byte": start(2) + 1,
        "cut to a tag in the last segment": start(2) + TAG,
        "cut by a tag": end - TAG,
        "cut by one byte": end - 1,
    }
    for name, at in cuts.items():
        bad(name, [(three, 0, at)])
    bad("cut empty file", [(empty, 0, HEADER)], empty)

    head = (three, 0, HEADER)
    s0, s1, s2 = ((three, start(n), start(n + 1) if n < 2 else None) for n in range(3))
    bad("segments 0 and 1 swapped", [head, s1, s0, s2])
    bad("last segment first", [head, s2, s0, s1])
    bad("segments 1 and 2 swapped", [head, s0, s2, s1])
    bad("segment 0 twice", [head, s0, s0, s1, s2])
    bad("segment 1 twice", [head, s0, s1, s1, s2])
    bad("segment 1 in place of 0", [head, s1, s1, s2])
    bad("last segment twice", [head, s0, s1, s2, s2])
    bad("without segment 0", [head, s1, s2])
    bad("without segment 1", [head, s0, s2])

    bad("extended by a byte", [(three, 0, None), b"\0"])
    bad("extended by a tag of zeros", [(three, 0, None), bytes(TAG)])
    bad("extended by the empty file's segment", [(three, 0, None), (empty, HEADER, None)])
    bad("empty file extended by a byte", [(empty, 0, None), b"\0"], empty)
    bad("short file extended by itself", [(one, 0, None), (one, HEADER, None)], one)

    fields = {
        "magic": (0, 5),
        "version": (6,),
        "cipher": (7,),
        "segment size": (8,),
        "reserved bytes": (9, 16),
        "nonce prefix": (17, 23),
        "salt": (24, 39),
    }
    for field, places in fields.items():
        for at in places:
            for bit in (1, 128):
                header = bytearray(blobs[one].header)
                header[at] ^= bit
                name = f"{field} changed, byte {at}, bit {bit}"
                bad(name, [bytes(header), (one, HEADER, None)], one)
    header = bytearray(blobs[one].header)
    header[7] = 3 - header[7]
    bad("says the other cipher", [bytes(header), (one, HEADER, None)], one)
    header[7] = 0
    bad("says cipher 0", [bytes(header), (one, HEADER, None)], one)

    for at in (HEADER, HEADER + 999, HEADER + 1000, HEADER + 1015):
        flipped = bytes([blobs[one].bytes[at] ^ 1])
        bad(f"byte {at} changed", [(one, 0, at), flipped, (one, at + 1, None)], one)
    flipped = bytes([blob.bytes[start(1)] ^ 1])
    bad("segment 1 changed", [(three, 0, start(1)), flipped, (three, start(1) + 1, None)])

    bad("wrong key", [(three, 0, None)], key=draw("wrong key", 32))
    bad("wrong key for the empty file", [(empty, 0, None)], empty, draw("wrong key", 32))
    o1 = (other, start(1), start(2))
    bad("segment 1 of another blob of the same key", [head, s0, o1, s2])
    bad("last segment of another blob of the same key", [head, s0, s1, (other, start(2), None)])
    bad("body of another blob of the same key", [head, (other, HEADER, None)])

    b1, b2 = blobs[one], blobs[two]
    h1, first = (one, 0, HEADER), (two, 0, start(1))
    p1, p2 = b1.parts[0], b2.parts[1]
    bad("only segment without the last flag", [h1, b1.seal(0, 0, p1)], one)
    bad("empty file without the last flag", [
        (empty, 0, HEADER), blobs[empty].seal(0, 0, b"")], empty)
    bad("last segment without the last flag", [first, b2.seal(1, 0, p2)], two)
    bad("last flag of 2", [h1, b1.seal(0, 2, p1)], one)
    bad("last flag of 255", [h1, b1.seal(0, 255, p1)], one)
    bad("two segments marked last", [(one, 0, None), b1.seal(1, 1, p1)], one)
    bad("empty last segment behind another", [first, b2.seal(1, 1, b"")], two)
    bad("counter begins at 1", [h1, b1.seal(1, 1, p1)], one)
    bad("counter stands still", [first, b2.seal(0, 1, p2)], two)
    bad("counter skips one", [first, b2.seal(2, 1, p2)], two)
    bad("counter runs down", [first, b2.seal(0xFFFFFFFF, 1, p2)], two)
    little = b2.prefix + struct.pack("<IB", 1, 1)
    bad("counter in little endian", [first, b2.seal(1, 1, p2, nonce=little)], two)
    front = struct.pack(">IB", 0, 1) + b1.prefix
    bad("nonce in another order", [h1, b1.seal(0, 1, p1, nonce=front)], one)
    bad("header not authenticated", [h1, b1.seal(0, 1, p1, aad=b"")], one)
    bad("key of another purpose", [h1, b1.seal(0, 1, p1, info=b"mayfly/1/wrap/label")], one)

WRAPS = [
    ("ContentByLink", "content-by-link"),
    ("ContentByHotlink", "content-by-hotlink"),
    ("ContentByPlaintext", "content-by-plaintext"),
    ("LinkByOwner", "link-by-owner"),
    ("Label", "label"),
    ("AccountByApiKey", "account-by-api-key"),
    ("AccountByPassword", "account-by-password"),
    ("AccountByMaster", "account-by-master"),
    ("AccountByRecovery", "account-by-recovery"),
    ("Cookie", "cookie"),
]

wraps = []
for purpose, label in WRAPS:
    for secrets in ([draw(label, 32)], [b"0123456789abcdefABCDEF", draw(label, 32)]):
        salt = draw(f"{label} {len(secrets)} salt", 16)
        context, text = draw(label + " context", 9), f"what {label} wraps".encode()
        material = b"".join(struct.pack(">Q", len(s)) + s for s in secrets)
        info = b"mayfly/1/wrap/" + label.encode()
        key = HKDF(algorithm=hashes.SHA256(), length=32, salt=salt, info=info).derive(material)
        sealed = ChaCha20Poly1305(key).encrypt(bytes(12), text, context)
        wraps.append(
            {
                "purpose": purpose,
                "secrets": [s.hex() for s in secrets],
                "context": context.hex(),
                "plaintext": text.decode(),
                "wrapped": (salt + sealed).hex(),
            }
        )

with open("sealed.json", "w", encoding="ascii") as file:
    words = {
        "format": "mayfly sealed blob, version 1; see src/pipeline/seal/mod.rs",
        "plaintext": "byte i is (167 * i + floor(i / 256)) mod 256",
        "valid": valid,
        "invalid": invalid,
        "wraps": wraps,
    }
    json.dump(words, file, indent=1)
    file.write("\n")
