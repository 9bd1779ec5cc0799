r"""Writes golden.jsonl: pairs of reference answer and boxed answer with labels chosen by hand.

The reference answer is in the field gold, as in the published verifier_cases.jsonl.

A label is what a mathematics teacher would say of the answer, not what any program says: units, math
delimiters and spacing are free, the value is not; a list of solutions has no order, a point has one; a
decimal equals a fraction only if it is exact. `known_wrong` names the reason where our verdict differs.

    python tests/verifier/make_golden.py

Each line of the tables reads: reference answer, right answers, wrong answers.
"""

import json
import os
import tempfile
from pathlib import Path

Rows = list[tuple[str, list[str], list[str]]]

INTEGERS: Rows = [
    (
        "8",
        ["8", " 8 ", "08", "8.0", "+8", "{8}", r"\text{8}", "$8$", "2^3", r"\sqrt{64}", r"4\cdot 2"],
        [
            "-8",
            "9",
            "80",
            "8.1",
            r"4\sqrt2+8",
            r"8+4\sqrt{2}",
            "8x",
            "8, 9",
            "(8, 8)",
            "8/3",
            r"8\sqrt{2}",
            "8i",
            "8!",
            "8^2",
            r"\frac{1}{8}",
            r"\sqrt{8}",
            "18",
            "x=18",
            "8 or 9",
            r"8 + \pi",
            "9 - 0.999",
            "> 8",
            r"\neq 8",
            r"5 \quad 3",
            "5 3",
            r"5 \\ 8",
            r"\le 8",
        ],
    ),
    ("-12", ["-12", r"-12.0", r"-\frac{24}{2}", "x=-12", "- 12"], ["12", "-1.2", "-21", "1-2", "-12x"]),
    (
        "0",
        ["0", "0.0", "-0", r"\frac{0}{5}", "1-1", "00"],
        ["1", "0.1", r"\emptyset", "10", "-1", "0, 1", r"1\,000", "0.0000001"],
    ),
    (
        "1",
        ["1", "1.0", r"\frac{3}{3}", "x^0", r"\sin^2 x + \cos^2 x", "0!"],
        ["-1", "x", "11", "1.01", "1, 1, 2", "e"],
    ),
    (
        "1000",
        [
            "1000",
            "1,000",
            "1{,}000",
            r"1\,000",
            "10^3",
            r"1\times 10^3",
            "1000.00",
            r"\$1000",
            "1000 dollars",
            "1 000",
            r"1,\!000",
            r"1\ 000",
        ],
        ["100", "10000", "1.000", "1, 0", "10^4", "999.999"],
    ),
    (
        "1234567",
        ["1,234,567", "1234567", r"1{,}234{,}567", r"1\,234\,567"],
        ["1,234", "1234568", "123,456", "1.234567"],
    ),
    ("2520", ["2520", "2{,}520", "2,520", r"2^3\cdot 3^2\cdot 5\cdot 7"], ["2,52", "252", "2, 520"]),
    ("336", ["336", r"336^\circ", r"336^{\circ}", r"336\text{ degrees}"], ["366", r"33.6^\circ", "-336"]),
    (
        "25",
        [
            "25",
            "025",
            r"25\text{ cm}",
            r"25\ \mathrm{cm}^2",
            r"25 \text{ square units}",
            r"5^2",
            "m=25",
            "m+n=25",
        ],
        ["52", "2.5", "25, 1", r"\sqrt{25}", "24.99", r"m=24"],
    ),
    (
        "204",
        ["204", r"\textbf{204}", r"\mathbf{204}", r"204.", r"204 \text{ minutes}"],
        ["240", "203", "2.04"],
    ),
    ("42", ["42", r"\boxed{42}", r"n = 42", r"\$42", r"42\%"], ["24", "-42", "4.2", "4, 2", "n=24"]),
    ("100", ["100", "10^2", r"100\text{ units}", r"1\cdot10^{2}"], ["10", "1000", "10, 0", "10^3", "100.5"]),
    (
        "7",
        ["7", r"\frac{14}{2}", r"\lfloor 7.9 \rfloor", r"|{-7}|", r"\binom{7}{1}", r"\log_2 128"],
        ["77", r"\frac{7}{2}", "-7", r"\lceil 7.9 \rceil", "7x", "07x", r"\sqrt{7}"],
    ),
]

