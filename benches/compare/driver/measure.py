"""Runs: each works the load on a server and appends its result, one line of JSON, to a file."""
import contextlib
import json
import os
import signal
import statistics
import subprocess
import time

from .contenders import CONTENDERS, on_disk, program
from .servers import Server, listening, resident
from .works import WORKS, value

# A run is repeated when others used more than so many cores.
OTHERS_MAX = 0.3
# How long a fill or a drain may take.
LONG_S = 110


def say(*words):
    print(*words, flush=True)


class Runs:
    """Where results go, and how long runs are."""

    def __init__(self, arguments):
        self.at = arguments
        self.batch = arguments.batch or time.strftime("%Y-%m-%dT%H:%M:%S")

    def record(self, row):
        row.update(at=time.strftime("%Y-%m-%dT%H:%M:%S"), batch=self.batch)
        with open(self.at.out, "a") as lines:
            lines.write(json.dumps(row) + "\n")

    def load(self, kind, server, arguments, one_core=False):
        contender = server.contender
        command = [program("LOAD"), kind, "--adapter", contender.adapter,
                   "--address", f"127.0.0.1:{server.port + contender.off}"]
        for name, text in contender.options.items():
            command += ["-o", f"{name}={server.option(text)}"]
        for pid in server.pids():
            command += ["--pid", pid]
        command = [str(word) for word in command + list(arguments)]
        ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               preexec_fn=(lambda: os.sched_setaffinity(0, {0})) if one_core else None)
        with contextlib.suppress(ValueError, IndexError):
            return json.loads(ended.stdout.strip().splitlines()[-1])
        return {"error": ended.stdout[-300:] or f"ended with {ended.returncode}"}

    def quiet(self, kind, server, arguments, topic, **more):
        """A run, and again when others used the cores; what a run leaves behind is nobody's burden."""
        for tries in range(1, self.at.retries + 2):
            named = [*arguments, "--topic", f"{topic}-{tries}"]
            row = dict(self.load(kind, server, named, **more), tries=tries)
            if row.get("error") or row.get("other_cores", 0) <= OTHERS_MAX:
                break
        return row

    def settings(self, work, contender, size):
        words = ["--size", size, "--prefetch", contender.prefetch,
                 "--window", work.get("window", contender.window)]
        if "backlog" in work:
            words += ["--backlog", work["backlog"]]
        return words + work["arguments"]

    def timed(self, name, who, server, size, rep, rate=None):
        """One run of a work that has a length in time."""
        work = WORKS[name]
        words = self.settings(work, server.contender, size) + ["--warm", self.at.warm, "--secs", self.at.secs]
        words += [] if rate is None else ["--rate", f"{rate:.1f}"]
        topic = f"{'b' if rate is None else 'p'}{rep}"
        row = self.quiet(work["kind"], server, words, topic, one_core=bool(work.get("one_core")))
        row.update(work=name, who=who, size=size, rep=rep, mode="max" if rate is None else "70%")
        self.record(row)
        say(f"{name:7} {who:20} {size:5} B {'' if rate is None else '70% '}{brief(name, row)}")
        return row

    def in_turn(self, name, size, names):
        """All servers are up at once and take turns, first forwards, then backwards: drift cancels."""
        work = WORKS[name]
        with contextlib.ExitStack() as up:
            servers = {who: up.enter_context(Server(CONTENDERS[who], self.at.folder)) for who in names}
            for server in servers.values() if work.get("one_core") else []:
                server.keep_on_one_core()
            got = {who: [] for who in names}
            for rep in range(self.at.reps):
                for who in names if rep % 2 == 0 else reversed(names):
                    row = self.timed(name, who, servers[who], size, rep)
                    if not row.get("error"):
                        got[who].append(value(name, row))
            for who in names if self.at.paced and work["kind"] == "pipe" else []:
                if got[who] and (self.at.paced == "all" or who.startswith(self.at.paced)):
                    rate = 0.7 * statistics.median(got[who]) / work["copies"]
                    for rep in range(self.at.reps):
                        self.timed(name, who, servers[who], size, rep, rate)

    def fill(self, server, count, *more):
        return self.load("pipe", server, ["--producers", 4, "--consumers", 0, "--count", count,
                                          "--window", server.contender.window, "--secs", LONG_S, *more])

    def backlog(self, name, who):
        """A million messages wait: fill, memory, kill and restart, drain."""
        contender, count = CONTENDERS[who], self.at.messages
        # Nothing is trimmed.
        contender = type(contender)(**dict(vars(contender), options=dict(contender.options, maxlen=0)))
        for rep in range(self.at.reps):
            with Server(contender, self.at.folder) as server:
                # A fresh server has memory to spare and gives some back: memory is measured from a quarter on.
                ground = count // 4
                self.fill(server, ground)
                time.sleep(1)
                before = resident(server.pids())
                fill = self.fill(server, count - ground, "-o", "keep=1", "-o", f"ids_from={count}")
                time.sleep(1.5)
                full = resident(server.pids())
                row = dict(work=name, who=who, size=100, rep=rep, mode="backlog", messages=count,
                           resident_before=before, resident_full=full,
                           bytes_per_message=(full - before) / (count - ground),
                           disk_per_message=server.disk_use() / count, error=fill.get("error"))
                if not fill.get("error"):
                    row["fill_s"] = fill["confirmed_s"] or fill["published_s"]
                    row.update(fill_server_cores=fill["server_cores"], other_cores=fill["other_cores"])
                    if on_disk(contender):
                        row["restart_s"] = self.restart(server)
                        row["resident_restarted"] = resident(server.pids())
                    # What the restart took may be held.
                    drain = self.load("pipe", server, [
                        "--producers", 0, "--consumers", 4, "--prefetch", contender.prefetch,
                        "--count", count - 100, "--secs", LONG_S, "-o", "keep=1"])
                    row.update(drain_s=drain.get("acked_s"), drain_secs=drain.get("secs"),
                               drain_server_cores=drain.get("server_cores"), error=drain.get("error"))
                    if drain.get("acked_s"):
                        row["drained"] = drain["acked_s"] * drain["secs"]
                self.record(row)
                shown = {k: round(v, 2) for k, v in row.items() if isinstance(v, float)}
                say(f"{name:7} {who:20} {row['error'] or shown}")

    def restart(self, server):
        """Seconds from the start of a server that was killed to the first message out of it."""
        server.stop(signal.SIGKILL)
        start = time.time()
        server.start()
        while time.time() - start < LONG_S:
            if listening(server.port + server.contender.off):
                row = self.load("pipe", server, ["--producers", 0, "--consumers", 1, "--prefetch", 1, "--count", 1,
                                                 "--secs", 3, "-o", "keep=1"])
                if row.get("acked_s"):
                    return time.time() - start
            time.sleep(0.003)
        return None

    def idle(self, name, who):
        for rep in range(self.at.reps):
            with Server(CONTENDERS[who], self.at.folder) as server:
                row = self.load("idle", server, ["--consumers", self.at.idle, "--secs", 2, "-o", "own=1"])
                row.update(work=name, who=who, size=0, rep=rep, mode="idle")
                self.record(row)
                say(f"{name:7} {who:20} {json.dumps(row)}")

    def run(self, name, sizes, names):
        """A work with some of its contenders."""
        kind = WORKS[name]["kind"]
        try:
            if kind in ("backlog", "idle"):
                for who in names:
                    getattr(self, kind)(name, who)
            else:
                for size in sizes:
                    self.in_turn(name, size, names)
        except RuntimeError as error:
            say(f"{name}: {error}")


def brief(work, row):
    if row.get("error"):
        return f"ERROR {row['error']}"
    us = row["latency_us"]
    return (f"{value(work, row):>11,.0f}/s  p50 {us['p50']:>8.1f} p99 {us['p99']:>9.1f} us  "
            f"server {row['server_cores']:.2f} client {row['client_cores']:.2f} "
            f"(p {row.get('producer_cores', 0):.2f} c {row.get('consumer_cores', 0):.2f}) "
            f"other {row['other_cores']:.2f} missing {row.get('missing', 0)}")
