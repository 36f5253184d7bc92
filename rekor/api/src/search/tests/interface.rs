//! The interface: its description is a valid one, and true; wrong requests are told why.

use jsonschema::Validator;

use super::*;

const DESCRIPTION: &str = include_str!("../openapi.json");

fn description() -> Value {
    serde_json::from_str(DESCRIPTION).unwrap()
}

/// A validator of one of the schemas, with all others to refer to.
fn schema(name: &str) -> Validator {
    let document = description();
    let root = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$ref": format!("#/components/schemas/{name}"),
        "components": document["components"],
    });
    jsonschema::validator_for(&root).unwrap()
}

fn assert_valid(name: &str, value: &Value) {
    let errors: Vec<String> = schema(name)
        .iter_errors(value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{name}: {errors:?}\n{value:#}");
}

/// All values of a member, wherever it is.
fn members<'a>(value: &'a Value, name: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(object) => {
            found.extend(object.get(name));
            object.values().for_each(|value| members(value, name, found));
        }
        Value::Array(items) => items.iter().for_each(|value| members(value, name, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_description_is_open_api_3_1_and_what_it_describes_is_served() {
    let stack = Stack::new().await;
    let document = description();
    assert_eq!(document["openapi"], "3.1.0");
    let served = get(&stack.search, "/api/sigbox/v1/openapi.json").await;
    assert_eq!(served.header("content-type"), "application/json");
    assert_eq!(served.json(), document);
    // OpenAPI 3.1 §4.8.24: schemas are JSON Schema 2020-12.
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        assert!(jsonschema::meta::is_valid(schema), "{name}");
    }
    let mut references = Vec::new();
    members(&document, "$ref", &mut references);
    assert!(references.len() > 10);
    for reference in references {
        let pointer = reference.as_str().unwrap().trim_start_matches('#');
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    let mut operations = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(operations.insert(id), "{id} is there twice");
            let path = path.replace("{log}", "3").replace("{index}", "0");
            let reply = match method.as_str() {
                "get" => get(&stack.search, &path).await,
                _ => post(&stack.search, &path, "{}").await,
            };
            let status = reply.status.as_str();
            let described = &operation["responses"][status];
            assert!(described.is_object(), "{method} {path}: {status}");
            let name = described["content"]["application/json"]["schema"]["$ref"].as_str();
            if let Some(name) = name.and_then(|name| name.rsplit('/').next()) {
                assert_valid(name, &reply.json());
            }
        }
    }
    // Every parameter that the program takes is described, and no other.
    let reply = get(&stack.search, "/api/sigbox/v1/search?nonsense=1").await;
    let parameters = document.pointer("/paths/~1api~1sigbox~1v1~1search/get/parameters");
    let described = parameters.unwrap().as_array().unwrap().iter();
    let described: BTreeSet<&str> = described
        .map(|parameter| parameter["name"].as_str().unwrap())
        .collect();
    let (_, named) = message(&reply)
        .split_once("some of ")
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    assert_eq!(named.split(", ").collect::<BTreeSet<_>>(), described);
    let query = document["components"]["schemas"]["Query"]["properties"]
        .as_object()
        .unwrap();
    assert_eq!(
        query.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        described
    );
}

#[tokio::test]
async fn answers_are_as_they_are_described() {
    let stack = Stack::new().await;
    let key = signer(KeyAlgorithm::EcdsaP256);
    let dev = certificate(SubjectAltName::Email("dev@example.com".to_owned()), &*key);
    log(&stack, false, &*key, b"one", Some(&dev)).await;
    log(&stack, true, &*key, b"one", Some(&dev)).await;
    post(&stack.v2, "/api/v2/log/entries", dsse_request().to_string()).await;
    let answer = search(&stack, "limit=2").await;
    assert_valid("Answer", &answer);
    assert!(answer["next"].is_string());
    for (log, index) in [(V1, 0), (V2, 0), (V2, 1)] {
        let reply = get(
            &stack.search,
            &format!("/api/sigbox/v1/logs/{log}/entries/{index}"),
        )
        .await;
        assert_eq!(reply.status, 200);
        let entry = reply.json();
        assert_valid("Entry", &entry);
        let proof = &entry["inclusionProof"];
        let hashes = proof["hashes"].as_array().unwrap().iter();
        let hash = |value: &Value| {
            common_tlog::Hash::from_slice(&hex::decode(value.as_str().unwrap()).unwrap()).unwrap()
        };
        let hashes: Vec<_> = hashes.map(hash).collect();
        let leaf = common_tlog::leaf_hash(&STANDARD.decode(entry["body"].as_str().unwrap()).unwrap());
        let size = proof["size"].as_u64().unwrap();
        common_tlog::proof::verify_inclusion(index, size, &leaf, &hashes, &hash(&proof["root"])).unwrap();
        assert!(proof["checkpoint"].as_str().unwrap().contains(HOST));
        assert_eq!(entry["signedEntryTimestamp"].is_string(), log == V1);
    }
    // The same by JSON, with one value or several.
    for query in [
        json!({"email": "dev@example.com"}),
        json!({"email": ["dev@example.com", "a@b.c"], "match": "all", "log": [V1, V2], "limit": 5, "since": 7}),
    ] {
        assert_valid("Query", &query);
        let reply = post(&stack.search, "/api/sigbox/v1/search", query.to_string()).await;
        assert_eq!(places(&reply.json()), [(V2, 0), (V1, 0)]);
    }
    assert_valid(
        "Error",
        &get(&stack.search, "/api/sigbox/v1/logs/3/entries/99")
            .await
            .json(),
    );
}

#[tokio::test]
async fn wrong_requests_are_told_why() {
    let stack = Stack::new().await;
    let many = vec!["email=a@b.c"; 40].join("&");
    let different: Vec<String> = (0..17).map(|n| format!("email=a{n}@b.c")).collect();
    let cases = [
        ("?name=x", 400, "is no parameter of a search"),
        ("?email=x", 400, "email: expected an e-mail address, got \"x\""),
        ("?limit=0", 400, "limit: expected 1 to 100, got \"0\""),
        ("?limit=101", 400, "expected 1 to 100"),
        ("?match=none", 400, "expected all or any"),
        ("?since=yesterday", 400, "since: expected a time such as"),
        ("?since=20&until=10", 400, "a time after \"since\""),
        ("?log=77", 400, "log: expected one of 2, 3, got \"77\""),
        ("?log=x", 400, "expected the number of a log"),
        ("?email=%ff", 400, "email"),
        (&format!("?{}", different.join("&")), 400, "at most 16 values"),
    ];
    for (query, status, expected) in cases {
        let reply = get(&stack.search, &format!("/api/sigbox/v1/search{query}")).await;
        assert_eq!(reply.status, status, "{query}: {:?}", reply.body);
        assert!(message(&reply).contains(expected), "{query}: {}", message(&reply));
    }
    assert_eq!(
        get(&stack.search, &format!("/api/sigbox/v1/search?{many}"))
            .await
            .status,
        200
    );
    for body in [
        "",
        "[]",
        "{\"email\": 7.5}",
        "{\"email\": {}}",
        "{\"email\": \"a@b.c\"",
        "nonsense",
    ] {
        let reply = post(&stack.search, "/api/sigbox/v1/search", body).await;
        assert_eq!(reply.status, 400, "{body}: {:?}", reply.body);
    }
    let long = format!("{{\"email\": \"{}\"}}", "x".repeat(40_000));
    assert_eq!(
        post(&stack.search, "/api/sigbox/v1/search", long).await.status,
        413
    );
    for path in [
        "logs/3/entries/x",
        "logs/99/entries/0",
        "logs/1/entries/0",
        "logs/x",
        "nonsense",
    ] {
        let reply = get(&stack.search, &format!("/api/sigbox/v1/{path}")).await;
        assert_eq!(reply.status, 404, "{path}");
    }
    let reply = post(&stack.search, "/api/sigbox/v1/logs", "{}").await;
    assert_eq!(
        (reply.status.as_u16(), reply.header("allow")),
        (405, "GET, HEAD, POST")
    );
}
