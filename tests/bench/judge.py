"""Asks two Rekor v1 the same, and lists where they answer differently.

What depends on the log and not on the server (indexes, times, keys, signatures, roots, tree IDs) is left out of the comparison; that a
proof leads from the leaf to the root of the checkpoint it comes with is checked of both.
"""

import base64
import collections
import dataclasses
import hashlib
import http.client
import json
import re
import tomllib
import urllib.parse

ENTRIES = "/api/v1/log/entries"
RETRIEVE = f"{ENTRIES}/retrieve"
SEARCH = "/api/v1/index/retrieve"
JSON = {"Content-Type": "application/json", "Accept": "application/json"}
HEADERS = ("Content-Type", "Cache-Control", "Location", "ETag", "Allow", "Access-Control-Allow-Origin")
# Each is another in every log.
OF_THE_LOG = {"logIndex", "integratedTime", "logID", "treeSize", "rootHash", "checkpoint", "signedEntryTimestamp", "treeID", "signedTreeHead"}
LEAF = "00" * 32
TREE = "7" * 16
NUMBERS = list(range(11))


@dataclasses.dataclass(frozen=True)
class Question:
    method: str
    path: str
    body: str | None = None
    headers: tuple = tuple(JSON.items())

    def __str__(self):
        more = dict(self.headers)
        unusual = " ".join(f"{name}: {value}" for name, value in more.items() if JSON.get(name) != value)
        return f"{self.method} {self.path} {'' if self.body is None else self.body[:300]} {unusual}".strip()


@dataclasses.dataclass
class Answer:
    status: int
    headers: dict
    body: bytes

    def entry(self):
        """ID and entry, if this is one entry."""
        found = json.loads(self.body)
        ((name, entry),) = found.items()
        return name, entry


def ask(base, question):
    at = urllib.parse.urlsplit(base)
    connection = http.client.HTTPConnection(at.hostname, at.port, timeout=60)
    try:
        body = None if question.body is None else question.body.encode()
        connection.request(question.method, question.path, body, dict(question.headers))
        answer = connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def masked(text):
    """Without what is the log's own: of an entry ID the leaf hash stays. Methods come in any order (a Go map)."""
    text = re.sub(r"\b[0-9a-f]{16}([0-9a-f]{64})\b", r"ID-\1", text)
    text = re.sub(r"observable\(\d+\)", "observable(SIZE)", text)
    return re.sub(r"\b[A-Z]+(,[A-Z]+)+\b", lambda methods: ",".join(sorted(methods[0].split(","))), text)


def comparable(value, name=""):
    """JSON with the types of what depends on the log."""
    if name in OF_THE_LOG:
        return type(value).__name__
    if name == "hashes":
        return "hashes"
    if name == "inactiveShards":
        return value or None
    if name == "body":
        return base64.b64decode(value).decode(errors="replace")
    if isinstance(value, dict):
        return {masked(key): comparable(member, key) for key, member in value.items() if member is not None}
    if isinstance(value, list):
        return [comparable(member) for member in value]
    return masked(value) if isinstance(value, str) else value


def content(question, answer):
    """What an answer says."""
    text = answer.body.decode(errors="replace")
    if "-----BEGIN PUBLIC KEY" in text:
        return "a key"
    try:
        said = comparable(json.loads(text))
    except ValueError:
        return text
    if answer.status < 400 and "logIndex" in f"{question.path} {question.body}":
        # Another entry has that index there.
        return re.sub(r"ID-[0-9a-f]{64}", "ID", str([entry.keys() for entry in said] if isinstance(said, list) else said.keys()))
    # An order that nobody promised (rekor `pkg/api/index.go`).
    return sorted(said) if question.path == SEARCH and isinstance(said, list) else said