FRACTIONS: Rows = [
    (
        r"\frac{1}{2}",
        [
            r"\frac{1}{2}",
            r"\dfrac{1}{2}",
            r"\tfrac12",
            r"\frac12",
            "1/2",
            "0.5",
            ".5",
            r"\frac{2}{4}",
            r"\frac{-1}{-2}",
            r"2^{-1}",
            r"x=\frac12",
            r"50\%",
            r"\left(\frac{1}{2}\right)",
        ],
        [
            "2",
            "-0.5",
            r"\frac{1}{3}",
            "1.2",
            "12",
            "5",
            r"\frac{1}{2}x",
            r"\frac{2}{1}",
            "0.51",
            "0.49999",
            r"\frac12, \frac13",
        ],
    ),
    (
        r"-\frac{3}{4}",
        [r"-\frac{3}{4}", r"\frac{-3}{4}", r"\frac{3}{-4}", "-3/4", "-0.75", "-.75"],
        [r"\frac{3}{4}", r"-\frac{4}{3}", "-34", "0.75", "-0.7"],
    ),
    (
        r"\frac{3}{2}",
        [r"1\frac{1}{2}", "1.5", "3/2", r"\frac{3}{2}", r"\frac{6}{4}"],
        [r"\frac{2}{3}", r"1\frac{1}{3}", "1.2", "32", "3, 2"],
    ),
    (
        r"\frac{10}{9}",
        ["10/9", r"\dfrac{10}{9}", r"1\frac{1}{9}", r"\frac{20}{18}"],
        ["9/10", "1.1", "109", "1.11", "10, 9"],
    ),
    ("13/8", [r"\frac{13}{8}", "1.625", "13/8", r"1\frac{5}{8}"], ["8/13", "8", "13", "1.6", "138"]),
    (
        r"\frac{1}{3}",
        [r"\frac{1}{3}", "1/3", r"\frac{3}{9}", r"0.\overline{3}", r"3^{-1}"],
        ["0.3", "0.33", "0.34", "3", r"\frac{1}{33}", r"-\frac13"],
    ),
    (
        r"\frac{7}{12}",
        [r"\frac{7}{12}", "7/12", r"\frac{14}{24}", r"\frac{1}{3}+\frac{1}{4}"],
        ["0.58", "12/7", r"\frac{7}{13}", "0.583"],
    ),
    (r"\frac{1}{576}", [r"\frac{1}{576}", r"\frac{1}{24^2}", "1/576"], ["576", "0.0017", r"\frac{1}{567}"]),
    (
        r"\frac{2^{2009}-1}{3\cdot 2^{2008}-1}",
        [r"\frac{2^{2009}-1}{3\cdot 2^{2008}-1}", r"\frac{2^{2009}-1}{3\cdot 2^{2008}-1}+1-1"],
        [r"\frac{2^{2008}-1}{3\cdot 2^{2007}-1}", r"\frac{2}{3}", "0.67", "1"],
    ),
]

