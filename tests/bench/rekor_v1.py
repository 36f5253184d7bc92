"""Starting and stopping a whole Rekor v1: rekor-server, Trillian's log server and signer, MariaDB. All listen on loopback alone, but
for the metrics of rekor-server, which has them at port 2112 of every address and no flag for it."""

import contextlib
import dataclasses
import getpass
import json
import pathlib
import shutil
import subprocess

from servers import answers, free_ports, output, running, tool

REKOR = "1.5.4"
TRILLIAN = "1.7.3"
MODULES = (
    ("trillian-log-server", "github.com/google/trillian/cmd/trillian_log_server", TRILLIAN),
    ("trillian-log-signer", "github.com/google/trillian/cmd/trillian_log_signer", TRILLIAN),
    ("rekor-server", "github.com/sigstore/rekor/cmd/rekor-server", REKOR),
)


def missing():
    """What is to be installed first, or nothing."""
    for program in ("mariadbd", "mariadb-install-db", "mariadb"):
        if not shutil.which(program, path="/usr/sbin:/usr/bin:/usr/local/bin"):
            return f"{program} is missing; install mariadb-server (Debian) and run again"
    return None


@contextlib.contextmanager
def mariadb(folder):
    """A server with everything in `folder`, and one database with Trillian's tables; the address for Go's driver."""
    (port,) = free_ports(1)
    data, socket, log = folder / "mariadb", folder / "mariadb.sock", folder / "mariadb.log"
    shutil.rmtree(data, ignore_errors=True)
    # As released: durable at every commit (innodb_flush_log_at_trx_commit=1), which sigbox is too.
    output("mariadb-install-db", "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal", "--skip-test-db")
    command = ["/usr/sbin/mariadbd", "--no-defaults", f"--user={getpass.getuser()}", f"--datadir={data}", f"--socket={socket}",
               "--bind-address=127.0.0.1", f"--port={port}", "--max-connections=600"]
    with running(command, log) as process:
        server = answers(process, port, log)
        client = ["mariadb", "--no-defaults", f"--socket={socket}", "--user=root"]
        account = "CREATE DATABASE log; CREATE USER rekor@'127.0.0.1' IDENTIFIED BY 'rekor'; GRANT ALL ON log.* TO rekor@'127.0.0.1';"
        subprocess.run([*client, "-e", account], check=True)
        tables = module("github.com/google/trillian", TRILLIAN) / "storage/mysql/schema/storage.sql"
        with open(tables) as statements:
            subprocess.run([*client, "log"], stdin=statements, check=True)
        yield server, f"rekor:rekor@tcp(127.0.0.1:{port})/log?parseTime=true&interpolateParams=true"


def module(path, version):
    """The folder of a Go module."""
    return pathlib.Path(json.loads(output("go", "mod", "download", "-json", f"{path}@v{version}"))["Dir"])


@contextlib.contextmanager
def rekor_v1(folder, _issuer=None):
    """With the settings of upstream's docker-compose.yml where they matter: no quota, one signer; keys in memory, and the search index in
    MariaDB, which saves a Redis."""
    with contextlib.ExitStack() as held:
        database, uri = held.enter_context(mariadb(folder))
        pids = [*database.pids]
        server, server_http, signer, signer_http, port = free_ports(5)
        storage = ["--quota_system=noop", "--storage_system=mysql", f"--mysql_uri={uri}", "--alsologtostderr"]
        for name, rpc, http, more in (
            ("trillian-log-server", server, server_http, []),
            ("trillian-log-signer", signer, signer_http, ["--force_master"]),
        ):
            log = folder / f"{name}.log"
            command = [tool(name), *storage, f"--rpc_endpoint=127.0.0.1:{rpc}", f"--http_endpoint=127.0.0.1:{http}", *more]
            pids += answers(held.enter_context(running(command, log)), rpc, log).pids
        log = folder / "rekor-server.log"
        command = [tool("rekor-server"), "serve", "--trillian_log_server.address=127.0.0.1", f"--trillian_log_server.port={server}",
                   "--rekor_server.address=127.0.0.1", f"--port={port}", "--rekor_server.hostname=localhost",
                   "--rekor_server.signer=memory", "--search_index.storage_provider=mysql", f"--search_index.mysql.dsn={uri}",
                   "--enable_attestation_storage", f"--attestation_storage_bucket=file://{attestations(folder)}", "--log_type=prod"]
        process = held.enter_context(running(command, log))
        rekor = answers(process, port, log)
        yield dataclasses.replace(rekor, pids=(*rekor.pids, *pids))


def attestations(folder):
    kept = folder / "attestations"
    kept.mkdir(exist_ok=True)
    return kept
