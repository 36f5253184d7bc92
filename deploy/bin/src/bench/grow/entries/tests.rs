#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::HashSet;

use rekor_entry::committed::read;

use super::*;

#[test]
fn entries_are_what_the_service_makes_and_each_its_own() {
    for log in [GrownLog::V1, GrownLog::V2] {
        // Compares with the service.
        let maker = Maker::new(log).unwrap();
        let mut key = None;
        let mut seen = HashSet::new();
        let mut keys = HashSet::new();
        for number in 0..2 * PER_KEY {
            let entry = maker.entry(number, &mut key).unwrap();
            // Of another key than the checked one: it must read back as an entry too.
            assert_eq!(read(&entry.body).unwrap().kind, "hashedrekord");
            assert!(seen.insert(entry.identity), "{number} came before");
            keys.insert(key.as_ref().unwrap().term.clone());
        }
        assert_eq!(keys.len(), 2);
    }
}
