//! Timestamps: what they are over, and that they stay the same.

use super::{START, World, signer};
use common_pki::cert::Certificate;
use common_pki::key::{KeyAlgorithm, Signer};
use common_pki::sct::{self, SctError};
use common_tlog::leaf_hash;
use common_tlog::proof::verify_inclusion;
use std::sync::Arc;

#[tokio::test]
async fn a_timestamp_verifies_over_the_precertificate_and_the_final_certificate() {
    let world = World::new().await;
    let tbs = world.authority.tbs(9);
    let precertificate = tbs.sign_precertificate(&world.authority.signer).unwrap();
    let sct = world
        .log
        .add_pre_chain(precertificate.to_der(), &world.authority.chain())
        .await
        .unwrap();
    assert_eq!(sct.log_id, world.personality.log_id());
    assert_eq!(sct.timestamp, START);
    assert_eq!(sct::leaf_index(&sct.extensions), Some(0));
    let entry = sct::precert_entry(&precertificate, world.authority.signer.public_key());
    sct.verify(&entry, world.personality.public_key()).unwrap();
    // What a client does: the final certificate without its list of timestamps is the same entry.
    let last = tbs
        .sign_with_scts(&world.authority.signer, &[sct.to_bytes().unwrap()])
        .unwrap();
    sct::verify_embedded(
        &last,
        world.authority.signer.public_key(),
        world.personality.public_key(),
    )
    .unwrap();
    let other = signer(KeyAlgorithm::EcdsaP256);
    assert!(sct.verify(&entry, other.public_key()).is_err());
    let foreign = sct::precert_entry(&precertificate, other.public_key());
    assert!(matches!(
        sct.verify(&foreign, world.personality.public_key()),
        Err(SctError::Signature(_))
    ));
}

#[tokio::test]
async fn the_leaf_is_recomputed_from_the_timestamp_and_proven() {
    let world = World::new().await;
    world.fill(5).await;
    world.advance(1000);
    let precertificate = world.authority.precertificate(100);
    let sct = world
        .log
        .add_pre_chain(precertificate.to_der(), &world.authority.chain())
        .await
        .unwrap();
    let entry = sct::precert_entry(&precertificate, world.authority.signer.public_key());
    let leaf = sct::merkle_tree_leaf(sct.timestamp, &entry, &sct.extensions).unwrap();
    let hash = leaf_hash(&leaf);
    let head = world.json("/ct/v1/get-sth").await;
    assert_eq!(head["tree_size"], 6);
    let reply = world.proof_by_hash(&hash, 6).await;
    let proof: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(proof["leaf_index"], 5);
    let root = common_tlog::Hash::from_slice(&super::base64(&head["sha256_root_hash"])).unwrap();
    verify_inclusion(5, 6, &hash, &super::path(&proof["audit_path"]), &root).unwrap();
}

#[tokio::test]
async fn adding_again_gives_the_first_timestamp() {
    let world = World::new().await;
    let precertificate = world.authority.precertificate(1);
    let chain = world.authority.chain();
    let first = world
        .log
        .add_pre_chain(precertificate.to_der(), &chain)
        .await
        .unwrap();
    world.advance(60_000);
    // Without its root it is the same chain.
    let again = world
        .log
        .add_pre_chain(precertificate.to_der(), &chain[..1])
        .await
        .unwrap();
    assert_eq!(
        (again.timestamp, &again.extensions),
        (first.timestamp, &first.extensions)
    );
    let world = world.restart().await;
    let later = world
        .log
        .add_pre_chain(precertificate.to_der(), &chain)
        .await
        .unwrap();
    assert_eq!(
        (later.timestamp, &later.extensions),
        (first.timestamp, &first.extensions)
    );
    let entry = sct::precert_entry(&precertificate, world.authority.signer.public_key());
    later.verify(&entry, world.personality.public_key()).unwrap();
    assert_eq!(world.json("/ct/v1/get-sth").await["tree_size"], 1);
    let next = world.authority.precertificate(2);
    let next = world.log.add_pre_chain(next.to_der(), &chain).await.unwrap();
    assert_eq!(next.timestamp, START + 60_000);
    assert_eq!(sct::leaf_index(&next.extensions), Some(1));
}

#[tokio::test]
async fn concurrent_submissions_get_one_place_each() {
    let world = World::new().await;
    let precertificates: Vec<Certificate> = (0..40)
        .map(|serial| world.authority.precertificate(serial / 2 + 1))
        .collect();
    // Twenty serials, each submitted twice with the very same bytes.
    let submitted: Vec<Certificate> = precertificates
        .iter()
        .step_by(2)
        .flat_map(|c| [c.clone(), c.clone()])
        .collect();
    let mut tasks = Vec::new();
    for precertificate in submitted {
        let (log, chain) = (Arc::clone(&world.log), world.authority.chain());
        tasks.push(tokio::spawn(async move {
            let sct = log.add_pre_chain(precertificate.to_der(), &chain).await.unwrap();
            (
                precertificate.serial().to_vec(),
                sct::leaf_index(&sct.extensions).unwrap(),
                sct.timestamp,
            )
        }));
    }
    let mut places = std::collections::HashMap::new();
    for task in tasks {
        let (serial, index, time) = task.await.unwrap();
        assert_eq!(*places.entry(serial).or_insert((index, time)), (index, time));
    }
    let mut indexes: Vec<u64> = places.values().map(|(index, _)| *index).collect();
    indexes.sort_unstable();
    assert_eq!(indexes, (0..20).collect::<Vec<u64>>());
}