DECIMALS: Rows = [
    ("0.1", ["0.1", ".1", r"\frac{1}{10}", "0.10", "10^{-1}"], ["1", "0.01", "0.11", "-0.1", "10"]),
    ("3.14", ["3.14", "3.140", r"\frac{157}{50}", r"\$3.14"], [r"\pi", "3.1", "3.141", "314", "3.15"]),
    ("2.74", ["2.74", "2.740", r"\frac{137}{50}"], ["2.7", "2.75", "27.4", "274"]),
    (
        "1000.99",
        ["1000.99", "1,000.99", r"\$1,000.99", r"1{,}000.99"],
        ["1000.9", "1000", "100.099", "1000.98"],
    ),
    (
        "12.5",
        ["12.5", "12.50", r"\frac{25}{2}", r"12\frac{1}{2}", r"12.5\text{ m/s}"],
        ["125", "12", "1.25", "12, 5", r"\frac{2}{25}"],
    ),
    (
        "0.0000001",
        ["0.0000001", r"10^{-7}", "1e-7", r"1 \times 10^{-7}"],
        ["0.0000002", r"2\times 10^{-7}", "0", "1"],
    ),
    (
        r"6.6\times 10^{-34}",
        [r"6.6\cdot 10^{-34}", "6.6e-34"],
        [r"6.7\times 10^{-34}", r"6.6\times 10^{-33}", "0", "6.6"],
    ),
    (
        "0.0625",
        ["0.0625", r"\frac{1}{16}", "2^{-4}", r"6.25\times 10^{-2}", r"6.25\%"],
        ["0.625", "0.06", "16", "0.062"],
    ),
    (
        "4.5e33",
        [r"4.5\times 10^{33}", r"4.5\cdot 10^{33}", "4.5e33", r"45\times 10^{32}"],
        [r"4.5\times 10^{32}", "4.5", r"5.4\times 10^{33}"],
    ),
    (
        r"4.5 \times 10^{33}",
        [r"4.5\times 10^{33}", "4.5e33", r"4.5 \cdot 10^{33}", "4.5E33"],
        [r"4.5\times 10^{34}", "4.5", r"4.5 \times 33"],
    ),
]

PERCENT_AND_UNITS: Rows = [
    (
        r"28\%",
        [r"28\%", "28", r"28 \%", "28%", "0.28", "28.0\\%", r"\frac{7}{25}"],
        [r"2.8\%", "82", r"27\%", "0.028", "280"],
    ),
    ("10\\text{ units}", ["10", r"10\text{ units}", r"10 \text{ cm}"], ["100", "1", r"100\text{ units}"]),
    (
        r"90^\circ",
        [r"90^\circ", "90", r"90^{\circ}", r"90\text{ degrees}", r"90\degree"],
        ["9", r"80^\circ", r"\frac{\pi}{3}"],
    ),
    (
        r"\$18.90",
        [r"\$18.90", "18.90", "18.9", r"\$18.9", r"18.90\text{ dollars}"],
        ["18", "1890", "18.91", r"\$19"],
    ),
    (r"17\text{ any text}", ["17", r"17\text{ any text}"], ["71", "1, 7"]),
    (
        r"6\text{ ft}^2",
        ["6", r"6\text{ ft}^2", r"6\text{ square feet}", r"6 \mathrm{ft}^2"],
        ["36", r"5\text{ ft}^2", "62"],
    ),
    (r"5\text{ cm}", ["5", r"5\text{ cm}", r"5\,\mathrm{cm}", "5 cm"], ["50", r"6\text{ cm}", "0.5"]),
    (r"3:2", ["3:2", r"3 : 2"], ["2:3", "32", "3:4"]),
    (r"\text{3:30 PM}", [r"\text{3:30 PM}"], [r"\text{4:30 PM}", "330"]),
]

