"""The calls of an SCCP phone and their media: a channel to receive, one to transmit, every packet accounted for."""

from . import sccp
from .media import Stream
from .sccp import AUDIO, MEDIA, VIDEO

VIDEO_PAYLOAD, VIDEO_SIZE = 97, 1100
"""Payload type of video, and the bytes that each of its packets carries."""


class Channels:
    """One medium of a call. Its two channels share a stream, which lives while one of them is open."""

    def __init__(self, phone, reference, medium):
        self.phone, self.reference, self.medium = phone, reference, medium
        self.stream = None
        """The stream of the channel that is, or was last, open."""
        self.streams = []
        self.receives = self.transmits = False
        self.receive_keys, self.transmit_keys = [], []
        """All keys that it was told, in order."""
        self.remote = None

    def close(self):
        for stream in self.streams:
            stream.close()

    def wait_media(self, receives=True, transmits=True, seconds=8):
        """Waits until it can receive and may send, or either alone."""
        self.phone.wait(lambda: (self.receives, self.transmits) == (receives, transmits),
                        f"media of call {self.reference}", seconds)
        return self

    def wait_silent(self, seconds=8):
        """Waits until it may neither send nor receive."""
        return self.wait_media(False, False, seconds)

    def opened(self, message):
        """The call manager opens a channel to receive."""
        self._begin()
        self.receives = True
        self._take_key(message, self.receive_keys)
        self._configure()
        self._acknowledge(message)

    def started(self, message):
        """It has the phone transmit."""
        self._begin()
        self.transmits = True
        self.remote = (message.get("address"), message.get("port"))
        self._take_key(message, self.transmit_keys)
        self._configure()
        self._acknowledge(message)
        if self.phone.speaks:
            self.stream.start()

    def closed(self, _=None):
        self.receives = False
        self._end()

    def stopped(self, _=None):
        self.transmits = False
        if self.stream:
            self.stream.pause()
        self._end()

    def _begin(self):
        if self.receives or self.transmits:
            return
        options = {"payload_type": VIDEO_PAYLOAD, "size": VIDEO_SIZE} if self.medium is VIDEO else {}
        self.stream = Stream(self.phone.namespace, self.phone.address, self.phone.recording, **options)
        self.streams.append(self.stream)

    def _end(self):
        if self.stream and not (self.receives or self.transmits):
            self.stream.pause()
            self.remote = None

    def _take_key(self, message, keys):
        try:
            key = message.get("key")
        except ValueError as error:
            key = None
            self.phone.failures.append(f"{message}: {error}")
        if (key is not None) != self.phone.encrypted:
            self.phone.failures.append(f"{message} {'with' if key else 'without'} a key")
        if key is not None and key.key in self.phone.keys:
            self.phone.failures.append(f"{message} with a key that was used before")
        if key is not None:
            self.phone.keys.add(key.key)
        keys.append(key)

    def _configure(self):
        def crypto(keys):
            return keys[-1].crypto() if keys and keys[-1] else None
        self.stream.configure(self.remote, crypto(self.transmit_keys) if self.transmits else None,
                              crypto(self.receive_keys) if self.receives else None)

    def _acknowledge(self, message):
        self.phone.send(f"{message.name}Ack", status=0, address=self.phone.address, port=self.stream.port,
                        conference=self.reference, party=0 if self.phone.zero_party else message.get("party"),
                        call=self.reference)


class Call(Channels):
    """One call of a phone. It is its own audio, and may have video."""

    def __init__(self, phone, reference):
        super().__init__(phone, reference, AUDIO)
        self.video = Channels(phone, reference, VIDEO)
        self.state = 0
        self.security = None
        """What the phone shows of the call's security."""
        self._handlers = {name: handler for medium, channels in zip(MEDIA, (self, self.video))
                          for name, handler in ((medium.open, channels.opened), (medium.start, channels.started),
                                                (medium.close, channels.closed), (medium.stop, channels.stopped))}

    def __repr__(self):
        return f"call {self.reference} in state {self.state}, receives {self.receives}, transmits {self.transmits}"

    # What a user does, and a test waits for

    def press(self, digits):
        for digit in digits:
            self.phone.send("KeypadButton", button=int(digit), line=1, call=self.reference)

    def soft_key(self, event):
        self.phone.send("SoftKeyEvent", event=event, line=1, call=self.reference)

    def answer(self):
        self.soft_key(sccp.ANSWER)

    def hang_up(self):
        self.phone.send("OnHook", line=1, call=self.reference)

    def wait_state(self, state, seconds=8):
        self.phone.wait(lambda: self.state == state, f"state {state} of call {self.reference}", seconds)
        return self

    # What the phone passes on

    def handle(self, message):
        """A message about this call."""
        if message.name == "CallState":
            self.state = message.get("state")
        elif message.name in ("CallInfo", "CallInfoDynamic"):
            self.security = message.get("security")
        elif message.name in self._handlers:
            self._handlers[message.name](message)

    def end(self):
        """The call is over."""
        for channels in (self, self.video):
            channels.stopped()
            channels.closed()

    def close(self):
        super().close()
        self.video.close()
