r"""The same mathematics in one notation: Unicode, decorations and plain-text functions become a small LaTeX.

Nothing is dropped here that carries meaning: what is undone is spacing, size, weight, outer marks and spelling.
"""

import re
import unicodedata
from fractions import Fraction

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿⁱˣ", "0123456789+-nix")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉₊₋ₙ", "0123456789+-n")
_RAISED = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿⁱˣ]+")
_LOWERED = re.compile("[₀₁₂₃₄₅₆₇₈₉₊₋ₙ]+")
_SQUARE_METRES = re.compile(r"(?<=\d)m(?=[²³])")
"""Written so by people who mean the unit."""
_VULGAR = re.compile("[¼½¾⅐-⅞↉]")
_SIGNS = {
    **dict.fromkeys("−–—﹣－‐‑‒", "-"),
    **dict.fromkeys("·⋅∙•", r"\cdot "),
    **dict.fromkeys("⁄∕", "/"),
    **dict.fromkeys("\u200b\u200c\u200d\ufeff\u2060", ""),
    **dict.fromkeys("“”„", '"'),
    "×": r"\times ", "÷": r"\div ", "∗": "*", "∞": r"\infty ", "≤": r"\le ", "≥": r"\ge ", "⩽": r"\le ", "⩾": r"\ge ", "≠": r"\neq ",
    "≈": r"\approx ", "≡": r"\equiv ", "∈": r"\in ", "∪": r"\cup ", "∩": r"\cap ", "∅": r"\emptyset ", "±": r"\pm ", "∓": r"\mp ",
    "°": r"^\circ ", "º": r"^\circ ", "ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}", "ℕ": r"\mathbb{N}", "ℚ": r"\mathbb{Q}", "ℂ": r"\mathbb{C}",
    "′": "'", "’": "'", "‘": "'", "″": "''", "⟨": r"\langle ", "⟩": r"\rangle ", "∠": r"\angle ", "。": ".", "，": ",", "、": ",",
    "…": "...", "→": r"\to ",
}  # fmt: skip
_GREEK = {
    letter: f"\\{name} "
    for letter, name in zip(
        "αβγδεζηθικλνξπρστφχψωΓΔΘΛΞΠΣΦΨΩ",
        "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda nu xi pi rho sigma tau phi chi psi omega "
        "Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega".split(),
        strict=True,
    )
}
_TABLE = str.maketrans({**_SIGNS, **_GREEK})
_UNICODE_ROOT = re.compile(r"([√∛])\s?(?:\(([^()]*(?:\([^()]*\)[^()]*)*)\)|(\d+(?:\.\d+)?|[A-Za-z]|\\[A-Za-z]+))")

_SIZED = re.compile(r"\\m?(?:left|right|bigl?|bigr?|Bigl?|Bigr?|biggl?|biggr?|Biggl?|Biggr?)(?![A-Za-z])\.?")
_DECLARED = re.compile(
    r"\\(?:displaystyle|textstyle|scriptstyle|large|Large|LARGE|huge|small|normalsize|limits|bf|rm|it|boldmath)(?![A-Za-z])"
)
_TEXT = re.compile(
    r"(?P<digit>(?<=[\d})]))?\\(?:text|textbf|textit|textrm|textnormal|mathrm|mathbf|mathit|mathsf|mathtt|boldsymbol|bm|mbox|hbox|emph"
    r"|operatorname\*?|underline)\s*\{(?P<inside>[^{}]*)\}"
)
_EMPHASIS = re.compile(r"(\*\*|__)(?=\S)(.{1,400}?)(?<=\S)\1")
_DISPLAY = re.compile(r"\\(?:begin|end)\{(?:equation|align|aligned|gather|gathered|displaymath|math|split|multline|center)\*?\}")
_DELIMITED = re.compile(r"\\\((.*?)\\\)|\\\[(.*?)\\\]", re.DOTALL)
_FRACTION_NAMES = re.compile(r"\\(?:dfrac|tfrac|cfrac|sfrac|nicefrac|xfrac|flatfrac)(?![A-Za-z])")
_SHORT_FRACTION = re.compile(r"\\frac\s*(?:(\d)\s*(\d)|(\{[^{}]*\})\s*([\dA-Za-z])|([\dA-Za-z])\s*(\{[^{}]*\}))")
_THOUSANDS = re.compile(r"(?<=\d)(?:\{,\}|,\s*\\!|\\!)\s*(?=\d{3})")
_MARKED = re.compile(r"(?<=\d)'(?=\d{3}(?:\D|$))")
_SPACES = re.compile(r"(?<!\\)\\[ ,;:!>]|~|\\q?quad(?![A-Z\\])|\\(?:hspace|vspace)\*?\{[^{}]*\}|\s+")
_BOX = re.compile(r"\s*\\{1,2}(?:boxed|fbox)\s*\{")
_CHOOSE = re.compile(r"\{\s*([^{}]+?)\s*\\choose\s*([^{}]+?)\s*\}")
_ENDS = ".。;:!?,"
_MATRIX_ARRAY = re.compile(r"[(\[]\s*\\begin\{array\}\s*\{[lcr|\s]*\}(.*?)\\end\{array\}\s*[)\]]", re.DOTALL)
_MATRICES = re.compile(r"\\(begin|end)\{(?:b|p|small)?matrix\}")


