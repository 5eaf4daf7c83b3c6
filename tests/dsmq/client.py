"""dsmq's own client against octoq, unchanged.

    client.py suite OCTOQ       the integration tests that the package brings, each with an octoq of
                                its own (the binary OCTOQ) in the place of dsmq's server
    client.py ws HOST PORT      the methods of the WebSocket releases (1.x)
    client.py plain HOST PORT   those of the releases before them (0.4 to 0.7)

Ends with 0 when everything is as it is with the original server.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import traceback


class OctoqProcess:
    """Stands for the `multiprocessing.Process` in which the suite runs a server."""

    binary = None
    running = []

    def __init__(self, suite):
        self.suite = suite

    def start(self):
        folder = tempfile.TemporaryDirectory()
        command = [self.binary, "serve", "--set", "store.path=store"]
        settings = ["dsmq.listen=127.0.0.1:0", "dsmq.allow_shutdown=true", "http.listen="]
        settings += ["otq.listen=", "okq.listen=", "fastqueue.listen=", "blockqueue.listen="]
        for setting in settings:
            command += ["--set", setting]
        process = subprocess.Popen(command, cwd=folder.name, stdout=subprocess.PIPE, text=True)
        OctoqProcess.running.append((process, folder))
        for line in process.stdout:
            if line.startswith("dsmq "):
                self.suite.port = int(line.rsplit(":", 1)[1])
                return
        raise RuntimeError("octoq did not start")

    @classmethod
    def stop_all(cls):
        for process, folder in cls.running:
            process.terminate()
            if process.wait(20) != 0:
                raise RuntimeError(f"octoq ended with {process.returncode}")
            process.stdout.close()
            folder.cleanup()
        cls.running.clear()


class ClientThread(threading.Thread):
    """Stands for a process with a client in it, which would not know the port."""

    def kill(self):
        pass


def run_suite(binary):
    OctoqProcess.binary = os.path.abspath(binary)
    from dsmq.tests import integration_test as suite

    def process(target, args=()):
        if target is suite.serve:
            return OctoqProcess(suite)
        return ClientThread(target=target, args=args)

    # A put is not answered, so the suite orders those of two clients by a pause of 10 ms, which a busy
    # machine does not keep.
    suite._pause = 0.25
    real = suite.mp.Process
    names = [name for name in dir(suite) if name.startswith("test_")]
    assert len(names) >= 9, names
    failed = 0
    for name in names:
        suite.mp.Process = process
        try:
            getattr(suite, name)()
            print("ok     ", name)
        except Exception:
            failed += 1
            print("FAILED ", name)
            traceback.print_exc()
        finally:
            suite.mp.Process = real
            OctoqProcess.stop_all()
    return failed


def expect(got, wanted):
    if got != wanted:
        raise AssertionError(f"expected {wanted!r}, got {got!r}")


def run_ws(host, port):
    from dsmq.client import connect
    from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK

    writer, reader = connect(host, port), connect(host, port, verbose=True)
    expect(reader.get("t"), "")
    texts = ["Hello!", "é €😀 \"quoted\" \\ \n\0", "x" * 1_000_000, " "]
    for text in texts:
        writer.put("t", text)
    for text in texts:
        expect(reader.get_wait("t"), text)
    expect(reader.get("t"), "")
    for at in range(50):
        writer.put("latest", str(at))
    expect(writer.get_latest("latest"), "49")
    expect(reader.get_latest("latest"), "49")
    expect(reader.get("latest"), "")
    # What is no text, as the original keeps it.
    for value, kept in [(5, "5"), (1.5, "1.5"), (100.0, "100.0"), (True, "1"), (None, None)]:
        writer.put("scalars", value)
        expect(reader.get_wait("scalars"), kept)
    # octoq keeps these; the original dies of them.
    for value in [{"a": [1, None]}, [], 10**30]:
        writer.put("values", value)
        expect(reader.get_wait("values"), value)
    late = connect(host, port)
    expect(late.get("t"), "")
    # Somebody is waiting while the message is put.
    got = []
    waiting = threading.Thread(target=lambda: got.append(reader.get_wait("later")))
    waiting.start()
    time.sleep(0.05)
    writer.put("later", "now")
    waiting.join()
    expect(got, ["now"])
    # A request that cannot be served closes this connection: the client tells it by "".
    late.websocket.send("{nope")
    expect(late.get("t"), "")
    # A shutdown that is not allowed costs the one who asked, and nobody else.
    other = connect(host, port)
    other.shutdown_server()
    try:
        other.get("t")
        raise AssertionError("the connection is closed, and the client says so")
    except (ConnectionClosedOK, ConnectionClosedError):
        pass
    writer.put("t", "still here")
    expect(reader.get_wait("t"), "still here")
    for client in (writer, reader):
        client.close()


def run_plain(host, port):
    import dsmq.dsmq as dsmq

    writer, reader = dsmq.connect_to_server(host, port), dsmq.connect_to_server(host, port)
    expect(reader.get("t"), "")
    for at in range(20):
        writer.put("t", f"message {at}")
        # The reply tells that the put was served.
        expect(writer.get("nothing"), "")
    for at in range(20):
        expect(reader.get("t"), f"message {at}")
    expect(reader.get("t"), "")
    expect(dsmq.connect_to_server(host, port).get("t"), "")
    # Two puts at once: octoq tells them apart.
    writer.put("t", "é")
    writer.put("t", '"quoted"')
    expect(writer.get("nothing"), "")
    expect([reader.get("t"), reader.get("t"), reader.get("t")], ["é", '"quoted"', ""])


def main():
    what, arguments = sys.argv[1], sys.argv[2:]
    if what == "suite":
        return run_suite(*arguments)
    host, port = arguments
    {"ws": run_ws, "plain": run_plain}[what](host, int(port))
    print("ok     ", what, json.dumps([host, int(port)]))
    return 0


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
