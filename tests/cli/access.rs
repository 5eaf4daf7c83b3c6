//! user, token, and who may do what.

use super::*;

/// The binary as somebody.
fn as_user(cli: &Cli, user: &str, password: &str, arguments: &[&str]) -> Ended {
    run(cli.command(arguments).env("OCTOQ_USER", user).env("OCTOQ_PASSWORD", password), "")
}

fn with_token(cli: &Cli, token: &str, arguments: &[&str]) -> Ended {
    run(cli.command(arguments).env("OCTOQ_TOKEN", token), "")
}

#[test]
fn users_are_made_listed_changed_and_removed_while_the_broker_runs() {
    let cli = Cli::start_with(&["auth.anonymous=never"]);
    bad(&cli.run(&["user", "ls"]), 4, "unauthenticated");
    let admin = |arguments: &[&str], input: &str| {
        let mut command = cli.command(arguments);
        run(command.env("OCTOQ_USER", "admin").env("OCTOQ_PASSWORD", "password"), input)
    };
    good(admin(&["user", "put", "ada", "--topic", "default"], "her word\n"));
    bad(&admin(&["user", "put", "bob"], "\n"), 1, "empty");
    let listed = good(admin(&["user", "ls"], ""));
    assert_eq!(
        listed,
        "user   role   topics\nada    user   default\nadmin  admin  default, pubsub\n"
    );
    good(as_user(&cli, "ada", "her word", &["put", "default", "x"]));
    bad(&as_user(&cli, "ada", "her word", &["user", "ls"]), 4, "not_allowed");
    bad(&as_user(&cli, "ada", "wrong", &["get", "default"]), 4, "unauthenticated");
    bad(&as_user(&cli, "ada", "her word", &["backup", "x"]), 4, "not_allowed");
    good(admin(&["user", "edit", "ada", "--role", "viewer"], ""));
    bad(&as_user(&cli, "ada", "her word", &["put", "default", "x"]), 4, "not_allowed");
    good(admin(&["user", "edit", "ada", "--role", "user", "--topic", "default"], ""));
    good(as_user(&cli, "ada", "her word", &["peek", "default"]));
    bad(&admin(&["user", "edit", "nobody", "--role", "viewer"], ""), 1, "user_not_found");
    bad(&admin(&["user", "edit", "ada"], ""), 2, "--role");
    // Everybody may change the own password, and nobody another's.
    let mut own = cli.command(&["user", "passwd", "ada"]);
    good(run(own.env("OCTOQ_USER", "ada").env("OCTOQ_PASSWORD", "her word"), "new word\n"));
    good(as_user(&cli, "ada", "new word", &["get", "default"]));
    bad(&admin(&["user", "passwd", "nobody"], "x\n"), 1, "there is no user `nobody`");
    bad(&admin(&["user", "rm", "admin", "--yes"], ""), 1, "last_admin");
    good(admin(&["user", "rm", "ada", "--yes"], ""));
    bad(&admin(&["user", "rm", "ada", "--yes"], ""), 1, "user_not_found");
    bad(&as_user(&cli, "ada", "new word", &["get", "default"]), 4, "unauthenticated");
    assert!(!std::fs::read_to_string(cli.folder.path().join("log")).unwrap().contains("her word"));
}

#[test]
fn who_may_not_over_otq_is_told_so_by_the_exit_code() {
    let cli = Cli::start();
    good(run(&mut cli.command(&["user", "put", "ada", "--topic", "default"]), "word\n"));
    let addr = cli.broker.otq.to_string();
    let otq = |password: &str, line: &str| {
        as_user(&cli, "ada", password, &["otq", "--addr", &addr, line])
    };
    good(otq("word", "ping default"));
    bad(&otq("wrong", "ping default"), 4, "Unauthorized access");
    bad(&otq("word", "connect ada wrong"), 4, "Unauthorized access");
    bad(&otq("word", "publish pubsub 1 batch"), 4, "Unauthorized access");
    bad(&otq("word", "subscribe pubsub"), 4, "Unauthorized access");
    bad(&otq("word", "get nosuch 1 batch"), 1, "not found");
}

#[test]
fn a_viewer_looks_and_sees_no_masked_payload() {
    let cli = Cli::start();
    for role in ["viewer", "operator"] {
        good(run(&mut cli.command(&["user", "put", role, "--role", role]), "word\n"));
    }
    bad(&run(&mut cli.command(&["user", "put", "x", "--role", "king"]), "word\n"), 1, "role");
    cli.good(&["topic", "new", "cards", "--mask-payloads"]);
    cli.good(&["put", "cards", "4111", "--attr", "card=4111"]);
    let shown = good(as_user(&cli, "viewer", "word", &["peek", "cards"]));
    assert!(shown.contains("(masked, 4 bytes)") && !shown.contains("4111"), "{shown}");
    assert!(cli.good(&["topic", "info", "cards"]).contains("mask_payloads"));
    bad(&as_user(&cli, "viewer", "word", &["get", "cards"]), 4, "not_allowed");
    bad(&as_user(&cli, "viewer", "word", &["queue", "purge", "cards", "--yes"]), 4, "not_allowed");
    bad(&as_user(&cli, "operator", "word", &["user", "ls"]), 4, "not_allowed");
    good(as_user(&cli, "operator", "word", &["topic", "edit", "cards", "--mask-payloads=false"]));
    assert!(good(as_user(&cli, "viewer", "word", &["peek", "cards"])).contains("4111"));
    assert_eq!(good(as_user(&cli, "operator", "word", &["get", "cards"])), "4111\n");
}

