import pytest
from pinhole_lab.srtp import Crypto

from beside.calls import SUITE, Media, new_calls, sdp


def test_a_description_is_read_as_it_is_written():
    crypto = Crypto.new(SUITE)
    assert Media.parse(sdp("198.18.0.2", 40000, crypto)) == Media("198.18.0.2", 40000, "RTP/SAVP", crypto)
    assert Media.parse(sdp("198.19.0.2", 40002, None)) == Media("198.19.0.2", 40002, "RTP/AVP", None)


def test_an_answer_of_rtpengine_is_read():
    answer = "v=0\r\no=- 1 1 IN IP4 198.18.0.1\r\ns=-\r\nc=IN IP4 198.18.0.1\r\nt=0 0\r\nm=audio 20736 RTP/SAVP 0\r\n" \
             f"a=rtcp:20737\r\na=crypto:1 {SUITE} inline:wM5sr0/fVHOKiLu2ICyMMgqnPzsip6Ct5dWnjmeu\r\na=ptime:20\r\n"
    media = Media.parse(answer)
    assert (media.port, media.profile, len(media.crypto.key)) == (20736, "RTP/SAVP", 30)


@pytest.mark.parametrize("text", ["", "v=0\r\n", "m=audio 4000 RTP/AVP 0\r\n", "c=IN IP4 198.18.0.1\r\n"])
def test_a_description_without_audio_is_an_error(text):
    with pytest.raises(ValueError, match="no audio"):
        Media.parse(text)


def test_calls_differ_in_ports_and_keys():
    calls = new_calls(300)
    assert len({call.port for call in calls}) == len({call.phone_key.key for call in calls}) == 300
    assert all(call.port % 2 == 0 and 1024 <= call.port < 65536 for call in calls)
