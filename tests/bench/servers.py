"""Starting and stopping what `peers` measures. Every server listens on loopback, at ports that were free a moment ago."""

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

# Name, Go package, version.
MODULES = (
    ("rekor-tiles-posix", "github.com/sigstore/rekor-tiles/v2/cmd/rekor-server/posix", "2.3.0"),
    ("fulcio", "github.com/sigstore/fulcio", "1.8.8"),
    ("timestamp-server", "github.com/sigstore/timestamp-authority/v2/cmd/timestamp-server", "2.1.2"),
    ("cosign", "github.com/sigstore/cosign/v3/cmd/cosign", "3.1.3"),
)
START_SECONDS = 30
STOP_SECONDS = 30


@dataclasses.dataclass
class Server:
    """A running server: where it answers, and its processes."""

    url: str
    pids: tuple


@dataclasses.dataclass
class Trust:
    """What cosign is told about a stack."""

    trusted_root: pathlib.Path
    signing_config: pathlib.Path


@dataclasses.dataclass
class Issuer:
    """A sigbox whose development issuer gives the tokens for both sides."""

    base: str
    issuer: str
    trust: Trust


def install(root, modules):
    """Builds the peers where they are missing; `tests/lib.sh` says where they are kept."""
    script = '. tests/lib.sh; go_tool "$@"'
    for module in modules:
        subprocess.run(["bash", "-euc", script, "install", *module], cwd=root, check=True, stdout=sys.stderr)


def tool(name):
    """The program of that name among the installed ones."""
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(os.environ.get("SIGBOX_TOOLS") or pathlib.Path(cache) / "sigbox-tools") / name


def isolated(folder):
    """The environment with a home of its own, so that no client finds what it kept elsewhere."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    return {**os.environ, "HOME": str(home), "TUF_ROOT": str(home / "tuf")}


def output(*command, env=None):
    return subprocess.run(command, check=True, env=env, stdout=subprocess.PIPE, text=True).stdout


def free_ports(count):
    """Ports nobody listens on. All are held until the last is known, so that they differ."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextlib.contextmanager
def running(command, log, **options):
    """Runs `command` with its messages in the file `log`, and ends it by SIGTERM, or SIGKILL if that does not help."""
    with open(log, "w") as messages:
        process = subprocess.Popen(list(map(str, command)), stderr=messages, **{"stdout": messages, **options})
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(process, port, log):
    """Waits until the server accepts connections."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return Server(f"http://127.0.0.1:{port}", (process.pid,))
        time.sleep(0.05)
    sys.exit(f"a server does not answer on port {port}:\n{pathlib.Path(log).read_text()[-4000:]}")


@contextlib.contextmanager
def sigbox(binary):
    """A whole sigbox that leaves nothing behind."""
    with running([binary, "up", "--ephemeral", "--json"], os.devnull, stdout=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        if not line:
            sys.exit(f"{binary} up did not start; run it by hand to see why")
        ready = json.loads(line)
        folder = pathlib.Path(ready["trust_dir"])
        trust = Trust(folder / "trusted_root.json", folder / "signing_config_rekor_v2.v0.2.json")
        yield Issuer(ready["url"], ready["issuer"], trust)


@contextlib.contextmanager
def rekor_tiles(folder, _issuer):
    port, grpc, metrics = free_ports(3)
    storage, key, log = folder / "rekor-tiles", folder / "rekor.pem", folder / "rekor-tiles.log"
    shutil.rmtree(storage, ignore_errors=True)
    storage.mkdir()
    output("openssl", "genpkey", "-algorithm", "ed25519", "-out", key)
    command = [tool("rekor-tiles-posix"), "serve", "--storage-dir", storage, "--signer-filepath", key,
               "--checkpoint-interval", "100ms", "--http-port", port, "--grpc-port", grpc,
               # The origin of its checkpoints: clients expect the host name of its URL.
               "--http-metrics-port", metrics, "--hostname", "127.0.0.1", "--log-level", "error"]
    with running(command, log) as process:
        yield answers(process, port, log)


@contextlib.contextmanager
def fulcio(folder, issuer):
    port, grpc, metrics = free_ports(3)
    config, log = folder / "fulcio.yaml", folder / "fulcio.log"
    known = f"issuer-url: {issuer.issuer}\n    client-id: sigstore\n    type: email\n"
    config.write_text(f"oidc-issuers:\n  {issuer.issuer}:\n    {known}")
    command = [tool("fulcio"), "serve", "--ca", "ephemeralca", "--ct-log-url", "", "--config-path", config,
               "--host", "127.0.0.1", "--port", port, "--grpc-host", "127.0.0.1", "--grpc-port", grpc,
               "--metrics-port", metrics, "--log_type", "prod",
               "--legacy-unix-domain-socket", f"@sigbox-peers-{os.getpid()}"]
    with running(command, log) as process:
        yield answers(process, port, log)


@contextlib.contextmanager
def timestamp_server(folder, _issuer):
    (port,) = free_ports(1)
    log = folder / "timestamp-server.log"
    command = [tool("timestamp-server"), "serve", "--timestamp-signer", "memory", "--disable-ntp-monitoring",
               "--host", "127.0.0.1", "--port", port, "--log-type", "prod"]
    with running(command, log) as process:
        yield answers(process, port, log)


# Who does the same work. Rekor v1 needs a database server and three processes of its own: `rekor_v1` has it.
PEERS = {"v2": rekor_tiles, "certificate": fulcio, "timestamp": timestamp_server}


def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read()


@contextlib.contextmanager
def go_stack(folder, issuer):
    """The three peers at once, and what cosign must be told to sign with them."""
    with rekor_tiles(folder, issuer) as rekor, fulcio(folder, issuer) as ca, timestamp_server(folder, issuer) as tsa:
        chain, tsa_chain, key = folder / "fulcio.pem", folder / "tsa.pem", folder / "rekor.pub"
        bundle = json.loads(get(f"{ca.url}/api/v2/trustBundle"))
        chain.write_text("\n".join(bundle["chains"][0]["certificates"]))
        tsa_chain.write_bytes(get(f"{tsa.url}/api/v1/timestamp/certchain"))
        output("openssl", "pkey", "-in", folder / "rekor.pem", "-pubout", "-out", key)
        trust = Trust(folder / "trusted_root.json", folder / "signing_config.json")
        since, stamp = "start-time=2024-01-01T00:00:00Z", f"{tsa.url}/api/v1/timestamp"
        output(tool("cosign"), "trusted-root", "create", "--out", trust.trusted_root,
               "--fulcio", f"url={ca.url},certificate-chain={chain}",
               "--rekor", f"url={rekor.url},public-key={key},{since},origin=127.0.0.1",
               "--tsa", f"url={stamp},certificate-chain={tsa_chain}", env=isolated(folder))
        of = f"{since},operator=bench"
        output(tool("cosign"), "signing-config", "create", "--out", trust.signing_config,
               "--fulcio", f"url={ca.url},api-version=1,{of}",
               "--rekor", f"url={rekor.url},api-version=2,{of}", "--rekor-config", "ANY",
               "--tsa", f"url={stamp},api-version=1,{of}", "--tsa-config", "ANY",
               "--oidc-provider", f"url={issuer.issuer},api-version=1,{of}", env=isolated(folder))
        yield trust
