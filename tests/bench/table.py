"""The figures as Markdown."""

import statistics

NAMES = {"v1": "Rekor v1 write", "v2": "Rekor v2 write", "certificate": "Certificate", "timestamp": "Timestamp"}
PEERS = {"v1": "rekor 1.5.4, Trillian, MariaDB", "v2": "rekor-tiles 2.3.0", "certificate": "fulcio 1.8.8, without CT", "timestamp": "timestamp-authority 2.1.2"}
HEAD = ("Work", "Clients", "Server", "per second", "p50 ms", "p99 ms", "CPU ms each", "peak MiB",
        "rate", "p50", "CPU", "CPU ÷ its signatures")
# The signature operations that a request cannot do without, as (P-256 signatures, P-256 verifications, RSA verifications).
# A certificate: proof of possession; precertificate, timestamp and certificate each signed and verified once; the token.
NEEDED = {"v1": (1, 1, 0), "v2": (0, 1, 0), "timestamp": (1, 0, 0), "certificate": (3, 4, 1)}
# What the peer needs: fulcio without a log signs once and, as Go's crypto/x509 does, verifies that.
PEER_NEEDED = {**NEEDED, "certificate": (1, 2, 1)}


def markdown(found):
    limits = found.get("limits")
    lines = [row(HEAD), row(["---", *["---:"] * 1, "---", *["---:"] * (len(HEAD) - 3)])]
    for run in found["runs"]:
        lines += rows(run, limits)
    text = ["\n".join(lines)] if found["runs"] else []
    text += [f"Median of {found['rounds']} rounds of {found['seconds']} s, each on a fresh server; the load average before "
             f"was {found['load_before']:.1f}."]
    if "cosign" in found:
        took = {side: statistics.median(all) * 1e3 for side, all in found["cosign"].items()}
        text.append(f"`cosign sign-blob` through v2, the whole process, median of {len(found['cosign']['ours'])}: "
                    f"{took['ours']:.0f} ms, against the Go servers {took['peer']:.0f} ms ({took['peer'] / took['ours']:.1f}×).")
    if "raw_leaves" in found:
        text.append("`raw_leaves`, no signature checked and every proof returned: " + "; ".join(found["raw_leaves"]) + ".")
    if limits:
        text.append(f"Limits: {limits['cores']} cores of {limits['processor']}, Linux {limits['kernel']}. OpenSSL on one core: "
                    f"P-256 sign {limits['p256_sign_us']:.0f} µs, verify {limits['p256_verify_us']:.0f} µs, "
                    f"RSA-2048 verify {limits['rsa2048_verify_us']:.0f} µs. "
                    f"{limits['fdatasync_per_second']:,.0f} fdatasync of 4 KiB a second.")
    return "\n\n".join(text)


def rows(run, limits):
    """A row for the peer, if there is one, and one for sigbox with the ratios between them."""
    work, clients = run["work"], run["clients"]
    ours, peer = figures(run["ours"]), figures(run.get("peer"))
    if peer:
        yield row([NAMES[work], clients, PEERS[work], *cells(peer), "", "", "", signatures(peer, PEER_NEEDED[work], limits)])
    yield row(["" if peer else NAMES[work], "" if peer else clients, "**sigbox**", *cells(ours),
               ratio(ours, peer, "per_second"), ratio(peer, ours, "p50_ms"), ratio(peer, ours, "server_cpu_ms"),
               signatures(ours, NEEDED[work], limits)])


def figures(runs):
    """The median of each figure; errors are summed, since each one counts."""
    if not runs:
        return None
    names = ("per_second", "p50_ms", "p99_ms", "server_cpu_ms", "server_peak_mib")
    known = {name: [run[name] for run in runs if run[name] is not None] for name in names}
    median = {name: statistics.median(values) if values else None for name, values in known.items()}
    return {**median, "errors": sum(sum(run["errors"].values()) for run in runs), "wrong": any(run["wrong"] for run in runs)}


def cells(one):
    rate = number(one["per_second"], 0)
    if one["errors"] or one["wrong"]:
        rate += f" ({one['errors']} errors{', wrong answers' if one['wrong'] else ''})"
    return [rate, number(one["p50_ms"], 2), number(one["p99_ms"], 2), number(one["server_cpu_ms"], 3),
            number(one["server_peak_mib"], 0)]


def number(value, digits):
    return "n/a" if value is None else f"{value:,.{digits}f}"


def ratio(above, below, name):
    """How many times as much; both sides must have been measured."""
    if not above or not below or not above[name] or not below[name]:
        return ""
    times = above[name] / below[name]
    return f"{times:,.0f}×" if times >= 10 else f"{times:.1f}×"


def signatures(one, needed, limits):
    """Processor time over that of the signatures alone, as OpenSSL makes them."""
    if not limits or not one["server_cpu_ms"]:
        return ""
    each = (limits["p256_sign_us"], limits["p256_verify_us"], limits["rsa2048_verify_us"])
    least = sum(count * cost for count, cost in zip(needed, each)) / 1e3
    return f"{one['server_cpu_ms'] / least:.1f}×"


def row(values):
    return "| " + " | ".join(str(value) for value in values) + " |"
