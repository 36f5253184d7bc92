"""What the comparisons with other servers share: the binary to measure, and one measurement."""

import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def say(text):
    print(text, file=sys.stderr, flush=True)


def binary():
    """The sigbox to measure: $SIGBOX_BIN, or a release build of this tree."""
    if "SIGBOX_BIN" in os.environ:
        return pathlib.Path(os.environ["SIGBOX_BIN"]).resolve()
    say("building the release binary")
    subprocess.run(["cargo", "build", "--locked", "--release", "--bin", "sigbox"], cwd=ROOT, check=True)
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "sigbox"


def bench(sigbox, work, clients, seconds, server=None, tokens_from=None):
    """One measurement: of a sigbox that `bench` starts for itself, or of `server`."""
    command = [sigbox, "bench", "--json", "--work", work, "--clients", str(clients), "--seconds", str(seconds)]
    if server:
        command += ["--url", server.url, "--pid", ",".join(map(str, server.pids)), "--status-only"]
    if tokens_from:
        command += ["--tokens-from", tokens_from]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        (run,) = json.loads(done.stdout)["runs"]
    except ValueError:
        sys.exit(f"no figures from {' '.join(map(str, command))}:\n{done.stderr}")
    return run
