"""The highest rate without loss, found as RFC 2544 (section 26.1) finds throughput: by trials at one rate each."""

import dataclasses

from .processor import Usage

# A packet that takes longer counts as lost: no phone's jitter buffer waits for it. Without such a bound, the sockets'
# receive buffers would let a relay pass a trial far above what it can do.
LATE_US = 100_000
# A sender that was further behind than this has not sent at the rate.
LAG_US = 20_000


@dataclasses.dataclass(frozen=True)
class Trial:
    """What came of playing at one rate, in packets per second."""

    rate: float
    # Packets.
    sent: int
    received: int
    # Everything else that arrived: wrong payloads, headers or tags, duplicates, strangers.
    wrong: int
    # The longest delay, and how late the sender was at most, in microseconds.
    delay_us: float
    lag_us: float
    # Processor time of the relay while it lasted, from the first packet to the last.
    usage: Usage

    @classmethod
    def of(cls, rate: float, answer: dict, usage: Usage):
        """From what the player says."""
        wrong = sum(answer[name] for name in ("wrong", "duplicates", "late", "unexpected"))
        return cls(rate, answer["sent"], answer["received"], wrong, answer["delay_us"]["max"],
                   answer["sender_lag_max_us"], usage)

    @property
    def clean(self) -> bool:
        """Whether every packet arrived once, right and in time."""
        return self.received == self.sent > 0 and not self.wrong and self.delay_us <= LATE_US and self.lag_us <= LAG_US

    @property
    def verdict(self) -> str:
        """In a word or two."""
        if self.clean:
            return "clean"
        if self.received < self.sent:
            return f"{self.sent - self.received} lost"
        if self.wrong:
            return f"{self.wrong} wrong"
        return "late" if self.delay_us > LATE_US else "sender late"

    @property
    def cpu_per_million(self) -> float:
        """Processor seconds of the relay's process per million packets that arrived."""
        return self.usage.process / max(self.received, 1) * 1e6


def highest(play, low: float, high: float, trials: int) -> Trial | None:
    """The clean trial of the highest rate, after `trials` halvings of the range; `play(rate)` makes a trial.
    A range that turns out too low or too high is left at its end."""
    best, floor, ceiling = None, None, None
    for _ in range(trials):
        if floor is None:
            rate = low if ceiling is None else ceiling / 2
        elif ceiling is None:
            rate = high if floor < high else floor * 1.5
        else:
            rate = (floor + ceiling) / 2
        trial = play(rate)
        if trial.clean:
            best, floor = trial, rate
        else:
            ceiling = rate
    return best
