//! What is told of each topic.

use crate::broker::{QueueFigures, TopicFigures};
use crate::queue::stats::{Histogram, Waits};

/// A number of each topic.
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// `counter` or `gauge`.
    pub kind: &'static str,
    /// For people.
    pub help: &'static str,
    /// The number.
    pub value: Number,
}

fn sum(figures: &TopicFigures, of: fn(&QueueFigures) -> u64) -> u64 {
    figures.queues.iter().map(|(_, _, queue)| of(queue)).sum()
}

/// A number of a topic.
type Number = fn(&TopicFigures) -> u64;
/// One of a queue's two times.
type Time = fn(&Waits) -> &Histogram;

/// Why messages went without being acked.
pub const DROPS: [(&str, Number); 3] = [
    ("expired", |topic| sum(topic, |queue| queue.totals.expired)),
    ("overflow", |topic| sum(topic, |queue| queue.totals.dropped)),
    ("purged", |topic| sum(topic, |queue| queue.totals.purged)),
];

/// Times, as histograms: name, help, which of a queue's.
pub const TIMES: [(&str, &str, Time); 2] = [
    ("octoq_time_in_queue_seconds", "From ready to handed out.", |waits| &waits.in_queue),
    ("octoq_time_to_ack_seconds", "From handed out to acked.", |waits| &waits.to_ack),
];

/// Numbers.
pub const FAMILIES: [Family; 22] = [
    Family {
        name: "octoq_messages_ready",
        kind: "gauge",
        help: "Messages that can be handed out.",
        value: |topic| sum(topic, |queue| queue.counts.ready),
    },
    Family {
        name: "octoq_messages_delayed",
        kind: "gauge",
        help: "Messages not visible yet.",
        value: |topic| sum(topic, |queue| queue.counts.delayed),
    },
    Family {
        name: "octoq_messages_in_flight",
        kind: "gauge",
        help: "Messages handed out, not acked yet.",
        value: |topic| sum(topic, |queue| queue.counts.in_flight),
    },
    Family {
        name: "octoq_messages_dead",
        kind: "gauge",
        help: "Dead letters.",
        value: |topic| sum(topic, |queue| queue.counts.dead),
    },
    Family {
        name: "octoq_message_bytes",
        kind: "gauge",
        help: "Bytes of message bodies kept.",
        value: |topic| sum(topic, |queue| queue.counts.bytes),
    },
    Family {
        name: "octoq_published_total",
        kind: "counter",
        help: "Messages that came into queues.",
        value: |topic| sum(topic, |queue| queue.totals.published),
    },
    Family {
        name: "octoq_delivered_total",
        kind: "counter",
        help: "Messages handed out, again or first.",
        value: |topic| sum(topic, |queue| queue.totals.delivered),
    },
    Family {
        name: "octoq_redelivered_total",
        kind: "counter",
        help: "Messages handed out again.",
        value: |topic| sum(topic, |queue| queue.totals.redelivered),
    },
    Family {
        name: "octoq_acked_total",
        kind: "counter",
        help: "Messages acked or taken.",
        value: |topic| sum(topic, |queue| queue.totals.acked),
    },
    Family {
        name: "octoq_nacked_total",
        kind: "counter",
        help: "Messages given back.",
        value: |topic| sum(topic, |queue| queue.totals.nacked),
    },
    Family {
        name: "octoq_deadline_missed_total",
        kind: "counter",
        help: "Ack deadlines missed.",
        value: |topic| sum(topic, |queue| queue.totals.missed),
    },
    Family {
        name: "octoq_dead_lettered_total",
        kind: "counter",
        help: "Messages that became dead letters.",
        value: |topic| sum(topic, |queue| queue.totals.died),
    },
    Family {
        name: "octoq_pushed_total",
        kind: "counter",
        help: "Messages pushed to subscribers.",
        value: |topic| topic.pushed,
    },
    Family {
        name: "octoq_push_dropped_total",
        kind: "counter",
        help: "Messages slow subscribers missed.",
        value: |topic| topic.push_dropped,
    },
    Family {
        name: "octoq_subscribers",
        kind: "gauge",
        help: "Live subscribers.",
        value: |topic| topic.subscribers as u64,
    },
    Family {
        name: "octoq_consumers",
        kind: "gauge",
        help: "Connections that consume a queue.",
        value: |topic| sum(topic, |queue| queue.consumers),
    },
    Family {
        name: "octoq_subscribers_dropped_total",
        kind: "counter",
        help: "Subscribers dropped for being slow.",
        value: |topic| topic.subscribers_dropped,
    },
    Family {
        name: "octoq_topic_restarts_total",
        kind: "counter",
        help: "Times a topic was rebuilt after a failure.",
        value: |topic| topic.restarts,
    },
    Family {
        name: "octoq_topic_published_total",
        kind: "counter",
        help: "Messages published, whoever took them.",
        value: |topic| topic.published,
    },
    Family {
        name: "octoq_moved_in_total",
        kind: "counter",
        help: "Messages redriven or moved in.",
        value: |topic| sum(topic, |queue| queue.totals.moved_in),
    },
    Family {
        name: "octoq_subscribers_lagging",
        kind: "gauge",
        help: "Live subscribers that cannot follow.",
        value: |topic| topic.lagging as u64,
    },
    Family {
        name: "octoq_receivers_waiting",
        kind: "gauge",
        help: "Receivers that wait for a message.",
        value: |topic| topic.waiters as u64,
    },
];
