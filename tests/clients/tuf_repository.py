"""Writes a TUF repository with python-tuf: FOLDER TARGETS-FOLDER; every file below the second is a target.

Laid out as sigstore's own: one key of each kind, consistent snapshots, targets in folders of their own.
"""

import pathlib
import sys
from datetime import datetime, timedelta, timezone

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

folder, sources = (pathlib.Path(path) for path in sys.argv[1:])
expires = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(days=1)
signer = CryptoSigner.generate_ecdsa()

root = Root(expires=expires, consistent_snapshot=True)
for role in ("root", "targets", "snapshot", "timestamp"):
    root.add_key(signer.public_key, role)

targets = Targets(expires=expires)
for source in sorted(path for path in sources.rglob("*") if path.is_file()):
    name = source.relative_to(sources).as_posix()
    target = TargetFile.from_file(name, str(source), ["sha256"])
    targets.targets[name] = target
    place = folder / "targets" / target.get_prefixed_paths()[0]
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(source.read_bytes())

snapshot = Snapshot(expires=expires, meta={"targets.json": MetaFile(1)})
timestamp = Timestamp(expires=expires, snapshot_meta=MetaFile(1))
for name, signed in (
    ("1.root.json", root),
    ("1.targets.json", targets),
    ("1.snapshot.json", snapshot),
    ("timestamp.json", timestamp),
):
    metadata = Metadata(signed)
    metadata.sign(signer)
    metadata.to_file(str(folder / name))
