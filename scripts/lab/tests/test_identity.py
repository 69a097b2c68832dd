"""Who a phone is, its certificate says; and nobody else."""

import socket
import ssl

import pytest
from helpers import eventually

from pinhole_lab import network
from pinhole_lab.state import LabError


def grown(before, after):
    """The counters that have grown."""
    return {f"{group}.{name}" for group, values in after.items() for name, value in values.items()
            if value > before.get(group, {}).get(name, 0)}


def assert_refused(phone_or_error):
    """With TLS 1.3 a client learns of the refusal only when it reads."""
    phone = phone_or_error
    try:
        with pytest.raises((LabError, OSError)):
            phone.register(seconds=5)
        eventually(phone.closed.is_set, what="the end of the connection")
    finally:
        phone.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLS 1.2", "TLS 1.3"])
def test_phone_with_an_unknown_certificate_is_refused_and_counted(lab, appliance, version):
    before = appliance.ctl("counters")
    try:
        phone = lab.outside_phone(device="nobody", tls_maximum=version)
    except OSError:
        pass
    else:
        assert_refused(phone)
    eventually(lambda: any(name.startswith("tls.") for name in grown(before, appliance.ctl("counters"))),
               what="a counter of refused handshakes")
    assert not any(phone["peer"] for phone in appliance.ctl("phones"))
    refusals = [event for event in appliance.ctl("events") if event["kind"] == "phone_refused"]
    assert refusals and "\n" not in refusals[-1]["text"]


def test_client_without_a_certificate_is_refused(lab, appliance):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(lab.certificates.server_ca)
    plain = network.tcp_connection("ph-home", network.OUTSIDE, 5061)
    with pytest.raises(OSError):
        secured = context.wrap_socket(plain)
        secured.settimeout(5)
        secured.sendall(b"OPTIONS sip:lab.example SIP/2.0\r\n\r\n")
        assert secured.recv(100) != b"", "the appliance closed the connection"
        pytest.fail("the appliance answered a client without a certificate")
    plain.close()


def test_registering_somebody_elses_address_of_record_is_refused_and_counted(phones, lab, appliance):
    outside = phones.outside()
    before = appliance.ctl("counters")
    response = outside.register(user="1002", expect=None)
    assert response.code == 403
    assert any("identity" in name for name in grown(before, appliance.ctl("counters"))), \
        grown(before, appliance.ctl("counters"))
    assert any(event["kind"] == "identity_refused" for event in appliance.ctl("events"))
    inside = phones.inside()
    inside.invite("1002").wait_answer(expect=404)


def test_calling_in_somebody_elses_name_is_refused(phones, appliance):
    outside, inside = phones.outside(), phones.inside()
    outside.user = "1002"
    outside.invite("2001").wait_answer(expect=403)
    assert not any(appliance.wait_idle().values())
    assert not any(message.method == "INVITE" for message in inside.messages)


def test_plain_offer_from_a_phone_is_refused(phones, appliance):
    """The outside leg is SRTP or it is not."""
    outside, inside = phones.outside(), phones.inside()
    outside.secure = False
    call = outside.invite("2001")
    response = call.phone.expect(lambda m: not m.request and m.code >= 300 and m.call_id == call.call_id, "a refusal")
    call.finish_invite(response)
    assert response.code in (403, 415, 488, 606), response.start
    assert not any(message.method == "INVITE" for message in inside.messages)
    assert not any(appliance.wait_idle().values())


def test_bytes_that_are_not_tls_are_refused(appliance):
    stranger = network.tcp_connection("ph-internet", network.OUTSIDE, 5061, source=network.STRANGER)
    stranger.sendall(b"REGISTER sip:lab.example SIP/2.0\r\nContent-Length: 0\r\n\r\n" * 3)
    stranger.settimeout(5)
    received = b""
    try:
        while part := stranger.recv(1000):
            received += part
    except (ConnectionResetError, socket.timeout):
        pass
    assert b"SIP/2.0" not in received
    stranger.close()
    assert appliance.ready()

