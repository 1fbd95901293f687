"""The algebra behind the math verifier, called directly; the worker process around it is tested in test_workers.py."""

import pytest

from tirage.verification.grading.grade_math import grade_math

EQUAL = [
    # Algebra, functions, complex numbers.
    ("3(x+2)", "6+3x"), (r"\sqrt{11}", "sqrt 11"), (r"5\sqrt{3}", r"5\sqrt(3)"), (r"\frac{1}{\sqrt{7}}", r"\sqrt{1/7}"), ("-i", "i^3"),
    (r"e^{2\pi i}", "1"), ("arcsin(x)", r"\sin^{-1}(x)"), ("8-3d", "8 - 3*d"), ("mn", "nm"), (r"\log_2 32", "5"),
    (r"\cos 60^\circ", "0.5"),
    ("k(k-1)!", "k!"), (r"\sum_{j=1}^{n} j", r"\frac{n(n+1)}{2}"), ("x(x+1)", "x^2+x"), ("3(4)", "12"),
    # Unicode.
    (r"\frac{3+\sqrt{7}}{2}", "(3+√7)/2"), ("y^3", "y³"), (r"10^{-4}", "10⁻⁴"), (r"\frac{5}{8}", "⅝"), ("12", "3·4"),
    (r"x \le 2", "x ≤ 2"),
    # Thousands, scientific notation, repeating decimals.
    ("2500+y", "2,500+y"), ("(3000,7)", "(3,000, 7)"), (r"8{,}250\pi", r"8250\pi"), (r"4.2 \times 10^{-11}", "4.2e-11"),
    (r"\frac{4}{9}", r"0.\overline{4}"), (r"\frac{7}{12}", r"0.58\dot{3}"), (r"\frac{5}{6}", "0.8333..."),
    # Words that are operations.
    ("49", "7 squared"), ("24", "4 factorial"), ("15", "6 choose 2"), ("21", "C(7,2)"), ("42", "6 times 7"), ("2/7", "2 out of 7"),
    # Intervals, inequalities, regions.
    ("(1, 6.5)", "1 < t < 6.5"), (r"[-4,9]", r"-4 \le x \le 9"), (r"x<-1 \text{ or } x>5", r"(-\infty,-1)\cup(5,\infty)"),
    (r"(7,\infty)", "x>7"),
    (r"x \in [0,3)", r"0 \leq x < 3"), ("|x| < 4", "(-4,4)"), (r"x \neq 6", r"(-\infty,6)\cup(6,\infty)"), ("x < 4", "-2x > -8"),
    (r"\mathbb{R} \setminus \{2\}", r"x \ne 2"),
    # Lists, sets, tuples, matrices, names.
    (r"\{4,9\}", "9, 4"), ("p = 4, q = 9", "(4, 9)"), ("p = 4, q = 9", "q = 9, p = 4"), (r"\pm 6", "6, -6"),
    (r"2 \pm \sqrt 5", r"2+\sqrt{5}, 2-\sqrt{5}"),
    ("r = 3 or r = 8", "8, 3"), (r"\emptyset", r"\varnothing"), (r"\begin{pmatrix}4\\5\end{pmatrix}", "(4, 5)"),
    (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", "[[1, 2], [3, 4]]"), ("204,507", "204, 507"), ("17", "x = 8 + 9 = 17"),
    # Equations, congruences, ratios, bases, times.
    ("y = 2x - 1", "4x - 2y - 2 = 0"), (r"x \equiv 4 \pmod{9}", r"x \equiv 13 \pmod 9"), ("4:6", "2:3"), ("4:6", "2/3"),
    ("731_8", "731_{8}"),
    ("731_8", "731"), ("7:45", "7:45 PM"), ("13", "15_8"),
    # Units.
    (r"24\pi", r"24\pi \text{ cm}^3"), (r"24\pi \text{ m}", r"2400\pi \text{ cm}"),
]  # fmt: skip
DIFFERENT = [
    # Variables, functions and parts are no units.
    ("4y^3", "4y^2"), ("9w", "9u"), ("6r", "6"), ("5 cos t", "5 sin t"), ("2", "2 tan x"), ("3j", "3k"), ("4", "4i"), ("11", "11e"),
    ("6", "6 and 7"),
    # A prefix is not the whole.
    ("8", r"8\sqrt(5)"), ("5", r"5\left(\sqrt(2)\right)"), ("9", r"9\cos(x"), ("2", r"2\log(7"), ("6", r"6\sqrt[3](4)"),
    ("7", r"7\cdots"), ("5", r"5^{\sqrt(3)}"),
    # Small values, and what differs by little.
    (r"1/3^{70}", r"1/3^{71}"), (r"\frac{1}{1998!}", r"\frac{1}{2000!}"), (r"2^{70}+1", r"2^{70}"), (r"1-10^{-30}", "1"),
    ("y", "1.00000001y"),
    # Ellipses, bases, moduli, primes.
    (r"2, 4, \ldots, 2n", r"2, 4, \ldots, 4n"), (r"1+4+\cdots+n^2", r"1+8+\cdots+n^2"), ("731_8", "731_9"), ("15", "15_8"),
    (r"x \equiv 4 \pmod{9}", r"x \equiv 4 \pmod{7}"), ("5 mod a", "5 mod b"), ("f'", "f"), ("g''", "g'"),
    # Statements that are false, and code.
    ("31", "30=31"), ("31", "31 if True"), ("12", "x > 12"),
    # Order and brackets.
    ("(4,9)", "(9,4)"), ("[4,9)", "[4,9]"), ("4,9", "4"), (r"\pm 6", "6"), ("p = 4, q = 9", "p = 9, q = 4"), (r"\{4,9\}", "[4,9]"),
    ("4:5", "5:4"),
    ("8:00", "4:00"), ("7:45 AM", "7:45 PM"), (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{pmatrix}1&3\\2&4\end{pmatrix}"),
    ("x=3", "y=3"),
    (r"24\pi \text{ m}", r"24\pi \text{ cm}"), ("y = 2x - 1", "y = 2x + 1"), ("x < 4", "x > 4"),
]  # fmt: skip


@pytest.mark.parametrize(("gold", "answer"), EQUAL)
def test_the_same_said_in_another_way(gold, answer):
    assert grade_math({"gold": gold, "answer": answer}) is True


@pytest.mark.parametrize(("gold", "answer"), DIFFERENT)
def test_different_answers_stay_different(gold, answer):
    assert grade_math({"gold": gold, "answer": answer}) is False


@pytest.mark.parametrize("gold", ["???", r"x = \frac{1}{2", "12 = 13", r"7 \vec"])
def test_a_reference_that_cannot_be_read_is_no_verdict(gold):
    with pytest.raises(ValueError, match="cannot be parsed"):
        grade_math({"gold": gold, "answer": "qzxv nonsense"})
