//! The cache of issuers' keys: single flight, cooldown, lifetime, stale while the issuer is silent.

use std::sync::Arc;
use std::time::Duration;

use fulcio_ca::{FetchError, KeyCache};
use http::StatusCode;
use serde_json::json;

use crate::support::*;

fn issuer() -> String {
    format!("{BASE}/email")
}

fn cache() -> KeyCache {
    KeyCache {
        lifetime: Duration::from_secs(100),
        min_interval: Duration::from_secs(10),
        max_stale: Duration::from_secs(1_000),
    }
}

fn stack() -> Stack {
    Stack::with(vec![email_issuer(&issuer())], cache())
}

/// A token that outlives the test's moves of the clock.
fn long_token(stack: &Stack, key: &TokenKey, kid: &str) -> String {
    let mut claims = stack.claims();
    claims["exp"] = json!(START + 100_000);
    sign_token(&json!({"alg": "RS256", "kid": kid}), &claims, |message| {
        key.sign("RS256", message)
    })
}

/// Asks with `token` and expects that status.
async fn expect(stack: &Stack, token: &str, status: StatusCode) {
    let answer = stack.sign_in(token, "dev@example.com").await;
    assert_eq!(answer.status, status, "{}", answer.text());
}

#[tokio::test]
async fn one_fetch_for_many_requests() {
    let stack = stack();
    *stack.web.delay.lock().unwrap() = Duration::from_millis(50);
    let token = long_token(&stack, &stack.token_key, "k1");
    let answers = futures_join((0..40).map(|_| stack.sign_in(&token, "dev@example.com"))).await;
    assert!(answers.iter().all(|answer| answer.status == StatusCode::OK));
    // One discovery document, one key set.
    assert_eq!(stack.web.reads(), 2);
}

#[tokio::test]
async fn unknown_keys_cannot_make_it_hammer_the_issuer() {
    let stack = stack();
    let good = long_token(&stack, &stack.token_key, "k1");
    expect(&stack, &good, StatusCode::OK).await;
    let stranger = TokenKey::rsa();
    for n in 0..30 {
        let bad = long_token(&stack, &stranger, &format!("invented-{n}"));
        let answer = stack.sign_in(&bad, "dev@example.com").await;
        assert_refused(
            &answer,
            &bad,
            "There was an error",
            &["kid: expected a key that", &format!("got \"invented-{n}\"")],
        );
    }
    assert_eq!(stack.web.reads(), 2);
    // After the interval one more look is allowed, for all of them together.
    stack.clock.advance(Duration::from_secs(11));
    let bad = long_token(&stack, &stranger, "invented");
    let answers = futures_join((0..20).map(|_| stack.sign_in(&bad, "dev@example.com"))).await;
    assert!(
        answers
            .iter()
            .all(|answer| answer.status == StatusCode::BAD_REQUEST)
    );
    assert_eq!(stack.web.reads(), 4);
    assert_eq!(stack.log.calls(), 1);
}

#[tokio::test]
async fn a_rotated_key_is_found() {
    let stack = stack();
    let old = long_token(&stack, &stack.token_key, "k1");
    expect(&stack, &old, StatusCode::OK).await;
    let next = TokenKey::rsa();
    stack.web.publish(
        &issuer(),
        &json!([stack.token_key.jwk("k1"), next.jwk("k2")]),
        &["RS256"],
    );
    let new = long_token(&stack, &next, "k2");
    assert_eq!(
        stack.sign_in(&new, "dev@example.com").await.status,
        StatusCode::BAD_REQUEST,
        "cooldown"
    );
    stack.clock.advance(Duration::from_secs(11));
    expect(&stack, &new, StatusCode::OK).await;
    expect(&stack, &old, StatusCode::OK).await;
    // A key under the same identifier replaced by another: the failed signature asks once more.
    stack.clock.advance(Duration::from_secs(11));
    stack.web.publish(&issuer(), &json!([next.jwk("k1")]), &["RS256"]);
    let swapped = long_token(&stack, &next, "k1");
    expect(&stack, &swapped, StatusCode::OK).await;
}

