"""Who takes part: a server with a variant of its configuration, and how it is talked to."""
import dataclasses
import os

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


@dataclasses.dataclass
class Contender:
    script: str
    variant: str
    adapter: str
    options: dict = dataclasses.field(default_factory=dict)
    # The door is at the server's port, and so many more.
    off: int = 0
    # Deliveries that a consumer may hold, and unconfirmed messages of a producer.
    prefetch: int = 200
    window: int = 1000
    # What must be named in the environment or lie where cargo puts it.
    needs: str = ""


def built(name):
    return os.path.join(HERE, "target", "release", name)


# Programs that are built here, by the variable that names another one.
PROGRAMS = {
    "OCTOQ_SERVER": os.path.join(HERE, "..", "..", "target", "release", "octoq"),
    "EMPTY_HTTP": built("empty_http"),
    "LOAD": built("load"),
}


def program(variable):
    return os.path.abspath(os.environ.get(variable) or PROGRAMS[variable])


def octoq(variant, adapter, off, options=None, **more):
    return Contender("octoq", variant, adapter, options or {}, off, needs="OCTOQ_SERVER", **more)


OTQ, OKQ, HTTP, DSMQ = range(4)  # octoq's doors, from its first port on
PUBLISHED_OVER_OTQ = {"pub_adapter": "otq-pubsub", "pub_address": "127.0.0.1:{port}"}
# A publisher of pubsub messages has as many under way as the backlog lets it, whoever answers.
AHEAD = 8192

CONTENDERS = {
    # publish and subscribe
    "octoq-otq-pubsub": octoq("memory", "otq-pubsub", OTQ, window=AHEAD),
    "octoq-ws": octoq("memory", "ws-push", HTTP, PUBLISHED_OVER_OTQ, window=AHEAD),
    "octoq-socket": octoq("memory", "ws-push", HTTP, dict(
        PUBLISHED_OVER_OTQ, path="/v1/ws",
        hello='{"op":"subscribe","req":1,"topic":"{topic}","sub":"s","binary":true}'), window=AHEAD),
    "octoq-dsmq": octoq("memory", "dsmq", DSMQ),
    "redis-pubsub": Contender("redis", "mem", "redis-pubsub", window=AHEAD),
    "redis-pubsub-io2": Contender("redis", "mem-io2", "redis-pubsub", window=AHEAD),
    "nats-core": Contender("nats", "core", "nats-core"),
    "nats-core-ok": Contender("nats", "core", "nats-core", {"verbose": 1}, window=AHEAD),
    "rabbit-fanout": Contender("rabbitmq", "plain", "amqp-fanout"),
    "mqtt-qos0": Contender("mosquitto", "mem", "mqtt", {"qos": 0}),
    "mqtt-qos1": Contender("mosquitto", "mem", "mqtt", {"qos": 1}),
    "mqtt-ws": Contender("mosquitto", "mem", "mqtt", {"qos": 0, "ws": 1}, off=1),
    # work queues in memory
    "octoq-okq": octoq("memory", "okq", OKQ),
    "octoq-okq-plain": octoq("memory", "okq-plain", OKQ),
    "octoq-otq": octoq("memory", "otq", OTQ),
    "redis-list": Contender("redis", "mem", "redis-list"),
    "redis-list-io2": Contender("redis", "mem-io2", "redis-list"),
    "redis-list-noack": Contender("redis", "mem", "redis-list-noack"),
    "redis-stream": Contender("redis", "mem", "redis-stream"),
    "nats-js-mem": Contender("nats", "js", "nats-js", {"storage": "memory"}),
    "beanstalk-mem": Contender("beanstalkd", "mem", "beanstalk"),
    "rabbit-mem": Contender("rabbitmq", "plain", "amqp"),
    "mqtt-share": Contender("mosquitto", "mem", "mqtt", {"qos": 1, "share": 1}),
    # on disk, confirmed after the sync
    "octoq-okq-sync": octoq("sync", "okq", OKQ),
    "octoq-otq-sync": octoq("sync", "otq", OTQ),
    "redis-list-always": Contender("redis", "always", "redis-list"),
    "redis-stream-always": Contender("redis", "always", "redis-stream"),
    "beanstalk-always": Contender("beanstalkd", "always", "beanstalk"),
    "rabbit-durable": Contender("rabbitmq", "plain", "amqp", {"durable": 1}),
    "rabbit-quorum": Contender("rabbitmq", "plain", "amqp", {"durable": 1, "type": "quorum"}),
    # on disk, synced later
    "octoq-okq-async": octoq("async", "okq", OKQ),
    "octoq-otq-async": octoq("async", "otq", OTQ),
    "redis-list-everysec": Contender("redis", "everysec", "redis-list"),
    "redis-stream-everysec": Contender("redis", "everysec", "redis-stream"),
    "nats-js-file": Contender("nats", "js", "nats-js", {"storage": "file"}),
    "beanstalk-binlog": Contender("beanstalkd", "binlog", "beanstalk"),
    # HTTP, one request per message
    "octoq-http": octoq("memory", "http", HTTP, {"style": "native", "batch": 100}),
    "octoq-http-bytes": octoq("memory", "http", HTTP, {
        "style": "native", "batch": 100, "type": "application/octet-stream", "json": "@"}),
    "octoq-fastqueue": octoq("memory", "http", HTTP, {
        "style": "fastqueue", "base": "/fastqueue", "batch": 100}),
    "octoq-blockqueue": octoq("memory", "http", HTTP, {"style": "blockqueue", "base": "/blockqueue"}),
    "empty-http-1": Contender("empty_http", "1", "http", {
        "style": "raw", "pub": "POST /v1/topics/b/messages", "json": '{"body":"@"}'}, needs="EMPTY_HTTP"),
    "empty-http-2": Contender("empty_http", "2", "http", {
        "style": "raw", "pub": "POST /v1/topics/b/messages", "json": '{"body":"@"}'}, needs="EMPTY_HTTP"),
    "rabbit-http": Contender("rabbitmq", "mgmt", "http", {"style": "rabbit"}, off=1),
}

DISK = {"always", "everysec", "binlog", "never", "sync", "async", "persist"}


def on_disk(contender):
    """Whether what is confirmed survives a kill."""
    if contender.script == "rabbitmq":
        return bool(contender.options.get("durable"))
    return contender.variant in DISK or contender.options.get("storage") == "file"


def usable(name):
    needs = CONTENDERS[name].needs
    return not needs or os.path.exists(program(needs))
