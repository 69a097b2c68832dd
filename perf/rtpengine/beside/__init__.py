"""Pinhole beside rtpengine: same wires, same calls, same sender and receiver, one core each."""