def to_latex_signs(text: str) -> str:
    """Unicode mathematics as ASCII LaTeX: `½`, `√5`, `x²`, `10⁶`, `∞`, `≤`, `π`, full-width digits, every kind of dash."""
    if text.isascii():
        return text
    text = _VULGAR.sub(lambda match: " \\frac{{{}}}{{{}}}".format(*unicodedata.normalize("NFKC", match[0]).split("⁄")), text)
    text = _SQUARE_METRES.sub(" m", text)
    text = _RAISED.sub(lambda match: f"^{{{match[0].translate(_SUPERSCRIPTS)}}}", text)
    text = _LOWERED.sub(lambda match: f"_{{{match[0].translate(_SUBSCRIPTS)}}}", text)
    text = unicodedata.normalize("NFKC", text.translate(_TABLE)).translate(_TABLE)
    for _ in range(3):
        text = _UNICODE_ROOT.sub(lambda match: f"\\sqrt{'[3]' if match[1] == '∛' else ''}{{{match[2] or match[3]}}}", text)
    return text


def normalise(text: str) -> str:
    r"""Undo notation that carries no meaning: Unicode, spacing, `\text{}`, `\left`, sizes, weights, outer dollars, a final full stop."""
    text = to_latex_signs(text)
    if "{,}" in text:
        text = _THOUSANDS.sub("", text)
    if "\\" in text:
        text = _plain_commands(_unboxed(text))
    if "**" in text or "__" in text:
        text = _EMPHASIS.sub(r"\2", text)
    text = _MARKED.sub("", _SPACES.sub(" ", text)).strip()
    return _without_marks(text)


def _plain_commands(text: str) -> str:
    """Commands of size, weight and display taken off; fractions and matrices written one way."""
    text = re.sub(r"\\\\(?=[a-zA-Z])", r"\\", text) if "matrix" not in text and "array" not in text and "cases" not in text else text
    text = _DECLARED.sub("", _SIZED.sub("", text))
    text = _MATRIX_ARRAY.sub(r"\\begin{matrix}\1\\end{matrix}", text)
    text = _MATRICES.sub(r"\\\1{matrix}", text)
    for _ in range(3):
        text = _TEXT.sub(lambda match: f" {match['inside']}" if match["digit"] is not None else match["inside"], text)
    text = _FRACTION_NAMES.sub(r"\\frac", text)
    text = _CHOOSE.sub(r"\\binom{\1}{\2}", text)
    text = _SHORT_FRACTION.sub(lambda match: _fraction(*match.groups()), text)
    text = _THOUSANDS.sub("", text)
    text = _DELIMITED.sub(lambda match: f" {match[1] or match[2] or ''} ", text)
    text = _DISPLAY.sub(" ", text) if "\\\\" not in text else text
    return text.replace("\\%", "%").replace("\\$", "$").replace("\\!", "").replace("\\#", "#").replace("\\&", "&")


def _unboxed(text: str) -> str:
    """What a box around everything holds, also when the box never closes."""
    match = _BOX.match(text)
    if match is None:
        return text
    close = closing(text, match.end() - 1)
    return text[match.end() :] if close is None else text[match.end() : close] if close == len(text) - 1 else text


def _fraction(*parts: str | None) -> str:
    top, bottom = (part.strip("{}") for part in parts if part is not None)
    return f"\\frac{{{top}}}{{{bottom}}}"


