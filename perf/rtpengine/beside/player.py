"""Programs that are asked line by line, and answer with a JSON object each time."""

import json
import select
import subprocess

from pinhole_lab.state import LabError, Processes, tail


class Dialogue:
    """A program of ours that reads questions from its standard input and answers on its standard output."""

    def __init__(self, processes: Processes, name: str, argv: list, namespace=None, seconds: float = 20):
        self.name = name
        self.process = processes.start(name, argv, namespace=namespace, dialogue=True)
        self.hello = self._answer(seconds)

    def ask(self, question: str, seconds: float = 20) -> dict:
        """Asks, and waits so long for the answer."""
        try:
            self.process.popen.stdin.write(f"{question}\n".encode())
            self.process.popen.stdin.flush()
        except BrokenPipeError:
            raise LabError(f"{self.name} has ended: {tail(self.process.text())}") from None
        return self._answer(seconds)

    def _answer(self, seconds) -> dict:
        out = self.process.popen.stdout
        if not select.select([out], [], [], seconds)[0]:
            raise LabError(f"{self.name} does not answer within {seconds:.0f} s: {tail(self.process.text())}")
        line = out.readline()
        if not line:
            raise LabError(f"{self.name} has ended: {tail(self.process.text())}")
        return json.loads(line)

    def stop(self):
        """Lets it end by itself."""
        self.process.popen.stdin.close()
        try:
            self.process.popen.wait(10)
        except subprocess.TimeoutExpired:
            self.process.stop()
