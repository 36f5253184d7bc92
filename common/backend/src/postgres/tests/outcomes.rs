//! Commits that fail in every way a server has.

use std::sync::atomic::{AtomicBool, Ordering};

use common_engine::{HeadChange, LogBatch, LogInfo, LogKind, LogSpec};
use common_tlog::{Hash, empty_root};

use super::harness::{Promises, engine};
use super::*;

const LOG: LogId = LogId(1);

async fn create(store: &PostgresStorage, id: LogId) {
    let spec = LogSpec {
        kind: LogKind::RekorV2,
        origin: format!("log {id}"),
        tree_id: 0,
        key_id: String::new(),
        leaf_limit: 65_535,
        created: 0,
    };
    let log = StoredLog {
        info: LogInfo {
            id,
            spec,
            state: LogState::Active,
        },
        head: head(0),
    };
    assert_eq!(store.create_log(&log).await.unwrap(), Commit::Committed);
}

fn head(size: u64) -> common_engine::Head {
    let root = if size == 0 {
        empty_root()
    } else {
        Hash([u8::try_from(size).unwrap(); 32])
    };
    common_engine::Head {
        size,
        root,
        checkpoint: String::new(),
        time: 0,
    }
}

/// A batch of one leaf.
fn batch(log: LogId, from: u64) -> Batch {
    let leaf = StoredLeaf {
        index: from,
        time: 0,
        data: Bytes::from_static(b"leaf"),
        extra: Bytes::new(),
    };
    let part = LogBatch {
        log,
        head: HeadChange {
            from_size: from,
            from_root: head(from).root,
            to: head(from + 1),
        },
        leaves: vec![leaf],
        tiles: vec![(TileId { level: 0, index: 0 }, Bytes::from(vec![0; 32]))],
    };
    Batch {
        logs: vec![part],
        index: Vec::new(),
        attachments: Vec::new(),
    }
}

/// Lets the next commits fail with an error code, at once or when `COMMIT` is sent.
fn fail_leaves(server: &Server, name: &str, code: &str, deferred: bool) {
    let kind = if deferred {
        "CONSTRAINT TRIGGER failing AFTER"
    } else {
        "TRIGGER failing AFTER"
    };
    let when = if deferred {
        "DEFERRABLE INITIALLY DEFERRED"
    } else {
        ""
    };
    server.sql(
        name,
        &format!(
            "SET search_path = sigbox; CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             RAISE EXCEPTION 'injected' USING ERRCODE = '{code}'; END $$; \
             CREATE {kind} INSERT ON leaves {when} FOR EACH ROW EXECUTE FUNCTION fail()"
        ),
    );
}

