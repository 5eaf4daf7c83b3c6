//! What all commands have: exit codes, JSON, variables, help, contexts, the configuration.

use super::*;
use std::os::unix::fs::PermissionsExt;

/// An address where nobody listens.
fn nowhere() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn a_broker_that_is_not_there_is_exit_code_5() {
    let home = tempfile::tempdir().unwrap();
    let gone = nowhere();
    for arguments in [
        &["put", "t", "x"][..],
        &["get", "t"],
        &["tail", "t"],
        &["topic", "ls"],
        &["health"],
        &["stat"],
        &["top", "--once"],
        &["backup", "x"],
    ] {
        let ended = run(&mut command(&home, gone, arguments), "");
        bad(&ended, 5, &format!("no broker at http://{gone}"));
    }
    let ended = run(&mut command(&home, gone, &["get", "t", "--json"]), "");
    let problem: Value = serde_json::from_str(&ended.err).unwrap();
    assert_eq!((ended.status.code(), &problem["code"]), (Some(5), &"not_reachable".into()));
}

#[test]
fn wrong_words_are_exit_code_2() {
    let home = tempfile::tempdir().unwrap();
    let gone = nowhere();
    for arguments in [
        &["put"][..],
        &["put", ""],
        &["put", "t", "--rate", "0", "x"],
        &["put", "t", "--count", "3", "{{nonsense}}"],
        &["put", "t", "x", "--attr", "novalue"],
        &["get", "t", "--wait", "soon"],
        &["get", "t", "-n", "0"],
        &["ack", "t"],
        &["topic", "edit", "t"],
        &["dead", "redrive", "t"],
        &["nosuch"],
        &["--url", "https://x", "topic", "ls"],
        &["topic", "ls", "--url", "https://x"],
        &["topic", "ls", "--user", "ada"],
        &["topic", "ls", "--context", "nosuch"],
    ] {
        let ended = run(&mut command(&home, gone, arguments), "");
        assert_eq!(ended.status.code(), Some(2), "{arguments:?}: {ended:?}");
        assert_eq!(ended.out, "", "{arguments:?}");
    }
}

#[test]
fn what_is_lost_is_told_and_nothing_is_done_without_a_yes() {
    let cli = Cli::start();
    cli.good(&["put", "default", "stays"]);
    let context = ["context", "put", "here", "--url", "http://x", "--use"];
    cli.good(&context);
    for (arguments, says) in [
        (&["topic", "rm", "default"][..], "Topic `default` is removed with 1 queue and 1 message."),
        (&["topic", "purge", "default"], "1 message in 1 queue of topic `default`"),
        (
            &["queue", "rm", "default"],
            "Queue `default` of topic `default` is removed with 1 message",
        ),
        (&["queue", "purge", "default"], "1 message in queue `default`"),
        (&["user", "rm", "admin"], "User `admin` and its tokens are removed"),
        (&["token", "rm", "x"], "The token `x` is good no more"),
        (&["context", "rm", "here"], "The context `here` is forgotten"),
    ] {
        let ended = cli.run(arguments);
        bad(&ended, 2, says);
        bad(&ended, 2, "--yes");
    }
    assert_eq!(cli.json(&["queue", "info", "default"])["ready"], 1);
    // A variable will do.
    let purged = run(cli.command(&["queue", "purge", "default"]).env("OCTOQ_YES", "1"), "");
    assert!(good(purged).contains("1 message removed"));
    cli.good(&["topic", "rm", "default", "-y"]);
    cli.bad(&["topic", "info", "default"], 1, "topic_not_found");
}

#[test]
fn every_flag_is_a_variable() {
    let cli = Cli::start();
    let out = run(cli.command(&["put", "default", "from {{n}}"]).env("OCTOQ_PUT_COUNT", "3"), "");
    assert!(good(out).starts_with("3 stored (sync)"));
    let mut get = cli.command(&["get", "default"]);
    let out = run(get.env("OCTOQ_GET_COUNT", "2").env("OCTOQ_GET_OUTPUT", "text"), "");
    assert_eq!(good(out), "from 1\nfrom 2\n");
    let out = run(cli.command(&["get", "default"]).env("OCTOQ_JSON", "true"), "");
    let message: Value = serde_json::from_str(&good(out)).unwrap();
    assert_eq!(message["body"], "from 3");
    let out = run(cli.command(&["get", "default"]).env("OCTOQ_JSON", "maybe"), "");
    assert_eq!(out.status.code(), Some(2));
}

