import json

import pytest

from podvnet.plugin.error import CniError, Code, quoted


@pytest.mark.parametrize(
    ("code", "number"),
    [
        (Code.INCOMPATIBLE_VERSION, 1),
        (Code.UNSUPPORTED_FIELD, 2),
        (Code.UNKNOWN_CONTAINER, 3),
        (Code.BAD_ENVIRONMENT, 4),
        (Code.IO_FAILURE, 5),
        (Code.CANNOT_DECODE, 6),
        (Code.INVALID_CONFIG, 7),
        (Code.INVALID_NETNS, 8),
        (Code.TRY_AGAIN, 11),
        (Code.NOT_AVAILABLE, 50),
        (Code.NOT_AVAILABLE_AND_PODS_SUFFER, 51),
        (Code.INTERFACE_EXISTS, 100),
        (Code.POOL_EXHAUSTED, 101),
        (Code.KERNEL_REFUSED, 102),
        (Code.CHECK_FAILED, 103),
        (Code.INTERNAL, 199),
    ],
)
def test_codes_are_part_of_the_contract(code: Code, number: int) -> None:
    assert code == number


def test_ours_stay_out_of_the_reserved_range() -> None:
    reserved = {1, 2, 3, 4, 5, 6, 7, 8, 11, 50, 51}
    assert all(code in reserved or 100 <= code < 200 for code in Code)


def test_the_object_has_the_four_keys() -> None:
    error = CniError(Code.POOL_EXHAUSTED, "no address left in 10.0.0.0/24", "add ip-configurations to the NIC")
    assert json.loads(error.render("0.4.0")) == {
        "cniVersion": "0.4.0",
        "code": 101,
        "msg": "no address left in 10.0.0.0/24",
        "details": "add ip-configurations to the NIC",
    }


def test_empty_details_are_left_out() -> None:
    assert "details" not in CniError(Code.INTERNAL, "bug").document("1.0.0")


def test_the_version_is_the_one_given_else_its_own_else_the_newest() -> None:
    error = CniError(Code.INTERNAL, "bug", cni_version="0.3.1")
    assert error.document("1.0.0")["cniVersion"] == "1.0.0"
    assert error.document()["cniVersion"] == "0.3.1"
    assert CniError(Code.INTERNAL, "bug").document()["cniVersion"] == "1.1.0"


def test_as_text_it_says_what_and_what_to_do_and_the_code() -> None:
    assert str(CniError(Code.TRY_AGAIN, "no agent", "start it")) == "no agent; start it (CNI error 11)"
    assert str(CniError(Code.INTERNAL, "bug")) == "bug (CNI error 199)"


def test_any_text_renders_as_ascii_json() -> None:
    rendered = CniError(Code.BAD_ENVIRONMENT, 'path "/x\n\0\udc80é"', "\ud800").render("1.0.0")
    assert rendered.isascii()
    assert json.loads(rendered)["msg"] == 'path "/x\n\0\\udc80é"'
    assert json.loads(rendered)["details"] == "\\ud800"


def test_quoting_escapes_and_cuts() -> None:
    assert quoted("a\nb") == "'a\\nb'"
    assert quoted("x" * 200) == "'" + "x" * 80 + "'… (200 characters)"
