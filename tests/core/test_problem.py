import hashlib

from hypothesis import given
from hypothesis import strategies as st

from tirage.core import Problem


def test_identity_is_a_known_hash_of_the_content():
    expected = hashlib.sha256(b'["What is 2+2?", "4", "math", "math"]').hexdigest()[:16]
    assert Problem(prompt="What is 2+2?", answer="4").id == expected


@given(st.text(), st.text(), st.text())
def test_where_it_came_from_is_not_identity(source, split, extra):
    assert Problem(prompt="p", answer="a").id == Problem(prompt="p", answer="a", source=source, split=split, metadata={"x": extra}).id


def test_every_part_of_the_content_is_identity():
    variants = [
        Problem(prompt="p", answer="a"),
        Problem(prompt="pa", answer=""),
        Problem(prompt="p", answer=None),
        Problem(prompt="p", answer="None"),
        Problem(prompt="p", answer="a", kind="code"),
        Problem(prompt="p", answer="a", verifier="exact"),
    ]
    assert len({problem.id for problem in variants}) == len(variants)


def test_family_and_tier_for_reports():
    assert Problem(prompt="p").family == "all"
    assert Problem(prompt="p", source="gsm8k").family == "gsm8k"
    assert Problem(prompt="p", source="gsm8k", metadata={"family": "sums", "tier": 3}).family == "sums"
    assert Problem(prompt="p", metadata={"tier": 3}).tier == "3"
    assert Problem(prompt="p").tier == "-"
