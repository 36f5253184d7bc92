//! `kill -9` under load: what was acknowledged is there, and no tree forked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::Value;
use tests::entries::Key;
use tests::log::{self, Head};
use tests::stack::{Ports, Stack};

/// Every promise ever made to us.
#[derive(Default)]
struct Promises {
    /// v1 entries by their ID.
    v1: HashMap<String, Value>,
    /// v2 leaves by their index.
    v2: HashMap<u64, Vec<u8>>,
}

/// Writes to one log until the server is gone.
async fn write(url: String, http: reqwest::Client, promises: Arc<Mutex<Promises>>, v2: bool, seed: String) {
    let key = Key::generate();
    for n in 0u64.. {
        let message = format!("{seed} {n}");
        let (path, body) = if v2 {
            ("/api/v2/log/entries", key.v2(message.as_bytes()))
        } else {
            ("/api/v1/log/entries", key.v1(message.as_bytes()))
        };
        let request = http
            .post(format!("{url}{path}"))
            .header("content-type", "application/json");
        let Ok(answer) = request.body(body.to_string()).send().await else {
            return;
        };
        // Only a complete 201 is a promise.
        let created = answer.status() == 201;
        let Ok(text) = answer.text().await else { return };
        if !created {
            continue;
        }
        let answer: Value = serde_json::from_str(&text).unwrap();
        let mut promises = promises.lock().unwrap();
        if v2 {
            let index = answer["logIndex"].as_str().unwrap().parse().unwrap();
            let leaf = BASE64_STANDARD
                .decode(answer["canonicalizedBody"].as_str().unwrap())
                .unwrap();
            assert_eq!(
                promises.v2.insert(index, leaf),
                None,
                "index {index} was given twice"
            );
        } else {
            let (id, entry) = answer.as_object().unwrap().iter().next().unwrap();
            promises.v1.insert(id.clone(), entry.clone());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_kills_under_load_lose_nothing_and_fork_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (data, ports) = (folder.path().join("data"), Ports::free());
    let promises = Arc::new(Mutex::new(Promises::default()));
    let (mut v1_heads, mut v2_heads): (Vec<Head>, Vec<Head>) = (Vec::new(), Vec::new());

    for round in 0..10u64 {
        let mut stack = Stack::at(&data, &ports);
        v1_heads.push(log::head(&stack).await);
        v2_heads.push(log::v2_head(&stack).await);
        let writers: Vec<_> = (0..16)
            .map(|n| {
                let (http, promises) = (stack.http.clone(), Arc::clone(&promises));
                let seed = format!("round {round} writer {n}");
                tokio::spawn(write(stack.ready.url.clone(), http, promises, n % 2 == 0, seed))
            })
            .collect();
        // Not the same moment twice: somewhere in start-up, a batch, or a WAL checkpoint.
        tokio::time::sleep(Duration::from_millis(150 + 97 * round)).await;
        stack.kill();
        for writer in writers {
            writer.await.unwrap();
        }
    }

    let stack = Stack::at(&data, &ports);
    let (v1, v2) = (log::head(&stack).await, log::v2_head(&stack).await);
    let promises = std::mem::take(&mut *promises.lock().unwrap());
    assert!(
        promises.v1.len() > 50 && promises.v2.len() > 50,
        "the load was real"
    );

    for (id, acknowledged) in &promises.v1 {
        log::included(&stack, id, acknowledged).await;
    }
    for head in &v1_heads {
        log::consistent(&stack, head, &v1).await;
    }
    let leaves = log::v2_leaves(&stack, v2.size).await;
    for (index, leaf) in &promises.v2 {
        assert_eq!(&leaves[usize::try_from(*index).unwrap()], leaf, "leaf {index}");
    }
    v2_heads.push(v2);
    log::roots_match(&leaves, &v2_heads);
}