#[test]
fn each_command_helps_with_an_example() {
    let home = tempfile::tempdir().unwrap();
    let gone = nowhere();
    for arguments in [&["--help"][..], &["put", "--help"], &["queue", "new", "--help"]] {
        let out = good(run(&mut command(&home, gone, arguments), ""));
        assert!(out.contains("Example") && out.contains("octoq"), "{out}");
    }
    let out = good(run(&mut command(&home, gone, &["queue", "new", "--help"]), ""));
    assert!(out.contains("[env: OCTOQ_QUEUE_NEW_MAX_DELIVERIES="), "{out}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        // More than a pipe holds.
        let out = command(&home, gone, &["completion", shell]).output().unwrap();
        let text = String::from_utf8(out.stdout).unwrap();
        assert!(out.status.success() && text.contains("redrive"), "{shell}");
        let out = command(&home, gone, &["completion", shell, "--json"]).output().unwrap();
        assert_eq!(serde_json::from_slice::<String>(&out.stdout).unwrap(), text, "{shell}");
    }
}

#[test]
fn contexts_name_brokers_and_only_their_owner_reads_them() {
    let cli = Cli::start();
    let url = format!("http://{}", cli.broker.http);
    let with = |arguments: &[&str]| {
        let mut command = cli.command(arguments);
        command.env_remove("OCTOQ_URL");
        command
    };
    assert_eq!(run(&mut with(&["context", "put", "here"]), "").status.code(), Some(2), "no URL");
    good(run(&mut with(&["context", "put", "here", "--url", &url]), ""));
    let away = ["context", "put", "away", "--url", "http://127.0.0.1:1", "--use"];
    good(run(&mut with(&away), ""));
    assert_eq!(run(&mut with(&["health"]), "").status.code(), Some(5));
    good(run(&mut with(&["health", "--context", "here"]), ""));
    // A flag counts more than a variable, whatever it names.
    let mut other = with(&["health", "--context", "here"]);
    good(run(other.env("OCTOQ_URL", "http://127.0.0.1:1"), ""));
    good(run(&mut with(&["context", "use", "here"]), ""));
    good(run(&mut with(&["health"]), ""));
    let mut put = with(&["context", "put", "here", "--user", "admin", "--ask-password"]);
    good(run(&mut put, "password\n"));
    good(run(&mut with(&["user", "ls"]), ""));

    let listed = good(run(&mut with(&["context", "ls"]), ""));
    assert_eq!(listed, format!("  away\thttp://127.0.0.1:1\tnone\n* here\t{url}\tadmin\n"));
    assert!(!good(run(&mut with(&["context", "ls", "--json"]), "")).contains("password"));
    let file = cli.folder.path().join("config/octoq/contexts.json");
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    bad(&run(&mut with(&["health"]), ""), 2, "chmod 600");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    let json = |arguments: &[&str]| -> Value {
        serde_json::from_str(&good(run(&mut with(arguments), ""))).unwrap()
    };
    let used = json(&["context", "use", "away", "--json"]);
    assert_eq!((&used["current"], &used["context"]["login"]), (&"away".into(), &"none".into()));
    let put = json(&["context", "put", "ci", "--url", &url, "--token", "hidden", "--json"]);
    assert_eq!(
        (&put["context"]["name"], &put["context"]["login"]),
        (&"ci".into(), &"token".into())
    );
    assert!(!put.to_string().contains("hidden"));
    let removed = json(&["context", "rm", "ci", "--yes", "--json"]);
    assert_eq!((&removed["current"], &removed["context"]), (&"away".into(), &Value::Null));
    good(run(&mut with(&["context", "rm", "here", "--yes"]), ""));
    good(run(&mut with(&["context", "unset"]), ""));
    assert_eq!(good(run(&mut with(&["context", "ls"]), "")), "  away\thttp://127.0.0.1:1\tnone\n");
}

