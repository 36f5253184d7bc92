//! Tiles: a monitor that has nothing else rebuilds the tree and finds every certificate.

use super::{World, signer};
use common_engine::{Entry, Personality as _, StoredLeaf};
use common_pki::key::{KeyAlgorithm, Signer as _};
use common_pki::sct::{self, SignedEntry, TimestampedEntry};
use common_tlog::checkpoint::Checkpoint;
use common_tlog::compact::CompactRange;
use common_tlog::note::Note;
use common_tlog::{Hash, leaf_hash};
use http::{StatusCode, header};

/// One TileLeaf, read by its definition (C2SP static-ct-api "Log Entries").
struct TileLeaf {
    leaf: Vec<u8>,
    precertificate: Vec<u8>,
    chain: Vec<String>,
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (taken, left) = rest.split_at(length);
    *rest = left;
    taken
}

fn number(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .fold(0, |number, byte| number << 8 | usize::from(*byte))
}

fn parse(mut rest: &[u8]) -> Vec<TileLeaf> {
    let mut leaves = Vec::new();
    while !rest.is_empty() {
        let whole = rest;
        assert_eq!(number(&take(&mut rest, 10)[8..]), 1, "a precertificate");
        take(&mut rest, 32);
        let tbs = number(take(&mut rest, 3));
        take(&mut rest, tbs);
        let extensions = number(take(&mut rest, 2));
        take(&mut rest, extensions);
        let entry = &whole[..whole.len() - rest.len()];
        let length = number(take(&mut rest, 3));
        let precertificate = take(&mut rest, length).to_vec();
        let length = number(take(&mut rest, 2));
        let chain = take(&mut rest, length).chunks(32).map(hex::encode).collect();
        leaves.push(TileLeaf {
            leaf: [&[0, 0], entry].concat(),
            precertificate,
            chain,
        });
    }
    leaves
}

#[tokio::test]
async fn a_monitor_rebuilds_the_tree_from_tiles() {
    let world = World::new().await;
    let logged = world.fill(5).await;
    let note = Note::parse(&world.get("/ct/checkpoint").await.body).unwrap();
    let checkpoint = Checkpoint::parse(note.text()).unwrap();
    let data = world.get("/ct/tile/data/000.p/5").await;
    assert_eq!(data.status, StatusCode::OK, "{}", data.text());
    assert_eq!(data.headers[header::CONTENT_TYPE], "application/octet-stream");
    let leaves = parse(&data.body);
    let mut range = CompactRange::default();
    let mut hashes = Vec::new();
    for (index, (leaf, precertificate)) in (0u64..).zip(leaves.iter().zip(&logged)) {
        assert_eq!(leaf.precertificate, precertificate.to_der());
        let entry = TimestampedEntry::from_leaf(&leaf.leaf).unwrap();
        assert_eq!(
            entry.entry,
            sct::precert_entry(precertificate, world.authority.signer.public_key())
        );
        assert_eq!(sct::leaf_index(&entry.extensions), Some(index));
        range.append(&leaf.leaf).unwrap();
        hashes.extend(leaf_hash(&leaf.leaf).0);
        for (fingerprint, certificate) in leaf
            .chain
            .iter()
            .zip([&world.authority.issuer, &world.authority.root])
        {
            assert_eq!(*fingerprint, Hash(certificate.fingerprint()).to_string());
            let issuer = world.get(&format!("/ct/issuer/{fingerprint}")).await;
            assert_eq!(issuer.body, certificate.to_der());
            assert_eq!(issuer.headers[header::CONTENT_TYPE], "application/pkix-cert");
            assert!(issuer.cache().contains("immutable"));
        }
        assert_eq!(leaf.chain.len(), 2);
    }
    assert_eq!(range.root(), checkpoint.root);
    let tile = world.get("/ct/tile/0/000.p/5").await;
    assert_eq!(tile.body, hashes);
    assert_eq!(
        world.get("/ct/tile/0/000.p/3").await.body,
        hashes[..96],
        "an older partial tile"
    );
    assert_eq!(parse(&world.get("/ct/tile/data/000.p/3").await.body).len(), 3);
}

