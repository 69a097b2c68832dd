"""The plots of RESULTS.md, as SVG that is the same for the same figures."""

import pathlib

import matplotlib

matplotlib.use("svg")
# No dates and no random identifiers; text stays text.
matplotlib.rcParams.update({"svg.hashsalt": "pinhole", "svg.fonttype": "none", "axes.grid": True, "grid.alpha": 0.3,
                            "axes.spines.top": False, "axes.spines.right": False, "font.size": 9})

from matplotlib import pyplot  # noqa: E402

QUANTILES = (("p50", "50 %"), ("p99", "99 %"), ("p999", "99.9 %"), ("max", "all"))


def draw(said: dict, directory: pathlib.Path):
    """Draws all plots. `said` is what each program said, by step."""
    directory.mkdir(exist_ok=True)
    for name, plot in (("kernel", kernel), ("relay", relay), ("delay", delay), ("rates", rates)):
        figure = plot(said)
        figure.tight_layout()
        figure.savefig(directory / f"{name}.svg", metadata={"Date": None, "Creator": None})
        pyplot.close(figure)


def kernel(said: dict):
    """Nanoseconds per packet by burst, to protect, with 1,024 keys."""
    figure, sides = pyplot.subplots(1, 2, figsize=(9, 4), sharey=True)
    for side, (suite, title) in zip(sides, (("cm80", "AES_CM_128_HMAC_SHA1_80"), ("gcm128", "AEAD_AES_128_GCM"))):
        lines = {}
        for row in said["kernel"]["kernel.rows"]:
            if (row["suite"], row["role"], row["keys"]) == (suite, "protect", 1024):
                for score in row["scores"]:
                    lines.setdefault(score["name"], []).append((row["burst"], score["ns"]["median"]))
        for name, points in lines.items():
            side.plot(*zip(*points), marker=".", label=name)
        side.set(title=title, xlabel="packets in a burst", xscale="log", yscale="log")
        bursts = sorted({burst for points in lines.values() for burst, _ in points})
        side.set_xticks(bursts, [str(burst) for burst in bursts])
        side.minorticks_off()
    sides[0].set_ylabel("ns per packet")
    sides[-1].legend(fontsize=7)
    return figure


def relay(said: dict):
    """Cost of a packet by number of sessions."""
    figure, side = pyplot.subplots(figsize=(6, 3.5))
    sizes = said["relay"]["relay.sizes"]
    sessions = [size["sessions"] for size in sizes]
    for name, key in (("SRTP to RTP", "srtp_to_rtp_ns"), ("RTP to SRTP", "rtp_to_srtp_ns")):
        side.plot(sessions, [size[key]["median"] for size in sizes], marker="o", label=name)
    side.plot(sessions, [size["ns"] for size in sizes], marker="o", label="both")
    side.axhline(said["relay"]["kernel_ns"]["median"], linestyle=":", label="bare kernel, 10,000 keys")
    side.set(xlabel="sessions", ylabel="ns per packet", xscale="log", ylim=(0, None))
    side.legend(fontsize=7)
    return figure


def delay(said: dict):
    """Added delay: its quantiles with 10,000 calls, and what 99.9 % stay under by rate."""
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.5))
    for name, label in (("run", "calls"), ("forged", "calls beside forged packets")):
        quantiles = said["e2e"][name]["delay_us"]
        left.plot([text for _, text in QUANTILES], [quantiles[key] for key, _ in QUANTILES], marker="o", label=label)
    left.set(xlabel="of the packets", ylabel="delay at most, µs", yscale="log")
    left.legend(fontsize=7)
    trials = sorted(said["e2e"]["search"]["trials"], key=lambda trial: trial["offered"])
    for passed, label in ((True, "no loss"), (False, "loss, or not offered")):
        points = [(trial["offered"] / 1e6, trial["delay_p999_us"]) for trial in trials if trial["passed"] == passed]
        if points:
            right.plot(*zip(*points), marker="o", linestyle="", label=label)
    right.set(xlabel="million packets per second", ylabel="delay of 99.9 % at most, µs", yscale="log")
    right.legend(fontsize=7)
    return figure


def rates(said: dict):
    """Rates without loss of both relays."""
    figure, side = pyplot.subplots(figsize=(7, 2.8))
    rate = said["rtpengine"]["packets_per_second"]
    bars = {
        "rtpengine, kernel sockets": rate["rtpengine"]["median"],
        "Pinhole, AF_XDP on the same wire": rate["pinhole"]["median"],
        "the wire alone": rate["direct"]["median"],
        "Pinhole, shared memory": said["e2e"]["e2e.max_mpps"] * 1e6,
    }
    drawn = side.barh(list(bars), [value / 1e3 for value in bars.values()])
    side.bar_label(drawn, fmt="%.0f", padding=3)
    side.invert_yaxis()
    side.set(xlabel="k packets per second without loss, one core")
    return figure
