"""RESULTS.md."""

from .figures import Figure, number

SUITES = {
    "cm80": "AES_CM_128_HMAC_SHA1_80",
    "cm256_80": "AES_256_CM_HMAC_SHA1_80",
    "gcm128": "AEAD_AES_128_GCM",
    "gcm256": "AEAD_AES_256_GCM",
}
# Where programs give the spread of a figure apart from it.
SPREADS = {
    "relay.overhead": "relay.overhead.spread",
    "relay.growth": "relay.growth.spread",
    "rtpengine.rate_ratio": "rate_ratio_by_round",
    "rtpengine.cpu_ratio": "cpu_ratio_by_round",
}


def adapt(measured: dict) -> dict:
    """Figures together with their spread. Where no rate over shared memory was without loss, there is nothing to
    compare with rtpengine's."""
    measured.setdefault("rtpengine.bypass_ratio", 0)
    if "e2e.seconds" in measured:
        measured["e2e.seconds"] = round(measured["e2e.seconds"])
    for name, spread in SPREADS.items():
        if name in measured and spread in measured:
            measured[name] = {"value": measured[name], **measured[spread]}
    return measured


def write(figures: list[Figure], said: dict, machine: dict, quick: bool) -> str:
    """The whole file. `said` is what each program said, by step."""
    kind = "A quick run: fewer rounds and shorter trials than a full one. " if quick else ""
    parts = [
        "# Results",
        f"Written by `scripts/perf`; what it does is in [README.md](README.md). {kind}Every ratio compares two "
        "sides of one run on one machine; nanoseconds and rates are that machine's and that hour's.",
        "## Machine",
        table(("", ""), machine.items()),
        "## Figures",
        figure_table(figures),
        *limits(figures, said),
        "## Kernels",
        kernels(said["kernel"]),
        "## Relay",
        relay(said["relay"]),
        "## End to end",
        end_to_end(said["e2e"]),
        "## Registration storms",
        storms(said["storm"]),
        "## Beside rtpengine",
        beside(said["rtpengine"]),
    ]
    return "\n\n".join(parts) + "\n"


