"""The template language: reading expressions."""

from __future__ import annotations

import pytest

from podvnet.fabric.deployment import expression
from podvnet.fabric.deployment.expression import Call, Index, Literal
from podvnet.fabric.deployment.template_error import TemplateError
from podvnet.model.arm_error import ArmError


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        pytest.param("'a'", Literal("a"), id="string"),
        pytest.param("''", Literal(""), id="empty string"),
        pytest.param("'it''s'", Literal("it's"), id="quote in a string"),
        pytest.param("'[('", Literal("[("), id="signs in a string"),
        pytest.param("-12", Literal(-12), id="negative number"),
        pytest.param("f()", Call("f", ()), id="no arguments"),
        pytest.param(" f ( 'a' ,\n 1 ) ", Call("f", (Literal("a"), Literal(1))), id="white space"),
        pytest.param("f(g(h()))", Call("f", (Call("g", (Call("h", ()),)),)), id="nested"),
        pytest.param("f().a", Index(Call("f", ()), Literal("a"), "f().a"), id="property"),
        pytest.param("f()['a']", Index(Call("f", ()), Literal("a"), "f()['a']"), id="property in brackets"),
        pytest.param("f()[0]", Index(Call("f", ()), Literal(0), "f()[0]"), id="index"),
        pytest.param(
            "f()[g()].b",
            Index(Index(Call("f", ()), Call("g", ()), "f()[g()]"), Literal("b"), "f()[g()].b"),
            id="index that is computed",
        ),
        pytest.param("my.own(1)", Call("my.own", (Literal(1),)), id="function of the template's own"),
        pytest.param("'é≠'", Literal("é≠"), id="beyond ASCII"),
    ],
)
def test_reads(text: str, tree: expression.Expression) -> None:
    assert expression.parse(text) == tree


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("", "expected a string, a number or a function, found the end", id="empty"),
        pytest.param("f(", "found the end", id="open call"),
        pytest.param("f('a)", "not closed with a quote", id="open string"),
        pytest.param("f('a' 'b')", "expected '\\)', found ''b''", id="no comma"),
        pytest.param("f(,)", "found ','", id="lone comma"),
        pytest.param("f()g()", "expected the end of the expression, found 'g'", id="two expressions"),
        pytest.param("f().", "expected a property name", id="lone dot"),
        pytest.param("f()[0", "expected ']'", id="open index"),
        pytest.param("true", "expected '\\('", id="bare word"),
        pytest.param("a.1()", "the name of a function, found .1.", id="number after a dot"),
        pytest.param("f(1.5)", "'1.5\\)' is not understood", id="fraction"),
        pytest.param('f("a")', "is not understood", id="double quotes"),
        pytest.param("f(99999999999999999999)", "does not fit in 64 bits", id="large number"),
        pytest.param("f(" * 200 + ")" * 200, "nested", id="deep"),
        pytest.param("'" + "a" * 25000 + "'", "24576 are allowed", id="long"),
    ],
)
def test_says_what_is_wrong(text: str, why: str) -> None:
    with pytest.raises(ArmError, match=why) as caught:
        expression.parse(text)
    assert caught.value.code == "InvalidTemplate"


def test_position_is_named() -> None:
    with pytest.raises(ArmError, match="position 10"):
        expression.parse("concat('a'!)")


@pytest.mark.parametrize(
    ("text", "is_expression", "literal"),
    [
        pytest.param("[f()]", True, "", id="expression"),
        pytest.param("[[x]", False, "[x]", id="escaped"),
        pytest.param("[[x", False, "[[x", id="escape without an end"),
        pytest.param("[x", False, "[x", id="no end"),
        pytest.param("[a] b", False, "[a] b", id="bracket at the start only"),
        pytest.param(" [f()]", False, " [f()]", id="space before"),
        pytest.param("[", False, "[", id="one bracket"),
    ],
)
def test_tells_expressions_from_text(text: str, is_expression: bool, literal: str) -> None:
    assert expression.is_expression(text) is is_expression
    if not is_expression:
        assert expression.literal_text(text) == literal


def test_an_error_keeps_its_first_place() -> None:
    error = TemplateError("why").at("a.b").at("c")
    assert (error.path, error.message) == ("a.b", "Deployment template validation failed: 'why at 'a.b''.")
