"""Verifies many bundles in one process with sigstore-python as released: each by the function that `sigstore verify` calls.

Arguments: a trusted root, and a list whose lines are a bundle, an identity, an issuer and a file, with tabs between. Each line
gets one on standard output, `verified` or `refused` and why.
"""

import sys
from pathlib import Path

from sigstore._cli import _verify_common
from sigstore._utils import sha256_digest
from sigstore.models import Bundle, TrustedRoot
from sigstore.verify import Verifier
from sigstore.verify.policy import Identity


def verify(verifier, bundle, identity, issuer, file):
    hashed = sha256_digest(Path(file).read_bytes())
    policy = Identity(identity=identity, issuer=issuer)
    _verify_common(verifier, hashed, Bundle.from_json(Path(bundle).read_bytes()), policy)


trusted_root, rows = sys.argv[1:]
verifier = Verifier(trusted_root=TrustedRoot.from_file(trusted_root))
for line in Path(rows).read_text().splitlines():
    bundle, identity, issuer, file = line.split("\t")
    try:
        verify(verifier, bundle, identity, issuer, file)
        print("verified")
    except Exception as error:
        print("refused\t" + f"{type(error).__name__}: {error}".replace("\n", " "))