#[tokio::test]
async fn a_withdrawn_key_is_forgotten_when_the_set_ages() {
    let stack = stack();
    let old = long_token(&stack, &stack.token_key, "k1");
    expect(&stack, &old, StatusCode::OK).await;
    stack
        .web
        .publish(&issuer(), &json!([TokenKey::rsa().jwk("k9")]), &["RS256"]);
    stack.clock.advance(Duration::from_secs(99));
    expect(&stack, &old, StatusCode::OK).await;
    // The use that finds the set so old starts the refresh, and is the last one served with it.
    stack.clock.advance(Duration::from_secs(1));
    expect(&stack, &old, StatusCode::OK).await;
    settled(&stack, 4).await;
    assert_refused(
        &stack.sign_in(&old, "dev@example.com").await,
        &old,
        "There was an error",
        &["kid"],
    );
}

#[tokio::test]
async fn an_emptied_key_set_is_not_bridged_with_old_keys() {
    let stack = stack();
    let token = long_token(&stack, &stack.token_key, "k1");
    expect(&stack, &token, StatusCode::OK).await;
    stack.web.publish(&issuer(), &json!([]), &["RS256"]);
    stack.clock.advance(Duration::from_secs(100));
    expect(&stack, &token, StatusCode::OK).await;
    settled(&stack, 4).await;
    let answer = stack.sign_in(&token, "dev@example.com").await;
    assert_unavailable(&answer, "at least one usable signature key");
}

#[tokio::test]
async fn stale_keys_serve_while_the_issuer_is_silent_and_no_longer() {
    let stack = stack();
    let token = long_token(&stack, &stack.token_key, "k1");
    expect(&stack, &token, StatusCode::OK).await;
    let down = format!("{}/.well-known/openid-configuration", issuer());
    stack.web.answer(&down, Arc::new(|| Err(FetchError::Connect)));
    stack.clock.advance(Duration::from_secs(500));
    let before = stack.web.reads();
    for _ in 0..10 {
        expect(&stack, &token, StatusCode::OK).await;
    }
    settled(&stack, before + 1).await;
    assert_eq!(stack.web.reads(), before + 1, "one attempt an interval");
    stack.clock.advance(Duration::from_secs(500));
    let answer = stack.sign_in(&token, "dev@example.com").await;
    assert_unavailable(&answer, "discovery document: no connection");
}

#[tokio::test]
async fn a_client_that_leaves_does_not_stop_the_others() {
    let stack = stack();
    *stack.web.delay.lock().unwrap() = Duration::from_millis(50);
    let token = long_token(&stack, &stack.token_key, "k1");
    // The first request starts the fetch and is dropped in the middle of it.
    let left = tokio::time::timeout(
        Duration::from_millis(20),
        stack.sign_in(&token, "dev@example.com"),
    )
    .await;
    assert!(left.is_err());
    expect(&stack, &token, StatusCode::OK).await;
    assert_eq!(stack.web.reads(), 2);
}

/// Waits until so many documents have been read, and what was read has been taken over.
async fn settled(stack: &Stack, reads: usize) {
    while stack.web.reads() < reads {
        tokio::task::yield_now().await;
    }
    tokio::task::yield_now().await;
}

async fn futures_join<F: Future<Output = Answered>>(futures: impl Iterator<Item = F>) -> Vec<Answered> {
    let mut pinned: Vec<_> = futures.map(Box::pin).collect();
    let mut done: Vec<Option<Answered>> = pinned.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        let mut waiting = false;
        for (future, slot) in pinned.iter_mut().zip(&mut done) {
            if slot.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(answer) => *slot = Some(answer),
                    std::task::Poll::Pending => waiting = true,
                }
            }
        }
        if waiting {
            std::task::Poll::Pending
        } else {
            std::task::Poll::Ready(())
        }
    })
    .await;
    done.into_iter().map(Option::unwrap).collect()
}
