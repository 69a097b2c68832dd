"""Recordings that each phone plays, and how like them the far side's recordings are.

A signal is a seeded row of chirps and noise bursts: no two moments are alike, so a repeated, lost or exchanged
packet shows. Silence or a constant tone would prove nothing.
"""

import dataclasses
import pathlib
import wave

import numpy

RATE = 8000
SEGMENT = RATE // 2


def signal(seed: int, seconds: float) -> numpy.ndarray:
    """Samples from -1 to 1, at 8 kHz, between 300 and 3000 Hz."""
    random = numpy.random.default_rng(seed)
    parts, total = [], 0
    while total < seconds * RATE:
        length = int(random.integers(RATE // 10, RATE // 3))
        time = numpy.arange(length) / RATE
        if random.random() < 0.6:
            low, high = random.uniform(300, 3000, 2)
            part = numpy.sin(2 * numpy.pi * (low * time + (high - low) * time**2 / (2 * length / RATE)))
        else:
            spectrum = numpy.fft.rfft(random.standard_normal(length))
            frequency = numpy.fft.rfftfreq(length, 1 / RATE)
            spectrum[(frequency < 300) | (frequency > 3000)] = 0
            part = numpy.fft.irfft(spectrum, length)
            part = part / numpy.abs(part).max()
        fade = numpy.minimum(1, numpy.minimum(numpy.arange(length), numpy.arange(length)[::-1]) / 40)
        parts.append(part * fade * random.uniform(0.25, 0.6))
        total += length
    return numpy.concatenate(parts)[: int(seconds * RATE)]


def write(path: pathlib.Path, samples: numpy.ndarray):
    """A 16-bit mono WAV file."""
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes((samples * 32767).astype("<i2").tobytes())


def read(path: pathlib.Path) -> numpy.ndarray:
    """The samples of a 16-bit mono WAV file; also of one whose writer did not live to finish the header."""
    raw = pathlib.Path(path).read_bytes()
    data = raw.find(b"data")
    body = raw[data + 8:] if data >= 0 else b""
    return numpy.frombuffer(body[: len(body) // 2 * 2], "<i2").astype(float) / 32767


@dataclasses.dataclass
class Match:
    """How like the source a recording is. 1.0 is perfect."""

    correlation: float
    """Over the whole of the recording, at the best lag."""
    worst_segment: float
    """Of the worst half second."""
    seconds: float
    """How much was compared."""
    lag: int
    """The sample of the source that the recording starts with."""


def compare(source: numpy.ndarray, recording: numpy.ndarray) -> Match:
    """Compares a recording with its source at the best lag. Only silence before the first and after the last sound of the
    recording is left out: a gap within counts."""
    sounding = numpy.flatnonzero(numpy.abs(recording) > 0.001)
    if len(sounding) < SEGMENT:
        return Match(0.0, 0.0, 0.0, 0)
    recording = recording[sounding[0]: sounding[-1] + 1]
    size = 1 << (len(source) + len(recording)).bit_length()
    product = numpy.fft.rfft(source, size) * numpy.conj(numpy.fft.rfft(recording, size))
    lag = int(numpy.argmax(numpy.fft.irfft(product, size)))
    if lag > size // 2:
        lag -= size
    start, end = max(0, lag), min(len(source), lag + len(recording))
    if end - start < SEGMENT:
        return Match(0.0, 0.0, 0.0, lag)
    one, two = source[start:end], recording[start - lag: end - lag]
    segments = [correlation(one[at: at + SEGMENT], two[at: at + SEGMENT])
                for at in range(0, len(one) - SEGMENT + 1, SEGMENT)]
    return Match(correlation(one, two), min(segments), len(one) / RATE, lag)


def correlation(one, two) -> float:
    """Normalised correlation, 1.0 for the same signal."""
    energy = float(numpy.sqrt((one**2).sum() * (two**2).sum()))
    return float((one * two).sum() / energy) if energy > 0 else 0.0


def ulaw_encode(samples: numpy.ndarray) -> bytes:
    """G.711 µ-law (ITU-T G.711)."""
    pcm = numpy.clip((samples * 32767).astype(int), -32635, 32635)
    sign = numpy.where(pcm < 0, 0x80, 0)
    magnitude = numpy.abs(pcm) + 132
    exponent = numpy.floor(numpy.log2(magnitude)).astype(int) - 7
    mantissa = (magnitude >> (exponent + 3)) & 0x0F
    return (~(sign | (exponent << 4) | mantissa) & 0xFF).astype(numpy.uint8).tobytes()


def ulaw_decode(data: bytes) -> numpy.ndarray:
    """G.711 µ-law to samples from -1 to 1."""
    code = ~numpy.frombuffer(data, numpy.uint8).astype(int) & 0xFF
    magnitude = (((code & 0x0F) << 3) + 132 << ((code >> 4) & 7)) - 132
    return numpy.where(code & 0x80, -magnitude, magnitude) / 32767
