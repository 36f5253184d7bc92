#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::print_stderr,
    reason = "tests; some print what they counted"
)]

use std::sync::atomic::Ordering;

use ::tests::postgres::Server;

use super::*;

mod harness;
mod outcomes;
mod replicas;
mod start;

async fn store(server: &Server, database: &str) -> PostgresStorage {
    store_in(server, database, "sigbox").await
}

async fn store_in(server: &Server, database: &str, schema: &str) -> PostgresStorage {
    let config = PostgresConfig::new(&server.url(database), schema).unwrap();
    PostgresStorage::open(config).await.unwrap()
}

/// Names of schemas that nobody has used: a new one is made faster than a new database.
fn schemas() -> impl Fn() -> String {
    let count = AtomicU64::new(0);
    move || format!("store_{}", count.fetch_add(1, Ordering::Relaxed))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_of_storage_holds() {
    let server = Server::shared();
    let (name, schema) = (server.database(), schemas());
    common_engine::contract::check(async || Arc::new(store_in(&server, &name, &schema()).await)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_of_replicas_holds() {
    let server = Server::shared();
    let (name, schema) = (server.database(), schemas());
    common_engine::contract::check_replicas(async || {
        let schema = schema();
        [
            Arc::new(store_in(&server, &name, &schema).await),
            Arc::new(store_in(&server, &name, &schema).await),
        ]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_holds_where_transactions_are_serializable_by_default() {
    let server = Server::shared();
    let (name, schema) = (server.database(), schemas());
    let set = format!(
        "ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'; \
         ALTER DATABASE {name} SET synchronous_commit = off"
    );
    server.sql("postgres", &set);
    common_engine::contract::check(async || Arc::new(store_in(&server, &name, &schema()).await)).await;
}