ROOTS: Rows = [
    (
        r"3\sqrt{13}",
        [
            r"3\sqrt{13}",
            r"\sqrt{117}",
            r"3\cdot\sqrt{13}",
            r"\sqrt{13}\cdot 3",
            r"3 \sqrt {13}",
            r"3(13)^{1/2}",
            r"3\cdot 13^{\frac12}",
        ],
        [
            "3",
            "13",
            r"\sqrt{13}",
            r"13\sqrt{3}",
            "39",
            r"-3\sqrt{13}",
            "10.8",
            r"3+\sqrt{13}",
            r"\sqrt[3]{13}",
        ],
    ),
    (
        r"\frac{\sqrt{7}}{12}",
        [
            r"\sqrt{7}/12",
            r"\frac{\sqrt7}{12}",
            r"\frac{7^{1/2}}{12}",
            r"\frac{7^\frac{1}{2}}{12}",
            r"\frac{1}{12}\sqrt{7}",
        ],
        [
            r"\frac{\sqrt{7}}{\sqrt{12}}",
            r"\sqrt{\frac{7}{12}}",
            r"\frac{7}{12}",
            r"\frac{\sqrt{12}}{7}",
            "0.22",
        ],
    ),
    (
        r"168+48\sqrt{7}",
        [r"24(7+2\sqrt{7})", r"24\cdot(7+2\sqrt{7})", r"48\sqrt7+168"],
        ["168", r"48\sqrt{7}", r"168-48\sqrt7", r"168+7\sqrt{48}", "295"],
    ),
    (
        r"4\sqrt{2}+8",
        [r"8+4\sqrt2", r"4(\sqrt{2}+2)", r"4\sqrt{2} + 8", r"\sqrt{32}+8"],
        ["8", r"4\sqrt{2}", r"8-4\sqrt2", "12", "13.66"],
    ),
    (
        r"\frac{1}{\sqrt{2}}",
        [r"\frac{\sqrt{2}}{2}", r"\frac{1}{\sqrt2}", r"2^{-1/2}", r"\sqrt{\frac{1}{2}}", r"\sqrt{0.5}"],
        [r"\sqrt{2}", r"\frac12", "0.7", r"-\frac{1}{\sqrt2}"],
    ),
    (
        r"\sqrt{2}+\sqrt{3}",
        [r"\sqrt{3}+\sqrt{2}", r"\sqrt{5+2\sqrt{6}}"],
        [r"\sqrt{5}", r"\sqrt{6}", r"\sqrt3-\sqrt2", "3.15", "3"],
    ),
    (
        r"\sqrt[3]{2}",
        [r"\sqrt[3]{2}", r"2^{1/3}", r"2^{\frac{1}{3}}", r"\sqrt[3] 2"],
        [r"3\sqrt{2}", r"\sqrt{2}", r"2^3", "1.26"],
    ),
    (
        r"\pm\sqrt{3}",
        [
            r"\pm\sqrt{3}",
            r"\sqrt{3}, -\sqrt{3}",
            r"-\sqrt{3}, \sqrt{3}",
            r"\sqrt{3} or -\sqrt{3}",
            r"\sqrt3 \text{ or } -\sqrt3",
        ],
        [r"\sqrt{3}", r"-\sqrt{3}", r"\pm 3"],
    ),
    (
        r"2-\sqrt{3}",
        [r"2-\sqrt{3}", r"-\sqrt{3}+2", r"\frac{1}{2+\sqrt{3}}"],
        [r"2+\sqrt{3}", r"\sqrt{3}-2", "2", "0.27"],
    ),
    (
        r"1+\sqrt{5}",
        [r"1+\sqrt5", r"\sqrt{5}+1", r"2\cdot\frac{1+\sqrt{5}}{2}"],
        ["1", r"\sqrt{6}", r"\frac{1+\sqrt{5}}{2}", "3.236"],
    ),
]

CONSTANTS: Rows = [
    (
        r"\frac{\pi}{4}",
        [r"\frac{\pi}{4}", r"\pi/4", r"\frac14\pi", r"0.25\pi", r"\arctan 1"],
        ["0.785", r"\pi", "45", r"\frac{4}{\pi}", r"-\frac{\pi}{4}", r"\frac14"],
    ),
    (
        r"16\pi",
        [r"16\pi", r"16 \pi", r"\pi \cdot 16", r"4^2\pi", r"16\pi\text{ cm}^2"],
        ["16", r"\pi", r"8\pi", "50.27", r"16+\pi"],
    ),
    (r"e^2", [r"e^2", r"e^{2}", r"e\cdot e", r"\exp(2)"], ["e", "2e", "7.389", "2", r"2^e"]),
    (
        r"\ln 2",
        [r"\ln 2", r"\ln(2)", r"-\ln\frac12", r"\frac{\ln 4}{2}"],
        ["2", r"\ln 3", r"\log_2 e", "0.69"],
    ),
    (
        r"\log_2 3",
        [r"\log_2 3", r"\log_{2}{3}", r"\frac{\ln 3}{\ln 2}"],
        [r"\log_3 2", r"\ln 3", "1.5", "1.585"],
    ),
    (r"\sin 40^\circ", [r"\sin 40^\circ", r"\sin(40^\circ)"], [r"\cos 40^\circ", "40", r"\sin 50^\circ"]),
    (r"9 - \pi", [r"9-\pi", r"-\pi+9"], ["9", r"\pi - 9", r"9+\pi", "5.86"]),
]