def fields(question, answer):
    said = content(question, answer)
    code, message = None, None
    if answer.status >= 400 and isinstance(said, dict):
        code, message, said = said.get("code"), said.get("message"), None
    headers = {name: masked(answer.headers.get(name.lower()) or "") for name in HEADERS}
    # The status is compared first: nothing else means the same if it differs.
    return {"status": answer.status, "code": code, "message": message, "content": said, **headers}


def unproven(answer):
    """What is wrong with the proofs of the entries in an answer."""
    try:
        said = json.loads(answer.body)
    except ValueError:
        return None
    for entries in said if isinstance(said, list) else [said]:
        for entry in entries.values() if isinstance(entries, dict) else ():
            if isinstance(entry, dict) and "verification" in entry and (flaw := flaw_of(entry)):
                return flaw
    return None


def flaw_of(entry):
    """RFC 9162 §2.1.3.2, and the checkpoint beside it."""
    proof = entry["verification"]["inclusionProof"]
    node, index, last = hashlib.sha256(b"\0" + base64.b64decode(entry["body"])).digest(), proof["logIndex"], proof["treeSize"] - 1
    for sibling in map(bytes.fromhex, proof["hashes"]):
        if index & 1 or index == last:
            node = hashlib.sha256(b"\1" + sibling + node).digest()
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            node = hashlib.sha256(b"\1" + node + sibling).digest()
        index, last = index >> 1, last >> 1
    if last or node.hex() != proof["rootHash"]:
        return "the proof does not lead to its root"
    _, size, root = proof["checkpoint"].splitlines()[:3]
    if (int(size), base64.b64decode(root)) != (proof["treeSize"], node):
        return "the checkpoint is of another tree"
    return None


class Differences:
    """Those that docs/divergences.md wants, and what was seen of them."""

    def __init__(self, file, divergences):
        rows = {line.split("|")[1].strip() for line in divergences.read_text().splitlines() if line.startswith("| ")}
        self.wanted = tomllib.loads(file.read_text())["difference"]
        for one in self.wanted:
            if one["divergence"] not in rows:
                raise SystemExit(f"{file.name}: docs/divergences.md has no row {one['divergence']!r}")
        self.seen = collections.Counter()
        self.unwanted = []

    def judge(self, line):
        """Whether it is wanted; prints it if it is not."""
        for number, one in enumerate(self.wanted):
            if re.search(one["line"], line):
                self.seen[number] += 1
                return True
        self.unwanted.append(line)
        print(line, flush=True)
        return False

    def missing(self):
        return [one["line"] for number, one in enumerate(self.wanted) if not self.seen[number]]