def _without_marks(text: str) -> str:
    """Outer dollars, quotes, emphasis, a closing stop, and a closing line break taken off, until nothing changes."""
    for _ in range(6):
        before = text
        text = text.rstrip(_ENDS + " ") if not text.endswith(("...", "!")) else text
        text = text.removesuffix("\\\\").removesuffix("\\").strip() if not text.endswith("matrix}") else text
        if len(text) > 2 and text[0] == text[-1] == "$" and (text.count("$") == 2 or (text.startswith("$$") and text.count("$") == 4)):
            text = text.strip("$").strip()
        if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'`*":
            text = text[1:-1].strip()
        if text == before:
            break
    return text


_REPEATING = re.compile(
    r"(?<![\d.])(\d*)\.(\d{0,30})(?:\\overline\s*\{(\d{1,30})\}|\\dot\{?(\d)\}?(?:(\d{0,30})\\dot\{?(\d)\}?)?|\((\d{1,30})\)(?!\d))"
)
_DOTTED = re.compile(r"(?<![\d.])(\d+)\.(\d{2,60})\s?(?:\.\.\.|\\[lc]?dots)(?![\w.])")


def exact_decimals(text: str) -> str:
    r"""Repeating decimals as fractions: `0.\overline{3}`, `0.\dot{3}`, `0.(3)`, and `0.1666...` where the digits show what repeats."""
    if "." not in text:
        return text
    return _DOTTED.sub(_dotted, _REPEATING.sub(_repeating, text))


def _repeating(match: re.Match[str]) -> str:
    whole, fixed, over, dot, middle, last, bracket = match.groups()
    cycle = over or bracket or dot + (middle or "") + (last or "")
    return _as_fraction(whole or "0", fixed, cycle)