ALGEBRA: Rows = [
    (
        r"x^2-3x+5",
        [r"x^2-3x+5", r"5-3x+x^2", r"x(x-3)+5", r"x^{2} - 3x + 5", r"f(x)=x^2-3x+5", r"y = x^2-3x+5"],
        [r"x^2+3x+5", "x^2", "5", r"x^2-3x", r"t^2-3t+5", r"2x^2-6x+10"],
    ),
    (
        r"(x-1)(x+2)",
        [r"(x+2)(x-1)", r"x^2+x-2", r"(1-x)(-x-2)"],
        [r"(x+1)(x-2)", r"x^2-x-2", r"x-1", r"x^2+x+2"],
    ),
    (
        r"x^{4}-2x^{3}-13x^{2}+14x+24",
        [r"x^2 (x - 1)^2 - 14x(x-1) + 24", r"(x+1)(x-2)(x-4)(x+3)"],
        [r"x^4", r"x^{4}-2x^{3}-13x^{2}+14x-24", "24"],
    ),
    (
        r"\frac{a+b}{c}",
        [r"\frac{a+b}{c}", r"\frac{b+a}{c}", r"\frac{a}{c}+\frac{b}{c}", r"(a+b)/c"],
        [r"\frac{a-b}{c}", r"a+\frac{b}{c}", r"\frac{c}{a+b}", r"a+b"],
    ),
    (r"2n+1", ["2n+1", "1+2n", r"2(n+1)-1"], ["2n", "2n-1", "n+1", "2m+1", "3"]),
    (
        r"n(n+1)/2",
        [r"\frac{n(n+1)}{2}", r"\frac{n^2+n}{2}", r"\binom{n+1}{2}"],
        [r"\frac{n(n-1)}{2}", r"n(n+1)", r"\frac{n}{2}"],
    ),
    (r"3x", ["3x", r"3\cdot x", "x+x+x", "3 x"], ["3", "x", "x^3", "3y", "3+x", "-3x"]),
    (r"x^2", ["x^2", r"x\cdot x", "x^{2}", r"|x|^2"], ["2x", "x", "x^3", "y^2", "2"]),
    (
        r"\frac{x+1}{x-1}",
        [r"\frac{x+1}{x-1}", r"\frac{-x-1}{1-x}", r"1+\frac{2}{x-1}"],
        [r"\frac{x-1}{x+1}", "-1", r"\frac{x+1}{1-x}"],
    ),
    (r"2^{n}", ["2^n", r"2^{n}", r"2\cdot 2^{n-1}"], ["n^2", "2n", r"2^{n-1}", r"2^{n+1}"]),
    (
        r"\cos 2x",
        [r"\cos 2x", r"\cos(2x)", r"1-2\sin^2 x", r"2\cos^2 x-1"],
        [r"2\cos x", r"\sin 2x", r"\cos x", r"\cos^2 x"],
    ),
    (r"1+2i", ["1+2i", "2i+1", r"1 + 2i"], ["1-2i", "2+i", "3", "1", "2i", "1+2"]),
    (r"-1-16i", ["-1-16i", "-(1+16i)", "-16i-1"], ["1+16i", "-17", "-1+16i", "-16-i"]),
    (r"i", ["i", r"\sqrt{-1}"], ["-i", "1", "-1"]),
    (
        r"\binom{40}{10}\binom{40}{20}^3",
        [
            r"{40 \choose 10} {40 \choose 20}^3",
            r"\binom{40}{20}^3\binom{40}{10}",
            r"\binom{40}{30}\binom{40}{20}^3",
        ],
        ["64", r"\binom{40}{20}^4", r"2.22 \cdot 10^{42}", r"\binom{40}{10}"],
    ),
    (
        r"2^{100}",
        [r"2^{100}", r"4^{50}", "1267650600228229401496703205376"],
        [r"2^{99}", "1267650600228229401496703205377", r"100^2", "2^{100}-1"],
    ),
    (r"10^{10^{10}}", [r"10^{10^{10}}"], ["10", "100", r"10^{100}"]),
    (r"5!", ["120", "5!", r"5\cdot 4!"], ["5", "24", "5!!", "720"]),
]

