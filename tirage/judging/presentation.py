"""How a judge is shown what it judges: without marks of who wrote it, without formatting, at one length. What is right does not change.

Everything here is a function of the text alone, may be applied twice at no effect, and gives a text back as it was where a change
would touch its final answer.
"""

import re
from collections.abc import Callable

from tirage.verification.ballot import classes
from tirage.verification.extract import CHOICE_POLICY, MATH_POLICY, Method, extract

Rewrite = Callable[[str], str]
Present = Callable[[str, str], tuple[str, str]]
"""How two texts are shown side by side."""
AUTHOR = "a model"
_MARKED: tuple[Method, ...] = ("boxed", "tag", "phrase")
_MODEL = re.compile(
    r"\b(?:an? )?(?:ChatGPT|GPT|OpenAI|Claude(?! (?!Opus|Sonnet|Haiku)[A-Z])|Anthropic|Gemini|Gemma|Llama|Qwen|Mistral|Mixtral|DeepSeek)"
    r"(?:[- ](?:\d[\w.]*|Opus|Sonnet|Haiku|Flash|Pro|Turbo|Instruct|Large|Mini))*\b"
)
_SPEAKER = re.compile(r"\b(?:Speaking as|As) (?:an?|the|someone|somebody)\b[^.,!?\n]{1,100}, (?=I\b)|\bMy name is [^.!?\n]{1,60}[.!?]\s?")
_FENCE = re.compile(r"^ {0,3}```.*\n?", re.MULTILINE)
_LINE_MARK = re.compile(r"^[ \t]*(?:#{1,6} +|>+ ?|[-*+] +(?=[^\d\s]))|^ {0,3}(?:-{3,}|\*{3,}|_{3,})\s*$", re.MULTILINE)
_PAIR = re.compile(r"(?<!\w)(\*\*|__|\*|_|`)(?=\S)([^\n]*?\S)\1(?!\w)")
_PICTURE = re.compile("[\U0001f300-\U0001faff\u2600-\u27bf]\ufe0f? ?")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


def same_answer(before: str, after: str, *policies: tuple[Method, ...]) -> bool:
    """Whether two texts end on answers that mean the same, by each of `policies`; two without an answer do.

    By default they are read as mathematics and as a choice.
    """
    for policy in policies or (MATH_POLICY, CHOICE_POLICY):
        first, second = extract(before, policy).answer, extract(after, policy).answer
        if (first is None) != (second is None) or len(set(classes([first, second]))) > 1:
            return False
    return True


def keeping(text: str, rewritten: str, *policies: tuple[Method, ...]) -> str:
    """The rewritten text, or the text itself where the final answer would be another."""
    return rewritten if same_answer(text, rewritten, *policies) else text


def blind(text: str, names: tuple[str, ...] = ()) -> str:
    """Names of models, and `names`, become "a model"; "As a ..., I" and "My name is ..." go."""
    shown = _SPEAKER.sub("", text)
    for name in names:
        shown = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", AUTHOR, shown)
    # The last number of a text may be a model's version, which is no answer.
    return keeping(text, _MODEL.sub(AUTHOR, shown), _MARKED)


def plain(text: str) -> str:
    """Markdown becomes text: headings, bullets, emphasis, quotes, fences and rules lose their marks, pictures go."""
    shown, before = text, None
    while shown != before:
        before = shown
        shown = _PAIR.sub(r"\2", _PICTURE.sub("", _LINE_MARK.sub("", _FENCE.sub("", shown))))
    return keeping(text, shown)


def shorten(text: str, words: int) -> str:
    """Whole sentences from the beginning, and always the last one, as long as there are at most `words` words."""
    if len(text.split()) <= words:
        return text
    *sentences, last = [sentence for sentence in _SENTENCE.split(text.strip()) if sentence]
    left, kept = words - len(last.split()), []
    for sentence in sentences:
        left -= len(sentence.split())
        if left < 0:
            break
        kept.append(sentence)
    return keeping(text, " ".join([*kept, last]))


def level(first: str, second: str) -> tuple[str, str]:
    """Both at the length of the shorter, in words."""
    words = min(len(first.split()), len(second.split()))
    return shorten(first, words), shorten(second, words)


def each(*rewrites: Rewrite) -> Present:
    """Both texts rewritten alike, one rewrite after the other."""

    def present(first: str, second: str) -> tuple[str, str]:
        for rewrite in rewrites:
            first, second = rewrite(first), rewrite(second)
        return first, second

    return present