class Judge:
    """`ours` and `theirs` are base URLs."""

    def __init__(self, ours, theirs, differences):
        self.sides = (ours, theirs)
        self.differences = differences
        self.counts = collections.Counter()
        self.other_leaves = 0
        # (entry ID here, entry ID there, the proposed entry) of each that both took.
        self.both = []

    def upload(self, name, entry):
        """Twice: the second time it is there. Texts of refusals are ours, so statuses are compared, and of what is taken everything."""
        for turn in ("new", "again"):
            question = Question("POST", ENTRIES, entry)
            ours, theirs = (ask(base, question) for base in self.sides)
            here, there = fields(question, ours), fields(question, theirs)
            if ours.status != theirs.status:
                self.told(f"{name}, {turn}", "status", *(f"{side.status} {side.body.decode(errors='replace').strip()}" for side in (ours, theirs)))
                continue
            self.counts[f"{ours.status} by both"] += 1
            if ours.status == 201:
                if here["content"] != there["content"]:
                    self.other_leaves += 1
                self.both.append((ours.entry()[0], theirs.entry()[0], entry))
                self.proven(f"{name}, {turn}", ours, theirs)
            if ours.status >= 400 and ours.status != 409:
                here["message"] = there["message"] = None
            if ours.status == 422:
                # The first flaw of several is any (a Go map).
                here["code"] = there["code"] = None
            self.compare(f"{name}, {turn}, {ours.status}", here, there)

    def ask(self, question, questions=None):
        """One question to both; `questions` where it names what is another in each log."""
        asked = questions or (question, question)
        ours, theirs = (ask(base, each) for base, each in zip(self.sides, asked))
        name = masked(str(question))
        self.counts[f"{ours.status} to other questions"] += ours.status == theirs.status
        if ours.status != theirs.status:
            self.told(name, "status", *(f"{side.status} {side.body.decode(errors='replace').strip()}" for side in (ours, theirs)))
            return
        self.proven(name, ours, theirs)
        said = [fields(each, side) for each, side in zip(asked, (ours, theirs))]
        for side in said:
            if question.path == SEARCH and isinstance(side["content"], list):
                side["content"] = self.taken_by_both(side["content"])
        self.compare(name, *said)

    def taken_by_both(self, found):
        """An answer to a search without those that one of them alone has."""
        leaves = {name[-64:] for name, _, _ in self.both}
        return [name for name in found if name[-64:] in leaves]

    def proven(self, name, *answers):
        for side, answer in zip(("ours", "theirs"), answers):
            if flaw := unproven(answer):
                self.told(name, f"proof of {side}", flaw, flaw)

    def compare(self, name, here, there):
        for field, value in here.items():
            other = there[field]
            if value != other and isinstance(value, list) and isinstance(other, list):
                value, other = ([one for one in mine if one not in yours] for mine, yours in ((value, other), (other, value)))
            if value != other:
                self.told(name, field, value, other)

    def told(self, name, field, ours, theirs):
        wanted = self.differences.judge(f"{name} | {field} | ours: {str(ours)[:400]} | theirs: {str(theirs)[:400]}")
        self.counts["wanted differences" if wanted else "other differences"] += 1

    def read(self):
        """Whatever can be asked of the entries that both took, and of none."""
        for question in QUESTIONS:
            self.ask(question)
        for ours, theirs, entry in self.both:
            leaf = ours[-64:]
            self.ask(Question("GET", f"{ENTRIES}/{leaf}"))
            self.ask(Question("GET", f"{ENTRIES}/{leaf.upper()}/"))
            own = [Question("GET", f"{ENTRIES}/{name}") for name in (ours, theirs)]
            self.ask(own[0], own)
            for asked in (lambda name: {"entryUUIDs": [name, name[-64:]]}, lambda _: {"entries": [json.loads(entry)]}):
                own = [Question("POST", RETRIEVE, json.dumps(asked(name))) for name in (ours, theirs)]
                self.ask(own[0], own)
        # Together, as cosign and monitors ask.
        for some in (self.both[start : start + 10] for start in range(0, len(self.both), 10)):
            own = [Question("POST", RETRIEVE, json.dumps({"entryUUIDs": [names[side] for names in some]})) for side in (0, 1)]
            self.ask(own[0], own)
        for asked in sorted(self.searches()):
            self.ask(Question("POST", SEARCH, asked))

    def searches(self):
        """By every hash, address and key that is in an entry."""
        found = set()
        for _, _, entry in self.both:
            proposed = json.loads(entry)
            for hexed in re.findall(r"\b(?:[0-9a-f]{128}|[0-9a-f]{64})\b", entry):
                found.add(json.dumps({"hash": hexed}))
            spec = proposed["spec"]
            key = spec.get("signature", {}).get("publicKey") or spec.get("publicKey")
            named = spec.get("signature", {}).get("format") or {"rpm": "pgp", "helm": "pgp"}.get(proposed["kind"], "x509")
            if isinstance(key, dict) and isinstance(key.get("content"), str):
                found.add(json.dumps({"publicKey": {"format": named, "content": key["content"]}}))
            data = spec.get("data", {}).get("content") if isinstance(spec.get("data"), dict) else None
            if data:
                digest = hashlib.sha256(base64.b64decode(data)).hexdigest()
                found.add(json.dumps({"hash": f"sha256:{digest}"}))
                found.add(json.dumps({"hash": digest.upper(), "email": "rsa2048@example.com", "operator": "and"}))
        return found

    def report(self):
        """Prints the figures; how many things are wrong."""
        missing = self.differences.missing()
        for line in missing:
            print(f"listed and not seen: {line}")
        figures = ", ".join(f"{count} × {what}" for what, count in sorted(self.counts.items()) if count)
        unwanted = len(self.differences.unwanted)
        print(f"{figures}; {self.other_leaves} with another leaf, {unwanted} differences not listed, {len(missing)} listed and not seen")
        return unwanted + len(missing) + self.other_leaves


