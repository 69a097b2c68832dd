"""The Pinhole lab: the Internet, a home, and an office in network namespaces of one machine.

Everything here is test equipment. It shares no code with Pinhole, so that what it says about Pinhole is
said by somebody else: SIP and SDP are written anew, SRTP is libsrtp2's.
"""