def table(head: tuple, rows) -> str:
    """A table; the first column is text, the others are right-aligned if there are more than two."""
    align = ["---"] + ["---:" if len(head) > 2 else "---"] * (len(head) - 1)
    lines = [head, align, *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def figure_table(figures: list[Figure]) -> str:
    """Figure, target, value, spread, verdict."""
    def row(figure: Figure):
        spread = "" if figure.least is None else f"{number(figure.least)} to {number(figure.greatest)}"
        tier = f" ({figure.tier})" if figure.tier else ""
        target = figure.target
        return f"`{target.name}`{tier}: {target.meaning}", target.bound, number(figure.value), spread, figure.verdict
    return table(("Figure", "Target", "Value", "Rounds, least to greatest", ""), map(row, figures))


def limits(figures: list[Figure], said: dict) -> list[str]:
    """What the run itself tells about the targets that were missed."""
    missed = [figure.target.name for figure in figures if figure.met is False]
    if not missed:
        return []
    lines = [f"- `{name}`: {evidence(name, said)}" for name in missed]
    return ["## What limits the missed figures", "\n".join(lines)]


def evidence(name: str, said: dict) -> str:
    """The profile of a figure, in a sentence."""
    part = name.partition(".")[0]
    if part == "kernel":
        return kernel_evidence(name, said["kernel"])
    if name in ("relay.allocations_per_burst", "relay.bytes_per_session"):
        return "counted, not timed: the same in every run on any machine."
    if part == "relay":
        return relay_evidence(said["relay"])
    if part in ("e2e", "forged"):
        search, run = said["e2e"]["search"], said["e2e"]["run"]
        late = run.get("sender_lag_max_us", 0)
        return (f"the search was ended by: {search['limited_by']}. At 10,000 sessions the worker was busy for "
                f"{said['e2e']['e2e.worker_utilisation']:.0%} of the time, and the sender fell behind its clock by up to "
                f"{late / 1000:.1f} ms: because its core was taken from it, or because the relay left its ring full."
                f"{apart(search)}")
    if part in ("sccp", "sip"):
        return storm_evidence(said["storm"][part], part)
    rate = said["rtpengine"]["packets_per_second"]
    return (f"on this wire sender and receiver alone reach {rate['direct']['median'] / 1e3:.0f} k packets/s, "
            f"Pinhole {rate['pinhole']['median'] / 1e3:.0f} k, rtpengine {rate['rtpengine']['median'] / 1e3:.0f} k; "
            "what the kernel does for a packet on the veth pair is in the processor time of all of them.")


# Parts of a kernel whose operations are measured alone.
FLOORS = {"sha1": "SHA-1", "aes": "AES", "ghash": "GHASH"}


def kernel_evidence(name: str, kernel: dict) -> str:
    """How time and ratio depend on the number of keys: what is slow with few keys lacks instructions per packet, what
    gets slow with many waits for memory."""
    _, suite, contestant = name.split(".")
    contestant = {"vs_ipsec_mb": "ipsec-mb", "vs_rustcrypto": "RustCrypto"}[contestant]
    parts = []
    for row in kernel["kernel.rows"]:
        if (row["suite"], row["role"], row["burst"]) == (suite, "protect", 32):
            ours = row["scores"][0]
            theirs = next(score for score in row["scores"] if score["name"] == contestant)
            parts.append(f"{row['keys']:,} keys {ours['ns']['median']:.0f} and {theirs['ns']['median']:.0f} ns "
                         f"({theirs['ratio']['median']:.2f})")
    said = f"ours and {contestant} with {', '.join(parts)}. Where few keys are as far from the target as many, memory is not the limit."
    floors = [(label, kernel[f"kernel.{suite}.{part}_floor_ns"]["median"]) for part, label in FLOORS.items()
              if f"kernel.{suite}.{part}_floor_ns" in kernel]
    if not floors:
        return said
    alone = " and ".join(f"{label} {nanoseconds:.0f} ns" for label, nanoseconds in floors)
    return (f"{said} The operations alone, with all at hand, take {alone} of a packet's time; the rest is to fetch, transpose, "
            "pad, check and store.")


def kernels(kernel: dict) -> str:
    """A table for each suite and role: nanoseconds per packet, and the ratio to our best engine."""
    parts = ["Nanoseconds per 172-byte packet, the median of the rounds; in brackets the median of the ratios to our best "
             "engine, round by round. intel-ipsec-mb is used as was quickest for the row (manager, interface, prefetch).",
             "![Nanoseconds per packet by burst](plots/kernel.svg)"]
    blocks = {}
    for row in kernel["kernel.rows"]:
        blocks.setdefault((row["suite"], row["role"]), []).append(row)
    for (suite, role), rows in blocks.items():
        names = list(dict.fromkeys(score["name"] for row in rows for score in row["scores"]))
        lines = []
        for row in rows:
            scores = {score["name"]: score for score in row["scores"]}
            lines.append((f"{row['keys']:,}", row["burst"], *(cell(scores.get(name)) for name in names)))
        parts += [f"### {SUITES[suite]}, {role}", table(("Keys", "Burst", *names), lines)]
    return "\n\n".join(parts)


def cell(score: dict | None) -> str:
    """A contestant's figure; empty if it did not take part."""
    if score is None:
        return ""
    way = f" {score['way']}" if score["way"] else ""
    return f"{score['ns']['median']:,.0f} ({score['ratio']['median']:.2f}){way}"


def relay_evidence(said: dict) -> str:
    """Which stages cost most with 10,000 sessions, and which grow most from 1,000 to 100,000."""
    stages = {size["sessions"]: {stage["stage"]: stage["ns"] for stage in size["stages"]} for size in said["relay.sizes"]}
    cost = sorted(stages[10_000].items(), key=lambda stage: -stage[1])[:4]
    growth = sorted(((stage, ns - stages[1_000][stage]) for stage, ns in stages[100_000].items()),
                    key=lambda stage: -stage[1])[:3]
    def list_of(pairs):
        return ", ".join(f"{stage} {ns:.0f} ns" for stage, ns in pairs)
    lines, each = said["relay.lines_per_packet"], said["relay.line_ns"]["median"]
    return (f"with 10,000 sessions most time goes to {list_of(cost)}, beside a bare kernel of "
            f"{said['kernel_ns']['median']:.0f} ns; from 1,000 to 100,000 sessions, {list_of(growth)} are added. A packet needs "
            f"{lines} cache lines of tables, session and keys; read in random order with nothing else to do, they take "
            f"{lines * each:.0f} ns here ({each:.1f} each).")


def relay(said: dict) -> str:
    """The relay by stage and by number of sessions."""
    sizes = said["relay.sizes"]
    def both(nanoseconds):
        return f"{nanoseconds:.1f} ({nanoseconds * said['cycles_per_ns']:.0f})"
    lines = [(stages[0]["stage"], *(both(stage["ns"]) for stage in stages))
             for stages in zip(*(size["stages"] for size in sizes))]
    for name, key in (("SRTP to RTP", "srtp_to_rtp_ns"), ("RTP to SRTP", "rtp_to_srtp_ns")):
        lines.append((name, *(both(size[key]["median"]) for size in sizes)))
    lines.append(("**all**", *(both(size["ns"]) for size in sizes)))
    return "\n\n".join([
        f"Nanoseconds per packet, in brackets TSC cycles; medians of the rounds; engine {said['engine']}. The bare kernel with 10,000 "
        f"keys and prefetch takes {said['kernel_ns']['median']:.1f} ns. Stages are timed in every fourth group of bursts, with the cost of "
        "reading the clock between them, so their sum is above the whole.",
        "![Cost of a packet by number of sessions](plots/relay.svg)",
        table(("Sessions", *(f"{size['sessions']:,}" for size in sizes)), lines),
    ])


def end_to_end(said: dict) -> str:
    """Calls, forged packets, and the search for the highest rate."""
    plain, forged = said["run"], said["forged"]
    names = ("sessions", "seconds", "sent", "received", "lost", "duplicates", "wrong", "unexpected", "forged")
    rows = [(name, *(number(run[name]) if name in run else "" for run in (plain, forged))) for name in names]
    rows += [(f"delay {name}, µs", *(number(run["delay_us"][name]) for run in (plain, forged)))
             for name in ("p50", "p99", "p999", "max")]
    rows.append(("worker busy", *(f"{run['data_plane']['worker_utilisation'][0]:.0%}" for run in (plain, forged))))
    trials = [(f"{trial['offered'] / 1e6:.2f}", number(trial["seconds"]), number(trial["lost"]),
               f"{trial['delay_p999_us']:.0f}", distances(trial), "yes" if trial["passed"] else "no")
              for trial in sorted(said["search"]["trials"], key=lambda trial: trial["offered"])]
    return "\n\n".join([
        "![Added delay](plots/delay.svg)",
        table(("", "calls", "calls beside forged packets"), rows),
        f"Highest rate without loss: {said['e2e.max_mpps']:.2f} million packets per second, both directions together; "
        f"the search was ended by: {said['search']['limited_by']}.",
        table(("Offered, M packets/s", "Seconds", "Lost", "Delay p99.9, µs", "Cores apart, ns", "Passed"), trials),
        "*Cores apart*: how long a cache line took from the generator's core to the worker's, before and after the trial. Where the "
        "host runs the two on cores without a common cache, each packet waits for that.",
    ])


def apart(search: dict) -> str:
    """How far the cores were apart around the trials that failed, in a sentence."""
    known = [distance for trial in search["trials"] if not trial["passed"] for distance in trial["core_distance_ns"] if distance]
    if not known:
        return ""
    return f" Around the trials that failed, its core and the worker's were {min(known):.0f} to {max(known):.0f} ns apart."


def distances(trial: dict) -> str:
    """How far the cores were apart before and after a trial."""
    return ", ".join("?" if distance is None else f"{distance:.0f}" for distance in trial["core_distance_ns"])


def storm_evidence(said: dict, speech: str) -> str:
    """Who was turned away, and what the control plane has counted of it."""
    refused = {f"{group}.{name}": count for group, counters in said["counters"].items() for name, count in counters.items()
               if group in ("tls", "sccp", "sip") and ("refused" in name or "limit" in name or "failed" in name) and count}
    reasons = ", ".join(f"{name} {count:,}" for name, count in refused.items()) or "nothing"
    return (f"{said[f'{speech}.turned_away']:,} connections were turned away before a registration; the control plane has counted: "
            f"{reasons}. Descriptors left when all had gone: {said[f'{speech}.descriptors_left']}.")


def storms(said: dict) -> str:
    """The storms side by side, and what limits them."""
    columns = (("SCCP, RSA keys", said["sccp"], "sccp"), ("SCCP, EC keys", said["ec"], "sccp"), ("SIP, RSA keys", said["sip"], "sip"))
    names = (("phones", "phones"), ("storm_seconds", "seconds from the first connection to the last registration"),
             ("registrations_per_second", "registrations per second"),
             ("cpu_ms_per_registration", "control plane's processor time of a registration, ms"),
             ("turned_away", "turned away, and come again"), ("lost", "lost"),
             ("keepalive_alone_p99_ms", "keep-alive of others before the storm, p99, ms"),
             ("keepalive_p99_ms", "keep-alive of others in the storm, p99, ms"),
             ("memory_per_phone_bytes", "bytes per phone"), ("memory_after", "left of them when all have gone"),
             ("steady_cpu_percent", "all keeping alive, percent of a core"), ("idle_cpu_percent", "the same without"))
    def value(one, speech, name):
        found = one[f"{speech}.{name}"]
        return number(found["value"] if isinstance(found, dict) else found)
    rows = [(meaning, *(value(one, speech, name) for _, one, speech in columns)) for name, meaning in names]
    rsa, ec = (one["sccp.cpu_ms_per_registration"]["value"] for one in (said["sccp"], said["ec"]))
    return "\n\n".join([
        table(("", *(head for head, _, _ in columns)), rows),
        "All phones connect at once from one address, by TLS 1.2 with certificates of their own, to one shard on one core; phones and call "
        f"manager share the other core. With EC keys on both sides a registration takes {ec / rsa:.0%} of the control plane's processor "
        "time that it takes with RSA ones.",
    ])


def beside(said: dict) -> str:
    """Rates and processor time of both relays."""
    rate, cpu = said["packets_per_second"], said["cpu_seconds_per_million"]
    rows = [(name, *(f"{rate[name][part] / 1e3:,.0f}" for part in ("min", "median", "max")),
             f"{cpu[name]['median']:.2f}" if name in cpu else "")
            for name in ("rtpengine", "pinhole", "direct")]
    return "\n\n".join([
        "![Rates without loss](plots/rates.svg)",
        table(("", "k packets/s: least", "median", "greatest", "CPU seconds per million packets"), rows),
        f"`direct` is sender and receiver with nothing between them but the wire. {said['calls']} calls, "
        f"{said['rounds']} rounds; a packet later than {said['late_us'] / 1000:.0f} ms counts as lost.",
    ])
