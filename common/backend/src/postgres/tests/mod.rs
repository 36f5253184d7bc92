#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

use ::tests::postgres::Server;

use super::*;

mod harness;
mod outcomes;
mod replicas;
mod start;

async fn store(server: &Server, database: &str) -> PostgresStorage {
    let config = PostgresConfig::new(&server.url(database), "sigbox").unwrap();
    PostgresStorage::open(config).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_of_storage_holds() {
    let server = Server::shared();
    common_engine::contract::check(async || Arc::new(store(&server, &server.database()).await)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_of_replicas_holds() {
    let server = Server::shared();
    common_engine::contract::check_replicas(async || {
        let name = server.database();
        [store(&server, &name).await, store(&server, &name).await].map(Arc::new)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_holds_where_transactions_are_serializable_by_default() {
    let server = Server::shared();
    common_engine::contract::check(async || {
        let name = server.database();
        let set = format!(
            "ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'; \
             ALTER DATABASE {name} SET synchronous_commit = off"
        );
        server.sql("postgres", &set);
        Arc::new(store(&server, &name).await)
    })
    .await;
}
