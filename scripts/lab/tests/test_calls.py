"""Calls through the appliance: every suite, each direction, hold and resume, both transports to the call manager."""

import time

import pytest
from helpers import assert_heard, eventually, hang_up, in_background, settle, talk

from pinhole_lab.scripted_phone import plug
from pinhole_lab.srtp import SUITES


@pytest.mark.parametrize("suite", SUITES)
def test_suite_is_negotiated_and_carries_audio_both_ways(phones, appliance, suite):
    outside, inside = phones.outside(suites=[suite]), phones.inside()
    one, two = outside.call(inside)
    assert [line.suite for line in one.far.cryptos] == [suite]
    talk(one, two)
    assert_heard(one, two)
    (call,) = appliance.ctl("calls")
    assert call["suite"] == suite and call["call_id"] == one.call_id
    hang_up(one, two)


@pytest.mark.parametrize("suite", ["AEAD_AES_256_GCM", "AES_256_CM_HMAC_SHA1_32"])
def test_inside_phone_calls_outside_phone(phones, suite):
    outside, inside = phones.outside(suites=[suite]), phones.inside()
    outside.show_suites()
    one, two = inside.call(outside)
    assert two.crypto.suite == suite
    talk(one, two)
    assert_heard(one, two)
    hang_up(two, one)


def test_phones_behind_the_same_nat_call_each_other_with_different_suites(phones, appliance):
    first = phones.outside(suites=["AES_CM_128_HMAC_SHA1_80"])
    second = phones.second_outside(suites=["AEAD_AES_128_GCM"])
    second.show_suites()
    one, two = first.call(second)
    one.stream.start(), two.stream.start()
    eventually(lambda: one.stream.heard and two.stream.heard, what="audio both ways")
    before = len(one.stream.sent), len(two.stream.sent)
    time.sleep(2)
    settle(one, two)
    from pinhole_lab.media import missing
    assert missing(one.stream, two.stream, before[0]) == [] and missing(two.stream, one.stream, before[1]) == []
    assert not one.stream.refused and not two.stream.refused
    assert len(appliance.ctl("sessions")) == 2
    hang_up(one, two)


@pytest.mark.parametrize("mux", [True, False], ids=["rtcp-mux", "separate"])
def test_rtcp_is_translated_too(phones, mux):
    outside, inside = phones.outside(mux=mux), phones.inside()
    one, two = outside.call(inside)
    assert one.far.mux == mux
    assert not two.far.mux or inside.mux
    plug(one, two)
    eventually(lambda: len(one.stream.rtcp_heard) >= 2 and len(two.stream.rtcp_heard) >= 2, 10, "RTCP both ways")
    settle(one, two)
    assert_heard(one, two)
    for listener, speaker in ((one, two), (two, one)):
        assert all(report[4:8] == speaker.stream.ssrc.to_bytes(4, "big") for report in listener.stream.rtcp_heard)
    hang_up(two, one)


def test_phone_holds_and_resumes_with_the_same_key(phones):
    outside, inside = phones.outside(), phones.inside()
    one, two = outside.call(inside)
    plug(one, two)
    time.sleep(1)
    settle(one, two)
    key = two.phone.secure, one.crypto
    waiting = in_background(two.accept_reinvite)
    assert one.reinvite("sendonly").direction == "recvonly"
    assert waiting().direction == "sendonly"
    waiting = in_background(two.accept_reinvite)
    assert one.reinvite("sendrecv").direction == "sendrecv"
    assert waiting().direction == "sendrecv"
    assert key == (two.phone.secure, one.crypto)
    talk(one, two, 1.5)
    assert_heard(one, two)
    hang_up(one, two)


