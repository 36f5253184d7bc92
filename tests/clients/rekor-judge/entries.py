"""entries.py N FOLDER: writes entries made with gpg, and N variants of them, one a line, and their names."""

import base64
import json
import os
import random
import subprocess
import sys

COUNT, FOLDER = int(sys.argv[1]), sys.argv[2]
os.environ["GNUPGHOME"] = f"{FOLDER}/gnupg"
os.mkdir(os.environ["GNUPGHOME"], 0o700)
MESSAGE = b"line one\r\nline two\nand \r\r\n three\n"
PROVENANCE = b"apiVersion: v2\nname: x\n- dash\n-----x\ntrailing   \n\n...\nfiles:\n  x-0.1.0.tgz: sha256:" + b"ab" * 32 + b"\n"
ALGORITHMS = ["rsa2048", "rsa3072", "ed25519", "nistp256", "nistp384", "nistp521", "dsa2048", "brainpoolP256r1"]
made = []


def gpg(*arguments, given=None):
    command = ["gpg", "--batch", "--quiet", "--yes", "--pinentry-mode", "loopback", "--passphrase", ""]
    return subprocess.run([*command, *arguments], input=given, capture_output=True).stdout


def text(octets):
    return base64.b64encode(octets).decode()


def rekord(name, message, signature, key):
    signature = {"format": "pgp", "content": text(signature), "publicKey": {"content": text(key)}}
    spec = {"data": {"content": text(message)}, "signature": signature}
    made.append((name, {"kind": "rekord", "apiVersion": "0.0.1", "spec": spec}))


def helm(name, provenance, key):
    spec = {"chart": {"provenance": {"content": text(provenance)}}, "publicKey": {"content": text(key)}}
    made.append((name, {"kind": "helm", "apiVersion": "0.0.1", "spec": spec}))


for algorithm in ALGORITHMS:
    user = f"{algorithm}@example.com"
    gpg("--quick-gen-key", f"Key {algorithm} (work) <{user}>", algorithm, "sign", "never")
    if algorithm in ("rsa3072", "ed25519"):
        listed = gpg("--list-keys", "--with-colons", user).decode().splitlines()
        fingerprint = next(line.split(":")[9] for line in listed if line.startswith("fpr"))
        gpg("--quick-add-key", fingerprint, "rsa2048", "sign", "1y")
        gpg("--quick-add-key", fingerprint, "cv25519", "encr", "1y")
    keys = gpg("--export", user), gpg("--armor", "--export", user)
    for digest in ("SHA256", "SHA384", "SHA512", "SHA1"):
        for mode in (["-b"], ["-b", "-a"], ["-b", "-t", "-a"]):
            if signature := gpg("--digest-algo", digest, "-u", user, *mode, given=MESSAGE):
                rekord(f"{algorithm} {digest} {' '.join(mode)}", MESSAGE, signature, keys[len(signature) % 2])
    if signed := gpg("-u", user, "--clearsign", given=PROVENANCE):
        helm(f"helm {algorithm}", signed, keys[0])
        helm(f"helm {algorithm} crlf", signed.replace(b"\n", b"\r\n"), keys[1])
        helm(f"helm {algorithm} within text", b"before\n" + signed + b"after", keys[1])

numbers = random.Random(7)
base = list(made)
for index in range(COUNT):
    name, entry = numbers.choice(base)
    entry = json.loads(json.dumps(entry))
    paths = {
        "rekord": [("signature", "publicKey", "content"), ("signature", "content"), ("data", "content")],
        "helm": [("publicKey", "content"), ("chart", "provenance", "content")],
    }
    path = numbers.choice(paths[entry["kind"]])
    member = entry["spec"]
    for part in path[:-1]:
        member = member[part]
    octets = bytearray(base64.b64decode(member["content"]))
    for _ in range(numbers.choice([1, 1, 1, 2, 4])):
        at, kind = numbers.randrange(max(len(octets), 1)), numbers.randrange(5)
        if kind == 0 and octets:
            octets[at] ^= 1 << numbers.randrange(8)
        elif kind == 1:
            del octets[at : at + numbers.choice([1, 2, 10, 100])]
        elif kind == 2:
            octets[at:at] = octets[max(0, at - numbers.randrange(50)) : at]
        elif kind == 3 and octets:
            octets[at] = numbers.randrange(256)
        elif numbers.random() < 0.3:
            del octets[at:]
    member["content"] = text(bytes(octets))
    made.append((f"{index} {name}: {'.'.join(path)}", entry))

with open(f"{FOLDER}/entries", "w") as entries, open(f"{FOLDER}/names", "w") as names:
    for name, entry in made:
        entries.write(json.dumps(entry) + "\n")
        names.write(name + "\n")