fn heal(server: &Server, name: &str) {
    server.sql(name, "DROP TRIGGER failing ON sigbox.leaves");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_the_server_gave_up_for_others_is_a_conflict() {
    let server = Server::shared();
    let name = server.database();
    let store = store(&server, &name).await;
    create(&store, LOG).await;
    for (code, deferred, conflict) in [
        ("40001", false, true),
        ("40P01", false, true),
        // After `COMMIT` was sent, every error is an unknown outcome.
        ("40001", true, false),
        ("53100", false, false),
        ("23505", false, false),
        ("57014", false, false),
    ] {
        fail_leaves(&server, &name, code, deferred);
        let outcome = store.commit(&batch(LOG, 0)).await;
        assert_eq!(
            matches!(outcome, Ok(Commit::Conflict)),
            conflict,
            "{code}: {outcome:?}"
        );
        assert_eq!(outcome.is_err(), !conflict, "{code}: {outcome:?}");
        heal(&server, &name);
        assert_eq!(store.logs().await.unwrap()[0].head.size, 0);
        assert_eq!(store.leaves(LOG, 0, 10).await.unwrap(), vec![]);
    }
    assert_eq!(store.commit(&batch(LOG, 0)).await.unwrap(), Commit::Committed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_lives_through_serialization_failures() {
    let server = Server::shared();
    let name = server.database();
    let engine = engine(store(&server, &name).await).await;
    let promises = Arc::new(Promises::default());
    promises.submit(&engine, "before").await;
    for deferred in [false, true] {
        fail_leaves(&server, &name, "40001", deferred);
        let own = (Arc::clone(&promises), engine.clone());
        let waiting = tokio::spawn(async move { own.0.submit(&own.1, &format!("during {deferred}")).await });
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(
            !waiting.is_finished(),
            "nothing is acknowledged that is not stored"
        );
        heal(&server, &name);
        waiting.await.unwrap();
    }
    engine.shutdown().await;
    assert_eq!(promises.audit(store(&server, &name).await).await, 3);
}

/// The session is lost while `COMMIT` is under way, and the server applies it later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_waits_for_a_commit_that_is_applied_late() {
    let server = Server::shared();
    let name = server.database();
    let store = Arc::new(store(&server, &name).await);
    create(&store, LOG).await;
    // `COMMIT` takes a while on the server, but less than it takes to notice that its client is gone (2 s, `session`).
    server.sql(
        &name,
        "SET search_path = sigbox; CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         PERFORM pg_sleep(1.5); RETURN NULL; END $$; \
         CREATE CONSTRAINT TRIGGER failing AFTER INSERT ON leaves DEFERRABLE INITIALLY DEFERRED \
         FOR EACH ROW EXECUTE FUNCTION slow()",
    );
    let own = Arc::clone(&store);
    let lost = tokio::spawn(async move { own.commit(&batch(LOG, 0)).await });
    let in_commit = "SELECT count(*) FROM pg_stat_activity WHERE query = 'COMMIT' AND wait_event = 'PgSleep'";
    while server.sql(&name, in_commit).trim() != "1" {}
    // The session is cut on our side: the server goes on.
    lost.abort();
    assert!(lost.await.unwrap_err().is_cancelled());
    assert_eq!(
        store.logs().await.unwrap()[0].head.size,
        0,
        "a plain read does not know yet"
    );
    let reserved = Arc::clone(&store).reserved();
    assert_eq!(
        reserved.logs().await.unwrap()[0].head.size,
        1,
        "the writer's read waits"
    );
    heal(&server, &name);
    assert_eq!(store.commit(&batch(LOG, 0)).await.unwrap(), Commit::Conflict);
    assert_eq!(store.commit(&batch(LOG, 1)).await.unwrap(), Commit::Committed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_stays_locked_is_an_error_and_not_an_answer() {
    let server = Server::shared();
    let name = server.database();
    let one = Arc::new(store(&server, &name).await);
    create(&one, LOG).await;
    let mut other = PgPool::connect(&server.url(&name))
        .await
        .unwrap()
        .begin()
        .await
        .unwrap();
    sqlx::query("SELECT FROM sigbox.logs FOR UPDATE")
        .execute(&mut *other)
        .await
        .unwrap();
    let reserved = Arc::clone(&one).reserved();
    let (commit, logs) = tokio::join!(
        async { one.commit(&batch(LOG, 0)).await.unwrap_err().to_string() },
        async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            reserved.logs().await.unwrap_err().to_string()
        }
    );
    assert!(
        commit.contains("lock timeout") && logs.contains("lock timeout"),
        "{commit}; {logs}"
    );
    assert_eq!(one.logs().await.unwrap()[0].head.size, 0, "public reads go on");
    other.rollback().await.unwrap();
    assert_eq!(one.commit(&batch(LOG, 0)).await.unwrap(), Commit::Committed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_keeps_the_head_for_a_moment_only() {
    let server = Server::shared();
    let name = server.database();
    let (one, two) = (store(&server, &name).await, store(&server, &name).await);
    create(&one, LOG).await;
    assert_eq!(one.commit(&batch(LOG, 0)).await.unwrap(), Commit::Committed);
    assert_eq!(two.commit(&batch(LOG, 0)).await.unwrap(), Commit::Conflict);
    let next = batch(LOG, 1);
    // The loser is next, although the other one asks first.
    let (first, second) = tokio::join!(one.commit(&next), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        two.commit(&next).await
    });
    assert_eq!(
        (first.unwrap(), second.unwrap()),
        (Commit::Conflict, Commit::Committed)
    );
    // Who does not use its turn loses it.
    let start = std::time::Instant::now();
    assert_eq!(
        two.set_state(LOG, LogState::Active).await.unwrap(),
        Commit::Committed
    );
    assert!(start.elapsed() < Duration::from_secs(2));
    assert_eq!(one.commit(&batch(LOG, 2)).await.unwrap(), Commit::Committed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_sessions_are_ended() {
    let server = Server::shared();
    let name = server.database();
    let engine = engine(store(&server, &name).await).await;
    let promises = Arc::new(Promises::default());
    let submitters = promises.submitters(&engine, "cut", 1);
    let stop = Arc::new(AtomicBool::new(false));
    let (own, database, stopped) = (Arc::clone(&server), name.clone(), Arc::clone(&stop));
    let killer = tokio::task::spawn_blocking(move || {
        let mut ended = 0;
        for round in 0u64.. {
            if stopped.load(Ordering::Relaxed) {
                break;
            }
            // One session in three, at moments that have nothing to do with what they are doing.
            let kill = format!(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                 WHERE datname = '{database}' AND application_name = 'sigbox' AND (pid + {round}) % 3 = 0"
            );
            ended += own.sql("postgres", &kill).trim().parse::<u32>().unwrap();
            std::thread::sleep(Duration::from_millis(round * 13 % 60));
        }
        ended
    });
    tokio::time::sleep(Duration::from_secs(6)).await;
    stop.store(true, Ordering::Relaxed);
    let ended = killer.await.unwrap();
    promises.stop();
    submitters.join_all().await;
    engine.shutdown().await;
    drop(engine);
    let size = promises.audit(store(&server, &name).await).await;
    eprintln!(
        "{ended} sessions ended, {} receipts, {size} leaves, refused: {:?}",
        promises.count(),
        promises.refusals()
    );
    assert!(ended > 20 && promises.count() > 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_server_is_killed() {
    let mut server = Server::start(&[]);
    let name = server.database();
    let engine = engine(store(&server, &name).await).await;
    let promises = Arc::new(Promises::default());
    let submitters = promises.submitters(&engine, "killed", 1);
    for round in 0..6u64 {
        let before = promises.count();
        tokio::time::sleep(Duration::from_millis(300 + round * 37)).await;
        server = tokio::task::spawn_blocking(move || {
            server.kill();
            server.restart();
            server
        })
        .await
        .unwrap();
        let end = std::time::Instant::now() + Duration::from_secs(60);
        while promises.count() < before + 50 {
            assert!(std::time::Instant::now() < end, "the log does not recover");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    promises.stop();
    submitters.join_all().await;
    engine.shutdown().await;
    drop(engine);
    let size = promises.audit(store(&server, &name).await).await;
    eprintln!(
        "6 kills, {} receipts, {size} leaves, refused: {:?}",
        promises.count(),
        promises.refusals()
    );
    assert!(
        server.log().contains("automatic recovery in progress"),
        "{}",
        server.log()
    );
}
