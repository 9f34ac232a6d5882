from __future__ import annotations

import pytest

from podvnet.azure.error import LARGEST_DOCUMENT, SourceError, bad_document, check_size, quoted


def test_text_of_an_error_has_source_finding_and_remedy() -> None:
    error = SourceError("http://x answered 410: gone", "Ask again", True, retry_after=2.0, retry_limit=70.0)
    assert str(error) == "http://x answered 410: gone. Ask again"
    assert (error.retryable, error.retry_after, error.retry_limit) == (True, 2.0, 70.0)


def test_a_bad_document_is_not_worth_another_try() -> None:
    error = bad_document("/etc/file", "no interface is listed")
    assert error.message == "/etc/file: no interface is listed"
    assert not error.retryable
    assert error.remedy


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("a\nb", "a\\nb"),
        ("\x1b[31m", "\\x1b[31m"),
        ("Straße", "Straße"),
        ("x" * 300, "x" * 300),
        ("x" * 301, "x" * 300 + "…"),
        ("\0" * 500, "\\x00" * 75 + "…"),
    ],
)
def test_quoted(text: str, expected: str) -> None:
    assert quoted(text) == expected


def test_size() -> None:
    check_size(bytes(LARGEST_DOCUMENT), "source")
    with pytest.raises(SourceError, match=r"^source: more than 1048576 bytes"):
        check_size(bytes(LARGEST_DOCUMENT + 1), "source")