/// Entries straight into the engine: as many need no signatures to fill a tile.
pub(super) async fn fill_quickly(world: &World, count: u32) {
    let key = signer(KeyAlgorithm::EcdsaP256).public_key().fingerprint();
    let mut submissions = Vec::new();
    for serial in 0..count {
        let entry = SignedEntry::Precert {
            issuer_key_hash: key,
            tbs: serial.to_be_bytes().to_vec(),
        };
        let body = sct::merkle_tree_leaf(0, &entry, &[]).unwrap();
        let aux = crate::beside::encode(&[0x30, 0], &[]).unwrap();
        let identity = common_tlog::sha256(&[&body]);
        let entry = Entry {
            identity,
            body: body.into(),
            aux,
            terms: vec![],
            attachments: vec![],
        };
        let engine = world.engine.clone();
        submissions.push(tokio::spawn(async move {
            engine.submit(super::LOG, entry).await.unwrap()
        }));
    }
    for submission in submissions {
        submission.await.unwrap();
    }
}

#[tokio::test]
async fn full_tiles_begin_at_256() {
    let world = World::new().await;
    fill_quickly(&world, 257).await;
    let full = world.get("/ct/tile/0/000").await;
    assert_eq!(full.body.len(), 8192);
    assert_eq!(parse(&world.get("/ct/tile/data/000").await.body).len(), 256);
    assert_eq!(parse(&world.get("/ct/tile/data/001.p/1").await.body).len(), 1);
    assert_eq!(world.get("/ct/tile/1/000.p/1").await.body.len(), 32);
    for absent in [
        "0/001",
        "0/001.p/2",
        "1/000",
        "1/001.p/1",
        "data/001",
        "data/002.p/1",
        "2/000.p/1",
        "0/002",
    ] {
        assert_eq!(
            world.get(&format!("/ct/tile/{absent}")).await.status,
            StatusCode::NOT_FOUND,
            "{absent}"
        );
    }
}

/// As Rekor v2 has it: only what a reader will ask for under the same name for ever is kept for ever.
#[tokio::test]
async fn only_full_tiles_are_cached_for_ever() {
    let world = World::new().await;
    fill_quickly(&world, 257).await;
    for (tile, cache) in [
        ("0/000", "public, max-age=31536000, immutable"),
        ("data/000", "public, max-age=31536000, immutable"),
        ("0/000.p/255", "public, max-age=60"),
        ("data/000.p/255", "public, max-age=60"),
        ("0/001.p/1", "public, max-age=60"),
        ("data/001.p/1", "public, max-age=60"),
        ("1/000.p/1", "public, max-age=60"),
    ] {
        let reply = world.get(&format!("/ct/tile/{tile}")).await;
        assert_eq!((reply.status, reply.cache()), (StatusCode::OK, cache), "{tile}");
    }
}

#[tokio::test]
async fn what_is_no_tile_is_not_found() {
    let world = World::new().await;
    world.fill(2).await;
    for path in [
        "0/000",
        "0/000.p/0",
        "0/000.p/3",
        "0/000.p/256",
        "0/000.p/01",
        "0/0",
        "0/x000/000.p/1",
        "6/000.p/1",
        "64/000.p/1",
        "a/000",
        "00/000.p/1",
        "-1/000",
        "data/000",
        "data/000.p/3",
        "data",
        "entries/000.p/1",
        "data/../0/000.p/1",
        "0/000.p/1/",
        "0/%00",
        "data/x999/x999/x999/x999/x999/x999/x999/999.p/1",
    ] {
        let reply = world.get(&format!("/ct/tile/{path}")).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(reply.cache(), "no-store", "{path}");
    }
    let upper = Hash(world.authority.issuer.fingerprint())
        .to_string()
        .to_uppercase();
    for fingerprint in [
        upper.as_str(),
        "00",
        &"0".repeat(64),
        &"g".repeat(64),
        "..%2f..%2fetc%2fpasswd",
    ] {
        assert_eq!(
            world.get(&format!("/ct/issuer/{fingerprint}")).await.status,
            StatusCode::NOT_FOUND,
            "{fingerprint}"
        );
    }
}

#[tokio::test]
async fn a_damaged_store_is_not_served() {
    let world = World::new().await;
    world.fill(2).await;
    world.storage.damage(|contents| {
        for leaf in contents.leaves.values_mut() {
            leaf.extra = bytes::Bytes::from_static(&[0, 0, 9]);
        }
    });
    let reply = world.get("/ct/v1/get-entries?start=0&end=1").await;
    assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(
        reply.text(),
        "Internal Server Error\nthe log cannot be read at the moment\n"
    );
}

#[tokio::test]
async fn a_foreign_leaf_has_an_identity_of_its_own() {
    let world = World::new().await;
    let leaf = StoredLeaf {
        index: 0,
        time: 0,
        data: bytes::Bytes::from_static(b"junk"),
        extra: bytes::Bytes::new(),
    };
    let hash = leaf_hash(b"junk");
    assert_eq!(world.personality.identity(&leaf, &hash), hash);
}