def test_inside_phone_holds_and_resumes(phones):
    outside, inside = phones.outside(), phones.inside()
    one, two = outside.call(inside)
    talk(one, two, 1)
    waiting = in_background(one.accept_reinvite)
    assert two.reinvite("inactive").direction == "inactive"
    assert waiting().direction == "inactive"
    waiting = in_background(one.accept_reinvite)
    two.reinvite("sendrecv")
    waiting()
    talk(one, two, 1.5)
    assert_heard(one, two)
    hang_up(two, one)


def test_cancelled_call_leaves_nothing(phones, appliance):
    outside, inside = phones.outside(), phones.inside()
    call = outside.invite("2001")
    ringing = inside.wait_call()

    def be_cancelled():
        request = inside.expect(lambda m: m.method == "CANCEL", "the CANCEL")
        inside.respond(request, 200, "OK")
        ringing.reject(487, "Request Terminated")

    waiting = in_background(be_cancelled)
    call.cancel()
    waiting()
    assert not any(appliance.wait_idle().values())


def test_busy_and_unknown_callees_leave_nothing(phones, appliance):
    outside, inside = phones.outside(), phones.inside()
    call = outside.invite("2001")
    inside.wait_call().reject(486, "Busy Here")
    call.wait_answer(expect=486)
    call = outside.invite("2999")
    call.wait_answer(expect=404)
    assert not any(appliance.wait_idle().values())


def test_inside_addresses_never_show_outside(phones):
    outside, inside = phones.outside(), phones.inside()
    one, two = outside.call(inside)
    seen = two.invitation.to_bytes()
    assert b"192.168.77." not in seen and b"203.0.113." not in seen, seen.decode()
    hang_up(two, one)
    one, two = inside.call(outside)
    seen = two.invitation.to_bytes()
    assert b"10.20.0." not in seen, seen.decode()
    hang_up(one, two)


def test_keep_alive_is_answered(phones):
    outside = phones.outside()
    outside.send_bytes(b"\r\n\r\n")
    eventually(lambda: outside.pongs, what="the pong")


def test_options_is_answered(phones):
    from pinhole_lab.sip import Message, token
    outside = phones.outside()
    headers = outside.header_block("OPTIONS", token(), token(), "<sip:lab.example>", 1)
    assert outside.transact(Message("OPTIONS sip:lab.example SIP/2.0", headers)).code == 200


@pytest.mark.parametrize("method, body", [("MESSAGE", b"hello"), ("NOTIFY", b"state=idle")])
def test_other_requests_pass_both_ways(phones, method, body):
    from pinhole_lab.sip import Message, token
    outside, inside = phones.outside(), phones.inside()
    for sender, receiver in ((outside, inside), (inside, outside)):
        to = f"<sip:{receiver.user}@lab.example>"
        extra = [("Content-Type", "text/plain"), ("Event", "x-lab"), ("Subscription-State", "active"), ("X-Lab", "kept")]
        headers = sender.header_block(method, token(), token(4), to, 1, extra=extra)
        response = sender.transact(Message(f"{method} sip:{receiver.user}@lab.example SIP/2.0", headers, body))
        assert response.code == 200
        seen = receiver.expect(lambda m: m.method == method and m.request, method)
        assert seen.body == body and seen.get("X-Lab") == "kept"


def test_call_manager_over_tcp(phones, lab, appliance):
    appliance.controlplane.stop()
    cluster = {"name": "lab", "call_manager": "10.20.0.10:5060", "sources": ["10.20.0.10"], "transport": "tcp",
               "local": "10.20.0.5:5060", "port": "inside", "domain": "lab.example", "devices": "^SEP"}
    appliance.configure({"cluster": [cluster]})
    appliance.start_controlplane()
    try:
        outside, inside = phones.outside(), phones.inside()
        for caller, callee in ((outside, inside), (inside, outside)):
            one, two = caller.call(callee)
            talk(one, two, 1.7)
            assert_heard(one, two)
            hang_up(two, one)
    finally:
        appliance.wait_idle()
        appliance.configure()
        appliance.controlplane.stop()
        appliance.start_controlplane()
