#!/usr/bin/env python3
"""Draws the rows of the targets as an SVG: bars of octoq and of the best peer, side by side.

    plot.py results/*.jsonl > rates.svg

The bars of a row are drawn against the larger of the two. The picture follows the reader's choice of
light or dark.
"""
import glob
import sys
from html import escape

from driver import tables
from driver.targets import ROWS

LABEL, BARS, FIGURES = 350, 320, 150
WIDTH = LABEL + BARS + FIGURES
TOP, ROW, BAR = 64, 40, 13

STYLE = """
    text { font: 13px system-ui, sans-serif; fill: #1f2328; }
    .small { font-size: 11px; fill: #59636e; }
    .title { font-size: 16px; font-weight: 600; }
    .octoq { fill: #0969da; }
    .peer { fill: #afb8c1; }
    .line { stroke: #d1d9e0; }
    .ground { fill: #ffffff; }
    @media (prefers-color-scheme: dark) {
      text { fill: #f0f6fc; }
      .small { fill: #9198a1; }
      .octoq { fill: #4493f8; }
      .peer { fill: #656c76; }
      .line { stroke: #3d444d; }
      .ground { fill: #0d1117; }
    }
"""


def text(x, y, words, kind="", anchor="start"):
    return f'  <text x="{x}" y="{y}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def bar(x, y, part, kind):
    return f'  <rect x="{x}" y="{y}" width="{max(part * BARS, 1):.1f}" height="{BAR}" rx="2" class="{kind}"/>'


def size(row):
    if not row.size or row.figure != "rate":
        return ""
    return f", {row.size // 1024} KiB" if row.size >= 1024 else f", {row.size} B"


def times(ratio):
    return f"{ratio:.2f}×" if ratio < 10 else f"{ratio:.0f}×"


def best(results):
    """Of each row the best peer; rates first."""
    found = []
    for row in sorted(ROWS, key=lambda row: row.at_most):
        rivals = list(tables.compared(results, row))
        pick = max if row.at_most else min
        found += [pick(rivals, key=lambda one: one["ratio"])] if rivals else []
    return found


def draw(found):
    height = TOP + ROW * len(found) + 16
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" '
        f'aria-label="octoq beside the best peer">',
        f"  <style>{STYLE}  </style>",
        f'  <rect width="{WIDTH}" height="{height}" class="ground"/>',
        text(16, 26, "octoq beside the best of its peers", "title"),
        bar(LABEL, 38, 0.03, "octoq"), text(LABEL + 18, 49, "octoq", "small"),
        bar(LABEL + 70, 38, 0.03, "peer"), text(LABEL + 88, 49, "the peer", "small"),
        text(16, 49, "messages per second: longer is better", "small"),
    ]
    for nth, one in enumerate(found):
        y, row = TOP + ROW * nth, one["row"]
        longest = max(one["octoq"], one["other"])
        lines += [
            f'  <line x1="16" x2="{WIDTH - 16}" y1="{y}" y2="{y}" class="line"/>',
            text(16, y + 17, row.what + size(row)),
            text(16, y + 32, f"{one['peer']}{': shorter is better' if row.at_most else ''}", "small"),
            bar(LABEL, y + 6, one["octoq"] / longest, "octoq"),
            bar(LABEL, y + 7 + BAR, one["other"] / longest, "peer"),
            text(WIDTH - 66, y + 17, tables.shown(one["octoq"]), "small", "end"),
            text(WIDTH - 66, y + 31, tables.shown(one["other"]), "small", "end"),
            text(WIDTH - 16, y + 25, times(one["ratio"]), "", "end"),
        ]
    return "\n".join([*lines, "</svg>"])


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    results = tables.load([path for name in sys.argv[1:] for path in sorted(glob.glob(name))])
    print(draw(best(results)))


if __name__ == "__main__":
    main()
