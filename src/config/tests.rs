//! Sources, bounds, and the documented file.

use super::*;
use crate::queue::Level;

#[test]
fn the_documented_file_says_the_defaults_and_names_every_key() {
    let text = include_str!("../../config/octoq.toml");
    // Every key stands in the file, commented out with its default: uncommented, it must give the defaults.
    let active: String = text
        .lines()
        .map(|line| line.strip_prefix("#: ").unwrap_or(line))
        .filter(|line| !line.starts_with('#'))
        .map(|line| format!("{line}\n"))
        .collect();
    let file = config::Config::builder()
        .add_source(config::File::from_str(&active, config::FileFormat::Toml))
        .build()
        .unwrap();
    let written: serde_json::Value = file.clone().try_deserialize().unwrap();
    let known = serde_json::to_value(Config::default()).unwrap();
    for (section, keys) in known.as_object().unwrap() {
        for key in keys.as_object().unwrap().keys() {
            assert!(
                written[section].get(key).is_some(),
                "{section}.{key} is not in config/octoq.toml"
            );
        }
    }
    assert_eq!(file.try_deserialize::<Config>().unwrap(), Config::default());
}

#[test]
fn a_misspelt_key_is_an_error() {
    for wrong in ["otq.lisen=127.0.0.1:1", "oqt.listen=127.0.0.1:1"] {
        assert!(Config::load(None, &[wrong.to_owned()]).is_err(), "{wrong}");
    }
}

#[test]
fn a_later_source_wins_and_types_are_kept() {
    let set = ["limits.topics_max=7", "http.listen=", "store.durability=memory"].map(str::to_owned);
    let config = Config::load(None, &set).unwrap();
    assert_eq!((config.limits.topics_max, config.http.listen.as_str()), (7, ""));
    assert_eq!(config.store.durability, Level::Memory);
}

#[test]
fn a_door_that_somebody_set_is_known_as_chosen() {
    let config = Config::load(None, &["okq.listen=127.0.0.1:0".to_owned()]).unwrap();
    assert_eq!(config.chosen_doors, ["okq.listen"]);
    assert_eq!(config.okq.listen, "127.0.0.1:0");
    assert_eq!(Config::load(None, &[]).unwrap().chosen_doors, [""; 0]);
}

#[test]
fn a_value_out_of_bounds_is_named() {
    let error = Config::load(None, &["limits.batch_max=0".to_owned()]).unwrap_err();
    assert!(error.to_string().contains("limits.batch_max"), "{error}");
    let error = Config::load(None, &["ui.session_ttl_ms=0".to_owned()]).unwrap_err();
    assert!(error.to_string().contains("ui.session_ttl_ms"), "{error}");
    assert!(Config::load(None, &["ui.trusted_proxies=proxy".to_owned()]).is_err());
    let proxies = ["ui.trusted_proxies=10.0.0.1,::1".to_owned()];
    assert_eq!(Config::load(None, &proxies).unwrap().ui.trusted_proxies.len(), 2);
    let error = Config::load(None, &["otq.listen=nonsense".to_owned()]).unwrap_err();
    assert!(error.to_string().contains("otq.listen"), "{error}");
    for wrong in ["fastqueue", "/", "/a/", "/a//b", "/{a}", "/v1", "/ui/x"] {
        let error = Config::load(None, &[format!("fastqueue.mount={wrong}")]).unwrap_err();
        assert!(error.to_string().contains("fastqueue.mount"), "{error}");
    }
    let twice = ["fastqueue.mount=/a", "blockqueue.mount=/a"].map(str::to_owned);
    assert!(Config::load(None, &twice).is_err());
    let apart = ["fastqueue.mount=/a/b", "blockqueue.mount=/c.d"].map(str::to_owned);
    assert!(Config::load(None, &apart).is_ok());
}
