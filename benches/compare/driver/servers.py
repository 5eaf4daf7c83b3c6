"""A server of a contender: started in a folder of its own, stopped by its process ids."""
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from .contenders import HERE, PROGRAMS, program

PORTS_EACH = 4
START_S = 90
STOP_S = 20


def children(pid):
    """A process and all below it."""
    found = [pid]
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children") as text:
                for child in text.read().split():
                    found += children(int(child))
    return found


def resident(pids):
    """Bytes of memory."""
    kib = 0
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/status") as lines:
            kib += sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
    return kib * 1024


def alive(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as text:
        return text.read().rsplit(")", 1)[1].split()[0] != "Z"
    return False


def listening(port):
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 0.3).close()
        return True
    return False


def free_ports():
    """The first of some ports in a row that nobody has."""
    while True:
        with socket.socket() as first:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
        with contextlib.suppress(OSError, OverflowError), contextlib.ExitStack() as held:
            for more in range(PORTS_EACH):
                held.enter_context(socket.socket()).bind(("127.0.0.1", port + more))
            return port


class Server:
    def __init__(self, contender, folder=None):
        self.contender = contender
        self.folder = tempfile.mkdtemp(prefix=f"compare-{contender.script}-", dir=folder)
        self.port = free_ports()
        self.process = None

    def __enter__(self):
        try:
            return self.start().ready()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        self.stop(signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self):
        script = os.path.join(HERE, "peers", self.contender.script + ".sh")
        paths = {variable: program(variable) for variable in PROGRAMS}
        self.process = subprocess.Popen(
            [script, self.contender.variant, self.folder, str(self.port)], env=dict(os.environ, **paths),
            cwd=self.folder, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        return self

    def open(self):
        return listening(self.port + self.contender.off) and listening(self.port)

    def ready(self):
        end = time.time() + START_S
        while time.time() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.contender.script} ended: {self.process.stderr.read().decode()[-400:]}")
            if self.open():
                # It listens before it has settled.
                time.sleep(3 if self.contender.script == "rabbitmq" else 0.5)
                return self
            time.sleep(0.05)
        raise RuntimeError(f"{self.contender.script} does not listen")

    def pids(self):
        return children(self.process.pid)

    def stop(self, how=signal.SIGTERM):
        if not self.process:
            return
        pids = self.pids()
        for sign in (how, signal.SIGKILL):
            for pid in pids:
                with contextlib.suppress(OSError):
                    os.kill(pid, sign)
            end = time.time() + STOP_S
            while time.time() < end and any(alive(pid) for pid in pids):
                self.process.poll()
                time.sleep(0.01)
        self.process.wait()

    def disk_use(self):
        used = 0
        for folder, _, names in os.walk(self.folder):
            for name in names:
                with contextlib.suppress(OSError):
                    used += os.stat(os.path.join(folder, name)).st_blocks * 512
        return used

    def keep_on_one_core(self):
        for pid in self.pids():
            with contextlib.suppress(OSError):
                for thread in os.listdir(f"/proc/{pid}/task"):
                    os.sched_setaffinity(int(thread), {0})

    def option(self, text):
        """An option with the ports in it."""
        text = str(text).replace("{port}", str(self.port))
        for more in range(1, PORTS_EACH):
            text = text.replace("{port+%d}" % more, str(self.port + more))
        return text
