//! Conversations with a scripted broker on a port of its own.

use super::interactive::read_script;
use super::once::asked;
use super::screen::Style;
use super::*;
use std::{
    cell::RefCell,
    io::{Read as _, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    rc::Rc,
    thread::JoinHandle,
};

/// No step of a healthy test takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a client must say, and what it is answered.
type Step = (&'static str, &'static str);

const LOGIN: Step = ("OTQ CONNECT ann secret\r\n", "CONNECTED\r\nENDOFRESP\r\n");

struct FakeBroker {
    address: SocketAddr,
    thread: JoinHandle<()>,
}

impl FakeBroker {
    /// One connection after the other; each closes behind its last step.
    fn start(connections: &'static [&'static [Step]]) -> FakeBroker {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let thread = std::thread::spawn(move || {
            for steps in connections {
                let (stream, _) = listener.accept().unwrap();
                play(stream, steps);
            }
        });
        FakeBroker { address, thread }
    }

    fn conversation(&self) -> Conversation {
        Conversation::new(self.address.to_string(), PATIENCE, None)
    }

    /// Every step was taken.
    fn finish(self) {
        self.thread.join().unwrap();
    }
}

fn play(mut stream: TcpStream, steps: &[Step]) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    for (expected, reply) in steps {
        let mut got = vec![0; expected.len()];
        stream
            .read_exact(&mut got)
            .unwrap_or_else(|error| panic!("waiting for {expected:?}: {error}"));
        assert_eq!(String::from_utf8_lossy(&got), *expected);
        stream.write_all(reply.as_bytes()).unwrap();
    }
}

