//! What is refused when the store is opened, and what a session is.

use super::*;

async fn refused(server: &Server, database: &str) -> String {
    let config = PostgresConfig::new(&server.url(database), "sigbox").unwrap();
    let error = PostgresStorage::open(config).await.unwrap_err().to_string();
    assert!(
        server.password().iter().all(|secret| !error.contains(secret)),
        "{error}"
    );
    error
}

#[test]
fn urls_are_parsed_and_never_shown() {
    let url = "postgres://me:s%2Fcret@db.example:6432/logs?sslmode=verify-full";
    let config = PostgresConfig::new(url, "sigbox").unwrap();
    let shown = format!("{config:?}");
    assert!(shown.contains("db.example") && shown.contains("6432"), "{shown}");
    assert!(!shown.contains("cret"), "{shown}");
    for (url, schema, expected) in [
        ("mysql://me:secret@db/x", "sigbox", "postgres://"),
        ("postgres://me:secret@db:port/x", "sigbox", "postgres://"),
        ("postgres://me@db/x?sslmod=verify-full", "sigbox", "sslmod"),
        ("postgres://me@db/x?options=-cfsync%3Doff", "sigbox", "options"),
        ("postgres://me@db/x", "", "schema"),
        ("postgres://me@db/x", "pg_x", "schema"),
        ("postgres://me@db/x", "1x", "schema"),
        ("postgres://me@db/x", "a\"; DROP SCHEMA x", "schema"),
    ] {
        let error = PostgresConfig::new(url, schema).unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_not_repeated() {
    let server = Server::shared();
    let url = server.url("postgres").replace(server.password()[1], "letmein");
    let error = PostgresStorage::open(PostgresConfig::new(&url, "sigbox").unwrap())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("password") && !error.contains("letmein"),
        "{error}"
    );
}

#[tokio::test]
async fn servers_that_would_lose_entries_are_refused() {
    for (setting, expected) in [
        ("fsync=off", "fsync=off"),
        ("full_page_writes=off", "full_page_writes=off"),
    ] {
        let server = Server::start(&[setting]);
        let error = refused(&server, "postgres").await;
        assert!(error.contains(expected) && error.contains("power cut"), "{error}");
    }
    let server = Server::shared();
    server.sql(
        "postgres",
        "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0",
    );
    assert!(refused(&server, "latin").await.contains("LATIN1"));
    server.sql("postgres", "DROP DATABASE latin WITH (FORCE)");
    assert!(matches!(
        session::check(
            140_012,
            false,
            "on".to_owned(),
            "on".to_owned(),
            "UTF8".to_owned()
        ),
        Err(PostgresError::Version(140_012))
    ));
}

#[tokio::test]
async fn a_standby_is_refused() {
    let mut server = Server::start(&[]);
    server.become_standby();
    assert!(refused(&server, "postgres").await.contains("standby"));
}

#[tokio::test]
async fn other_layouts_and_foreign_schemas_are_refused() {
    let server = Server::shared();
    let name = server.database();
    store(&server, &name).await.close().await;
    server.sql(&name, "UPDATE sigbox.store SET version = 2");
    assert!(refused(&server, &name).await.contains("layout 2"));
    server.sql(&name, "UPDATE sigbox.store SET version = 1, secret = 'short'");
    assert!(refused(&server, &name).await.contains("5 bytes"));
    server.sql(&name, "DROP TABLE sigbox.store");
    assert!(refused(&server, &name).await.contains("not made by sigbox"));
    assert!(refused(&server, "nowhere").await.contains("nowhere"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_start_at_once_find_one_store() {
    let server = Server::shared();
    let name = server.database();
    let opening: Vec<_> = (0..6)
        .map(|_| {
            let config = PostgresConfig::new(&server.url(&name), "logs_of_ours").unwrap();
            tokio::spawn(async move { PostgresStorage::open(config).await.unwrap() })
        })
        .collect();
    let mut secrets = Vec::new();
    for store in opening {
        let store = store.await.unwrap();
        secrets.push(store.secret().await.unwrap());
        store.close().await;
    }
    assert!(secrets.iter().all(|secret| *secret == secrets[0]));
    let other = PostgresConfig::new(&server.url(&name), "sigbox").unwrap();
    let other = PostgresStorage::open(other).await.unwrap();
    assert_ne!(
        other.secret().await.unwrap(),
        secrets[0],
        "schemas are stores of their own"
    );
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'logs_of_ours'";
    assert_eq!(server.sql(&name, tables).trim(), "6");
}

#[tokio::test]
async fn sessions_are_durable_and_bounded_whatever_the_role_says() {
    let server = Server::shared();
    let name = server.database();
    for (set, expected) in [
        ("off", "on"),
        ("local", "on"),
        ("remote_write", "on"),
        ("remote_apply", "remote_apply"),
    ] {
        let alter = format!(
            "ALTER DATABASE {name} SET synchronous_commit = {set}; ALTER DATABASE {name} SET statement_timeout = 900; \
             ALTER DATABASE {name} SET search_path = public; ALTER DATABASE {name} SET enable_seqscan = on"
        );
        server.sql("postgres", &alter);
        let store = store(&server, &name).await;
        let show = "SELECT current_setting('synchronous_commit'), current_setting('statement_timeout'), \
             current_setting('search_path'), current_setting('enable_seqscan')";
        let written: (String, String, String, String) = store
            .inner
            .write(async |session| sqlx::query_as(show).fetch_one(session).await)
            .await
            .unwrap();
        let (path, seqscan) = ("sigbox".to_owned(), "off".to_owned());
        assert_eq!(
            written,
            (expected.to_owned(), "0".to_owned(), path.clone(), seqscan.clone())
        );
        let read: (String, String, String, String) =
            sqlx::query_as(show).fetch_one(&store.inner.public).await.unwrap();
        assert_eq!(read, (expected.to_owned(), "10s".to_owned(), path, seqscan));
        store.close().await;
    }
    let shown = format!("{:?}", store(&server, &name).await);
    assert!(
        server.password().iter().all(|secret| !shown.contains(secret)),
        "{shown}"
    );
}
