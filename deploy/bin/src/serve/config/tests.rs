#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStringExt as _;

use super::*;

const OPERATIONS: &str = include_str!("../../../../../docs/operations.md");
/// The documented example.
const EXAMPLE: &str = include_str!("../../../../serve.example.toml");

fn parse(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let variables = variables
        .iter()
        .map(|(name, value)| (OsString::from(name), OsString::from(value)));
    Config::parse("serve.toml", text, variables)
}

fn refused(text: &str, variables: &[(&str, &str)]) -> String {
    match parse(text, variables) {
        Ok(_) => panic!("{text}\nwas taken"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_example_is_taken_as_it_is() {
    let config = parse(EXAMPLE, &[]).unwrap();
    assert_eq!(config.site.url().as_str(), "https://sigstore.example");
    assert_eq!(config.listen.len(), 2);
    assert!(config.listen[0].tls.is_some());
    assert!(matches!(config.storage, Storage::Sqlite));
    // Every key in it that is commented out is one as well.
    let all: String = EXAMPLE
        .lines()
        .map(|line| {
            let shown = line
                .strip_prefix("#")
                .filter(|rest| rest.contains(" = ") && !rest.starts_with(' '));
            format!("{}\n", shown.unwrap_or(line))
        })
        .collect();
    // A receiver of events needs a client.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let config = parse(&all, &[]).unwrap_or_else(|error| panic!("{error}\n{all}"));
    assert!(matches!(config.storage, Storage::Postgres(_)));
    assert!(config.places.of("ct-log-1").starts_with("pkcs11:"));
    assert!(config.limits.limit_per_client.is_some());
}

const LEAST: &str =
    "url = 'https://s.example'\ndata = '/d'\nfulcio-config = '/f'\n[[listen]]\naddress = 'localhost:1'\n";

/// What serde knows, from what it says about a key that is none; `TABLE.KEY` for keys of a table.
fn known_keys() -> BTreeSet<String> {
    let known = |text: &str| -> Vec<String> {
        let said = refused(text, &[]);
        let (_, known) = said.split_once("expected ").unwrap();
        let names = known.split('`').skip(1).step_by(2);
        names.map(str::to_owned).collect()
    };
    let mut keys: BTreeSet<_> = known(&format!("none = 1\n{LEAST}")).into_iter().collect();
    for table in ["listen", "urls", "trust", "ct", "rekor-v1", "limits"] {
        assert!(keys.remove(table), "{table}");
        let header = match table {
            "listen" => String::new(),
            _ => format!("[{table}]\n"),
        };
        let inside = known(&format!("{LEAST}{header}none = 1"));
        keys.extend(inside.into_iter().map(|key| format!("{table}.{key}")));
    }
    keys
}

#[test]
fn every_key_is_documented_and_nothing_else() {
    let known = known_keys();
    let (_, table) = OPERATIONS
        .split_once("| Key | Default | |\n|---|---|---|\n")
        .unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let first = table.lines().filter_map(|line| line.split('|').nth(1));
    let documented: BTreeSet<_> = first
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect();
    assert_eq!(documented, known);
    for key in known {
        let shown = match key.as_str() {
            "keys" => "[keys]".to_owned(),
            key => format!("{} = ", key.rsplit('.').next().unwrap()),
        };
        let mut lines = EXAMPLE.lines().map(|line| line.trim_start_matches('#'));
        assert!(lines.any(|line| line.starts_with(&shown)), "{key} in the example");
    }
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_known_one() {
    for (text, expected) in [
        (LEAST.replace("data", "dta"), "did you mean `data`?"),
        (LEAST.replace("address", "adress"), "did you mean `address`?"),
        (
            format!("{LEAST}services = ['rekorv1']"),
            "did you mean `rekor-v1`?",
        ),
        (
            format!("{LEAST}[limits]\nwrite-at-once = 5"),
            "did you mean `writes-at-once`?",
        ),
        (
            format!("{LEAST}[keys]\nctlog = 'file:'"),
            "no key is called \"ctlog\"",
        ),
    ] {
        let error = refused(&text, &[]);
        assert!(error.contains(expected), "{error}");
    }
    let error = refused(&LEAST.replace("data", "dta"), &[]);
    assert!(error.contains("line 2"), "{error}");
}

#[test]
fn variables_replace_keys_and_unknown_ones_are_refused() {
    let config = parse(
        LEAST,
        &[
            ("SIGBOX_SERVE_DATA", "/other"),
            ("SIGBOX_SERVE_STORAGE", "postgres://u:p@h/d?sslmode=verify-full"),
            ("SIGBOX_SERVE_LIMITS__WRITES_AT_ONCE", "7"),
            ("SIGBOX_SERVE_KEYS__ALL", "pkcs11:token=t"),
            ("SIGBOX_SERVE_CONFIG", "serve.toml"),
            ("SIGBOX_PKCS11_PIN", "1234"),
        ],
    )
    .unwrap();
    assert_eq!(config.data, Path::new("/other"));
    assert!(matches!(config.storage, Storage::Postgres(_)));
    assert_eq!(config.limits.writes_at_once, Some(7));
    assert_eq!(config.places.of("tsa-1"), "pkcs11:token=t");
    assert_eq!(config.canary_every, Duration::from_secs(3_600));
    let error = refused(LEAST, &[("SIGBOX_SERVE_STORE", "sqlite")]);
    assert!(
        error.contains("did you mean `storage`?") && error.contains("SIGBOX_SERVE_STORE"),
        "{error}"
    );
    // What the file leaves to the environment.
    let without = LEAST.replace("data = '/d'\n", "");
    assert!(refused(&without, &[]).contains("data"));
    assert_eq!(
        parse(&without, &[("SIGBOX_SERVE_DATA", "/d")]).unwrap().data,
        Path::new("/d")
    );
}

#[test]
fn a_variable_that_is_no_text_is_refused_if_it_is_ours() {
    let parse = |name: OsString| {
        let variable = (name, OsString::from_vec(vec![b'a', 0xff]));
        Config::parse("serve.toml", LEAST, [variable].into_iter())
    };
    assert!(parse("LESS_TERMCAP_mb".into()).is_ok());
    assert!(parse(OsString::from_vec(vec![0xff])).is_ok());
    assert!(parse(FILE.into()).is_ok());
    for (name, shown) in [
        (OsString::from("SIGBOX_SERVE_DATA"), "SIGBOX_SERVE_DATA"),
        (
            OsString::from_vec(b"SIGBOX_SERVE_\xff".to_vec()),
            "SIGBOX_SERVE_\u{fffd}",
        ),
    ] {
        let error = parse(name).err().unwrap().to_string();
        assert_eq!(error, format!("{shown}: expected UTF-8, got other octets"));
    }
}

#[test]
fn a_process_has_the_roles_of_its_listeners_and_services_their_urls() {
    let text = LEAST.replace("fulcio-config = '/f'\n", "");
    let config = parse(
        &format!("{text}services = ['rekor-v2', 'tsa']\n[urls]\ntsa = 'https://tsa.example'"),
        &[("SIGBOX_SERVE_URLS__FULCIO", "https://ca.example")],
    )
    .unwrap();
    assert_eq!(*config.site.roles(), Roles::of(&[Part::RekorV2, Part::Tsa]));
    for (part, url) in [
        (Part::Tsa, "https://tsa.example"),
        (Part::Fulcio, "https://ca.example"),
        (Part::RekorV2, "https://s.example"),
    ] {
        assert_eq!(config.site.url_of(part).as_str(), url);
    }
    assert_eq!(*parse(LEAST, &[]).unwrap().site.roles(), Roles::all());
}

#[test]
fn values_that_would_not_work_are_said_before_anything_is_made() {
    for (text, expected) in [
        (LEAST.replace("https", "http"), "expected https://"),
        (
            format!("{LEAST}[urls]\ntsa = 'http://tsa.example'"),
            "urls.tsa: expected https://",
        ),
        (
            LEAST.replace("fulcio-config = '/f'\n", ""),
            "fulcio-config: expected the file of issuers",
        ),
        (
            format!("{LEAST}services = ['tsa']\n[trust]\nkeys = ['/k']"),
            "trust.keys: expected nothing",
        ),
        (LEAST.replace("localhost:1", "example.com:1"), "localhost:PORT"),
        (
            format!("{LEAST}tls-key = '/k'"),
            "tls-certificate and tls-key, or neither",
        ),
        (format!("storage = 'mysql://x'\n{LEAST}"), "postgres"),
        (
            format!("canary-every = '1 hour'\n{LEAST}"),
            "canary-every: expected a number and",
        ),
        (
            format!("{LEAST}[limits]\nper-client = 'many'"),
            "limits.per-client",
        ),
        (
            format!("{LEAST}[keys]\nall = 'file:?passphrase=s3cret'"),
            "[keys]: \"file:?…\": expected ?passphrase=file:/path",
        ),
        (
            format!("{LEAST}[keys]\ntsa = 'pkcs11:token=t?pin-source=s3cret'"),
            "never the PIN itself",
        ),
        (
            format!("{LEAST}[keys]\ntsa = 'hsm'"),
            "[keys]: expected file:NAME.pem",
        ),
        (
            format!("oidc-url = 'https://s.example/oidc'\n{LEAST}"),
            "oidc-url: expected another place",
        ),
        (
            format!("{LEAST}[[listen]]\naddress = '127.0.0.1:1'"),
            "listen.address: 127.0.0.1:1 is listened at already, as localhost:1",
        ),
        (
            format!("metrics = '0.0.0.0:1'\n{LEAST}"),
            "metrics: 0.0.0.0:1 is listened at already",
        ),
        (
            format!("{LEAST}[rekor-v1]\nkinds = 'rpm'"),
            "rekor-v1.kinds: hashedrekord has to be among them",
        ),
        (
            format!("{LEAST}[rekor-v1]\nalgorithms = 'md5'"),
            "rekor-v1.algorithms",
        ),
        (
            format!("{LEAST}[rekor-v1]\nmax-attestation-size = 8388609"),
            "expected at most 8388608 bytes",
        ),
        (
            format!("{LEAST}[rekor-v1]\nwebhook = 'ftp://s3cret@h'"),
            "rekor-v1.webhook: expected an http:// or https:// URL",
        ),
        (
            format!("storage = 'postgres://u:s3cret@h/d?sslmod=x'\n{LEAST}"),
            "sslmod",
        ),
    ] {
        let error = refused(&text, &[]);
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
}

#[test]
fn listeners_of_other_ports_and_interfaces_go_together() {
    for address in ["[::1]:1", "localhost:2", "192.0.2.1:1"] {
        let text = LEAST.replace("localhost:1", "127.0.0.1:1");
        parse(&format!("{text}[[listen]]\naddress = '{address}'"), &[]).unwrap();
    }
    let free = LEAST.replace("localhost:1", "localhost:0");
    parse(&format!("{free}[[listen]]\naddress = 'localhost:0'"), &[]).unwrap();
}
