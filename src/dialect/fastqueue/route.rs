//! Paths to routes.

/// What a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// `/topics`
    Topics,
    /// `/topics/{topic_id}`
    Topic,
    /// `/topics/{topic_id}/messages`
    TopicMessages,
    /// `/queues`
    Queues,
    /// `/queues/{queue_id}`
    Queue,
    /// `/queues/{queue_id}/stats`
    Stats,
    /// `/queues/{queue_id}/purge`
    Purge,
    /// `/queues/{queue_id}/redrive`
    Redrive,
    /// `/queues/{queue_id}/messages`
    QueueMessages,
    /// `/messages/{message_id}/ack`
    Ack,
    /// `/messages/{message_id}/nack`
    Nack,
    /// `/health`
    Health,
    /// `/metrics`
    Metrics,
    /// `/openapi.json`
    OpenApi,
    /// `/docs`
    Docs,
    /// `/redoc`
    Redoc,
    /// `/docs/oauth2-redirect`
    OAuthRedirect,
    /// Any other.
    Unknown,
}

/// All of them, in the order of their numbers.
pub const ALL: [Route; 18] = [
    Route::Topics,
    Route::Topic,
    Route::TopicMessages,
    Route::Queues,
    Route::Queue,
    Route::Stats,
    Route::Purge,
    Route::Redrive,
    Route::QueueMessages,
    Route::Ack,
    Route::Nack,
    Route::Health,
    Route::Metrics,
    Route::OpenApi,
    Route::Docs,
    Route::Redoc,
    Route::OAuthRedirect,
    Route::Unknown,
];

impl Route {
    /// Its path, as metrics call it.
    pub fn template(self) -> &'static str {
        match self {
            Route::Topics => "/topics",
            Route::Topic => "/topics/{topic_id}",
            Route::TopicMessages => "/topics/{topic_id}/messages",
            Route::Queues => "/queues",
            Route::Queue => "/queues/{queue_id}",
            Route::Stats => "/queues/{queue_id}/stats",
            Route::Purge => "/queues/{queue_id}/purge",
            Route::Redrive => "/queues/{queue_id}/redrive",
            Route::QueueMessages => "/queues/{queue_id}/messages",
            Route::Ack => "/messages/{message_id}/ack",
            Route::Nack => "/messages/{message_id}/nack",
            Route::Health => "/health",
            Route::Metrics => "/metrics",
            Route::OpenApi => "/openapi.json",
            Route::Docs => "/docs",
            Route::Redoc => "/redoc",
            Route::OAuthRedirect => "/docs/oauth2-redirect",
            Route::Unknown => "none",
        }
    }

    /// The methods it takes.
    pub fn methods(self) -> &'static str {
        match self {
            Route::Topics | Route::Queues => "GET, POST",
            Route::Topic => "GET, DELETE",
            Route::Queue => "GET, PUT, DELETE",
            Route::TopicMessages => "POST",
            Route::Purge | Route::Redrive | Route::Ack | Route::Nack => "PUT",
            Route::Stats
            | Route::QueueMessages
            | Route::Health
            | Route::Metrics
            | Route::OpenApi
            | Route::Docs
            | Route::Redoc
            | Route::OAuthRedirect => "GET",
            Route::Unknown => "",
        }
    }

    /// Whether it takes a method.
    pub fn takes(self, method: &str) -> bool {
        self.methods().split(", ").any(|known| known == method)
    }
}

/// What a path (below the mount) means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'a> {
    /// A route, and the id in the path as it was sent; empty when there is none.
    Route(Route, &'a str),
    /// With or without a final slash it would be a route.
    OtherSlash(Route),
    /// Nothing.
    Nothing,
}

/// Finds the route of a path.
pub fn find(path: &str) -> Found<'_> {
    if let Some((route, id)) = exact(path) {
        return Found::Route(route, id);
    }
    match path.strip_suffix('/').and_then(|path| exact(path.trim_end_matches('/'))) {
        Some((route, _)) => Found::OtherSlash(route),
        None => Found::Nothing,
    }
}

fn exact(path: &str) -> Option<(Route, &str)> {
    let mut segments = path.strip_prefix('/')?.split('/');
    let (first, second, third) = (segments.next()?, segments.next(), segments.next());
    if segments.next().is_some() || second == Some("") {
        return None;
    }
    let id = second.unwrap_or_default();
    let route = match (first, second, third) {
        ("topics", None, None) => Route::Topics,
        ("topics", Some(_), None) => Route::Topic,
        ("topics", Some(_), Some("messages")) => Route::TopicMessages,
        ("queues", None, None) => Route::Queues,
        ("queues", Some(_), None) => Route::Queue,
        ("queues", Some(_), Some("stats")) => Route::Stats,
        ("queues", Some(_), Some("purge")) => Route::Purge,
        ("queues", Some(_), Some("redrive")) => Route::Redrive,
        ("queues", Some(_), Some("messages")) => Route::QueueMessages,
        ("messages", Some(_), Some("ack")) => Route::Ack,
        ("messages", Some(_), Some("nack")) => Route::Nack,
        ("health", None, None) => Route::Health,
        ("metrics", None, None) => Route::Metrics,
        ("openapi.json", None, None) => Route::OpenApi,
        ("docs", None, None) => Route::Docs,
        ("redoc", None, None) => Route::Redoc,
        ("docs", Some("oauth2-redirect"), None) => Route::OAuthRedirect,
        _ => return None,
    };
    Some((route, id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_of_the_original_is_found() {
        let table = [
            ("/topics", Found::Route(Route::Topics, "")),
            ("/topics/a%2Fb", Found::Route(Route::Topic, "a%2Fb")),
            ("/topics/a/messages", Found::Route(Route::TopicMessages, "a")),
            ("/queues", Found::Route(Route::Queues, "")),
            ("/queues/messages", Found::Route(Route::Queue, "messages")),
            ("/queues/a/messages", Found::Route(Route::QueueMessages, "a")),
            ("/queues/a/stats", Found::Route(Route::Stats, "a")),
            ("/queues/a/purge", Found::Route(Route::Purge, "a")),
            ("/queues/a/redrive", Found::Route(Route::Redrive, "a")),
            ("/messages/x/ack", Found::Route(Route::Ack, "x")),
            ("/messages/x/nack", Found::Route(Route::Nack, "x")),
            ("/health", Found::Route(Route::Health, "")),
            ("/docs/oauth2-redirect", Found::Route(Route::OAuthRedirect, "oauth2-redirect")),
            ("/topics/", Found::OtherSlash(Route::Topics)),
            ("/queues/a/", Found::OtherSlash(Route::Queue)),
            ("/queues/a/stats/", Found::OtherSlash(Route::Stats)),
            ("/", Found::Nothing),
            ("", Found::Nothing),
            ("//topics", Found::Nothing),
            ("/topics//", Found::OtherSlash(Route::Topics)),
            ("/topics//messages", Found::Nothing),
            ("/topics/a/b/messages", Found::Nothing),
            ("/messages/x", Found::Nothing),
            ("/Topics", Found::Nothing),
            ("/health/x", Found::Nothing),
        ];
        for (path, found) in table {
            assert_eq!(find(path), found, "{path}");
        }
    }

    #[test]
    fn each_route_has_its_place_in_the_list() {
        for (at, route) in ALL.into_iter().enumerate() {
            assert_eq!(route as usize, at);
        }
    }
}