#[test]
fn a_store_without_a_broker_is_changed_when_no_broker_is_named() {
    let home = tempfile::tempdir().unwrap();
    let mut list = process::octoq(home.path());
    list.env_remove("OCTOQ_URL").env("XDG_CONFIG_HOME", home.path());
    list.args(["user", "ls", "--set", "store.path=store", "--json"]);
    let users: Value = serde_json::from_str(&good(run(&mut list, ""))).unwrap();
    assert_eq!(users["users"][0]["name"], "admin");
    let store = |arguments: &[&str], input: &str| {
        let mut octoq = process::octoq(home.path());
        octoq.env_remove("OCTOQ_URL").env("XDG_CONFIG_HOME", home.path());
        run(octoq.args(arguments).args(["--set", "store.path=store"]), input)
    };
    good(store(&["user", "put", "ada"], "word\n"));
    good(store(&["user", "edit", "ada", "--role", "viewer"], ""));
    assert!(good(store(&["user", "ls"], "")).contains("ada\tviewer"));
    bad(&store(&["user", "edit", "bob", "--role", "viewer"], ""), 1, "bob");
}

#[test]
fn a_token_does_what_it_may_until_it_goes() {
    let cli = Cli::start();
    good(run(
        &mut cli.command(&["user", "put", "ada", "--topic", "default", "--topic", "pubsub"]),
        "word\n",
    ));
    let make = ["token", "put", "shop", "--for", "ada", "--rights", "w", "--topic", "default"];
    let token = cli.good(&make).trim().to_owned();
    assert!(token.starts_with("octoq_"), "{token}");
    good(with_token(&cli, &token, &["put", "default", "x"]));
    bad(&with_token(&cli, &token, &["get", "default"]), 4, "not_allowed");
    bad(&with_token(&cli, &token, &["put", "pubsub", "x"]), 4, "not_allowed");
    bad(&with_token(&cli, &token, &["topic", "new", "mine"]), 4, "not_allowed");
    bad(&with_token(&cli, &token, &["token", "ls"]), 4, "not_allowed");
    bad(&with_token(&cli, &token, &["user", "ls"]), 4, "not_allowed");
    bad(&with_token(&cli, "octoq_00", &["put", "default", "x"]), 4, "unauthenticated");
    // Not even the own password.
    let mut passwd = cli.command(&["user", "passwd", "ada"]);
    bad(&run(passwd.env("OCTOQ_TOKEN", &token), "new\n"), 4, "not_allowed");

    cli.bad(&make, 1, "token_exists");
    let listed = cli.good(&["token", "ls"]);
    assert!(
        listed.contains("shop") && listed.contains("ada") && !listed.contains(&token),
        "{listed}"
    );
    let other = cli.good(&[&make[..], &["--replace", "--yes"]].concat()).trim().to_owned();
    bad(&with_token(&cli, &token, &["put", "default", "x"]), 4, "unauthenticated");
    good(with_token(&cli, &other, &["put", "default", "x"]));

    // It survives a restart, and only its hash is in the store.
    let Cli { broker, folder } = cli;
    broker.stop();
    for file in ["octoq.db", "octoq.db-wal"] {
        let bytes = std::fs::read(folder.path().join("store").join(file)).unwrap_or_default();
        assert!(!bytes.windows(other.len()).any(|window| window == other.as_bytes()), "{file}");
    }
    let cli = Cli { broker: Process::start(folder.path(), &[]), folder };
    good(with_token(&cli, &other, &["put", "default", "x"]));
    cli.good(&["token", "rm", "shop", "--yes"]);
    bad(&with_token(&cli, &other, &["put", "default", "x"]), 4, "unauthenticated");
    cli.bad(&["token", "rm", "shop", "--yes"], 1, "token_not_found");
}

#[test]
fn a_token_expires_and_goes_with_its_user() {
    let cli = Cli::start();
    good(run(&mut cli.command(&["user", "put", "ada", "--topic", "default"]), "word\n"));
    let make = |name: &str, more: &[&str]| {
        let arguments = [&["token", "put", name, "--for", "ada"], more].concat();
        cli.good(&arguments).trim().to_owned()
    };
    let short = make("short", &["--expires", "200ms"]);
    let long = make("long", &["--expires", "1h"]);
    eventually("it has expired", || {
        with_token(&cli, &short, &["get", "default"]).status.code() == Some(4)
    });
    bad(&with_token(&cli, &long, &["get", "default"]), 3, "no message");
    assert!(cli.good(&["token", "ls"]).contains("expired"));
    cli.good(&["user", "rm", "ada", "--yes"]);
    bad(&with_token(&cli, &long, &["get", "default"]), 4, "unauthenticated");
    assert_eq!(cli.json(&["token", "ls"])["tokens"], serde_json::json!([]));
    cli.bad(&["token", "put", "x", "--for", "ada"], 1, "user_not_found");
    cli.bad(&["token", "put", "a b", "--for", "admin"], 1, "out_of_bounds");
    cli.bad(&["token", "put", "x", "--for", "admin", "--rights", "z"], 1, "out_of_bounds");
    cli.bad(&["token", "put", "x"], 1, "`user` must be given");
}