EQUATIONS: Rows = [
    ("x=5", ["5", "x=5", "x = 5.0", r"x=\frac{10}{2}"], ["x=6", "y=5", "x=-5", "x>5", "55"]),
    ("5", ["x=5", "k = 5", r"AB = 5", r"f(2)=5", r"2+3=5"], ["x=-5", "5=6", "x>5", "x=5, y=6", r"x \le 5"]),
    (
        r"y=2x+3",
        ["y=2x+3", "y = 3+2x", "2x+3", "y-2x=3", "2x-y+3=0"],
        ["y=2x-3", "y=3x+2", "x=2y+3", "2x", "y=2x"],
    ),
    (
        r"x^2+y^2=25",
        [r"x^2+y^2=25", r"y^2+x^2=25", r"x^2+y^2-25=0", r"25=x^2+y^2"],
        [r"x^2+y^2=5", r"x^2-y^2=25", "25", r"x+y=5"],
    ),
    (
        r"x \le 1",
        [r"x \le 1", r"x \leq 1", r"-x \ge -1", r"1 \ge x", r"(-\infty, 1]", r"x \in (-\infty, 1]"],
        ["x<1", r"x\ge 1", "1", r"x \le -1", r"(-\infty, 1)", "x=1"],
    ),
    (r"1<x<2", ["1<x<2", "(1,2)", "2>x>1", r"x\in(1,2)"], [r"1\le x<2", "[1,2]", "1<x<3", "x<2"]),
    (r"x \neq 5", [r"x \neq 5", r"x \ne 5"], ["x=5", "5", r"x\neq 6", "x>5"]),
    (r"k = 45, n = 2", ["k=45, n=2", "n=2, k=45"], ["k=2, n=45", "k=45", "k=45, n=3"]),
    (r"x=1, 2, 3", ["x=1,2,3", "1,2,3", "3,2,1"], ["1,2", "x=1", "1,2,4", "6"]),
]

