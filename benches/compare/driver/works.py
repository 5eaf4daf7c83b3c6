"""The works: what is done, and who does it."""

PUBSUB = ("octoq-otq-pubsub octoq-ws octoq-socket octoq-dsmq nats-core redis-pubsub redis-pubsub-io2 rabbit-fanout "
          "mqtt-qos0 mqtt-ws").split()
QUEUE = ("octoq-okq octoq-okq-plain octoq-otq redis-list redis-list-io2 redis-list-noack redis-stream nats-js-mem "
         "beanstalk-mem rabbit-mem mqtt-share").split()
SYNC = ("octoq-okq-sync octoq-otq-sync redis-list-always redis-stream-always beanstalk-always rabbit-durable "
        "rabbit-quorum").split()
ASYNC = ("octoq-okq-async octoq-otq-async redis-list-everysec redis-stream-everysec nats-js-file "
         "beanstalk-binlog").split()
HTTP = "octoq-http octoq-http-bytes empty-http-1 empty-http-2".split()


def fanout(consumers, backlog):
    return dict(who=PUBSUB, kind="pipe", backlog=backlog, copies=consumers,
                arguments=["--fanout", "--producers", 1, "--consumers", consumers])


def queue(who, producers=4, consumers=4, **more):
    return dict(who=who, kind="pipe", backlog=20000, copies=1,
                arguments=["--producers", producers, "--consumers", consumers], **more)


WORKS = {
    "w1-1": fanout(1, 8192),
    "w1-10": fanout(10, 2048),
    "w1-100": fanout(100, 512),
    "w2": queue(QUEUE),
    "w3": queue(SYNC + ASYNC),
    "w3-64": queue(SYNC + ASYNC, producers=64, window=1),
    "w4": dict(who=QUEUE + SYNC + ASYNC + ["nats-core-ok", "mqtt-qos1"], kind="single", arguments=[]),
    "w4-core": dict(who=QUEUE + SYNC + ["nats-core-ok", "mqtt-qos1"], kind="single", arguments=[], one_core=True),
    "w5": dict(who=HTTP, kind="pipe", window=1, copies=1, arguments=["--producers", 32, "--consumers", 0]),
    "w5-queue": queue(["octoq-http", "octoq-fastqueue", "octoq-blockqueue", "rabbit-http"],
                      producers=16, consumers=16, window=1),
    "w6": dict(who=QUEUE + SYNC + ASYNC, kind="backlog", arguments=[]),
    "w7": dict(who=["octoq-otq-pubsub", "octoq-okq", "octoq-dsmq", "octoq-ws", "redis-pubsub", "nats-core",
                    "mqtt-qos0", "rabbit-fanout"], kind="idle", arguments=[]),
}
GROUPS = {"w1": ["w1-1", "w1-10", "w1-100"], "all": list(WORKS)}


def named(words):
    """The works that some words, separated by commas, stand for."""
    found = []
    for word in words.split(","):
        found += GROUPS.get(word, [word])
    for name in found:
        if name not in WORKS:
            raise SystemExit(f"no work is named {name}")
    return found


def value(work, row):
    """The figure of a work: messages per second."""
    if WORKS[work]["kind"] == "single":
        return row["published_s"]
    if work.startswith("w1"):
        return row["delivered_s"]
    return row["acked_s"] or row["published_s"]
