"""The highest rate without loss, as RFC 2544 section 26.1 finds throughput: by trials at one rate each."""

import dataclasses

# A packet that comes later than this is as good as lost: no phone's jitter buffer waits for it. Without such a
# bound, the sockets' receive buffers would let any relay pass a short trial far above what it can do.
LATE_US = 100_000


@dataclasses.dataclass(frozen=True)
class Trial:
    """What came of playing at one rate."""

    # Packets per second: asked for, and sent.
    asked: float
    sent_rate: float
    # Packets.
    sent: int
    received: int
    wrong: int
    # The longest delay in microseconds.
    delay_max_us: float
    # Processor seconds while it lasted: see `processor.Usage`.
    usage: object = None

    @property
    def loss(self) -> float:
        """The share of packets that did not arrive, or not as they must."""
        return 1 - (self.received - self.wrong) / self.sent if self.sent else 1.0

    @property
    def clean(self) -> bool:
        """Whether the rate was really sent, every packet arrived, and none was wrong or late."""
        kept_pace = self.sent_rate >= 0.99 * self.asked
        return kept_pace and self.received == self.sent and not self.wrong and self.delay_max_us <= LATE_US


def highest(play, low: float, high: float, trials: int) -> tuple:
    """Halves the range of rates `trials` times; `play(rate)` gives a trial. `low` is taken for passed until a trial
    says otherwise. Returns the best clean trial, or None, and all of them."""
    best, made = None, []
    while len(made) < trials:
        rate = (low + high) / 2 if made else low
        trial = play(rate)
        made.append(trial)
        if trial.clean:
            low = rate
            best = trial
        elif len(made) == 1:
            # The range was too hopeful: below it.
            low, high = rate / 2, rate
        else:
            high = rate
    return best, made