SETS_AND_TUPLES: Rows = [
    (
        "1, 2",
        [
            "1, 2",
            "2, 1",
            r"\{1, 2\}",
            r"1 \text{ and } 2",
            "1 and 2",
            "x=1, x=2",
            r"x=1 \text{ or } x=2",
            "1,2",
        ],
        ["1", "2", "1, 3", "12", "1, 2, 3", "3", "1.2"],
    ),
    ("1,3,5", ["1,3,5", "5,3,1", r"\{1,3,5\}", "1, 3, 5"], ["1.3", "1,3", "135", "1,3,5,7", "1,3,6"]),
    (
        "5, 6",
        ["5, 6", "6 and 5", r"5 \text{ and } 6", r"5 \quad 6", r"x = 5 \text{ or } x = 6", "5;6"],
        ["11", "56", "5", "5, 6, 7", "6, 7"],
    ),
    ("-2, 1", ["-2,1", "1,-2", r"\{-2,1\}"], ["2,-1", "-2", "-1", "2, 1"]),
    ("10, 4, 2", ["10,4,2", "2,4,10", r"2, 4, \text{ and } 10"], ["4, 12, 2", "10, 4", "1042", "16"]),
    (
        r"\{1,2,3\}",
        [r"\{1,2,3\}", r"\{3,2,1\}", "1,2,3", r"\left\{1,2,3\right\}"],
        [r"\{1,2\}", r"\{1,2,4\}", "6", r"\{1,2,3,4\}", "(1,3)"],
    ),
    (r"\emptyset", [r"\emptyset", r"\varnothing", r"\{\}"], ["0", r"\{0\}", "1"]),
    (
        "(1,2)",
        ["(1,2)", "(1, 2)", r"\left(1,2\right)", "(1.0, 2.0)", r"(\frac{2}{2}, 2)", "(x,y)=(1,2)"],
        ["(2,1)", "(1,3)", "1.2", "(1,2,3)", "3", "(-1,2)"],
    ),
    (
        "(6,31,-1)",
        ["(6,31,-1)", "(6, 31, -1)", r"\left( 6, 31, -1 \right)"],
        ["(31,6,-1)", "(6,31,1)", "(6,31)", "36", "(-1,6,31)"],
    ),
    (
        r"(1,\frac{9}{2})",
        ["(1,4.5)", r"\left(1,\frac92\right)", "(1, 9/2)"],
        [r"(\frac92,1)", "(1,4)", r"(1,\frac{2}{9})"],
    ),
    (r"(18,-24)", ["(18,-24)", "(18, -24)", "P=(18,-24)"], ["(-24,18)", "(18,24)", "18", "-6"]),
    (
        "(2,1),(1,2)",
        ["(2,1),(1,2)", "(1,2),(2,1)", r"(1,2) \text{ and } (2,1)", r"\{(1,2),(2,1)\}"],
        ["(2,1)", "(1,2)", "(2,1),(2,1)", "(1,2),(2,3)"],
    ),
    (
        r"\left(3, \frac{\pi}{2}\right)",
        [r"\left( 3, \frac{\pi}{2} \right)", r"(3, \pi/2)", r"(3,0.5\pi)"],
        [r"\left(\frac{\pi}{2}, 3\right)", r"(3,\pi)", "3"],
    ),
    (
        "(-4,4]",
        ["(-4,4]", r"\left(-4, 4\right]", r"-4 < x \le 4", r"x \in (-4,4]"],
        ["(-4,4)", "[-4,4]", "[-4,4)", "(4,-4]", "(-4,5]", "-4, 4"],
    ),
    (
        r"[0,\infty)",
        [r"[0,\infty)", r"[0, +\infty)", r"x \ge 0", r"\left[0,\infty\right)"],
        [r"(0,\infty)", r"[0,1)", r"(-\infty,0]", "0"],
    ),
    (
        r"(-\infty,-1)\cup(3,\infty)",
        [r"(-\infty,-1)\cup(3,\infty)", r"(3,\infty)\cup(-\infty,-1)", r"x<-1 \text{ or } x>3"],
        [r"(-1,3)", r"(-\infty,-1]\cup[3,\infty)", r"(-\infty,-1)", r"(-\infty,-1)\cup(4,\infty)"],
    ),
    (r"[-3,2]", ["[-3,2]", r"\left[-3,2\right]", r"-3 \le x \le 2"], ["[-2,3]", "(-3,2)", "[-3,2)", "-1"]),
]

