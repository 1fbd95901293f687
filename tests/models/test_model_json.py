r"""JSON as models write it: what is read, what is repaired, what is left alone."""

import time

import pytest

from tirage.models.model_json import find_objects, read_object

REPAIRED = [
    ('{"why": "first\nsecond"}', {"why": "first\nsecond"}),
    ('{"a": {"b": 1,}, "c": [1, 2,],}', {"a": {"b": 1}, "c": [1, 2]}),
    ("{'a': 'it\\'s', 'b': True, 'c': None}", {"a": "it's", "b": True, "c": None}),
    ('{"a": 1, // it\'s one }\n "b": 2, # and }\n /* { */ "c": 3}', {"a": 1, "b": 2, "c": 3}),
    ("{“a”: “yes”, “b”: 1}", {"a": "yes", "b": 1}),
    ('{a: 1, b: "x"}', {"a": 1, "b": "x"}),
    ('{"a": "he said "hi" there", "b": 2}', {"a": 'he said "hi" there', "b": 2}),
    ('{"code": """print("x", {1: 2})\n"""}', {"code": 'print("x", {1: 2})\n'}),
    ('```\n{"a": true, "b": ["x"]\n```\nThat is 1', {"a": True, "b": ["x"]}),
    ('{"a": true, "b": "and so', {"a": True, "b": "and so"}),
    ('{"sub\\_goal": "x"}', {"sub_goal": "x"}),
]


@pytest.mark.parametrize(("text", "value"), REPAIRED)
def test_what_is_nearly_json_is_repaired(text, value):
    assert [item.value for item in find_objects(text)] == [value]


def test_latex_that_is_not_escaped_is_latex():
    text = r'{"a": "\frac{1}{2} \times \beta \nabla \theta \rho \neq \underline{x} \(y\) \text{cm}"}'
    (found,) = find_objects(text)
    assert found.value["a"] == r"\frac{1}{2} \times \beta \nabla \theta \rho \neq \underline{x} \(y\) \text{cm}"
    (escaped,) = find_objects(r'{"a": "\\frac{1}{2}\ttab\nnext\neq = 3\ni = 0é \"q\""}')
    assert escaped.value["a"] == '\\frac{1}{2}\ttab\nnext\neq = 3\ni = 0é "q"'


@pytest.mark.parametrize("text", ["no", r"\frac{1}{2}", "{x | x > 0}", "{1, 2}", "f{x}", '{"a"}', "use { to open"])
def test_other_braces_are_none(text):
    assert find_objects(text) == []
    (found,) = find_objects(f'{text}. {{"ok": true}}')
    assert found.value == {"ok": True}


@pytest.mark.parametrize(
    "text", ['{"score": 1', '{"items": [1, 2', '{"a": 1, "sc', '{"a": 1, "score"', '{"a": 1, "score":', '{"a": [{"ok": true}, {"ok": fal']
)
def test_a_name_or_number_that_was_cut_leaves_no_object_nor_what_is_inside(text):
    assert find_objects(text) == []


def test_noise_costs_no_time():
    began = time.process_time()
    for noise in ('{"a": ' * 20_000, '{"{' * 20_000, "{'a': ' x " * 5_000, '{"a": [' * 20_000 + "]" * 20_000):
        find_objects(noise)
    assert time.process_time() - began < 20


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        ("", {}),
        ('"{\\"a\\": 1}"', {"a": 1}),
        ('"\\"{\\\\\\"a\\\\\\": 1}\\""', {"a": 1}),
        ('{"code": "a\nb",}', {"code": "a\nb"}),
        ('```json\n{"a": 1}\n```', {"a": 1}),
        ("{'a': True}", {"a": True}),
    ],
)
def test_arguments_are_read(text, value):
    assert read_object(text) == value


@pytest.mark.parametrize("text", ["null", "[1]", "3", "x", '{"a": 1} and {"b": 2}', 'run {"a": 1}', '"text"', '{"code": "print(1)"'])
def test_what_is_no_object_is_refused(text):
    with pytest.raises(ValueError, match="JSON object"):
        read_object(text)
