//! What every TCP door sets on the sockets it accepts.

use std::time::Duration;

/// Sockets answer at once, and a peer that acknowledges nothing is dropped by the kernel: an actor
/// whose socket is stuck cannot do it itself.
pub fn tune(stream: &tokio::net::TcpStream, user_timeout: Duration) {
    let socket = socket2::SockRef::from(stream);
    let keep_alive = socket2::TcpKeepalive::new().with_time(Duration::from_secs(60));
    let tuned = socket
        .set_tcp_nodelay(true)
        .and_then(|()| socket.set_tcp_keepalive(&keep_alive))
        .and_then(|()| socket.set_tcp_user_timeout(Some(user_timeout)));
    if let Err(error) = tuned {
        log::debug!("socket options: {error}");
    }
}