def _dotted(match: re.Match[str]) -> str:
    whole, digits = match.groups()
    for size in range(1, len(digits) // 2 + 1):
        cycle = digits[-size:]
        times = 0
        while digits.endswith(cycle * (times + 1)) and len(digits) >= size * (times + 1):
            times += 1
        if times >= (3 if size == 1 else 2):
            return _as_fraction(whole, digits[: len(digits) - size * times], cycle)
    return match[0]


def _as_fraction(whole: str, fixed: str, cycle: str) -> str:
    value = Fraction(int(whole + fixed), 10 ** len(fixed)) + Fraction(int(cycle), 10 ** len(fixed) * (10 ** len(cycle) - 1))
    return f"\\frac{{{value.numerator}}}{{{value.denominator}}}"


_SCIENTIFIC = re.compile(r"(?<![A-Za-z\d.])(\d+(?:\.\d*)?|\.\d+)[eE]([-+]?\d{1,4})(?![\w.])")
_FUNCTIONS = (
    "arcsin|arccos|arctan|arccot|sinh|cosh|tanh|sin|cos|tan|cot|sec|csc|log|ln|exp|gcd|lcm|max|min|det|sqrt|pi|infinity|infty|inf|oo"
)
_PLAIN_FUNCTION = re.compile(rf"(?<![\\A-Za-z])(asin|acos|atan|{_FUNCTIONS}|alpha|beta|gamma|theta|lambda)(?![A-Za-z])")
_SPELT = {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "infinity": "infty", "inf": "infty", "oo": "infty"}
_ROOT = re.compile(r"\\sqrt\s*(\[[^\[\]]*\])?\s*(?:(\d+(?:\.\d+)?|[A-Za-z])(?![\w.]|\s*\()|(\d)|(?=\())")
_WORDS = (
    (re.compile(r"\s*(?<![A-Za-z])squared(?![A-Za-z])"), "^{2}"),
    (re.compile(r"\s*(?<![A-Za-z])cubed(?![A-Za-z])"), "^{3}"),
    (re.compile(r"\s*(?<![A-Za-z])factorial(?![A-Za-z])"), "!"),
    (re.compile(r"(\w+)\s+choose\s+(\w+)"), r"\\binom{\1}{\2}"),
    (re.compile(r"\s+times\s+"), r"\\cdot "),
    (re.compile(r"\s+divided by\s+|(?<=\d)\s+out of\s+(?=\d)"), "/"),
    (re.compile(r"\s+plus\s+"), "+"),
    (re.compile(r"^(?:minus|negative)\s+|\s+minus\s+"), "-"),
    (
        re.compile(r"(?<![A-Za-z])(?:_?\{?\}?\^?\{?(\d{1,6})\}?)?C_?\{?(\d{1,6})\}?(?![\w(])"),
        lambda m: rf"\binom{{{m[1]}}}{{{m[2]}}}" if m[1] else m[0],
    ),
    (re.compile(r"(?<![A-Za-z\\])(?:nCr|C)\s?\((\d{1,6}),\s?(\d{1,6})\)"), r"\\binom{\1}{\2}"),
    (re.compile(r"\s+(?:or|and)\s*(?==)"), ""),
)
_POWER_GROUP = re.compile(r"\^\s*\(([^()]*(?:\([^()]*\)[^()]*)*)\)")
_POWER_DIGITS = re.compile(r"\^\s*(-?\d{2,}|-\w)")
_INDEX = re.compile(r"(?<=[A-Za-z])_([A-Za-z0-9])")
_PRIMES = re.compile(r"(?<=[A-Za-z])('+|\^\{?(?:\\prime\s*)+\}?)")
_STARS = re.compile(r"\*\*")
_TIMES = re.compile(r"(?<![*_^])\*(?!\*)")
_JOINED = re.compile(r"(?<![_^])((?<![_^\d.\w{])\d+(?:\.\d+)?|\))\s*(?=\()|(?<=\))\s*(?=\d)")
_CALL = re.compile(r"(?<![A-Za-z\\_{])([A-Za-z])\s*\((?=[^()]*(?:\([^()]*\)[^()]*)*\))")
_FUNCTION_LETTERS = frozenset("fghpquvwyFGHPQTVW")
_LIST_SEPARATED = re.compile(r"(?<![\d.])\d{1,3}(?:,\d{3})+(?![\d])")


def latex(text: str) -> str:
    r"""Normalised text of one expression in the LaTeX that latex2sympy reads as it was meant.

    Plain functions and roots get their backslash, `*` and `**` their LaTeX, `1.6e-19` its power of ten, and products that
    latex2sympy would take for mixed numbers or calls an explicit sign.
    """
    text = exact_decimals(text)
    text = _SCIENTIFIC.sub(lambda match: f"{match[1]}\\cdot 10^{{{int(match[2])}}}", text)
    for pattern, replacement in _WORDS:
        text = pattern.sub(replacement, text)
    text = text.replace("\\varnothing", "\\emptyset").replace("\\lvert", "|").replace("\\rvert", "|").replace("\\vert", "|")
    text = text.replace("\\ast", "*").replace("\\colon", ":").replace("\\thinspace", " ").replace("\\imath", "i")
    text = _PLAIN_FUNCTION.sub(lambda match: f"\\{_SPELT.get(match[1], match[1])} ", text)
    text = _TIMES.sub(r"\\cdot ", _STARS.sub("^", text))
    text = _roots(_INDEX.sub(r"_{\1}", _POWER_DIGITS.sub(r"^{\1}", _POWER_GROUP.sub(r"^{\1}", text))))
    text = _PRIMES.sub(lambda match: "_{" + "prime" * (match[1].count("'") + match[1].count("prime")) + "}", text)
    text = _LIST_SEPARATED.sub(lambda match: match[0].replace(",", ""), text)
    text = _CALL.sub(lambda match: match[0] if match[1] in _FUNCTION_LETTERS else f"{match[1]}\\cdot (", text)
    return _JOINED.sub(lambda match: f"{match[1] or ''}\\cdot ", text).strip()


def _roots(text: str) -> str:
    r"""`\sqrt2`, `\sqrt x` and `\sqrt(2)` with braces."""
    out, place = [], 0
    for match in _ROOT.finditer(text):
        if match.start() < place:
            continue
        out.append(text[place : match.start()] + "\\sqrt" + (match[1] or ""))
        place = match.end()
        if match[2] or match[3]:
            out.append(f"{{{match[2] or match[3]}}}")
            continue
        close = closing(text, place)
        if close is None:
            return text
        out.append(f"{{{_roots(text[place + 1 : close])}}}")
        place = close + 1
    return "".join(out) + text[place:]


def closing(text: str, start: int) -> int | None:
    """Where the bracket that opens at `start` closes, kinds of brackets counted together; None when it does not."""
    depth = 0
    for index in range(start, len(text)):
        if text[index] in "([{":
            depth += 1
        elif text[index] in ")]}":
            depth -= 1
            if depth == 0:
                return index
    return None
