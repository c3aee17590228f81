"""The one writer of response header fields: what it is given is one field each, or nothing is sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.core.response_headers import DATA_HEADERS, HeaderError, encode_headers
from collector.server.responses import CONSTANT_RESPONSES


@pytest.mark.parametrize("value", [b"a\r\nX-Evil: 1", b"a\nX-Evil: 1", b"a\rX-Evil: 1", b"a\0", b"a\x0b", b"a\x7f"])
def test_a_value_that_would_end_its_field_is_refused(value: bytes) -> None:
    """CR, LF, NUL and every other control character but the tab."""
    with pytest.raises(HeaderError) as refused:
        encode_headers([(b"x-tyst-receipt", value)])
    assert "Evil" not in str(refused.value)


@pytest.mark.parametrize("name", [b"", b"x:", b"x\r\ny", b"x y", b"\xe5"])
def test_a_name_that_is_no_token_is_refused(name: bytes) -> None:
    """RFC 9110, 5.1."""
    with pytest.raises(HeaderError):
        encode_headers([(name, b"1")])


@given(st.lists(st.tuples(st.sampled_from([b"a", b"x-b"]), st.binary(max_size=30)), max_size=4))
def test_as_many_lines_come_out_as_fields_go_in(headers: list[tuple[bytes, bytes]]) -> None:
    """Whatever the values hold, or none at all."""
    try:
        encoded = encode_headers(headers)
    except HeaderError:
        return
    assert encoded.count(b"\r") == encoded.count(b"\n") == encoded.count(b"\r\n") == len(headers)


def test_every_constant_response_is_no_page() -> None:
    """Browsers guess no type for it, and run nothing in it."""
    assert len(CONSTANT_RESPONSES) > 10
    for response in CONSTANT_RESPONSES:
        assert set(DATA_HEADERS) <= set(response.headers)
        assert dict(response.headers)[b"content-length"] == str(len(response.body)).encode()
