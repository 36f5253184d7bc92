"""What the machine can do at all: the signatures and durable writes that no server here can do without."""

import os
import platform
import subprocess
import time

# How long each kind of operation is repeated, in seconds.
SECONDS = 2
# What the log's store writes at a time.
PAGE = 4096


def measure(folder):
    signatures = openssl()
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "p256_sign_us": 1e6 / signatures["ecdsa"][0],
        "p256_verify_us": 1e6 / signatures["ecdsa"][1],
        "rsa2048_verify_us": 1e6 / signatures["rsa"][1],
        "fdatasync_per_second": fdatasync(folder),
    }


def openssl():
    """Signatures and verifications per second on one core: {family: (sign, verify)}."""
    command = ["openssl", "speed", "-seconds", str(SECONDS), "-mr", "ecdsap256", "rsa2048"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    # `+F2:index:bits:sign/s:verify/s` is RSA, `+F4` ECDSA (openssl apps/speed.c, print of `mr`).
    fields = {"+F2": "rsa", "+F4": "ecdsa"}
    rows = (line.split(":") for line in lines)
    return {fields[row[0]]: (float(row[3]), float(row[4])) for row in rows if row[0] in fields}


def fdatasync(folder):
    """Durable writes of one page per second, one after the other, where the servers keep their data."""
    path = folder / "fdatasync"
    handle = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        os.pwrite(handle, bytes(PAGE * 1024), 0)
        os.fsync(handle)
        began, count = time.monotonic(), 0
        while time.monotonic() - began < SECONDS:
            os.pwrite(handle, os.urandom(PAGE), PAGE * (count % 1024))
            os.fdatasync(handle)
            count += 1
        return count / (time.monotonic() - began)
    finally:
        os.close(handle)
        path.unlink()


def processor():
    with open("/proc/cpuinfo") as lines:
        names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        return next(names, platform.machine())
