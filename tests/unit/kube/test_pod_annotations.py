"""What pods ask for by annotations, whether their namespaces may, and which pod of a name it was."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podvnet.kube.node_api import ApiError, Document
from podvnet.kube.pod_annotations import GRANTED, NAMES, ask_of, asking, refusal
from podvnet.kube.pod_inquiry import PodName, judge
from podvnet.kube.pod_record import is_static, read_pod
from podvnet.model.pod_ask import Egress, PodAsk
from podvnet.plugin.error import CniError, Code

PREFIX = "podvnet.io/"
POD = PodName("shop", "db-1", "aaaa-1")


def wishes(**annotations: str) -> dict[str, str]:
    return {PREFIX + name.replace("_", "-"): text for name, text in annotations.items()}


def document(uid: str = POD.uid, owner: str = "StatefulSet", **annotations: str) -> Document:
    reference = {"kind": owner, "controller": True}
    meta = {"namespace": "shop", "name": "db-1", "uid": uid, "annotations": wishes(**annotations)}
    return {"metadata": meta | {"ownerReferences": [reference]}}


class FakeApi:
    """An API that knows some documents by their paths."""

    def __init__(self, **documents: Document) -> None:
        self.documents = documents
        self.asked: list[str] = []

    def get(self, path: str, **_: str | int) -> Document:
        self.asked.append(path)
        found = self.documents.get(path.rpartition("/")[2].replace("-", "_"))
        if found is None:
            raise ApiError(f"GET {path}: 404", "", 404)
        return found

    def post(self, path: str, body: Document) -> Document:
        raise NotImplementedError

    def patch(self, path: str, body: Document, kind: str = "") -> Document:
        raise NotImplementedError

    def watch(self, path: str, **query: str | int) -> Iterator[Document]:
        raise NotImplementedError

    def stop(self) -> None:
        raise NotImplementedError


def namespace(*allowed: str, **limits: str) -> Document:
    labels = {f"allow.{PREFIX}{name}": "true" for name in allowed}
    annotations = {f"allow.{PREFIX}{name.replace('_', '-')}": text for name, text in limits.items()}
    return {"metadata": {"name": "shop", "labels": labels, "annotations": annotations}}


@pytest.mark.parametrize(
    ("annotations", "ask"),
    [
        ({}, None),
        (wishes(granted="{}"), None),
        ({"example.com/fixed-ip": "10.1.1.7"}, None),
        (wishes(application_security_groups="web, db"), PodAsk(groups=("web", "db"))),
        (wishes(application_security_groups=""), PodAsk(groups=())),
        (wishes(public_ip="new"), PodAsk(public="new")),
        (wishes(public_ip="true", public_ip_idle_timeout="7"), PodAsk(public="new", idle_timeout=7)),
        (wishes(public_ip="shared"), PodAsk(public="shared")),
        (wishes(backend_pools="front/pods"), PodAsk(pools=("front/pods",))),
        (wishes(inbound_nat_rules="front/ssh"), PodAsk(nat_rules=("front/ssh",))),
        (wishes(fixed_ip="10.1.1.7"), PodAsk(address=IPv4Address("10.1.1.7"))),
        (wishes(fixed_ip="10.1.1.7,10.1.1.8"), PodAsk(address=IPv4Address("10.1.1.8"))),
        (wishes(fixed_ip="sticky"), PodAsk(sticky=True, keep_for=3600)),
        (wishes(fixed_ip="sticky", fixed_ip_keep_for="5"), PodAsk(sticky=True, keep_for=5)),
        (
            wishes(fixed_ip="10.1.1.7", fixed_ip_keep_for="5"),
            PodAsk(address=IPv4Address("10.1.1.7"), sticky=True, keep_for=5),
        ),
        (wishes(egress="pod"), PodAsk(egress=Egress.POD)),
    ],
)
def test_annotations_are_read_as_an_ask(annotations: dict[str, str], ask: PodAsk | None) -> None:
    assert ask_of(annotations, ordinal=1) == ask


@pytest.mark.parametrize(
    ("annotations", "ordinal", "words"),
    [
        (wishes(public_ip="a/b"), None, "podvnet.io/public-ip is refused: 'a/b' is no name"),
        (wishes(public_ip_idle_timeout="7"), None, "podvnet.io/public-ip-idle-timeout needs podvnet.io/public-ip: new"),
        (wishes(public_ip="mine", public_ip_idle_timeout="7"), None, "needs podvnet.io/public-ip: new beside it"),
        (wishes(public_ip="new", public_ip_idle_timeout="-7"), None, "must be a whole number"),
        (wishes(fixed_ip="10.1.1.7,10.1.1.8"), None, "the pod is of no StatefulSet"),
        (wishes(fixed_ip="10.1.1.7,10.1.1.8"), 2, "none for the pod's ordinal 2"),
        (wishes(fixed_ip=" , "), 0, "podvnet.io/fixed-ip is empty"),
        (wishes(fixed_ip="fd00::7"), 0, "must be an IPv4 address"),
        (wishes(fixed_ip_keep_for="7"), 0, "needs podvnet.io/fixed-ip beside it"),
        (wishes(egress="nat"), 0, "must be one of vm, pod"),
        (wishes(publicip="new"), 0, "'podvnet.io/publicip' is none that is known"),
    ],
)
def test_what_cannot_be_read_is_refused_by_the_name_of_its_annotation(
    annotations: dict[str, str], ordinal: int | None, words: str
) -> None:
    with pytest.raises(CniError) as refused:
        ask_of(annotations, ordinal)
    assert refused.value.code is Code.INVALID_CONFIG
    assert words in refused.value.msg


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from([*NAMES, PREFIX + "other", GRANTED, "a/b"]), st.text(max_size=40), max_size=6),
    st.none() | st.integers(0, 3),
)
def test_whatever_a_pods_owner_writes_is_an_ask_or_a_refusal(annotations: dict[str, str], ordinal: int | None) -> None:
    found = outcome(annotations, ordinal)
    if isinstance(found, CniError):
        assert (found.code, found.msg.partition(" ")[0]) == (Code.INVALID_CONFIG, "annotation")
    else:
        assert found is None or asking(annotations)


def outcome(annotations: dict[str, str], ordinal: int | None) -> PodAsk | CniError | None:
    try:
        return ask_of(annotations, ordinal)
    except CniError as error:
        return error


@pytest.mark.parametrize(
    ("labels", "limits", "words"),
    [
        ({}, {}, "may not ask for that"),
        ({"allow.podvnet.io/application-security-groups": "yes"}, {}, "may not ask for that"),
        ({"allow.podvnet.io/application-security-groups": "true"}, {}, ""),
        (
            {"allow.podvnet.io/application-security-groups": "true"},
            {"allow.podvnet.io/application-security-groups": "web, cache"},
            "may not ask for db",
        ),
        (
            {"allow.podvnet.io/application-security-groups": "true"},
            {"allow.podvnet.io/application-security-groups": "db,web"},
            "",
        ),
    ],
)
def test_a_namespace_may_ask_for_what_its_labels_say(
    labels: dict[str, str], limits: dict[str, str], words: str
) -> None:
    found = refusal(wishes(application_security_groups="web,db"), "shop", labels, limits)
    assert (found is None) == (words == "")
    assert found is None or (found.code is Code.ASK_REFUSED and words in found.msg)


def test_one_label_is_for_an_annotation_and_what_goes_with_it() -> None:
    asked = wishes(public_ip="new", public_ip_idle_timeout="7")
    assert refusal(asked, "shop", {"allow.podvnet.io/public-ip": "true"}, {}) is None


def test_a_pod_that_the_watch_has_not_seen_is_asked_about_and_so_is_its_namespace() -> None:
    api = FakeApi(db_1=document(fixed_ip="10.1.1.7, 10.1.1.8"), shop=namespace("fixed-ip"))
    assert judge(POD, None, api) == PodAsk(address=IPv4Address("10.1.1.8"))
    assert api.asked == ["/api/v1/namespaces/shop/pods/db-1", "/api/v1/namespaces/shop"]


def test_a_pod_that_asks_for_nothing_costs_no_question_about_its_namespace() -> None:
    api = FakeApi()
    assert judge(POD, read_pod(document()), api) is None
    assert api.asked == []


@pytest.mark.parametrize("known", [document("bbbb-2", public_ip="new"), None])
def test_another_pod_of_the_name_or_none_is_a_reason_to_try_again(known: Document | None) -> None:
    api = FakeApi(shop=namespace("public-ip"), **({"db_1": known} if known else {}))
    answer = judge(POD, None, api)
    assert isinstance(answer, CniError)
    assert answer.code is Code.TRY_AGAIN


def test_only_a_pod_of_a_stateful_set_has_an_ordinal() -> None:
    assert read_pod(document()).ordinal == 1
    assert read_pod(document(owner="ReplicaSet")).ordinal is None


def test_kubelets_own_pods_are_known_by_their_uid() -> None:
    assert is_static("5b06f2e2a2a2d5e5dd6ebbe5b7a3cc53")
    assert not is_static("5b06f2e2-a2a2-d5e5-dd6e-bbe5b7a3cc53")
