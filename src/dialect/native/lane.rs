//! The way of the busiest requests past the router.

use actix_web::{
    Route,
    dev::{AppService, HttpServiceFactory, ResourceDef},
    guard::{self, Guard},
    http::Method,
};

/// A shorter way to what is sent most, `POST /v1/topics/{topic}/LAST`: told by a look at the path as it
/// was sent, where a resource costs a regular expression and a router of methods. What does not go by it
/// comes to the resource of that path, which has the last word about methods.
pub struct Lane {
    /// The last word of the path.
    pub last: &'static str,
    /// Who answers.
    pub route: Route,
}

impl HttpServiceFactory for Lane {
    fn register(self, app: &mut AppService) {
        let last = self.last;
        let taken = guard::fn_guard(move |request| {
            let head = request.head();
            head.method == Method::POST && is_of_topic(head.uri.path(), last)
        });
        let guards: Vec<Box<dyn Guard>> = vec![Box::new(taken)];
        app.register_service(ResourceDef::prefix("/v1/topics"), Some(guards), self.route, None);
    }
}

fn is_of_topic(path: &str, last: &str) -> bool {
    let path = path.strip_prefix("/v1/topics/").and_then(|path| path.strip_suffix(last));
    path.and_then(|path| path.strip_suffix('/'))
        .is_some_and(|name| !name.is_empty() && memchr::memchr(b'/', name.as_bytes()).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_path_of_one_topic_and_that_word_goes_by_the_lane() {
        let table = [
            ("/v1/topics/orders/ack", true),
            ("/v1/topics/a%2Fb/ack", true),
            ("/v1/topics/ack/ack", true),
            ("/v1/topics//ack", false),
            ("/v1/topics/ack", false),
            ("/v1/topics/back", false),
            ("/v1/topics/orders/nack", false),
            ("/v1/topics/orders/ack/", false),
            ("/v1/topics/orders/queues/ack", false),
            ("/v1/queues/orders/ack", false),
            ("", false),
        ];
        for (path, goes) in table {
            assert_eq!(is_of_topic(path, "ack"), goes, "{path}");
        }
    }
}