def posts(path, *bodies):
    return [Question("POST", path, body if isinstance(body, str) else json.dumps(body)) for body in bodies]


def gets(*paths):
    return [Question("GET", path) for path in paths]


def with_headers(method, path, body=None, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Question(method, path, body, tuple(named.items()))


# Asked of any log that has at least eleven entries.
QUESTIONS = [
    *gets("/ping", "/api/v1/log", "/api/v1/log/", "/api/v1/log?stable=true", "/api/v1/log/publicKey", "/api/v1/log/publicKey/"),
    *gets(*(f"/api/v1/log/publicKey?treeID={tree}" for tree in ("", "1", "abc", "-1", "99999999999999999999"))),
    *gets(*(f"/api/v1/log/proof{query}" for query in (
        "", "?lastSize=1", "?lastSize=5", "?firstSize=1&lastSize=1", "?firstSize=2&lastSize=9", "?firstSize=9&lastSize=2", "?firstSize=0&lastSize=5",
        "?lastSize=0", "?lastSize=-1", "?lastSize=abc", "?lastSize=1.5", "?firstSize=x&lastSize=2", "?lastSize=99999999", "?firstSize=3",
        "?lastSize=5&treeID=", "?lastSize=5&treeID=abc", "?lastSize=5&treeID=1", "?lastSize=5&treeID=-1", "?lastSize=5&treeID=0",
        "?lastSize=5&treeID=99999999999999999999", "?lastSize=99999999999999999999"))),
    *gets(*(f"{ENTRIES}?logIndex={index}" for index in ("0", "1", "10", "-1", "abc", "", "1.5", "99999999", "99999999999999999999"))),
    *gets(ENTRIES, f"{ENTRIES}/", f"{ENTRIES}?other=1", f"{ENTRIES}?logIndex=0&logIndex=1"),
    *gets(*(f"{ENTRIES}/{name}" for name in (LEAF, LEAF + "/", "zz", LEAF[1:], LEAF + "0", TREE + LEAF, "0" * 80, "f" * 80, "0" * 16 + LEAF, "G" * 64))),
    *gets("/api/v1/nothing", "/api/v1/log/nothing", "/api/v1/index/retrieve", RETRIEVE),
    *posts(RETRIEVE, {}, "", "null", "[]", "nojson", {"entryUUIDs": []}, {"logIndexes": []}, {"entries": []}, {"logIndexes": [-1]},
           {"logIndexes": [0]}, {"logIndexes": [0, 0]}, {"logIndexes": [99999999]}, {"logIndexes": NUMBERS[:10]}, {"logIndexes": NUMBERS},
           {"logIndexes": ["0"]}, {"logIndexes": [None]}, {"logIndexes": 0}, {"entryUUIDs": ["zz"]}, {"entryUUIDs": [LEAF]}, {"entryUUIDs": [TREE + LEAF]},
           {"entryUUIDs": ["0" * 80]}, {"entryUUIDs": ["f" * 80]}, {"entryUUIDs": [LEAF] * 11}, {"entryUUIDs": "x"}, {"entryUUIDs": None},
           {"logIndexes": [0, 1], "entryUUIDs": [LEAF]}, {"logIndexes": NUMBERS[:8], "entryUUIDs": [LEAF] * 8}, {"other": 1},
           {"entries": [{}]}, {"entries": [{"kind": "zzz"}]}, {"entries": [1]}, {"entries": [None]},
           {"entries": [{"kind": "rekord", "apiVersion": "0.0.1", "spec": {}}]}, {"entries": [{"kind": "dsse", "apiVersion": "9.0.0", "spec": {}}]}),
    *posts(RETRIEVE + "/", {"logIndexes": [1]}),
    *posts(SEARCH, {}, "", "null", "[]", "nojson", {"email": ""}, {"email": "nobody@example.com"}, {"email": "not an address"}, {"email": 1},
           {"email": "RSA2048@Example.com"}, {"email": "rsa2048@example.com"}, {"email": "ed25519@example.com"}, {"subject": "dev@example.com"}, {"subject": ""}, {"subject": "x" * 512}, {"subject": "x" * 513},
           {"hash": ""}, {"hash": "abcd"}, {"hash": LEAF}, {"hash": "sha256:" + LEAF}, {"hash": "SHA256:" + LEAF}, {"hash": "sha1:" + "0" * 40},
           {"hash": "0" * 40}, {"hash": "sha512:" + "0" * 128}, {"hash": "0" * 128}, {"hash": "sha1:" + LEAF}, {"hash": "md5:" + "0" * 32}, {"hash": "sha384:" + "0" * 96},
           {"operator": "and"}, {"operator": "xor", "email": "a@b.c"}, {"operator": "AND", "email": "a@b.c"}, {"operator": "or", "email": "rsa2048@example.com", "hash": LEAF},
           {"operator": "and", "email": "rsa2048@example.com", "hash": LEAF}, {"publicKey": {}}, {"publicKey": {"format": "x509"}}, {"publicKey": {"content": "eA=="}},
           {"publicKey": {"format": "x509", "content": "!"}}, {"publicKey": {"format": "x509", "content": "enp6"}}, {"publicKey": {"format": "zzz", "content": "enp6"}},
           {"publicKey": {"format": "pkcs7", "content": "enp6"}}, {"publicKey": {"format": "pgp", "content": "enp6"}}, {"publicKey": {"format": "ssh", "content": "enp6"}},
           {"publicKey": {"format": "minisign", "content": "enp6"}}, {"publicKey": {"format": "tuf", "content": "enp6"}}, {"publicKey": {"format": "x509", "url": "http://localhost/key"}}, {"other": 1}),
    with_headers("POST", SEARCH, "{}", Content_Type="text/plain"),
    with_headers("POST", SEARCH, "{}", Content_Type="application/json; charset=utf-8"),
    with_headers("POST", SEARCH, "{}"),
    with_headers("POST", RETRIEVE, "{}", Content_Type="application/xml"),
    with_headers("POST", ENTRIES, "{}", Content_Type="text/plain"),
    with_headers("POST", ENTRIES, "{}", Content_Type="application/json", Accept="text/plain"),
    with_headers("GET", "/api/v1/log", Accept="text/html"),
    with_headers("GET", "/api/v1/log", Accept="*/*"),
    with_headers("GET", "/api/v1/log", Accept="text/html, application/*;q=0.1"),
    with_headers("GET", "/api/v1/log/publicKey", Accept="application/json"),
    with_headers("GET", "/api/v1/log/publicKey", Accept="application/x-pem-file"),
    with_headers("GET", "/api/v1/log", Origin="https://search.example.com", Accept="application/json"),
    with_headers("OPTIONS", ENTRIES, Origin="https://search.example.com", Access_Control_Request_Method="POST", Access_Control_Request_Headers="content-type"),
    with_headers("OPTIONS", ENTRIES, Origin="https://search.example.com", Access_Control_Request_Method="DELETE"),
    *(with_headers(method, path) for method in ("DELETE", "PUT", "PATCH", "HEAD") for path in (ENTRIES, "/api/v1/log", SEARCH)),
    with_headers("POST", "/api/v1/log", "{}", Content_Type="application/json"),
    with_headers("POST", "/api/v1/log/proof", "{}", Content_Type="application/json"),
]
