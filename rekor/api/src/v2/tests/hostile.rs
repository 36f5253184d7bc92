//! Wrong requests of every shape: always 400, and nothing is logged.

use serde_json::Value;

use super::ENTRIES;
use crate::testing::{Stack, TILES, dsse_request, mutations, post, recorded_request};

#[tokio::test]
async fn an_entry_with_one_wrong_place_is_refused() {
    let stack = Stack::new().await;
    let mut requests = vec![("dsse", dsse_request())];
    for name in ["p256", "certificate", "rsa2048", "snake case names"] {
        let Some(request) = recorded_request("rekor-v2", name) else {
            break;
        };
        requests.push((name, serde_json::from_str(&request).unwrap()));
    }
    for (name, valid) in &requests {
        let mutations = mutations(valid);
        assert!(mutations.len() > 50, "{name}");
        for (place, mutated) in mutations {
            let reply = post(&stack.v2, ENTRIES, mutated.to_string()).await;
            assert_eq!(
                reply.status, 400,
                "{name} {place}: {:?} for {mutated}",
                reply.body
            );
            let answer = reply.json();
            assert_eq!(
                (&answer["code"], &answer["details"]),
                (&Value::from(3), &Value::Array(vec![])),
                "{name} {place}"
            );
            assert!(!reply.message().is_empty(), "{name} {place}");
            assert_eq!(stack.size(TILES), 0, "{name} {place} was logged");
        }
    }
    for (name, valid) in requests {
        let reply = post(&stack.v2, ENTRIES, valid.to_string()).await;
        assert_eq!(reply.status, 201, "{name} is wrong in no place: {:?}", reply.body);
    }
}

#[tokio::test]
async fn broken_json_is_400_never_500() {
    let stack = Stack::new().await;
    let Some(request) = recorded_request("rekor-v2", "p256") else {
        return;
    };
    let deep = "[".repeat(100_000);
    let deep_object = "{\"hashedRekordRequestV002\":".repeat(100_000);
    let twice = request.replacen('{', "{\"hashedRekordRequestV002\":{},", 1);
    let mut broken: Vec<Vec<u8>> = [
        deep.as_str(),
        deep_object.as_str(),
        twice.as_str(),
        "{",
        "\"",
        "tru",
        "1e999999",
        "{\"a\u{0}\":1}",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into();
    broken.push(b"{\"hashedRekordRequestV002\":{\"digest\":\"\xff\"}}".to_vec());
    broken.extend(
        (1..request.len())
            .step_by(17)
            .map(|length| request.as_bytes()[..length].to_vec()),
    );
    for body in broken {
        let reply = post(&stack.v2, ENTRIES, body.clone()).await;
        let shown = String::from_utf8_lossy(&body)
            .chars()
            .take(60)
            .collect::<String>();
        assert_eq!(
            (reply.status.as_u16(), &reply.json()["code"]),
            (400, &Value::from(3)),
            "{shown}"
        );
    }
    assert_eq!(stack.size(TILES), 0);
}
