"""What a figure must be read with: the machine, and the versions of everybody."""
import os
import platform
import re
import subprocess
import tempfile

from .contenders import program

VERSIONS = {
    "octoq": ([program("OCTOQ_SERVER"), "--version"], r"octoq (\S+)"),
    "redis-server": ([os.environ.get("REDIS_SERVER") or "redis-server", "--version"], r"v=(\S+)"),
    "nats-server": ([os.environ.get("NATS_SERVER") or "nats-server", "--version"], r"v(\d\S*)"),
    "beanstalkd": ([os.environ.get("BEANSTALKD") or "beanstalkd", "-v"], r"beanstalkd (\S+)"),
    "mosquitto": ([os.environ.get("MOSQUITTO") or "mosquitto", "-h"], r"version (\S+)"),
    "rabbitmq-server": (["dpkg-query", "-W", "-f", "${Version}", "rabbitmq-server"], ""),
}


def first(path, pattern):
    with open(path) as text:
        found = re.search(pattern, text.read(), re.MULTILINE)
    return found.group(1) if found else "?"


def version(command, pattern):
    try:
        said = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False).stdout
    except OSError:
        return "not there"
    found = re.search(pattern, said) if pattern else None
    return found.group(1) if found else said.strip().splitlines()[0] if said.strip() else "?"


def described():
    """A list in Markdown."""
    kib = int(first("/proc/meminfo", r"^MemTotal:\s+(\d+)"))
    disk = subprocess.run(["findmnt", "-no", "FSTYPE,SOURCE", "--target", tempfile.gettempdir()],
                          stdout=subprocess.PIPE, text=True, check=False).stdout.split()
    model = first("/proc/cpuinfo", r"^model name\s*: (.*)")
    lines = [f"- {os.cpu_count()} cores, {model}; {kib / 2**20:.0f} GiB of memory",
             f"- Linux {platform.release()}; stores on {' '.join(disk)}"]
    lines += [f"- {name} {version(*how)}" for name, how in VERSIONS.items()]
    return "\n".join(lines)
