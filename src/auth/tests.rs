//! What roles, lists and tokens give, and what is kept of them.

use super::*;

fn accounts() -> Accounts {
    let users = [
        ("ann", r#"{"password_hash":"x","role":"reader","topics":["own"]}"#),
        ("root", r#"{"password_hash":"x","role":"admin"}"#),
        ("lost", r#"{"password_hash":"x","role":"gone"}"#),
    ];
    let roles =
        [("reader", r#"{"topics":[{"name":"*","access":"r"},{"name":"in","access":"wc"}]}"#)];
    Accounts::from_stored(users.into_iter(), roles.into_iter(), std::iter::empty()).unwrap()
}

#[test]
fn rights_come_from_the_own_list_the_role_and_the_maker() {
    let accounts = accounts();
    let table: [(&str, &str, Option<&str>, Rights); 8] = [
        ("ann", "own", None, Rights::ALL),
        ("ann", "any", None, Rights::READ),
        ("ann", "in", None, Rights::READ | Rights::WRITE | Rights::CLEAR),
        ("ann", "made", Some("ann"), Rights::ALL),
        ("ann", "made", Some("root"), Rights::READ),
        ("root", "any", None, Rights::ALL),
        ("lost", "any", None, Rights::NONE),
        ("nobody", "any", None, Rights::NONE),
    ];
    for (user, topic, owner, rights) in table {
        assert_eq!(accounts.rights(user, topic.as_bytes(), owner), rights, "{user} on {topic}");
    }
    assert!(accounts.may_create("root", b"new") && !accounts.may_create("ann", b"new"));
}

#[test]
fn a_viewer_looks_and_an_operator_does_all_but_users() {
    let users = [("eye", VIEWER, "mine"), ("hand", OPERATOR, ""), ("root", ADMIN, "")].map(
        |(name, role, own)| {
            let user = format!(r#"{{"password_hash":"x","role":"{role}","topics":["{own}"]}}"#);
            (name, user)
        },
    );
    let users = || users.iter().map(|(name, user)| (*name, user.as_str()));
    let known = |roles: &[(&'static str, &'static str)]| {
        Accounts::from_stored(users(), roles.iter().copied(), std::iter::empty()).unwrap()
    };
    let accounts = known(&[]);
    for (user, rights) in [("eye", Rights::LOOK), ("hand", Rights::ALL), ("root", Rights::ALL)] {
        assert_eq!(accounts.rights(user, b"any", None), rights, "{user}");
        assert_eq!(accounts.rights(user, b"made", Some(user)), rights, "{user}");
    }
    assert_eq!(accounts.rights("eye", b"mine", None), Rights::LOOK, "nor its own");
    assert!(accounts.owns("eye", b"mine", None) && accounts.owns("eye", b"x", Some("eye")));
    assert!(!accounts.owns("hand", b"mine", Some("eye")));
    assert!(!accounts.may_create("eye", b"new") && accounts.may_create("hand", b"new"));
    assert!(accounts.is_operator("hand") && accounts.is_operator("root"));
    assert!(!accounts.is_admin("hand") && !accounts.is_operator("eye"));
    // A store from before them may have roles of these names.
    let older = r#"{"topics":[{"name":"in","access":"w"}]}"#;
    let accounts = known(&[(VIEWER, older), (OPERATOR, older)]);
    for user in ["eye", "hand"] {
        assert_eq!(accounts.rights(user, b"in", None), Rights::WRITE, "{user}");
        assert_eq!(accounts.rights(user, b"any", None), Rights::NONE, "{user}");
        assert_eq!(accounts.rights(user, b"made", Some(user)), Rights::ALL, "{user}");
        assert!(!accounts.is_operator(user) && !accounts.is_viewer(user));
    }
}

#[test]
fn the_stock_account_is_noticed_until_its_password_changes() {
    let mut accounts = Accounts::stock();
    assert!(accounts.stock_password_in_use() && accounts.is_admin("admin"));
    let hash = hash_password("better").unwrap();
    accounts.put_user("admin", &hash, None, None).unwrap();
    assert!(!accounts.stock_password_in_use());
    assert!(accounts.is_admin("admin"), "the role stays");
    let demoted = accounts.put_user("admin", &hash, Some(USER), None);
    assert_eq!(demoted, Err(AccountError::LastAdmin));
    accounts.put_user("other", &hash, Some(ADMIN), None).unwrap();
    let topics = vec!["orders".to_owned()];
    accounts.edit_user("admin", Some(USER), Some(topics.clone())).unwrap();
    assert_eq!(accounts.user("admin"), Some((USER, &topics[..])));
    assert_eq!(accounts.password_hash("admin"), Some(hash.as_str()), "it stays");
    let nobody = accounts.edit_user("nobody", Some(USER), None);
    assert_eq!(nobody, Err(AccountError::NoSuchUser("nobody".into())));
    assert_eq!(accounts.edit_user("other", Some(USER), None), Err(AccountError::LastAdmin));
}

#[test]
fn accounts_come_back_from_the_store_as_they_were() {
    let mut accounts = Accounts::stock();
    accounts.put_token(&token("ci", "admin"), token_hash("secret"), 7).unwrap();
    let stored: Vec<_> = accounts.stored().collect();
    let table = |name| {
        let rows = stored.iter().filter(move |(table, _, _)| *table == name);
        rows.map(|(_, key, json)| (key.as_str(), json.as_str()))
    };
    assert_eq!(Accounts::from_stored(table("user"), table("role"), table("token")), Ok(accounts));
}

fn token(name: &str, user: &str) -> NewToken {
    NewToken {
        name: name.into(),
        user: user.into(),
        rights: "r".into(),
        topics: Vec::new(),
        expires_at_ms: Some(1000),
    }
}

#[test]
fn a_token_is_good_until_it_expires_or_it_or_its_user_goes() {
    let mut accounts = accounts();
    let stored = accounts.put_token(&token("ci", "ann"), token_hash("secret"), 7).unwrap();
    assert!(!stored.contains("secret"), "{stored}");
    let good = |accounts: &Accounts, now| accounts.token(&token_hash("secret"), now).is_some();
    assert!(good(&accounts, 999) && !good(&accounts, 1000));
    assert!(accounts.token(&token_hash("other"), 8).is_none());
    let again = accounts.put_token(&token("ci", "ann"), token_hash("x"), 7);
    assert_eq!(again, Err(AccountError::TokenExists("ci".into())));
    let nobody = accounts.put_token(&token("cd", "gone"), token_hash("x"), 7);
    assert_eq!(nobody, Err(AccountError::NoSuchUser("gone".into())));
    let mut without = accounts.clone();
    assert!(without.remove_token("ci") && !without.remove_token("ci"));
    assert!(!good(&without, 8));
    assert!(accounts.remove_user("ann") && !good(&accounts, 8));
    assert!(accounts.tokens().next().is_none());
}

#[test]
fn names_that_no_client_could_send_are_refused() {
    let mut accounts = Accounts::stock();
    for name in ["", "a b", "a:b", "a\n", &"x".repeat(256)] {
        assert_eq!(accounts.put_user(name, "h", None, None), Err(AccountError::Name), "{name:?}");
    }
    let wrong = accounts.put_user("ann", "h", Some("nope"), None);
    assert_eq!(wrong, Err(AccountError::NoSuchRole("nope".into())));
}

#[test]
fn a_hash_is_never_shown() {
    let shown = format!("{:?}", Accounts::stock());
    assert!(!shown.contains("argon2"), "{shown}");
}