MATRICES: Rows = [
    (
        r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}",
        [
            r"\begin{pmatrix}1&2\\3&4\end{pmatrix}",
            r"\begin{bmatrix} 1 & 2 \\ 3 & 4 \end{bmatrix}",
            r"\left(\begin{matrix} 1 & 2 \\ 3 & 4 \end{matrix}\right)",
            r"A=\begin{pmatrix}1&2\\3&4\end{pmatrix}",
        ],
        [
            r"\begin{pmatrix}1&3\\2&4\end{pmatrix}",
            r"\begin{pmatrix}1&2\\3&5\end{pmatrix}",
            r"\begin{pmatrix}1&2\end{pmatrix}",
            "10",
            "-2",
        ],
    ),
    (
        r"\begin{pmatrix} -40/29 \\ 16/29 \end{pmatrix}",
        [
            r"\begin{pmatrix} -40/29 \\ 16/29 \end{pmatrix}",
            r"\begin{pmatrix} -\frac{40}{29} \\ \frac{16}{29} \end{pmatrix}",
            r"\begin{bmatrix} -40/29 \\ 16/29 \end{bmatrix}",
        ],
        [
            r"\begin{pmatrix} 40/29 \\ 16/29 \end{pmatrix}",
            r"\begin{pmatrix} 16/29 \\ -40/29 \end{pmatrix}",
            "-24/29",
        ],
    ),
    (
        r"\begin{pmatrix} 0 & 0 \\ 0 & 0 \end{pmatrix}",
        [r"\begin{pmatrix}0&0\\0&0\end{pmatrix}"],
        [r"\begin{pmatrix}1&0\\0&1\end{pmatrix}", r"\begin{pmatrix}0\\0\end{pmatrix}"],
    ),
]

TEXT: Rows = [
    (
        r"\text{odd}",
        ["odd", r"\text{odd}", r"\mathrm{odd}", r"\text{Odd}", r"\text{ odd }"],
        ["even", r"\text{even}", "1", "do"],
    ),
    (
        r"\text{Evelyn}",
        ["Evelyn", r"\text{Evelyn}", r"\textbf{Evelyn}"],
        ["Briana", r"\text{Eve}", r"\text{Debra}"],
    ),
    (
        r"\text{(C)}",
        ["C", "(C)", r"\text{C}", r"\textbf{(C)}", r"\text{(C) } 42", r"\textbf{(C)}\ 42"],
        ["D", r"\text{(D)}", "3", r"\text{(A)}", "c^2"],
    ),
    ("east", ["east", r"\text{east}", "East"], ["seat", "west", "eats"]),
    (r"\text{Yes}", ["Yes", r"\text{Yes}", r"\text{yes}", "yes"], ["No", r"\text{No}", "1"]),
    (r"\text{even}", ["even", r"\text{even}", r"\textit{even}"], ["odd", r"\text{neither}", "2"]),
    (
        r"\text{ellipse}",
        ["ellipse", r"\text{ellipse}", r"\text{Ellipse}"],
        [r"\text{circle}", "parabola", r"\text{hyperbola}"],
    ),
    (
        r"2516_8",
        ["2516_8", r"2516_{8}", r"2516_{\text{eight}}", "2516"],
        ["2517_8", "2516_7", "1358_8", "2516_{10}"],
    ),
    (r"101_2", ["101_2", r"101_{2}"], ["5_2", "110_2", "101_3"]),
]

KNOWN_WRONG: dict[tuple[str, str], str] = {
    ("i", r"\sqrt{-1}"): "math-verify reads a lone i as a symbol, not as the imaginary unit",
}

SECTIONS = {
    "integers": INTEGERS,
    "fractions": FRACTIONS,
    "decimals": DECIMALS,
    "percent_and_units": PERCENT_AND_UNITS,
    "roots": ROOTS,
    "constants": CONSTANTS,
    "algebra": ALGEBRA,
    "equations": EQUATIONS,
    "sets_and_tuples": SETS_AND_TUPLES,
    "matrices": MATRICES,
    "text": TEXT,
}


def pairs() -> list[dict[str, object]]:
    """One record a pair: section, reference answer, answer, label and, where we are known to be wrong, why."""
    records: list[dict[str, object]] = []
    for section, rows in SECTIONS.items():
        for reference, right, wrong in rows:
            for label, answers in ((True, right), (False, wrong)):
                for answer in answers:
                    record: dict[str, object] = {
                        "section": section,
                        "gold": reference,
                        "answer": answer,
                        "label": label,
                    }
                    if reason := KNOWN_WRONG.get((reference, answer)):
                        record["known_wrong"] = reason
                    records.append(record)
    return records


def main() -> None:
    path = Path(__file__).with_name("golden.jsonl")
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        file.writelines(json.dumps(record) + "\n" for record in pairs())
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)


if __name__ == "__main__":
    main()
