#!/usr/bin/env python3
"""octoq beside its peers: starts them on loopback and gives each the same work.

    compare.py list                                 works, contenders, rows
    compare.py row queue [more rows]                one row of the targets, and its ratio
    compare.py targets                              all rows
    compare.py run --work w1,w2 --only 'redis-*'    any work, any contenders
    compare.py machine                              the machine, and the versions of everybody
    compare.py probes                               what the machine can do
    compare.py report results/*.jsonl               the rows as a Markdown table
    compare.py table results/*.jsonl                everything that was measured

Only Python's standard library is used. See the README beside this.
"""
import argparse
import fnmatch
import glob
import os
import resource
import signal
import subprocess
import sys
import time

from driver import machine, tables
from driver.contenders import CONTENDERS, HERE, program, usable
from driver.measure import Runs, say
from driver.targets import ROWS, chosen, runs_of
from driver.works import WORKS, named


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["list", "row", "targets", "run", "machine", "probes", "report", "table"])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--work", default="all")
    parser.add_argument("--only", default="*", help="contenders, with * and ?, separated by commas")
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--sizes", default="100,1024", help="bytes of a message (of a row: its own)")
    parser.add_argument("--secs", type=float, default=4)
    parser.add_argument("--warm", type=float, default=1)
    parser.add_argument("--messages", type=int, default=1_000_000, help="backlog of w6")
    parser.add_argument("--idle", type=int, default=10_000, help="connections of w7")
    parser.add_argument("--retries", type=int, default=1, help="repeat a run when others used the cores")
    parser.add_argument("--paced", nargs="?", const="all", default="",
                        help="latency at 70 %% of the maximum, too; of contenders that begin with this")
    parser.add_argument("--folder", help="where servers keep their files: on the disk that is to be measured")
    parser.add_argument("--out", help="file that results are appended to")
    parser.add_argument("--batch", help="name of what belongs together when it is measured in pieces")
    arguments = parser.parse_args()
    arguments.sizes = [int(size) for size in arguments.sizes.split(",")]
    if not arguments.out:
        os.makedirs(os.path.join(HERE, "results"), exist_ok=True)
        arguments.out = os.path.join(HERE, "results", time.strftime("%Y%m%d-%H%M%S") + ".jsonl")
    return arguments


def run_rows(runs, rows):
    for (work, size), names in runs_of(rows).items():
        missing = [name for name in names if not usable(name)]
        if missing:
            say(f"{work}: without {' '.join(missing)}: build what the README names")
        runs.run(work, [size], [name for name in names if usable(name)])
    say("\n" + tables.targets(tables.load([runs.at.out]), rows))


def run_works(runs, arguments):
    patterns = arguments.only.split(",")
    for work in named(arguments.work):
        names = [who for who in WORKS[work]["who"] if usable(who)
                 and any(fnmatch.fnmatch(who, pattern) for pattern in patterns)]
        # Many servers at once would share too little memory.
        for who in names:
            runs.run(work, arguments.sizes, [who])
    say(tables.everything(tables.load([arguments.out])))


def main():
    # Servers are stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    arguments = read_arguments()
    paths = [path for name in arguments.names for path in sorted(glob.glob(name))]
    runs = Runs(arguments)
    match arguments.command:
        case "list":
            for work, what in WORKS.items():
                say(f"{work:8} {' '.join(who + ('' if usable(who) else '(-)') for who in what['who'])}")
            for row in ROWS:
                say(f"{row.name:18} {row.work:7} {row.octoq:18} {' '.join(row.peers)}")
        case "row":
            run_rows(runs, chosen(",".join(arguments.names) or "all"))
        case "targets":
            run_rows(runs, ROWS)
        case "run":
            run_works(runs, arguments)
        case "machine":
            say(machine.described())
        case "probes":
            subprocess.run([program("LOAD"), "probes", "--dir", arguments.folder or "."], check=False)
        case "report":
            say(tables.targets(tables.load(paths)))
        case "table":
            say(tables.everything(tables.load(paths)))


assert all(who in CONTENDERS for work in WORKS.values() for who in work["who"]), "a work names nobody"

if __name__ == "__main__":
    main()
