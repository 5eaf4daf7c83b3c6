"""The rows that octoq is held to: a work, who is beside it, and what octoq should reach of the best."""
import dataclasses


@dataclasses.dataclass
class Row:
    name: str
    what: str
    work: str
    size: int
    octoq: str
    # Peer, and what octoq should reach of its figure.
    peers: dict
    # Rates are to be at least so many times the peer's, times and bytes at most.
    figure: str = "rate"
    at_most: bool = False


def rate(name, what, work, size, octoq, figure="rate", **peers):
    """A row of a rate: octoq's is to be at least so many times the peer's."""
    return Row(name, what, work, size, octoq, {peer.replace("_", "-"): need for peer, need in peers.items()}, figure)


def cost(*words, **peers):
    """A row of times or bytes: octoq's are to be at most so many times the peer's."""
    return dataclasses.replace(rate(*words, **peers), at_most=True)


ROWS = [
    rate("pubsub-1", "pub/sub in memory, 1 to 1", "w1-1", 100, "octoq-otq-pubsub", nats_core=1.2),
    rate("pubsub-1-1k", "pub/sub in memory, 1 to 1", "w1-1", 1024, "octoq-otq-pubsub", nats_core=1.2),
    rate("pubsub-10", "pub/sub in memory, 1 to 10", "w1-10", 100, "octoq-otq-pubsub",
         nats_core=1.5, redis_pubsub=1.5),
    rate("pubsub-100", "pub/sub in memory, 1 to 100", "w1-100", 100, "octoq-otq-pubsub",
         nats_core=2.0, redis_pubsub=2.0),
    rate("ws-1", "pub/sub in memory to 1 WebSocket", "w1-1", 100, "octoq-ws", mqtt_ws=2.0),
    rate("ws-10", "pub/sub in memory to 10 WebSockets", "w1-10", 100, "octoq-ws", mqtt_ws=5.0),
    rate("ws-100", "pub/sub in memory to 100 WebSockets", "w1-100", 100, "octoq-ws", mqtt_ws=10.0),
    rate("queue", "work queue in memory, each acked", "w2", 100, "octoq-okq",
         redis_list=1.5, redis_stream=1.8, nats_js_mem=4.0),
    rate("queue-1k", "work queue in memory, each acked", "w2", 1024, "octoq-okq",
         redis_list=1.5, redis_stream=1.8, nats_js_mem=4.0),
    rate("sync", "work queue on disk, after fsync", "w3", 100, "octoq-okq-sync", redis_list_always=1.5),
    rate("sync-1k", "work queue on disk, after fsync", "w3", 1024, "octoq-okq-sync", redis_list_always=1.5),
    rate("async", "work queue on disk, relaxed", "w3", 100, "octoq-okq-async",
         redis_list_everysec=1.5, nats_js_file=4.0),
    rate("async-1k", "work queue on disk, relaxed", "w3", 1024, "octoq-okq-async",
         redis_list_everysec=1.5, nats_js_file=4.0),
    rate("sync-64", "64 producers that wait, after fsync", "w3-64", 100, "octoq-okq-sync", redis_list_always=1.5),
    rate("sync-64-1k", "64 producers that wait, after fsync", "w3-64", 1024, "octoq-okq-sync",
         redis_list_always=1.5),
    cost("one", "one at a time in memory, p50 us", "w4", 100, "octoq-okq", "p50", redis_list=1.2),
    cost("one-p99", "one at a time in memory, p99 us", "w4", 100, "octoq-okq", "p99", redis_list=2.0),
    cost("one-sync", "one at a time after fsync, p50 us", "w4", 100, "octoq-okq-sync", "p50",
         redis_list_always=1.2, beanstalk_always=1.7),
    rate("http", "HTTP publish, 32 connections, in memory", "w5", 100, "octoq-http",
         empty_http_1=0.7, empty_http_2=0.7),
    cost("backlog-memory", "1 M waiting in memory, bytes each", "w6", 100, "octoq-okq", "bytes_per_message",
         redis_stream=1.5),
    cost("backlog-memory-otq", "the same, without ids of their own", "w6", 100, "octoq-otq", "bytes_per_message",
         redis_stream=1.5),
    cost("backlog-restart", "1 M on disk, kill to first delivery, s", "w6", 100, "octoq-okq-async", "restart_s",
         redis_list_everysec=2.0),
    rate("backlog-fill", "1 M on disk, relaxed, fill", "w6", 100, "octoq-okq-async", "fill_s",
         redis_list_everysec=1.0),
    rate("backlog-drain", "1 M on disk, relaxed, drain with acks", "w6", 100, "octoq-okq-async", "drain_s",
         redis_list_everysec=1.5),
    cost("idle-otq", "10,000 idle subscribers, otq, bytes each", "w7", 0, "octoq-otq-pubsub",
         "bytes_per_connection", redis_pubsub=1.0),
    cost("idle-okq", "10,000 idle consumers, okq, bytes each", "w7", 0, "octoq-okq",
         "bytes_per_connection", redis_pubsub=1.0),
]


def chosen(words):
    """The rows of some names, of which the first part is enough; all of `all`."""
    wanted = words.split(",")
    rows = [row for row in ROWS if any(
        word in ("all", row.name, row.work) or row.name.startswith(word + "-") for word in wanted)]
    if not rows:
        raise SystemExit(f"no row is named {words}: {' '.join(row.name for row in ROWS)}")
    return rows


def runs_of(rows):
    """What must be run for some rows: each work and size once, with all who take part."""
    wanted = {}
    for row in rows:
        names = wanted.setdefault((row.work, row.size), [])
        names += [name for name in [row.octoq, *row.peers] if name not in names]
    return wanted
