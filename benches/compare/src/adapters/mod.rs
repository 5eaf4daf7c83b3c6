//! One adapter per protocol. A new one is a type that implements `Protocol`, a line in `make` and
//! one in `LIST`.

mod amqp;
mod beanstalk;
mod dsmq;
mod frames;
mod http;
mod mqtt;
mod nats;
mod okq;
mod otq;
mod push;
mod redis;
mod resp;

use crate::protocol::{Context, Protocol, bad};
use std::io;

/// Names, and what is said.
pub const LIST: &[(&str, &str)] = &[
    ("redis-pubsub", "PUBLISH / SUBSCRIBE"),
    ("redis-list", "LPUSH / BLMOVE to a processing list / LREM as ack"),
    ("redis-list-noack", "LPUSH / BLMPOP COUNT n: at most once"),
    (
        "redis-stream",
        "XADD MAXLEN ~ / XREADGROUP COUNT n / XACK; xdel=1 deletes, maxlen=N (0: keep all)",
    ),
    ("nats-core", "PUB / SUB; verbose=1 asks +OK for each publish"),
    ("nats-js", "JetStream work queue, pull consumer, explicit ack; storage=memory|file"),
    ("amqp", "RabbitMQ work queue: confirms, prefetch, manual ack; durable=1, type=quorum"),
    ("amqp-fanout", "RabbitMQ fanout exchange to exclusive queues that need no ack"),
    ("beanstalk", "put / reserve / delete, pipelined"),
    ("mqtt", "qos=0|1, share=1 for a shared subscription, ws=1 over WebSocket"),
    ("http", "one request per message; style=native|blockqueue|fastqueue|rabbit|raw"),
    ("okq", "QLPUSH / QBPOP COUNT n / QACK; pops=N under way, ids_from=N"),
    ("okq-plain", "QLPUSH / QRPOP / QACK: okQ's own words, one event each"),
    ("otq", "PUT / GET on a broker topic, which takes for good; rows=N of one GET, verb=PUTACK"),
    ("otq-pubsub", "PUBLISH / SUBSCRIBE"),
    ("dsmq", "dsmq's JSON on WebSocket: every consumer gets every message (--fanout)"),
    ("ws-push", "subscribers of octoq on WebSocket: path=PATH, hello=TEXT, durability=LEVEL"),
];

pub fn make(name: &str, context: Context) -> io::Result<Box<dyn Protocol>> {
    Ok(match name {
        "redis-pubsub" => Box::new(redis::PubSub::new(context)),
        "redis-list" => Box::new(redis::List::new(context, false)),
        "redis-list-noack" => Box::new(redis::List::new(context, true)),
        "redis-stream" => Box::new(redis::Stream::new(context)),
        "nats-core" => Box::new(nats::Core::new(context)),
        "nats-js" => Box::new(nats::JetStream::new(context)),
        "amqp" => Box::new(amqp::Amqp::new(context, false)),
        "amqp-fanout" => Box::new(amqp::Amqp::new(context, true)),
        "beanstalk" => Box::new(beanstalk::Beanstalk::new(context)),
        "mqtt" if context.flag("ws") => Box::new(mqtt::OnWebSocket::new(context)),
        "mqtt" => Box::new(mqtt::Mqtt::new(context)),
        "http" => Box::new(http::Http::new(context)?),
        "okq" => Box::new(okq::Okq::new(context)),
        "okq-plain" => Box::new(okq::Okq::plain(context)),
        "otq" => Box::new(otq::Otq::new(context, false)),
        "otq-pubsub" => Box::new(otq::Otq::new(context, true)),
        "dsmq" => Box::new(dsmq::Dsmq::new(context)),
        "ws-push" => Box::new(push::Push::new(context)),
        other => return bad(format!("no adapter is named {other}")),
    })
}
