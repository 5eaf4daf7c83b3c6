"""Tables of results, in Markdown."""
import json
import statistics

from .contenders import CONTENDERS
from .measure import OTHERS_MAX
from .targets import ROWS
from .works import WORKS, value


def load(paths):
    """Results by work, contender, size and mode: of each the last batch, without disturbed runs."""
    found = {}
    for path in paths:
        with open(path) as lines:
            for line in lines:
                row = json.loads(line)
                if not row.get("error") and row.get("work") in WORKS:
                    found.setdefault((row["work"], row["who"], row["size"], row["mode"]), []).append(row)
    for key, rows in found.items():
        last = max(rows, key=lambda row: row["at"])["batch"]
        rows = [row for row in rows if row["batch"] == last]
        calm = [row for row in rows if row.get("other_cores", 0) <= OTHERS_MAX]
        found[key] = calm if len(calm) >= 2 else rows
    return found


def median(rows, figure):
    values = [figure(row) for row in rows]
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def spread(rows, figure):
    """How far apart the runs are, in parts of their median."""
    values = [figure(row) for row in rows]
    middle = statistics.median(values)
    return (max(values) - min(values)) / middle if middle else 0


def figure_of(row):
    """What a row of the targets looks at in a result."""
    if row.figure == "rate":
        return lambda result: value(row.work, result)
    if row.figure in ("p50", "p99"):
        return lambda result: result["latency_us"][row.figure]
    return lambda result: result.get(row.figure)


def shown(number):
    if number is None:
        return "-"
    if number >= 1e6:
        return f"{number / 1e6:.2f} M"
    if number >= 1e4:
        return f"{number / 1e3:.0f} k"
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def limit(rows):
    """Who had nothing left, by the processor time of octoq's run."""
    if "server_cores" not in rows[0]:
        return ""
    server = median(rows, lambda row: row["server_cores"])
    client = median(rows, lambda row: row["client_cores"])
    busiest = median(rows, lambda row: max(row.get("producer_cores", 0), row.get("consumer_cores", 0)))
    who = "client" if busiest > 0.9 else "server" if server > 0.9 else "both cores" if server + client > 1.8 else "waiting"
    return f"{who} ({server:.2f} / {client:.2f})"


MODES = {"backlog": "backlog", "idle": "idle"}


def compared(results, row):
    """octoq's figure and its peers': (name, octoq, peer, ratio, target, met) for each that was run."""
    mode = MODES.get(WORKS[row.work]["kind"], "max")
    ours = results.get((row.work, row.octoq, row.size, mode))
    figure = figure_of(row)
    for peer, need in row.peers.items():
        theirs = results.get((row.work, peer, row.size, mode))
        if not ours or not theirs:
            continue
        mine, other = median(ours, figure), median(theirs, figure)
        if mine is None or not other:
            continue
        ratio = mine / other
        met = ratio <= need if row.at_most else ratio >= need
        disturbed = max(median(some, lambda result: result.get("other_cores", 0)) for some in (ours, theirs)) > OTHERS_MAX
        yield dict(row=row, disturbed=disturbed, peer=peer, octoq=mine, other=other, ratio=ratio, need=need, met=met,
                   octoq_spread=spread(ours, figure), other_spread=spread(theirs, figure),
                   runs=f"{len(ours)}, {len(theirs)}", limit=limit(ours))


def best_only(found):
    """Of peers with the same target the better one counts."""
    kept = []
    for one in found:
        rivals = [other for other in found if other["row"] is one["row"] and other["need"] == one["need"]]
        pick = max if one["row"].at_most else min
        if pick(rivals, key=lambda other: other["ratio"]) is one:
            kept.append(one)
    return kept


def targets(results, rows=ROWS):
    lines = ["| row | work | bytes | octoq | spread | peer | its figure | spread | ratio | target | | octoq's limit (server / client cores) | runs |",
             "|---|---|--:|--:|--:|---|--:|--:|--:|--:|---|---|---|"]
    for one in best_only([found for row in rows for found in compared(results, row)]):
        row = one["row"]
        lines.append(
            f"| `{row.name}` | {row.what} | {row.size or ''} | {shown(one['octoq'])} | {one['octoq_spread']:.0%} "
            f"| {one['peer']} | {shown(one['other'])} | {one['other_spread']:.0%} | {one['ratio']:.2f} "
            f"| {'≤' if row.at_most else '≥'} {one['need']:g} "
            f"| {'met' if one['met'] else '**missed**'}{', disturbed' if one['disturbed'] else ''} "
            f"| {one['limit']} | {one['runs']} |")
    return "\n".join(lines)


def everything(results):
    """All results, a table for each work and size."""
    lines = []
    order = list(WORKS)
    for work, size, mode in sorted({(work, size, mode) for work, _, size, mode in results},
                                   key=lambda key: (order.index(key[0]), key[1], key[2])):
        rows = {who: rows for (w, who, s, m), rows in results.items() if (w, s, m) == (work, size, mode)}
        lines += ["", f"**{work}**, {size} B, {mode}" if size else f"**{work}**", ""]
        if mode in ("backlog", "idle"):
            names = {"backlog": ["bytes_per_message", "disk_per_message", "fill_s", "drain_s", "restart_s"],
                     "idle": ["held", "bytes_per_connection", "connected_s", "idle_server_cores"]}[mode]
            lines += ["| contender | " + " | ".join(names) + " | runs |", "|---|" + "--:|" * (len(names) + 1)]
            for who, some in sorted(rows.items()):
                figures = [shown(median(some, lambda row, name=name: row.get(name))) for name in names]
                lines.append(f"| {who} | {' | '.join(figures)} | {len(some)} |")
            continue
        lines += ["| contender | per second | spread | p50 us | p99 us | server cores | client cores | busiest client thread | server us/message | missing | runs |",
                  "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"]
        for who, some in sorted(rows.items(), key=lambda one: -median(one[1], lambda row: value(work, row))):
            def middle(name):
                return median(some, lambda row: row.get(name, 0))
            us = {name: median(some, lambda row, name=name: row["latency_us"][name]) for name in ("p50", "p99")}
            busiest = median(some, lambda row: max(row.get("producer_cores", 0), row.get("consumer_cores", 0)))
            rate = median(some, lambda row: value(work, row))
            lines.append(
                f"| {who} | {rate:,.0f} | {spread(some, lambda row: value(work, row)):.0%} | {us['p50']:,.1f} | {us['p99']:,.1f} "
                f"| {middle('server_cores'):.2f} | {middle('client_cores'):.2f} | {busiest:.2f} "
                f"| {middle('server_cores') * 1e6 / rate:.2f} | {max(row.get('missing', 0) for row in some)} | {len(some)} |")
    return "\n".join(lines)


assert all(name in CONTENDERS for row in ROWS for name in [row.octoq, *row.peers]), "a row names nobody"