/// What was printed, readable while it is printed.
#[derive(Clone, Default)]
struct Paper(Rc<RefCell<Vec<u8>>>);

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.borrow().clone()).unwrap()
    }

    fn screen(&self, style: Style) -> Screen {
        Screen::to(Box::new(self.clone()), Box::new(self.clone()), style)
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Ctrl-C as soon as this was printed.
struct WhenPrinted(Paper, &'static str);

impl Stop for WhenPrinted {
    fn stop(&mut self) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(std::future::poll_fn(|_| match self.0.text().contains(self.1) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }))
    }
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn login() -> Request {
    Request::connect("ann", "secret").unwrap()
}

fn request(line: &str) -> Request {
    asked(&[line.to_owned()]).unwrap()
}

/// Runs a script; answers what it printed and its exit code.
fn script(broker: &FakeBroker, login: Option<Request>, text: &str) -> (String, ExitCode) {
    let paper = Paper::default();
    let mut lines = text.lines().map(|line| line.as_bytes().to_vec());
    let mut next = || Ok(lines.next());
    let code = wait(read_script(
        broker.conversation(),
        paper.screen(Style::Labelled),
        login,
        &mut next,
        &mut Never,
    ));
    (paper.text(), code.unwrap())
}

#[test]
fn a_script_logs_in_puts_gets_and_shows_octoques_labels() {
    let broker = FakeBroker::start(&[&[
        LOGIN,
        ("OTQ put default 2 batch\r\n", "PROCEED\r\n"),
        ("hello\r\nquit\r\n", "ENDOFRESP\r\n"),
        ("otq get default 5 batch\r\n", "PROCEED\r\nhello\r\nquit\r\nENDOFRESP\r\n"),
        ("OTQ putack default 1 batch\r\n", "PROCEED\r\n"),
        ("x\r\n", "SUCCESS\r\n1\r\nENDOFRESP\r\n"),
    ]]);
    let text = "put default 2 batch\nhello\nquit\notq get default 5 batch\n\nputack default 1 batch\nx\nhistory\nquit\nping t\n";
    let (printed, code) = script(&broker, Some(login()), text);
    let expected = "result  > CONNECTED\nresult  > hello\nresult  > quit\nresult  > SUCCESS\nresult  > 1\n\
                    result  > put default 2 batch\nresult  > otq get default 5 batch\nresult  > putack default 1 batch\n";
    assert_eq!(printed, expected);
    assert_eq!(code, ExitCode::SUCCESS);
    broker.finish();
}

#[test]
fn after_a_decline_that_closes_the_next_command_logs_in_again() {
    let broker = FakeBroker::start(&[
        &[
            LOGIN,
            ("OTQ ping t\r\n", "PONG\r\nENDOFRESP\r\n"),
            ("OTQ put nope 2 batch\r\n", "DECLINE:Requested topic not found\nENDOFRESP\r\n"),
        ],
        &[LOGIN, ("OTQ ping t\r\n", "PONG\r\nENDOFRESP\r\n")],
    ]);
    let text = "OTQ CONNECT ann secret\nping t\nput nope 2 batch\nclear t\nping t\nping t\n";
    let (printed, code) = script(&broker, None, text);
    let expected = "result  > CONNECTED\nresult  > PONG\nerror   > Requested topic not found\nresult  > PONG\n";
    assert_eq!(printed, expected, "the rows of the declined PUT are no commands");
    assert_eq!(code, ExitCode::FAILURE);
    broker.finish();
}

#[test]
fn a_refused_login_is_said_and_ends_a_script() {
    const DECLINED: &[&[Step]] =
        &[&[("OTQ CONNECT ann secret\r\n", "DECLINE:Unauthorized access\nENDOFRESP\r\n")]];
    // octoque closes without a word.
    const CLOSED: &[&[Step]] = &[&[("OTQ CONNECT ann secret\r\n", "")]];
    for connections in [DECLINED, CLOSED] {
        let broker = FakeBroker::start(connections);
        let (printed, code) = script(&broker, Some(login()), "ping t\n");
        assert_eq!(printed, "error   > Unauthorized access\n");
        assert_eq!(code, ExitCode::from(NOT_ALLOWED));
        broker.finish();
    }
}

#[test]
fn a_line_that_is_no_command_ends_a_script_unsent() {
    let broker = FakeBroker::start(&[&[LOGIN]]);
    let (printed, code) = script(&broker, Some(login()), "put t x batch\nclear t\n");
    assert_eq!(
        printed,
        "result  > CONNECTED\nerror   > invalid integer: x; the script ends here\n"
    );
    assert_eq!(code, ExitCode::FAILURE);
    broker.finish();
}

#[test]
fn rows_that_are_missing_at_the_end_of_the_input_are_reported() {
    let broker =
        FakeBroker::start(&[&[LOGIN, ("OTQ put t 3 batch\r\n", "PROCEED\r\n"), ("one\r\n", "")]]);
    let (printed, code) = script(&broker, Some(login()), "put t 3 batch\none\n");
    assert_eq!(printed, "result  > CONNECTED\nerror   > 2 rows are missing; those given stay\n");
    assert_eq!(code, ExitCode::FAILURE);
    broker.finish();
}

#[test]
fn a_line_end_inside_a_row_becomes_a_space() {
    let broker = FakeBroker::start(&[&[
        LOGIN,
        ("OTQ put t 1 batch\r\n", "PROCEED\r\n"),
        ("a b\r\n", "ENDOFRESP\r\n"),
    ]]);
    let (_, code) = script(&broker, Some(login()), "put t 1 batch\na\rb\n");
    assert_eq!(code, ExitCode::SUCCESS);
    broker.finish();
}

#[test]
fn a_subscription_shows_pushes_answers_blank_lines_and_ends_with_ctrl_c() {
    let broker = FakeBroker::start(&[&[
        LOGIN,
        ("OTQ subscribe pubsub\r\n", "PROCEED\r\nb1\nPROCEED\n\n"),
        ("REPLPONG\r\n", "DECLINE:a message\nlive\n"),
        ("OTQ UNSUBSCRIBE pubsub\r\n", "late\nPROCEED\r\n"),
        ("OTQ ping pubsub\r\n", "PONG\r\nENDOFRESP\r\n"),
    ]]);
    let paper = Paper::default();
    let mut screen = paper.screen(Style::Bare);
    let mut conversation = Conversation::new(broker.address.to_string(), PATIENCE, Some(login()));
    wait(async {
        let mut stop = WhenPrinted(paper.clone(), "live");
        let subscribe = request("subscribe pubsub");
        let outcome = conversation
            .run(&subscribe, &mut screen, &mut conversation::NoRows, &mut stop)
            .await
            .unwrap();
        assert_eq!(outcome, Outcome::Good);
        assert_eq!(paper.text(), "b1\nPROCEED\nDECLINE:a message\nlive\nlate\n");
        // Back in command mode, on the same connection.
        let ping = request("ping pubsub");
        let outcome = conversation
            .run(&ping, &mut screen, &mut conversation::NoRows, &mut Never)
            .await
            .unwrap();
        assert_eq!(outcome, Outcome::Good);
    });
    broker.finish();
}

#[test]
fn a_subscription_that_is_refused_says_why() {
    let broker = FakeBroker::start(&[
        &[LOGIN, ("OTQ subscribe default\r\n", "PROCEED\r\nDECLINE:Topic is not subscribable\n")],
        &[LOGIN, ("OTQ subscribe nope\r\n", "DECLINE:Requested topic not found\n")],
    ]);
    let (printed, code) = script(&broker, Some(login()), "subscribe default\nsubscribe nope\n");
    let expected = "result  > CONNECTED\ninfo    > Ctrl-C ends it\nerror   > Topic is not subscribable\n\
                    error   > Requested topic not found\n";
    assert_eq!(printed, expected);
    assert_eq!(code, ExitCode::FAILURE);
    broker.finish();
}

#[test]
fn topics_are_learnt_from_boxes_and_from_new() {
    let broker = FakeBroker::start(&[&[
        LOGIN,
        (
            "OTQ display *\r\n",
            "PROCEED\r\n+--\n| Name              : default\n+--\n\n+--\n| Name              : pubsub\n+--\n\nENDOFRESP\r\n",
        ),
        ("OTQ new t1 broker\r\n", "PROCEED\r\nSUCCESS\r\nENDOFRESP\r\n"),
    ]]);
    let mut screen = Paper::default().screen(Style::Labelled);
    let mut conversation = Conversation::new(broker.address.to_string(), PATIENCE, Some(login()));
    wait(async {
        conversation.learn_topics(&mut Never).await;
        let new = request("new t1 broker");
        conversation.run(&new, &mut screen, &mut conversation::NoRows, &mut Never).await.unwrap();
    });
    assert_eq!(conversation.topics().iter().collect::<Vec<_>>(), ["default", "pubsub", "t1"]);
    broker.finish();
}

#[test]
fn a_broker_that_is_not_there_has_an_exit_code_of_its_own() {
    // Nobody can listen on port 0.
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let broker = FakeBroker { address, thread: std::thread::spawn(|| ()) };
    let (printed, code) = script(&broker, None, "ping t\n");
    assert!(printed.starts_with(&format!("error   > {address}: ")), "{printed}");
    assert_eq!(code, ExitCode::from(NOT_REACHABLE));
}

#[test]
fn a_connection_that_ends_in_the_middle_of_a_reply_is_an_error() {
    let broker = FakeBroker::start(&[&[LOGIN, ("OTQ get t 2 batch\r\n", "PROCEED\r\none\r\n")]]);
    let (printed, code) = script(&broker, Some(login()), "get t 2 batch\n");
    assert!(printed.contains("result  > one\nerror   > "), "{printed}");
    assert_eq!(code, ExitCode::from(NOT_REACHABLE));
    broker.finish();
}

#[test]
fn one_shot_words_make_one_command_and_nothing_else_is_sent() {
    let words = |text: &str| asked(&text.split(' ').map(str::to_owned).collect::<Vec<_>>());
    assert_eq!(words("get default 1 batch").unwrap().line, "OTQ get default 1 batch");
    assert_eq!(asked(&["get default 1 batch".into()]).unwrap().line, "OTQ get default 1 batch");
    assert_eq!(words("get default").unwrap_err(), "Missing number of message to retrieve");
    assert_eq!(words("help").unwrap_err(), "`help` is not a command of the protocol");
    assert_eq!(words("connect ann").unwrap_err(), "a password is missing");
}

/// The arguments of both commands as clap reads them.
#[derive(Debug, clap::Parser)]
enum Arguments {
    Repl(ReplArgs),
    Otq(OneShotArgs),
}

#[test]
fn a_password_among_the_arguments_is_not_shown() {
    use clap::Parser as _;
    let line = "octoq otq --addr 127.0.0.1:1 --password secret get default 1 batch";
    let arguments = Arguments::try_parse_from(line.split(' ')).unwrap();
    assert!(!format!("{arguments:?}").contains("secret"));
    let arguments =
        Arguments::try_parse_from("octoq repl --user ann --password secret".split(' ')).unwrap();
    assert!(!format!("{arguments:?}").contains("secret"));
}
