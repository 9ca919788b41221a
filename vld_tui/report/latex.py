"""LaTeX tables in booktabs style."""

from __future__ import annotations

from typing import Final

from vld_tui.report.tables import Table, printed, sparse_texts
from vld_tui.words.text import plain_text

NEEDS: Final = r"% needs \usepackage[T1]{fontenc} and \usepackage{booktabs}"
_SIGNS: Final = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$",
    "#": r"\#", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
    "λ": r"$\lambda$", "±": r"$\pm$", "−": "$-$", "·": r"$\cdot$", "–": "--", "×": r"$\times$",
    "…": r"\dots{}", "[": "{[}", "]": "{]}",
}  # fmt: skip


def latex_text(text: str) -> str:
    """Escape text for LaTeX."""
    return "".join(_SIGNS.get(sign, sign) for sign in plain_text(text))


def latex_table(table: Table) -> str:
    """Write a table with its caption; requires the packages booktabs and textcomp."""
    table = printed(table)
    sides = "".join("r" if column.right else "l" for column in table.columns)
    headings = " & ".join(latex_text(column.heading) for column in table.columns)
    caption = " ".join([f"{table.title}.", *table.notes])
    lines = [
        NEEDS,
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{latex_text(caption)}}}",
        rf"\label{{tab:{''.join(sign for sign in table.name if sign.isalnum() or sign in '.-')}}}",
        rf"\begin{{tabular}}{{{sides}}}",
        r"\toprule",
        rf"{headings} \\",
        r"\midrule",
    ]
    for number, row in enumerate(sparse_texts(table)):
        lines += [r"\midrule"] if number in table.breaks else []
        lines.append(" & ".join(map(latex_text, row)) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"
