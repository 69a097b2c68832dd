"""The figures that Pinhole promises, with their targets."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Target:
    """What a figure must be. Of `least` and `most`, one is set; a figure without either is only reported."""

    name: str
    meaning: str
    least: float | None = None
    most: float | None = None
    # The bound holds for full runs only: a quick one is shorter by design.
    full_only: bool = False

    @property
    def bound(self) -> str:
        """As tables show it."""
        if self.least is not None:
            return f"≥ {number(self.least)}"
        return "reported" if self.most is None else f"≤ {number(self.most)}" if self.most else "0"

    def met(self, value: float, quick: bool) -> bool | None:
        """Whether a value is good enough; None if nothing is asked of it."""
        if (self.least is None and self.most is None) or (self.full_only and quick):
            return None
        return value >= self.least if self.least is not None else value <= self.most


TARGETS = (
    Target("kernel.cm80.vs_ipsec_mb", "AES_CM_128_HMAC_SHA1_80: time of intel-ipsec-mb over ours", least=1.8),
    Target("kernel.cm80.vs_rustcrypto", "AES_CM_128_HMAC_SHA1_80: time of RustCrypto over ours", least=5),
    Target("kernel.gcm128.vs_ipsec_mb", "AEAD_AES_128_GCM: time of intel-ipsec-mb over ours", least=1.5),
    Target("relay.overhead", "whole relay over bare kernel, 10,000 sessions", most=2.5),
    Target("relay.growth", "cost of a packet at 100,000 sessions over 1,000", most=2),
    Target("relay.bytes_per_session", "memory of a session in the data plane", most=4096),
    Target("relay.allocations_per_burst", "memory allocations while packets flow", most=0),
    Target("e2e.sessions", "sessions on one worker core", least=10_000),
    Target("e2e.seconds", "for so long, in seconds", least=60, full_only=True),
    Target("e2e.loss", "packets of them lost", most=0),
    Target("e2e.wrong", "packets of them with a wrong byte", most=0),
    Target("e2e.added_delay_p999_us", "delay that 99.9 % stay under, in microseconds"),
    Target("e2e.max_mpps", "highest rate without loss, in million packets per second"),
    Target("e2e.headroom", "that rate over the rate of 10,000 sessions", least=3),
    Target("forged.legit_loss", "packets lost while as many forged ones arrive", most=0),
    Target("sccp.phones", "SCCP phones that come at once, over mutual TLS", least=2_000, full_only=True),
    Target("sccp.lost", "of them and of those who were there before: not registered, cut off, or a keep-alive without answer", most=0),
    Target("sccp.storm_seconds", "from their first connection to their last registration, in seconds"),
    Target("sccp.registrations_per_second", "registrations per second of the storm, with one shard"),
    Target("sccp.keepalive_p99_ms", "what 99 % of the others' keep-alives wait at most during the storm, in milliseconds"),
    Target("sccp.memory_per_phone_bytes", "memory of a registered phone in the control plane"),
    Target("sccp.memory_after", "of that left when all have gone, in bytes per phone"),
    Target("sccp.memory_growth", "memory with all phones in the last storm over the first", most=1.1),
    Target("sccp.steady_cpu_percent", "of a core, with a keep-alive of each phone every 30 s"),
    Target("sip.lost", "SIP phones: the same as of SCCP", most=0),
    Target("sip.storm_seconds", "as many SIP phones at once, in seconds"),
    Target("sip.registrations_per_second", "registrations per second of that storm"),
    Target("sip.keepalive_p99_ms", "what 99 % of the others' pings wait at most meanwhile, in milliseconds"),
    Target("sip.memory_per_phone_bytes", "memory of a registered SIP phone in the control plane"),
    Target("rtpengine.rate_ratio", "rate without loss on a veth pair over rtpengine's", least=4),
    Target("rtpengine.cpu_ratio", "rtpengine's processor time per packet over ours", least=4),
    Target("rtpengine.bypass_ratio", "our rate over shared memory over rtpengine's over sockets", least=20),
)


@dataclasses.dataclass(frozen=True)
class Figure:
    """A figure as measured, with the least and the greatest of its rounds if it had several."""

    target: Target
    value: float
    least: float | None
    greatest: float | None
    # The engine that it was measured with, where it is about one.
    tier: str | None
    met: bool | None

    @property
    def verdict(self) -> str:
        """As tables show it."""
        return {True: "met", False: "**missed**", None: ""}[self.met]


def collect(measured: dict, quick: bool) -> list[Figure]:
    """The promised figures among what the programs said: a number, or an object with `value`, `min`, `max` and
    `tier`. Raises KeyError with the name of one that nobody measured."""
    found = []
    for target in TARGETS:
        said = measured[target.name]
        if not isinstance(said, dict):
            said = {"value": said}
        found.append(Figure(target, said["value"], said.get("min"), said.get("max"), said.get("tier"),
                            target.met(said["value"], quick)))
    return found


def summary(figures: list[Figure]) -> dict:
    """All figures as one flat object, and which were missed."""
    flat = {}
    for figure in figures:
        name = figure.target.name
        flat[name] = figure.value
        if figure.least is not None:
            flat |= {f"{name}.min": figure.least, f"{name}.max": figure.greatest}
        if figure.tier:
            flat[f"{name}.tier"] = figure.tier
    return flat | {"missed": [figure.target.name for figure in figures if figure.met is False]}


def number(value: float) -> str:
    """A number for a table: whole if it is or if it is large, else with two decimals."""
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.2f}"
