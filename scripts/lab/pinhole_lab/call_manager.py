"""The call manager: kamailio as a registrar and record-routing proxy that speaks neither TLS nor SRTP."""

import socket
import time

from . import network
from .state import LabError, Processes, State

CONFIGURATION = """\
#!KAMAILIO
debug=2
log_stderror=yes
fork=yes
children=2
tcp_children=2
disable_tcp=no
auto_aliases=no
alias="lab.example"
listen=udp:{address}:5060
listen=tcp:{address}:5060
tcp_connection_lifetime=3605
mpath="{modules}"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "xlog.so"
modparam("rr", "append_fromtag", 1)
modparam("usrloc", "db_mode", 0)
modparam("tm", "fr_timer", 8000)
modparam("tm", "fr_inv_timer", 30000)

request_route {{
    if (!mf_process_maxfwd_header("10")) {{
        sl_send_reply("483", "Too Many Hops");
        exit;
    }}
    if (is_method("CANCEL")) {{
        if (t_check_trans()) t_relay();
        exit;
    }}
    if (!is_method("ACK")) t_check_trans();
    if (has_totag()) {{
        if (loose_route()) {{
            t_relay();
            exit;
        }}
        if (is_method("ACK")) {{
            if (t_check_trans()) t_relay();
            exit;
        }}
        sl_send_reply("404", "Not here");
        exit;
    }}
    if (is_method("REGISTER")) {{
        save("location", "0x04");
        exit;
    }}
    if (is_method("OPTIONS") && uri==myself && $rU == $null) {{
        sl_send_reply("200", "OK");
        exit;
    }}
    record_route();
    if (!lookup("location")) {{
        sl_send_reply("404", "Not registered");
        exit;
    }}
    t_relay();
}}
"""

MODULES = ("/usr/lib/x86_64-linux-gnu/kamailio/modules/:/usr/lib/aarch64-linux-gnu/kamailio/modules/:"
           "/usr/lib/kamailio/modules/")


class CallManager:
    """Kamailio on 10.20.0.10, UDP and TCP, domain lab.example."""

    def __init__(self, state: State, processes: Processes):
        self.state = state
        self.processes = processes
        self.process = None
        self.starts = 0

    def start(self):
        """Starts it and waits until it answers."""
        directory = self.state.directory("call-manager")
        configuration = directory / "kamailio.cfg"
        configuration.write_text(CONFIGURATION.format(address=network.CALL_MANAGER, modules=MODULES))
        self.starts += 1
        self.process = self.processes.start(
            f"call-manager-{self.starts}",
            ["kamailio", "-f", configuration, "-DD", "-E", "-m", "64", "-M", "8", "-Y", directory,
             "-P", directory / "pid"],
            namespace="ph-inside", cwd=directory)
        deadline = time.monotonic() + 10
        while not self._answers():
            if not self.process.alive() or time.monotonic() > deadline:
                raise LabError(f"kamailio does not answer; its last words: {self.process.text()[-400:]}")

    def _answers(self) -> bool:
        probe = network.udp_socket("ph-inside", network.CALL_MANAGER)
        try:
            probe.settimeout(0.2)
            host, port = probe.getsockname()
            probe.sendto((f"OPTIONS sip:{network.CALL_MANAGER} SIP/2.0\r\nVia: SIP/2.0/UDP {host}:{port};branch=z9hG4bKp\r\n"
                          f"From: <sip:p@{host}>;tag=p\r\nTo: <sip:p@{host}>\r\nCall-ID: p@{host}\r\nCSeq: 1 OPTIONS\r\n"
                          "Max-Forwards: 10\r\nContent-Length: 0\r\n\r\n").encode(), (network.CALL_MANAGER, 5060))
            return probe.recv(2048).startswith(b"SIP/2.0")
        except (socket.timeout, OSError):
            return False
        finally:
            probe.close()

    def stop(self):
        """Ends it: its registrations are lost, as after a real crash."""
        self.process.stop()
