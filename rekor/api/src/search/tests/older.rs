//! Data folders from before entries were searched.

use std::time::Duration;

use super::*;
use crate::{v1, v2};

#[tokio::test]
async fn an_older_store_is_searched_honestly_and_then_wholly() {
    let stack = Stack::new().await;
    let key = signer(KeyAlgorithm::EcdsaP256);
    let dev = certificate(SubjectAltName::Email("dev@example.com".to_owned()), &*key);
    for number in 0..300_u32 {
        log(&stack, number % 2 == 0, &*key, &number.to_be_bytes(), Some(&dev)).await;
    }
    post(&stack.v2, "/api/v2/log/entries", dsse_request().to_string()).await;
    let subject = format!("digest={}", "ab".repeat(32));
    assert_eq!(places(&search(&stack, &subject).await), [(V2, 150)]);
    stack.engine.shutdown().await;

    // As the version before left it: v1 has its keys, v2 the rows of leaf hashes and the time beside a leaf.
    let secret = common_engine::Storage::secret(stack.storage.as_ref())
        .await
        .unwrap();
    stack.storage.damage(|contents| {
        let kept = |key, place: &Place| {
            let leaf = &contents.leaves[place];
            let hash = common_tlog::leaf_hash(&leaf.data);
            let entry = rekor_entry::committed::read(&leaf.data).unwrap();
            key == secret.leaf(place.log, &hash)
                || place.log == NEW
                    && entry
                        .index_keys
                        .iter()
                        .any(|k| key == secret.term(&format!("rekor-v1/{k}")))
        };
        let rows: Vec<_> = contents
            .index
            .iter()
            .filter(|(key, place)| kept(*key, place))
            .copied()
            .collect();
        contents.index = rows.into_iter().collect();
        for (place, leaf) in &mut contents.leaves {
            if place.log == TILES {
                leaf.extra = leaf.extra.slice(..8);
            }
        }
    });
    let query = format!("issuer={ISSUER}&limit=100");
    let newer = Stack::on(
        Arc::clone(&stack.storage),
        v1::Limits::default(),
        v2::Limits::default(),
    )
    .await;
    // What was logged meanwhile is found at once, and the answer says what may be missing.
    let answer = search(&newer, &query).await;
    if answer["logs"]
        .as_array()
        .unwrap()
        .iter()
        .any(|log| !log["unindexed"]["pending"].is_null())
    {
        assert_eq!(answer["complete"], json!(false), "{answer:#}");
    }
    log(&newer, true, &*key, b"new", Some(&dev)).await;
    let mut found = BTreeSet::new();
    for _ in 0..400 {
        found.clear();
        let mut cursor = String::new();
        let mut complete = true;
        loop {
            let answer = search(&newer, &format!("{query}{cursor}")).await;
            found.extend(places(&answer));
            complete &= answer["complete"].as_bool().unwrap();
            match answer["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert!(found.contains(&(V2, 151)), "what is new is found");
        if complete {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(found.len(), 301, "all that the certificate says is in the bodies");

    // The subject of the old envelope is gone with its payload: not found, and said so.
    let answer = search(&newer, &subject).await;
    assert_eq!((places(&answer), &answer["complete"]), (vec![], &json!(false)));
    assert_eq!(
        answer["logs"][1]["unindexed"],
        json!({"pending": null, "payloadsBelow": 151})
    );
    let answer = search(&newer, &format!("{subject}&since=2100-01-01")).await;
    assert_eq!(
        answer["complete"],
        json!(false),
        "what was searched reaches below it"
    );
    newer.engine.shutdown().await;

    // Keys are new in this test, so heads and timestamps are others'; the index is complete all the same.
    let v1 = RekorV1Check::new(newer.shard.clone(), HOST);
    let v2 = RekorV2Check::new(HOST, newer.v2_key.clone()).unwrap();
    let spec = |id| newer.engine.log(id).unwrap().spec.clone();
    let logs = [
        LogCheck {
            id: NEW,
            spec: spec(NEW),
            kind: Arc::new(v1),
        },
        LogCheck {
            id: TILES,
            spec: spec(TILES),
            kind: Arc::new(v2),
        },
    ];
    let fsck = Fsck {
        storage: newer.storage.as_ref(),
        logs: &logs,
        published: &[],
        limit: 1_000,
        progress: &|_| {},
    };
    let findings = fsck.run().await.unwrap().findings;
    let index: Vec<_> = findings
        .iter()
        .filter(|finding| finding.what.contains("index") || finding.what == "key")
        .collect();
    assert!(index.is_empty(), "{index:?}");
}
