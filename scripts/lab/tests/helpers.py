"""What several tests measure."""

import threading
import time

from pinhole_lab import audio, media
from pinhole_lab.scripted_phone import plug


def eventually(condition, seconds=8, what="it"):
    """Waits until `condition` holds, and returns its value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what} has not happened within {seconds} s"
        time.sleep(0.05)


def talk(one, two, seconds=2.0):
    """Both ends play for a while, then pause, and what is under way arrives."""
    plug(one, two)
    time.sleep(seconds)
    settle(one, two)


def settle(*calls):
    """Pauses all ends and lets what is under way arrive."""
    for call in calls:
        call.stream.pause()
    time.sleep(0.3)


def assert_heard(one, two, least=1.5):
    """Each end has heard every packet of the other, unchanged, once, and nothing else; and it sounds the same."""
    for speaker, listener in ((one, two), (two, one)):
        way = f"{speaker.phone.user} to {listener.phone.user}"
        lost = media.missing(speaker.stream, listener.stream)
        assert lost == [], f"{len(lost)} of {len(speaker.stream.sent)} packets missing, {way}: {lost[:20]}"
        assert listener.stream.refused == [], f"{listener.phone.user} hears what is not its call's"
        assert listener.stream.repeated == 0, f"packets repeated, {way}"
        assert len(listener.stream.heard) == len(speaker.stream.sent), f"more heard than sent, {way}"
        match = audio.compare(speaker.phone.recording, listener.stream.heard_audio(speaker.stream.ssrc))
        assert match.correlation > 0.9 and match.seconds > least, f"audio {way}: {match}"


def hang_up(one, two):
    """`one` sends BYE, `two` answers it."""
    waiting = in_background(two.wait_bye)
    one.bye()
    waiting()


def in_background(function):
    """Runs a function in a thread; the returned function waits for it and passes on what it raised or returned."""
    outcome = {}

    def run():
        try:
            outcome["value"] = function()
        except Exception as error:  # passed on to the test
            outcome["error"] = error

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def wait():
        thread.join(20)
        if "error" in outcome:
            raise outcome["error"]
        return outcome.get("value")

    return wait
