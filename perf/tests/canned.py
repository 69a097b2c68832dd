"""What the programs might say, with round numbers."""


def spread(value):
    """Least, middle and greatest."""
    return {"min": value * 0.9, "median": value, "max": value * 1.1}


def relayed(sessions, match, crypto):
    """The relay with so many sessions, and what two of its stages cost."""
    stages = [{"stage": "match", "ns": match, "cycles": 2.5 * match}, {"stage": "crypto", "ns": crypto, "cycles": 2.5 * crypto}]
    return {"sessions": sessions, "ns": match + crypto, "srtp_to_rtp_ns": spread(match + crypto - 2),
            "rtp_to_srtp_ns": spread(match + crypto + 2), "stages": stages}


def score(name, nanoseconds, ratio, way=""):
    """A contestant's result in one row."""
    return {"name": name, "way": way, "ns": spread(nanoseconds), "ratio": spread(ratio)}


def row(suite, role, keys, burst):
    """One row of the kernel benchmark."""
    scores = [score("avx512", 30, 1), score("RustCrypto", 180, 6), score("ipsec-mb", 60, 2, "avx512 direct prefetch")]
    if keys == 64:
        scores.append(score("libsrtp2", 5000, 166.67))
    return {"suite": suite, "role": role, "keys": keys, "burst": burst, "scores": scores}


def played(lost=0, forged=0):
    """What the phone farm says of calls."""
    return {"sessions": 10_000, "seconds": 60.0, "sent": 60_000_000, "received": 60_000_000 - lost, "lost": lost,
            "duplicates": 0, "wrong": 0, "unexpected": 0, "forged": forged, "sender_lag_max_us": 1500.0,
            "delay_us": {"p50": 8.1, "p99": 20.0, "p999": 45.5, "max": 900.0},
            "data_plane": {"worker_utilisation": [0.25]}}


def trial(rate, passed):
    """A trial of the search."""
    return {"rate": rate, "offered": rate, "seconds": 5.0, "passed": passed, "lost": 0 if passed else 77, "delay_p999_us": 50.0,
            "core_distance_ns": [26.4, 171.0] if passed else [None, None]}


def stormed(speech, lost=0, cpu_ms=1.0):
    """What a storm has shown."""
    figures = {"phones": 2_000, "storm_seconds": spread(3.0) | {"value": 3.0}, "registrations_per_second": {"value": 650.0, "min": 600.0, "max": 700.0},
               "cpu_ms_per_registration": {"value": cpu_ms, "min": cpu_ms, "max": cpu_ms}, "turned_away": 40, "lost": lost,
               "memory_per_phone_bytes": 20_000, "memory_after": 5_000, "memory_growth": 1.02, "descriptors_left": 0,
               "steady_cpu_percent": 0.8, "idle_cpu_percent": 0.1, "keepalive_p99_ms": 12.5, "keepalive_alone_p99_ms": 0.5}
    return {f"{speech}.{name}": value for name, value in figures.items()} | {
        "counters": {"tls": {"accepted": 2_040, "limit_handshakes": 40}}}


def everything():
    """What all programs say, with every target met."""
    rate = {"min": 100e3, "median": 110e3, "max": 120e3}
    return {
        "kernel": {
            "kernel.cm80.vs_ipsec_mb": {"value": 2.0, "min": 1.9, "max": 2.1, "tier": "avx512"},
            "kernel.cm80.vs_rustcrypto": {"value": 6.0, "min": 5.5, "max": 6.5, "tier": "avx512"},
            "kernel.gcm128.vs_ipsec_mb": {"value": 1.6, "min": 1.5, "max": 1.7, "tier": "avx512"},
            "kernel.cm80.sha1_floor_ns": spread(20), "kernel.cm80.aes_floor_ns": spread(6),
            "kernel.versions": {"ipsec-mb": "1.3.0", "OpenSSL": "OpenSSL 3.0.19", "libsrtp2": "libsrtp2 2.5.0"},
            "kernel.rows": [row(suite, role, keys, burst) for suite in ("cm80", "gcm128") for role in ("protect", "unprotect")
                            for keys in (64, 1024) for burst in (1, 32)],
        },
        "relay": {
            "relay.overhead": 2.1, "relay.growth": 1.5, "relay.bytes_per_session": 3900, "relay.allocations_per_burst": 0,
            "relay.overhead.spread": {"min": 2.0, "median": 2.1, "max": 2.2},
            "relay.growth.spread": {"min": 1.4, "median": 1.5, "max": 1.6},
            "relay.lines_per_packet": 11, "relay.line_ns": spread(4),
            "engine": "avx512", "cycles_per_ns": 2.5, "kernel_ns": spread(50),
            "relay.sizes": [relayed(1_000, 20, 50), relayed(10_000, 30, 55), relayed(100_000, 60, 60)],
        },
        "e2e": {
            "e2e.sessions": 10_000, "e2e.seconds": 60.0, "e2e.loss": 0, "e2e.wrong": 0, "e2e.added_delay_p999_us": 45.5,
            "e2e.worker_utilisation": 0.25, "e2e.max_mpps": 3.5, "e2e.headroom": 3.5, "forged.legit_loss": 0,
            "run": played(), "forged": played(forged=30_000_000),
            "search": {"limited_by": "loss", "trials": [trial(4e6, False), trial(3.5e6, True)]},
        },
        "storm": stormed("sccp") | stormed("sip") | {
            "sccp": stormed("sccp"), "sip": stormed("sip"), "ec": stormed("sccp", cpu_ms=0.4)},
        "rtpengine": {
            "rtpengine.rate_ratio": 4.5, "rtpengine.cpu_ratio": 5.0, "rtpengine.bypass_ratio": 29.0,
            "rate_ratio_by_round": {"min": 4.1, "median": 4.5, "max": 4.9},
            "cpu_ratio_by_round": {"min": 4.8, "median": 5.0, "max": 5.2},
            "packets_per_second": {"rtpengine": rate, "pinhole": rate, "direct": rate},
            "cpu_seconds_per_million": {"rtpengine": {"median": 10.0}, "pinhole": {"median": 2.0}},
            "calls": 200, "rounds": 5, "late_us": 20_000, "versions": {"rtpengine": "10.5.3.5"},
        },
    }