#[test]
fn the_configuration_is_shown_and_checked() {
    let home = tempfile::tempdir().unwrap();
    let gone = nowhere();
    let ask = |arguments: &[&str]| run(&mut command(&home, gone, arguments), "");
    let all = good(ask(&["config", "show"]));
    assert!(all.contains("[store]\n") && all.contains("durability = \"sync\"\n"), "{all}");
    let set = ["config", "show", "store.durability", "--set", "store.durability=async"];
    assert_eq!(good(ask(&set)), "[store]\ndurability = \"async\"  # --set\n");
    let changed = ["config", "show", "--changed", "--json", "--set", "limits.topics_max=7"];
    let changed: Value = serde_json::from_str(&good(ask(&changed))).unwrap();
    let topics_max = &changed["keys"][0];
    assert_eq!(
        (&topics_max["key"], &topics_max["value"]),
        (&"limits.topics_max".into(), &7.into())
    );
    bad(&ask(&["config", "show", "store.nosuch"]), 2, "there is no setting");
    assert_eq!(good(ask(&["config", "validate"])), "the configuration is right\n");
    bad(&ask(&["config", "validate", "--set", "otq.listen=x"]), 2, "otq.listen");
    // What is shown can be given back.
    let file = home.path().join("shown.toml");
    std::fs::write(&file, all).unwrap();
    good(ask(&["config", "validate", "--config", file.to_str().unwrap()]));
}

#[test]
fn health_waits_for_a_broker_that_comes() {
    let home = tempfile::tempdir().unwrap();
    let address = nowhere();
    bad(
        &run(&mut command(&home, address, &["health", "--wait", "100ms"]), ""),
        3,
        "does not serve",
    );
    let mut waiting = command(&home, address, &["health", "--wait", "20s"]);
    let mut waiting = waiting.spawn().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let broker = Process::start(folder.path(), &[&format!("http.listen={address}")]);
    assert!(process::wait(&mut waiting).success());
    broker.stop();
}

#[test]
fn the_configuration_tells_where_each_setting_comes_from() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("octoq.toml");
    std::fs::write(&file, "[limits]\ntopics_max = 5\n").unwrap();
    let octoq = |arguments: &[&str]| {
        let mut command = command(&home, nowhere(), arguments);
        command.env("OCTOQ__LIMITS__BATCH_MAX", "88");
        run(&mut command, "")
    };
    let path = file.to_str().unwrap();
    let shown = good(octoq(&["config", "show", "limits", "--config", path]));
    for line in [&format!("topics_max = 5  # {path}"), "batch_max = 88  # OCTOQ__LIMITS__BATCH_MAX"]
    {
        assert!(shown.contains(line), "`{line}` is not in {shown}");
    }
    let json = |arguments: &[&str]| -> Value {
        serde_json::from_str(&good(octoq(&[arguments, &["--json"]].concat()))).unwrap()
    };
    let one = json(&["config", "show", "limits.batch_max", "--set", "limits.batch_max=9"]);
    let expected = serde_json::json!({"keys": [{
        "key": "limits.batch_max", "value": 9, "default": 10_000, "origin": "flag", "from": "--set"
    }]});
    assert_eq!(one, expected);
    let of_variable = json(&["config", "show", "limits.batch_max"]);
    assert_eq!(of_variable["keys"][0]["origin"], "environment");
    assert_eq!(json(&["config", "show", "--changed"])["keys"].as_array().unwrap().len(), 1);
    assert_eq!(json(&["config", "validate"]), serde_json::json!({"valid": true}));
    bad(&octoq(&["config", "validate", "--set", "limits.batch_max=0", "--json"]), 2, "\"usage\"");
    bad(&octoq(&["config", "show", "limits.nosuch"]), 2, "no setting");
}
